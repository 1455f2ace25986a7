//! Logging in: one way after the other, until the server agrees.

use super::{Error, Login};
use crate::secret::{Secret, Side, from_hex, nonce};
use crate::stream::{Input, Output};
use crate::ticket::{CHALLENGE, TicketKey};
use bytes::BytesMut;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Lines of a handshake are short.
const LINE: usize = 4096;
/// The whole handshake has a deadline; this only bounds one write.
const WRITE: Duration = Duration::from_secs(60);

struct Wire<'a> {
    input: &'a mut Input,
    output: &'a mut Output,
}

/// The subject, once a way has worked.
pub(super) async fn run(input: &mut Input, output: &mut Output, logins: &[Login]) -> Result<String, Error> {
    let mut wire = Wire { input, output };
    let mut tried = Vec::new();
    for login in logins {
        let method = match login {
            Login::Trusted => return Ok("trusted".into()),
            Login::Address => "address",
            Login::Cookie(_) => "cookie",
            Login::Hostname => "hostname",
            Login::Ticket(_) => "ticket",
            Login::Token(_) => "token",
            Login::Unix(_) => "unix",
        };
        tried.push(method);
        if let Login::Cookie(cookie) = login {
            wire.send(&format!("cookie {cookie}\n")).await?;
            if wire.line().await?.as_ref() == b"0" {
                return Ok("cookie:condor".into());
            }
            continue;
        }
        wire.send(&format!("{method}\n")).await?;
        if !wire.yes().await? {
            continue;
        }
        let passed = match login {
            Login::Token(secret) => wire.token(secret).await?,
            Login::Ticket(key) => wire.ticket(key).await?,
            Login::Unix(folder) => wire.unix(folder).await?,
            _ => wire.yes().await?,
        };
        if passed && wire.yes().await? {
            return wire.subject().await;
        }
    }
    Err(Error::Login { tried: if tried.is_empty() { "nothing".into() } else { tried.join(", ") } })
}

/// Whether it is a server of ours.
pub(super) async fn has_extensions(input: &mut Input, output: &mut Output) -> Result<bool, Error> {
    let mut wire = Wire { input, output };
    wire.send("vhello\n").await?;
    let line = wire.line().await?;
    let number = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse::<i64>().ok());
    let bad_reply = Error::BadReply { what: "vhello".into(), why: "it is no number" };
    Ok(number.ok_or(bad_reply)? >= 1)
}

impl Wire<'_> {
    async fn send(&mut self, text: &str) -> Result<(), Error> {
        self.output.write(text.as_bytes(), WRITE).await.map_err(Error::Broke)
    }

    async fn line(&mut self) -> Result<BytesMut, Error> {
        loop {
            match self.input.line(LINE) {
                Ok(Some(line)) => return Ok(line),
                Ok(None) if !self.input.is_skipping() => self.fill().await?,
                Ok(None) | Err(_) => return Err(bad_reply("it is a line without end")),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        match self.input.fill().await.map_err(Error::Broke)? {
            0 => Err(Error::Broke(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    async fn yes(&mut self) -> Result<bool, Error> {
        match self.line().await?.trim_ascii() {
            b"yes" => Ok(true),
            b"no" => Ok(false),
            _ => Err(bad_reply("it is neither yes nor no")),
        }
    }

    async fn subject(&mut self) -> Result<String, Error> {
        let (method, name) = (self.line().await?, self.line().await?);
        Ok(format!("{}:{}", String::from_utf8_lossy(&method), String::from_utf8_lossy(&name)))
    }

    /// The server proves first that it knows the secret: to one who doesn't, nothing more is said.
    async fn token(&mut self, secret: &Secret) -> Result<bool, Error> {
        let client = nonce::<32>().map_err(|error| Error::Broke(io::Error::other(error.to_string())))?;
        self.send(&format!("{}\n", hex::encode(client))).await?;
        let line = self.line().await?;
        let mut words = line.as_ref().split(|&byte: &u8| byte == b' ');
        let server = words.next().and_then(from_hex).ok_or_else(|| bad_reply("it has no nonce"))?;
        let proven =
            words.filter_map(from_hex).any(|proof| secret.proves(&proof, Side::Server, &client, &server));
        if !proven {
            return Err(Error::Login { tried: "token: it does not know the secret itself".into() });
        }
        self.send(&format!("{}\n", hex::encode(secret.proof(Side::Client, &client, &server)))).await?;
        self.yes().await
    }

    async fn ticket(&mut self, key: &TicketKey) -> Result<bool, Error> {
        self.send(&format!("{}\n", key.ticket().digest())).await?;
        let line = self.line().await?;
        if line.as_ref() != CHALLENGE.to_string().as_bytes() {
            if line.as_ref() == b"declined" {
                self.send("==\n").await?;
            }
            return Ok(false);
        }
        let challenge = loop {
            match self.input.take(CHALLENGE) {
                Some(challenge) => break challenge,
                None => self.fill().await?,
            }
        };
        let key = key.clone();
        // A signature takes milliseconds.
        let signed = tokio::task::spawn_blocking(move || key.sign(&challenge)).await;
        let signature = signed.map_err(|error| Error::Broke(io::Error::other(error)))??;
        let mut answer = format!("{}\n", signature.len()).into_bytes();
        answer.extend_from_slice(&signature);
        self.output.write(&answer, WRITE).await.map_err(Error::Broke)?;
        Ok(self.line().await?.as_ref() == b"success")
    }

    /// Makes the file the server asks for, if it is one that nobody else could mean.
    async fn unix(&mut self, folder: &Path) -> Result<bool, Error> {
        let line = self.line().await?;
        let path = Path::new(std::ffi::OsStr::from_bytes(line.trim_ascii()));
        let name = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"challenge."));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = name
            && path.parent() == Some(folder)
            && rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o600)).is_ok();
        self.send(if made { "yes\n" } else { "no\n" }).await?;
        let passed = self.yes().await;
        if made {
            let _ = rustix::fs::unlinkat(CWD, path, AtFlags::empty()); // the server may have done so
        }
        passed
    }
}

fn bad_reply(why: &'static str) -> Error {
    Error::BadReply { what: "the login".into(), why }
}
