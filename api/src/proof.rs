//! How the host agent shows that it is the one a token belongs to, before anybody sends it the token: both know
//! HMAC-SHA256(SHA-256(token), "vocable agent" 0x00 nonce), and nobody who listens learns the token by it. Pure but for
//! the random numbers.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What this proof is of, so that it is none of anything else.
const LABEL: &[u8] = b"vocable agent\0";
/// Length of a nonce and of a proof, hexadecimal digits.
const DIGITS: usize = 64;

/// What is kept of a token. The tokens are random, so no salt and no slow hash is needed.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim()).into()
}

/// A number that nobody has used before.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut random = [0; DIGITS / 2];
    getrandom::fill(&mut random)?;
    Ok(hex::encode(random))
}

/// Whether this is a nonce: 64 hexadecimal digits.
pub fn is_nonce(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The proof of who knows `token`, for that nonce, as it was sent. There is none with an empty token.
pub fn of(token: &str, nonce: &str) -> Option<String> {
    if token.trim().is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&digest(token)).ok()?;
    mac.update(LABEL);
    mac.update(nonce.as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

/// Whether this is the proof of who knows `token`. How long the comparison takes tells nothing.
pub fn is_right(token: &str, nonce: &str, proof: &str) -> bool {
    of(token, nonce).is_some_and(|right| right.as_bytes().ct_eq(proof.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_token_has_the_proof() {
        let nonce = nonce().unwrap();
        assert!(is_nonce(&nonce));
        let proof = of("s3cret", &nonce).unwrap();
        assert!(is_right("s3cret", &nonce, &proof) && is_right("s3cret\n", &nonce, &proof));
        assert!(!is_right("s3creT", &nonce, &proof));
        assert!(!is_right("s3cret", &self::nonce().unwrap(), &proof));
        assert!(!is_right("", &nonce, &proof) && !is_right("s3cret", &nonce, ""));
        assert_eq!(of("", &nonce), None);
    }

    /// Other clients compute the same: `docs/routes.md` says how.
    #[test]
    fn the_proof_is_what_is_documented() {
        assert_eq!(
            of("s3cret", &"0".repeat(64)).unwrap(),
            "b3dfe923a059dce709564f2d3bf08c9da73faee4ecfcd4189fdabddb0902822c"
        );
    }

    #[test]
    fn a_nonce_is_64_digits() {
        assert!(is_nonce(&"aF".repeat(32)));
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
            assert!(!is_nonce(bad), "{bad}");
        }
    }
}
