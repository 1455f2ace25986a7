//! Coming in: connections, `CONNECT` and links.

use super::session::Session;
use super::{Challenged, Core, Output, Pending, Refusal, opens, required};
use crate::broker::access::{Access, Denial, Principal};
use crate::broker::event::{BrokerEvent, ConnectionId, Ending};
use crate::frame::{Command, Frame, MAX_FRAME, Version};
use crate::heartbeat::HeartBeat;
use crate::proof::{CHALLENGE, Challenge, NONCE, PROOF, Secret, Side, from_hex, keyed_digest};
use std::net::SocketAddr;
use std::time::Instant;

/// Headers of `CONNECT` that are about the secret, and nobody's business.
const PRIVATE: [&str; 3] = ["passcode", NONCE, PROOF];

impl Core {
    /// A socket connected. If too many wait to log in, the one that has had the longest time to do so is closed.
    ///
    /// # Errors
    /// [`Refusal::TooMany`], and the connection does not exist.
    pub fn open(&mut self, peer: SocketAddr) -> Result<ConnectionId, Refusal> {
        if let Err(refusal) = self.check_connections() {
            self.event(BrokerEvent::Refused { login: None, peer: Some(peer), reason: refusal.to_string() });
            return Err(refusal);
        }
        if self.pending.len() >= self.limits.pending {
            self.close_oldest_pending();
        }
        let connection = self.next_connection();
        self.pending.insert(connection, Pending { peer: Some(peer), challenge: None });
        Ok(connection)
    }

    /// Opens a connection inside the process, logged in as `principal` without being asked who it is.
    ///
    /// # Errors
    /// [`Refusal::Duplicate`] or [`Refusal::TooMany`].
    pub fn link(&mut self, principal: Principal, now: Instant) -> Result<ConnectionId, Refusal> {
        self.check_connections()?;
        self.check_duplicate(&principal, None)?;
        let connection = self.next_connection();
        let session = Session { is_link: true, ..Session::new(principal, None, Version::V1_2, now) };
        self.admit(connection, session, Vec::new());
        Ok(connection)
    }

    /// The first frame of a connection, or the second if the first asked for a challenge.
    pub(super) fn connect(&mut self, from: ConnectionId, frame: &Frame, now: Instant) -> Result<(), Refusal> {
        if !opens(frame.command) {
            return Err(Refusal::NotLoggedIn(frame.command));
        }
        let (version, theirs) = negotiate(frame)?;
        let pending = self.pending.get(&from);
        let peer = pending.and_then(|pending| pending.peer);
        let challenge = pending.and_then(|pending| pending.challenge.as_ref());
        let principal = match (challenge, frame.header(PROOF), frame.header(NONCE)) {
            (Some(challenge), Some(proof), _) => {
                let claim = check_proof(challenge, frame, proof, &*self.access)?;
                self.authenticate_by_proof(&claim, frame, peer)?
            }
            (Some(_), None, _) => {
                return Err(Refusal::Proof("the challenge is answered without vocable-proof"));
            }
            (None, Some(_), _) => {
                return Err(Refusal::Proof("vocable-proof before the challenge that vocable-nonce asks for"));
            }
            (None, None, Some(nonce)) if frame.header("passcode").is_none() => {
                return self.challenge(from, frame, nonce);
            }
            (None, None, _) => self.authenticate(frame, peer)?,
        };
        self.check_duplicate(&principal, peer)?;
        self.pending.remove(&from);
        let connected = self.connected(from, version, &principal);
        let heart_beats = self.heart_beat.agree(theirs);
        self.outputs.push_back(Output::Accepted { connection: from, version, heart_beats });
        let headers = frame.headers.iter().filter(|(name, _)| !PRIVATE.contains(&&**name)).cloned().collect();
        self.admit(from, Session::new(principal, peer, version, now), headers);
        self.enqueue(from, connected, None);
        Ok(())
    }

    fn authenticate(&mut self, connect: &Frame, peer: Option<SocketAddr>) -> Result<Principal, Refusal> {
        let (login, passcode) = (connect.header("login"), connect.header("passcode"));
        let decision = self.access.authenticate(login, passcode, connect, peer);
        self.report_denial(login, peer, decision)
    }

    fn report_denial(
        &mut self,
        login: Option<&str>,
        peer: Option<SocketAddr>,
        decision: Result<Principal, Denial>,
    ) -> Result<Principal, Refusal> {
        decision.map_err(|denial| {
            let login = login.map(str::to_owned);
            self.event(BrokerEvent::Refused { login, peer, reason: denial.logged });
            Refusal::Access(denial.message)
        })
    }

