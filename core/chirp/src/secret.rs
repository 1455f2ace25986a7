//! `token`, our own way to log in: both ends prove that they know a secret, and neither tells it.
//!
//! ```text
//! client                                server
//! token                              ─▶
//!                                    ◀─ yes                    (the real server: no)
//! CLIENT_NONCE                       ─▶
//!                                    ◀─ SERVER_NONCE HMAC(secret, server label, both nonces)
//! HMAC(secret, client label, both)   ─▶
//!                                    ◀─ yes yes token SUBJECT
//! ```
//! Nonces are 32 random bytes, everything is in hexadecimal digits. What comes after isn't protected: the network
//! between the two has to be.

use hex::FromHex as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Thirty-two random bytes that host and guest share.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// What should be a secret, and isn't.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// Not 64 digits.
    #[error("a secret is 64 hexadecimal digits")]
    Digits,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Who proves that he knows the secret: so neither's proof can be sent back as the other's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Secret {
    /// A new one.
    pub fn random() -> Result<Self, BadSecret> {
        nonce().map(Self).map_err(BadSecret::Random)
    }

    /// As it is kept in a file: blanks and line ends around it don't matter.
    pub fn from_hex(text: &str) -> Result<Self, BadSecret> {
        from_hex(text.trim().as_bytes()).map(Self).ok_or(BadSecret::Digits)
    }

    /// For the file it is kept in.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn proof(&self, side: Side, client: &[u8; 32], server: &[u8; 32]) -> [u8; 32] {
        let label: &[u8] = match side {
            Side::Client => b"vocable chirp 1 client",
            Side::Server => b"vocable chirp 1 server",
        };
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        for part in [label, client, server] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn proves(&self, proof: &[u8; 32], side: Side, client: &[u8; 32], server: &[u8; 32]) -> bool {
        self.proof(side, client, server).ct_eq(proof).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Reads a nonce or a proof.
pub(crate) fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    <[u8; 32]>::from_hex(digits).ok()
}

pub(crate) fn nonce<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_side_and_nonces_prove_it() {
        let (secret, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        let proof = secret.proof(Side::Client, &[1; 32], &[2; 32]);
        assert!(secret.proves(&proof, Side::Client, &[1; 32], &[2; 32]));
        assert!(!secret.proves(&proof, Side::Server, &[1; 32], &[2; 32]));
        assert!(!secret.proves(&proof, Side::Client, &[2; 32], &[1; 32]));
        assert!(!other.proves(&proof, Side::Client, &[1; 32], &[2; 32]));
        assert_eq!(Secret::from_hex(&format!(" {}\n", secret.to_hex())).unwrap().0, secret.0);
        assert!(Secret::from_hex("abcd").is_err());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
