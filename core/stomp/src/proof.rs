//! How broker and client prove to each other that they know a login's secret, without telling it.
//!
//! ```text
//! client                                              broker
//! CONNECT login vocable-nonce                      ─▶
//!                                                  ◀─ RECEIPT receipt-id:vocable-challenge vocable-nonce vocable-proof
//! CONNECT login vocable-proof                      ─▶
//!                                                  ◀─ CONNECTED, or ERROR
//! ```
//! A nonce is 32 random bytes, a proof HMAC-SHA256(digest, label 0 login 0 client's nonce 0 broker's nonce), where the
//! digest is the SHA-256 of the secret, the labels are `vocable host` and `vocable guest`, and 0 is one byte; in headers
//! both are 64 hexadecimal digits. The broker proves itself first: a client sends nothing that depends on its secret to
//! somebody who has not, and obeys him in nothing. What comes after the login is not protected by this.
//!
//! Whoever asks gets a proof of the broker, so secrets have to be random ([`Secret::random`]): one that somebody has
//! thought of could be found by trying.

use hex::FromHex as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The header that carries a nonce.
pub(crate) const NONCE: &str = "vocable-nonce";
/// The header that carries a proof.
pub(crate) const PROOF: &str = "vocable-proof";
/// The `receipt-id` of the broker's challenge.
pub(crate) const CHALLENGE: &str = "vocable-challenge";

/// Who proves something: so that nobody can send the other's proof back as its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Broker,
    Client,
}

/// What both proofs of one login are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge<'a> {
    pub(crate) login: &'a str,
    pub(crate) client: &'a [u8; 32],
    pub(crate) broker: &'a [u8; 32],
}

/// The SHA-256 digest of a passcode.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// What no passcode is known to hash to.
    pub(crate) const IMPOSSIBLE: Self = Self([0; 32]);

    /// The digest of `passcode`.
    pub fn of(passcode: &str) -> Self {
        Self(Sha256::digest(passcode).into())
    }

    /// A digest that was made before.
    pub const fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// A new passcode of 256 random bits in 64 hexadecimal digits, and its digest.
    ///
    /// # Errors
    /// If the system has no random numbers to give.
    pub fn random() -> Result<(String, Self), getrandom::Error> {
        let passcode = hex::encode(random()?);
        let secret = Self::of(&passcode);
        Ok((passcode, secret))
    }

    /// Reads the 64 hexadecimal digits that `Display` writes.
    pub fn from_hexadecimal(digits: &str) -> Option<Self> {
        from_hex(digits).map(Self)
    }

    /// Whether this is the digest of `passcode`; takes the same time wherever they differ.
    pub fn matches(&self, passcode: &str) -> bool {
        Self::of(passcode).0.ct_eq(&self.0).into()
    }

    pub(crate) fn proof(&self, side: Side, challenge: Challenge<'_>) -> [u8; 32] {
        let label: &[u8] = match side {
            Side::Broker => b"vocable host",
            Side::Client => b"vocable guest",
        };
        let Challenge { login, client, broker } = challenge;
        keyed_digest(&self.0, &[label, login.as_bytes(), client, broker])
    }

    /// Whether somebody else's proof is right; takes the same time wherever it is wrong.
    pub(crate) fn is_proved(&self, side: Side, challenge: Challenge<'_>, proof: &[u8; 32]) -> bool {
        self.proof(side, challenge).ct_eq(proof).into()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// HMAC-SHA256 of the parts with a zero byte between each two of them.
pub(crate) fn keyed_digest(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            mac.update(&[0]);
        }
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Reads a nonce or a proof: 64 hexadecimal digits and nothing else.
pub(crate) fn from_hex(digits: &str) -> Option<[u8; 32]> {
    <[u8; 32]>::from_hex(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_written_and_read_back_but_not_shown() {
        let (passcode, secret) = Secret::random().unwrap();
        assert_eq!(Secret::from_hexadecimal(&secret.to_string()), Some(secret));
        assert!(secret.matches(&passcode));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(Secret::from_hexadecimal("+1"), None);
        assert_eq!(Secret::from_hexadecimal(&"g".repeat(64)), None);
    }

    /// Made with Python: `hmac.new(sha256(b"secret").digest(), b"vocable host\0g1\0" + b"\x01" * 32 + b"\0" + b"\x02" * 32,
    /// sha256)`. Others have to come to the same.
    #[test]
    fn a_proof_is_what_the_documentation_says() {
        let challenge = Challenge { login: "g1", client: &[1; 32], broker: &[2; 32] };
        let proof = |side| hex::encode(Secret::of("secret").proof(side, challenge));
        assert_eq!(proof(Side::Broker), "50571d5363aedbf208eab5b041ee8e7836577f8efbe6634666adc2f1a110ff9d");
        assert_eq!(proof(Side::Client), "b55c0fbcda0c1dc1d4d8feac90fcd37b1361e96fc63b90e8ad55f33606d51fd0");
    }

    #[test]
    fn only_the_right_secret_side_login_and_nonces_prove_it() {
        let (secret, other) = (Secret::of("one"), Secret::of("other"));
        let challenge = Challenge { login: "g1", client: &[1; 32], broker: &[2; 32] };
        let proof = secret.proof(Side::Client, challenge);
        assert!(secret.is_proved(Side::Client, challenge, &proof));
        assert!(!secret.is_proved(Side::Broker, challenge, &proof));
        assert!(!other.is_proved(Side::Client, challenge, &proof));
        for wrong in [
            Challenge { login: "g2", ..challenge },
            Challenge { client: &[3; 32], ..challenge },
            Challenge { broker: &[3; 32], ..challenge },
            Challenge { client: &[2; 32], broker: &[1; 32], ..challenge },
        ] {
            assert!(!secret.is_proved(Side::Client, wrong, &proof));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_thirty_two_bytes_or_nothing(text in "[0-9a-fA-Fx+ é]{0,70}", bytes in any::<[u8; 32]>()) {
            let read = from_hex(&text);
            prop_assert_eq!(read.map(|bytes| hex::encode(bytes)), read.map(|_| text.to_lowercase()));
            prop_assert_eq!(from_hex(&hex::encode(bytes)), Some(bytes));
        }
    }
}
