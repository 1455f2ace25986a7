//! How a guest's files are reached: straight over TCP, or through the bus. Pure.
//!
//! A guest says at which port it serves files, and the address it sees itself at. The host connects there only if the
//! guest's own connection to the broker comes from that address: then nothing lies in between that would have to be told
//! to let us through, and no guest can make the host connect to somebody else.

use crate::agent::roster::Guest;
use std::net::{IpAddr, SocketAddr};
use vocable_protocol::{Facts, FilesFact};

/// A way to a guest's files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// Over TCP.
    Direct(SocketAddr),
    /// Through the bus, and why.
    Bus(String),
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Direct(address) => write!(f, "directly, at {address}"),
            Self::Bus(why) => write!(f, "through the bus: {why}"),
        }
    }
}

/// What a guest has said about its files, if it has any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Offer {
    /// The port, if it listens.
    pub(crate) port: Option<u16>,
    /// Where relative paths begin.
    pub(crate) home: String,
}

/// What a guest said when it joined.
pub(crate) fn offer(guest: &Guest) -> Option<Offer> {
    let FilesFact { home, port } = Facts::of(&guest.facts).files?;
    let home = home.filter(|home| home.starts_with('/')).unwrap_or_else(|| "/".to_owned());
    Some(Offer { port: port.filter(|port| *port > 0), home })
}

/// The way to try first.
pub(crate) fn route(guest: &Guest, offer: &Offer, has_credential: bool) -> Route {
    let bus = |why: String| Route::Bus(why);
    let Some(port) = offer.port else {
        return bus("the guest does not listen for it".to_owned());
    };
    if !has_credential {
        return bus("the guest has no credential to prove itself by".to_owned());
    }
    let Ok(own) = guest.ip.parse::<IpAddr>() else {
        return bus("the guest does not know its own address".to_owned());
    };
    match guest.connection.and_then(|connection| connection.peer) {
        Some(peer) if peer.ip() == own => Route::Direct(SocketAddr::new(own, port)),
        Some(peer) => bus(format!(
            "the guest is {own} to itself and {} from here, so there is an address translation in between",
            peer.ip()
        )),
        None => bus("the guest is connected by no address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::roster::{Roster, Timeouts};
    use serde_json::{Value, json};
    use std::time::Duration;
    use vocable_api::clock::Now;

    fn guest(own: &str, peer: Option<&str>, files: Value) -> Guest {
        let timeouts = Timeouts { beacon: Duration::from_secs(10), late_after: 1, lost_after: 3 };
        let (mut roster, now) = (Roster::new(timeouts), Now::read());
        roster.connected("vm1", peer.map(|peer| peer.parse().unwrap()), now);
        let facts = json!({"files": files}).as_object().unwrap().clone();
        roster.joined("vm1", own, facts, now);
        roster.get("vm1").unwrap().clone()
    }

    #[test]
    fn a_guest_is_dialled_only_where_it_comes_from_itself() {
        let files = json!({"port": 4242, "home": "/inbox"});
        let way = |own, peer, credential| {
            let guest = guest(own, peer, files.clone());
            route(&guest, &offer(&guest).unwrap(), credential).to_string()
        };
        let own = "192.168.56.7";
        assert_eq!(way(own, Some("192.168.56.7:999"), true), "directly, at 192.168.56.7:4242");
        for (own, peer, credential, why) in [
            ("10.0.2.15", Some("127.0.0.1:999"), true, "address translation"),
            ("127.0.0.1", Some("192.168.56.7:999"), true, "address translation"),
            (own, Some("192.168.56.7:999"), false, "no credential"),
            (own, None, true, "no address"),
            ("", Some("192.168.56.7:999"), true, "its own address"),
        ] {
            let found = way(own, peer, credential);
            assert!(found.starts_with("through the bus: ") && found.contains(why), "{found}");
        }
    }

    #[test]
    fn what_a_guest_says_is_taken_with_care() {
        let offered = |files| offer(&guest("10.0.0.1", None, files));
        assert_eq!(offered(json!({})), Some(Offer { port: None, home: "/".into() }));
        assert_eq!(
            offered(json!({"port": 70_000, "home": "x"})),
            Some(Offer { port: None, home: "/".into() })
        );
        assert_eq!(offered(json!("yes")), None);
    }
}