    /// Proves that the broker knows what the login has to prove to know. A login that has nothing to prove is answered
    /// in the same way, so that names cannot be found out; but nobody can know what this proof is made with.
    fn challenge(&mut self, from: ConnectionId, connect: &Frame, nonce: &str) -> Result<(), Refusal> {
        let malformed = || Refusal::Proof("vocable-nonce has to be 64 hexadecimal digits");
        let client_nonce = from_hex(nonce).ok_or_else(malformed)?;
        let login = required(connect, "login")?.to_owned();
        let nonce = keyed_digest(&self.key, &[b"nonce", &from.0.to_be_bytes()]);
        let unknown = || Secret::of_digest(keyed_digest(&self.key, &[b"secret", login.as_bytes()]));
        let secret = self.access.secret_of(&login).unwrap_or_else(unknown);
        let challenge = Challenge { login: &login, client: &client_nonce, broker: &nonce };
        let frame = Frame::new(Command::Receipt)
            .with("receipt-id", CHALLENGE)
            .with(NONCE, hex::encode(nonce))
            .with(PROOF, hex::encode(secret.proof(Side::Broker, challenge)));
        if let Some(pending) = self.pending.get_mut(&from) {
            pending.challenge = Some(Challenged { login, client_nonce, nonce });
        }
        self.outputs.push_back(Output::Send { connection: from, frame });
        self.outputs.push_back(Output::Challenged { connection: from });
        Ok(())
    }

    fn authenticate_by_proof(
        &mut self,
        claim: &Claim,
        connect: &Frame,
        peer: Option<SocketAddr>,
    ) -> Result<Principal, Refusal> {
        let Claim { login, is_proved } = claim;
        let decision = self.access.authenticate_by_proof(login, *is_proved, connect, peer);
        self.report_denial(Some(login), peer, decision)
    }

    /// Never newest-wins: a stolen or cloned credential would throw its owner out, and both would take turns.
    fn check_duplicate(&mut self, principal: &Principal, peer: Option<SocketAddr>) -> Result<(), Refusal> {
        let Some(holder) = self.logins.get(&principal.login) else { return Ok(()) };
        let holder = self.sessions.get(holder).and_then(|session| session.peer);
        self.event(BrokerEvent::Duplicate { login: principal.login.clone(), peer, holder });
        Err(Refusal::Duplicate(principal.login.to_string()))
    }

    fn admit(&mut self, connection: ConnectionId, session: Session, headers: Vec<(String, String)>) {
        let (login, peer, version) = (session.principal.login.clone(), session.peer, session.version);
        if !session.principal.many {
            self.logins.insert(login.clone(), connection);
        }
        self.sessions.insert(connection, session);
        self.event(BrokerEvent::LoggedIn { connection, login, peer, version, headers });
    }

    fn connected(&self, connection: ConnectionId, version: Version, principal: &Principal) -> Frame {
        let session = format!("{}-{connection}", self.instance);
        let mut frame =
            Frame::new(Command::Connected).with("version", version.to_string()).with("session", session);
        if version > Version::V1_0 {
            frame = frame.with("heart-beat", self.heart_beat.to_string());
        }
        frame = frame.with("server", concat!("vocable/", env!("CARGO_PKG_VERSION")));
        if let Some(max_body) = self.max_body {
            // What fits into a queue from whose publishers the broker reads.
            let fits = max_body.min(self.limits.queue_bytes - self.limits.high_water());
            frame = frame.with(MAX_FRAME, fits.to_string());
        }
        frame.headers.extend(principal.headers.iter().cloned());
        frame
    }

    fn check_connections(&self) -> Result<(), Refusal> {
        if self.pending.len() + self.sessions.len() < self.limits.connections {
            return Ok(());
        }
        Err(Refusal::TooMany { what: "connections", limit: self.limits.connections })
    }

    fn close_oldest_pending(&mut self) {
        if let Some(oldest) = self.pending.keys().next().copied() {
            let crowd = format!("{} newer connections wait to log in", self.limits.pending);
            self.expel(oldest, "limit exceeded", Ending::Host(crowd));
        }
    }

    const fn next_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }
}

/// Who answered a challenge, and whether it is who it says.
struct Claim {
    login: String,
    is_proved: bool,
}

fn check_proof(
    challenged: &Challenged,
    connect: &Frame,
    proof: &str,
    access: &dyn Access,
) -> Result<Claim, Refusal> {
    let Challenged { login, client_nonce, nonce } = challenged;
    if connect.header("login") != Some(login) {
        return Err(Refusal::Proof("the challenge is answered by another login than it was asked for by"));
    }
    let malformed = || Refusal::Proof("vocable-proof has to be 64 hexadecimal digits");
    let proof = from_hex(proof).ok_or_else(malformed)?;
    let known = access.secret_of(login);
    // An unknown login is compared as well, so that the time taken does not tell whether it exists.
    let secret = known.unwrap_or(Secret::IMPOSSIBLE);
    let matches =
        secret.is_proved(Side::Client, Challenge { login, client: client_nonce, broker: nonce }, &proof);
    Ok(Claim { login: login.clone(), is_proved: matches && known.is_some() })
}

/// The version and the client's heart-beats. In 1.0 there are none, whatever the header says.
fn negotiate(connect: &Frame) -> Result<(Version, HeartBeat), Refusal> {
    let accepted = connect.header("accept-version");
    let version = Version::newest_of(accepted)
        .ok_or_else(|| Refusal::Version(accepted.unwrap_or_default().to_owned()))?;
    let heart_beat = if version == Version::V1_0 { None } else { connect.header("heart-beat") };
    Ok((version, HeartBeat::of_header(heart_beat)?))
}
