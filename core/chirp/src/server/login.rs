//! Who a client is: methods are tried until one works, or time is up.

use super::{Error, Peer, Shared};
use crate::secret::{Side, from_hex, nonce};
use crate::stream::{Input, Output, within};
use crate::ticket::CHALLENGE;
use bytes::BytesMut;
use rustix::fs::{AtFlags, CWD};
use std::io;

/// Lines of a handshake are short.
const LINE: usize = 1024;
/// Tries before a client is sent away.
const TRIES: usize = 16;
/// Bytes of the longest signature that is read.
const SIGNATURE: usize = 2048;

/// Who logged in.
pub(super) struct Subject {
    /// `method:name`.
    pub(super) name: String,
    /// Whether paths are escaped as Condor's clients do it.
    pub(super) condor: bool,
}

pub(super) struct Login<'a> {
    pub(super) shared: &'a Shared,
    pub(super) input: &'a mut Input,
    pub(super) output: &'a mut Output,
    pub(super) peer: &'a Peer,
}

/// What became of one method.
enum Outcome {
    /// It worked: the name behind the colon.
    Done(String),
    /// The client has been told.
    Failed,
    /// It is still to be told.
    Refused,
}

impl Login<'_> {
    pub(super) async fn run(mut self) -> Result<Subject, Error> {
        for _ in 0..TRIES {
            let line = self.line().await?;
            let line = line.trim_ascii_end();
            if let Some(cookie) = line.strip_prefix(b"cookie ") {
                if self.cookie(cookie) {
                    self.send("0\n").await?;
                    return Ok(Subject { name: "cookie:condor".into(), condor: true });
                }
                self.send("-1\n").await?;
                continue;
            }
            let logins = &self.shared.logins;
            let (method, outcome) = match line {
                b"token" if !logins.tokens.is_empty() => ("token", self.token().await?),
                b"ticket" if !logins.tickets.is_empty() => ("ticket", self.ticket().await?),
                b"address" if !logins.addresses.is_empty() => ("address", self.address().await?),
                b"unix" if logins.unix.is_some() => ("unix", self.unix().await?),
                _ => ("", Outcome::Refused),
            };
            match outcome {
                Outcome::Done(name) => {
                    self.send(&format!("yes\n{method}\n{name}\n")).await?;
                    return Ok(Subject { name: format!("{method}:{name}"), condor: false });
                }
                Outcome::Refused => self.send("no\n").await?,
                Outcome::Failed => {}
            }
        }
        Err(Error::Login("too many tries"))
    }

    async fn line(&mut self) -> Result<BytesMut, Error> {
        loop {
            match self.input.line(LINE) {
                Ok(Some(line)) => return Ok(line),
                Ok(None) if self.input.is_skipping() => return Err(Error::Login("a line without end")),
                Ok(None) if self.input.fill().await? == 0 => return Err(Error::Login("it closed")),
                Ok(None) => {}
                Err(_) => return Err(Error::Login("a line without end")),
            }
        }
    }

    async fn send(&mut self, text: &str) -> io::Result<()> {
        self.output.write(text.as_bytes(), self.shared.limits.handshake).await
    }

    fn cookie(&self, given: &[u8]) -> bool {
        let cookie = self.shared.logins.cookie.as_deref();
        cookie.is_some_and(|cookie| subtle::ConstantTimeEq::ct_eq(cookie.as_bytes(), given).into())
    }

    async fn token(&mut self) -> Result<Outcome, Error> {
        self.send("yes\n").await?;
        let Some(client) = from_hex(&self.line().await?) else { return Ok(Outcome::Refused) };
        let server = nonce::<32>().map_err(|error| io::Error::other(error.to_string()))?;
        // With several secrets the client's can't be known yet: it finds its own among the proofs.
        let tokens = &self.shared.logins.tokens;
        let proofs: Vec<_> = tokens
            .iter()
            .map(|(secret, _)| hex::encode(secret.proof(Side::Server, &client, &server)))
            .collect();
        self.send(&format!("{} {}\n", hex::encode(server), proofs.join(" "))).await?;
        let Some(proof) = from_hex(&self.line().await?) else { return Ok(Outcome::Refused) };
        let tokens = &self.shared.logins.tokens;
        let found = tokens.iter().find(|(secret, _)| secret.proves(&proof, Side::Client, &client, &server));
        let Some((_, name)) = found else { return Ok(Outcome::Refused) };
        self.send("yes\n").await?;
        Ok(Outcome::Done(name.clone()))
    }

    async fn ticket(&mut self) -> Result<Outcome, Error> {
        self.send("yes\n").await?;
        for _ in 0..TRIES {
            let digest = self.line().await?;
            if digest.as_ref() == b"==" {
                return Ok(Outcome::Failed);
            }
            let tickets = &self.shared.logins.tickets;
            let Some(ticket) = tickets.iter().find(|ticket| ticket.digest().as_bytes() == digest.as_ref())
            else {
                self.send("declined\n").await?;
                continue;
            };
            let challenge = nonce::<CHALLENGE>().map_err(|error| io::Error::other(error.to_string()))?;
            let mut asked = format!("{CHALLENGE}\n").into_bytes();
            asked.extend_from_slice(&challenge);
            self.output.write(&asked, self.shared.limits.handshake).await?;
            let signature = self.signature().await?;
            if signature.is_some_and(|signature| ticket.verifies(&challenge, &signature)) {
                self.send("success\n").await?;
                return Ok(Outcome::Done(ticket.digest().to_owned()));
            }
            self.send("failure\n").await?;
            return Ok(Outcome::Failed);
        }
        Err(Error::Login("too many tickets"))
    }

    async fn signature(&mut self) -> Result<Option<BytesMut>, Error> {
        let line = self.line().await?;
        let length = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse().ok());
        let Some(length) = length.filter(|length| *length <= SIGNATURE) else {
            return Err(Error::Login("a signature of no sensible length"));
        };
        loop {
            match self.input.take(length) {
                Some(signature) => return Ok(Some(signature)),
                None if self.input.fill().await? == 0 => return Err(Error::Login("it closed")),
                None => {}
            }
        }
    }

    async fn address(&mut self) -> Result<Outcome, Error> {
        self.send("yes\n").await?;
        match self.peer {
            Peer::Address(address) if self.shared.logins.addresses.contains(address) => {
                self.send("yes\n").await?;
                Ok(Outcome::Done(address.to_string()))
            }
            _ => Ok(Outcome::Refused),
        }
    }

    /// The client makes a file that nobody could foresee; whose it is tells who made it.
    async fn unix(&mut self) -> Result<Outcome, Error> {
        let Some(folder) = self.shared.logins.unix.clone() else { return Ok(Outcome::Refused) };
        let random = nonce::<16>().map_err(|error| io::Error::other(error.to_string()))?;
        let path = folder.join(format!("challenge.{}", hex::encode(random)));
        self.send(&format!("yes\n{}\n", path.display())).await?;
        let made = self.line().await?.trim_ascii() == b"yes";
        let stat = rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW);
        let _ = rustix::fs::unlinkat(CWD, &path, AtFlags::empty()); // it may be gone, or not be ours
        let Ok(stat) = stat else { return Ok(Outcome::Refused) };
        let ours = rustix::process::geteuid().as_raw();
        let regular = stat.st_mode & 0o170_000 == 0o100_000 && stat.st_nlink == 1;
        if !made || !regular || !matches!(stat.st_uid, uid if uid == ours || uid == 0) {
            return Ok(Outcome::Refused);
        }
        self.send("yes\n").await?;
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(stat.st_uid)).ok().flatten();
        Ok(Outcome::Done(user.map_or_else(|| stat.st_uid.to_string(), |user| user.name)))
    }
}

/// The whole handshake, within its time.
pub(super) async fn login(login: Login<'_>) -> Result<Subject, Error> {
    if let Peer::Trusted(name) = login.peer {
        return Ok(Subject { name: name.clone(), condor: false });
    }
    let limit = login.shared.limits.handshake;
    let outcome = within(limit, async { Ok(login.run().await) }).await;
    outcome.unwrap_or(Err(Error::Login("it took too long")))
}
