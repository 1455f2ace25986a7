//! Coming in: connections, `CONNECT` and links.

use super::session::Session;
use super::{Core, Output, Pending, Refusal};
use crate::broker::access::Principal;
use crate::broker::event::{BrokerEvent, ConnectionId, Ending};
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::HeartBeat;
use std::net::SocketAddr;
use std::time::Instant;

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
        self.pending.insert(connection, Pending { peer: Some(peer) });
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

    /// The first frame of a connection.
    pub(super) fn connect(&mut self, from: ConnectionId, frame: &Frame, now: Instant) -> Result<(), Refusal> {
        if !matches!(frame.command, Command::Connect | Command::Stomp) {
            return Err(Refusal::NotLoggedIn(frame.command));
        }
        let (version, theirs) = negotiate(frame)?;
        let peer = self.pending.get(&from).and_then(|pending| pending.peer);
        let principal = self.authenticate(frame, peer)?;
        self.check_duplicate(&principal, peer)?;
        self.pending.remove(&from);
        let connected = self.connected(from, version, &principal);
        let heart_beats = self.heart_beat.agree(theirs);
        self.outputs.push_back(Output::Accepted { connection: from, version, heart_beats });
        let headers = frame.headers.iter().filter(|(name, _)| name != "passcode").cloned().collect();
        self.admit(from, Session::new(principal, peer, version, now), headers);
        self.hand(from, connected, None);
        Ok(())
    }

    fn authenticate(&mut self, connect: &Frame, peer: Option<SocketAddr>) -> Result<Principal, Refusal> {
        let (login, passcode) = (connect.header("login"), connect.header("passcode"));
        self.access.authenticate(login, passcode, connect, peer).map_err(|denial| {
            let login = login.map(str::to_owned);
            self.event(BrokerEvent::Refused { login, peer, reason: denial.logged });
            Refusal::Access(denial.told)
        })
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
            Frame::new(Command::Connected).with("version", version.as_str()).with("session", session);
        if version > Version::V1_0 {
            frame = frame.with("heart-beat", self.heart_beat.to_string());
        }
        frame = frame.with("server", concat!("vocable/", env!("CARGO_PKG_VERSION")));
        frame.headers.extend(principal.greeting.iter().cloned());
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

/// The version and the client's heart-beats. In 1.0 there are none, whatever the header says.
fn negotiate(connect: &Frame) -> Result<(Version, HeartBeat), Refusal> {
    let accepted = connect.header("accept-version");
    let version = Version::newest_of(accepted)
        .ok_or_else(|| Refusal::Version(accepted.unwrap_or_default().to_owned()))?;
    let heart_beat = if version == Version::V1_0 { None } else { connect.header("heart-beat") };
    Ok((version, HeartBeat::of_header(heart_beat)?))
}
