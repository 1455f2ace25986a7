//! `ticket`, the real programs' way to log in with a key: the server sends 64 random bytes, the client signs them.
//!
//! RSA, PKCS #1 v1.5 over the bytes themselves, without a digest's name around them: so the real programs do it. The
//! real server sends every client the same bytes, so that a signature once seen is a login for ever; ours never does.

use md5::{Digest, Md5};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PrivateKey, PublicKey};
use std::fmt;

/// Bytes a client has to sign.
pub(crate) const CHALLENGE: usize = 64;
/// Keys shorter than this are refused; bytes.
const SHORTEST: usize = 128;

/// What should be a key, and isn't one.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum BadKey {
    /// Neither of the two PEM forms.
    #[error("not an RSA key in PEM form (-----BEGIN …)")]
    Pem,
    /// Too easy to break.
    #[error("an RSA key of {bits} bits is too short: make one of 2048")]
    Short { bits: usize },
    /// The signature could not be made.
    #[error("signing failed: {0}")]
    Sign(rsa::Error),
}

/// The public half: the server knows who may log in by it.
#[derive(Clone)]
pub struct Ticket {
    key: PublicKey,
    digest: String,
}

impl Ticket {
    /// From the PEM text of a public key.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let key = PublicKey::from_public_key_pem(pem)
            .or_else(|_| PublicKey::from_pkcs1_pem(pem))
            .map_err(|_| BadKey::Pem)?;
        Self::new(key)
    }

    fn new(key: PublicKey) -> Result<Self, BadKey> {
        if key.size() < SHORTEST {
            return Err(BadKey::Short { bits: 8 * key.size() });
        }
        let pem = key.to_public_key_pem(LineEnding::LF).map_err(|_| BadKey::Pem)?;
        Ok(Self { key, digest: hex::encode(Md5::digest(pem)) })
    }

    /// What it is called by: the MD5 of its PEM text, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn verifies(&self, challenge: &[u8], signature: &[u8]) -> bool {
        self.key.verify(Pkcs1v15Sign::new_unprefixed(), challenge, signature).is_ok()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ticket({})", self.digest)
    }
}

/// The private half, with which a client logs in.
#[derive(Clone)]
pub struct TicketKey {
    key: PrivateKey,
    ticket: Ticket,
}

impl TicketKey {
    /// From the PEM text of a private key, as `chirp ticket_create` writes it to a file.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        // The real programs write remarks before it and the public half after it.
        let begin = pem.find("-----BEGIN").ok_or(BadKey::Pem)?;
        let pem = pem.get(begin..).and_then(|pem| {
            let end = pem.find("-----END")?;
            pem.get(..end + pem.get(end + 8..)?.find("-----")? + 13)
        });
        let pem = pem.ok_or(BadKey::Pem)?;
        let key = PrivateKey::from_pkcs8_pem(pem)
            .or_else(|_| PrivateKey::from_pkcs1_pem(pem))
            .map_err(|_| BadKey::Pem)?;
        let ticket = Ticket::new(key.to_public_key())?;
        Ok(Self { key, ticket })
    }

    /// Its public half.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    pub(crate) fn sign(&self, challenge: &[u8]) -> Result<Vec<u8>, BadKey> {
        self.key.sign(Pkcs1v15Sign::new_unprefixed(), challenge).map_err(BadKey::Sign)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TicketKey({})", self.ticket.digest)
    }
}
