//! How a host reaches the files of a guest: a Chirp server, over TCP or through the bus.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a byte stream through the bus asks for.
pub const FILES_SERVICE: &str = "chirp";

/// What both ends derive from a guest's credential: HMAC-SHA256, keyed with the SHA-256 of the credential (which is all the
/// host keeps), of a label and the guest's id. Either end proves that it knows it, and somebody who listens learns
/// neither it nor the credential.
pub fn files_secret(guest: &str, credential_sha256: &[u8; 32]) -> Option<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(credential_sha256).ok()?;
    Some(mac.chain_update(b"vocable files 1 ").chain_update(guest.as_bytes()).finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_that_of_older_agents() {
        let secret = |guest: &str| hex::encode(files_secret(guest, &[7; 32]).unwrap());
        assert_eq!(secret("vm1"), "15c7d106d0c017109fe718662e51a9b2b4c07de44af3c52399030d8b4b24f553");
        assert_ne!(secret("vm1"), secret("vm2"));
    }
}
