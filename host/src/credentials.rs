//! Who may log in at the broker and what for: one token a guest, known here by its digest only.
//!
//! A guest may read its own mailbox and write as itself (byte streams have mailboxes of their own), the host may write to every
//! mailbox and read everything guests say; everything else is denied. The host's own link comes from inside: nobody can log in as it.

use crate::config::Admit;
use base64::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use subtle::ConstantTimeEq;
use vocable_api::proof::digest;
use vocable_protocol::{HOST, Mailbox, excerpt, is_guest_id};
use vocable_stomp::Frame;
use vocable_stomp::broker::{Access, Action, Denial, Destination, Pattern, Principal, Secret};

/// 256 random bits that prove who somebody is. Shown once, never logged.
pub(crate) struct Token(String);

impl Token {
    /// A new one; the prefix tells people what it is for.
    pub(crate) fn new(prefix: &str) -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{prefix}_{}", BASE64_URL_SAFE_NO_PAD.encode(random))))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// What the host hears of guests.
const FROM_GUESTS: [Mailbox; 2] = [Mailbox::FromGuest, Mailbox::StreamsFromGuest];

/// The digests of all guests' tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    admit: Admit,
    // A lock and not a task: the broker asks in the middle of its own work, and nobody holds it for longer than a
    // look-up.
    digests: Arc<RwLock<BTreeMap<String, [u8; 32]>>>,
}

impl Credentials {
    pub(crate) fn new(admit: Admit, digests: BTreeMap<String, [u8; 32]>) -> Self {
        Self { admit, digests: Arc::new(RwLock::new(digests)) }
    }

    pub(crate) fn set(&self, guest: &str, digest: [u8; 32]) {
        let mut digests = self.digests.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        digests.insert(guest.to_owned(), digest);
    }

    pub(crate) fn guests(&self) -> BTreeSet<String> {
        let digests = self.digests.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        digests.keys().cloned().collect()
    }

    /// The digest of a guest's token, if it has one.
    pub(crate) fn digest_of(&self, guest: &str) -> Option<[u8; 32]> {
        self.digests.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(guest).copied()
    }

    /// What to answer, and what to log, to somebody who is not let in.
    fn denial(guest: &str, why: &str) -> Denial {
        Denial {
            // Whoever knocks learns nothing about which guests exist.
            message: format!("login as {} refused", excerpt(guest)),
            logged: with_hint(why, guest),
        }
    }

    fn judge(&self, guest: &str, passcode: Option<&str>) -> Result<(), String> {
        check_name(guest)?;
        match (self.digest_of(guest), passcode, self.admit) {
            (Some(known), Some(given), _) if bool::from(known.ct_eq(&digest(given))) => Ok(()),
            (Some(_), Some(_), _) => Err(format!("the credential is not that of {guest}")),
            (Some(_), None, _) => Err(format!("{guest} has a credential, and none was given")),
            (None, _, Admit::Any) => Ok(()),
            (None, _, Admit::Token) => Err(no_credential(guest)),
        }
    }

    /// The same for somebody who had to prove what it knows. That a guest without a credential may come in with
    /// anything does not help it here: there was nothing by which the host could have proved itself to it.
    fn judge_proof(&self, guest: &str, is_proved: bool) -> Result<(), String> {
        check_name(guest)?;
        match (self.digest_of(guest), is_proved) {
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(format!("the proof was not made with the credential of {guest}")),
            (None, _) => Err(no_credential(guest)),
        }
    }
}

fn check_name(guest: &str) -> Result<(), String> {
    match is_guest_id(guest) && guest != HOST {
        true => Ok(()),
        false => Err(format!("{} cannot be the id of a guest", excerpt(guest))),
    }
}

fn no_credential(guest: &str) -> String {
    format!("no credential was made for {guest}")
}

/// Says how to mend it, where there is a way.
fn with_hint(why: &str, guest: &str) -> String {
    match check_name(guest) {
        Ok(()) => format!("{why}; make one with: vocable token new {guest}"),
        Err(_) => why.to_owned(),
    }
}

impl Access for Credentials {
    fn authenticate(
        &self,
        login: Option<&str>,
        passcode: Option<&str>,
        _connect: &Frame,
        _peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial> {
        let guest = login.unwrap_or_default();
        match self.judge(guest, passcode) {
            Ok(()) => Ok(Principal::new(guest)),
            Err(why) => Err(Self::denial(guest, &why)),
        }
    }

    fn secret_of(&self, guest: &str) -> Option<Secret> {
        self.digest_of(guest).map(Secret::of_digest)
    }

    fn authenticate_by_proof(
        &self,
        guest: &str,
        is_proved: bool,
        _connect: &Frame,
        _peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial> {
        match self.judge_proof(guest, is_proved) {
            Ok(()) => Ok(Principal::new(guest)),
            Err(why) => Err(Self::denial(guest, &why)),
        }
    }

    fn describe_hang_up(&self, guest: &str) -> String {
        let why = match (check_name(guest), self.digest_of(guest)) {
            (Err(why), _) => why,
            (Ok(()), Some(_)) => {
                "its credential is another one, or it asked by somebody else's name".to_owned()
            }
            (Ok(()), None) => no_credential(guest),
        };
        with_hint(&format!("hung up after the challenge: {why}"), guest)
    }

    fn may(&self, who: &Principal, what: Action, destination: &Destination) -> bool {
        let is_host = &*who.login == HOST;
        let there = match (what, is_host) {
            (Action::Read, false) | (Action::Write, true) => [Mailbox::ToGuest, Mailbox::StreamsToGuest],
            (Action::Write, false) | (Action::Read, true) => FROM_GUESTS,
        };
        let id = there.into_iter().find_map(|mailbox| mailbox.guest(destination.as_str()));
        id.is_some_and(|id| id == &*who.login || is_host && is_guest_id(id))
    }

    fn may_read_all(&self, who: &Principal, pattern: &Pattern) -> bool {
        // A guest's rights are single destinations: no pattern is wholly within them.
        let all = FROM_GUESTS.map(|from| Pattern::parse(&from.of_all()));
        &*who.login == HOST && all.into_iter().any(|from| from.is_ok_and(|from| from.contains(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(admit: Admit) -> Credentials {
        Credentials::new(admit, BTreeMap::from([("vm1".to_owned(), digest("secret"))]))
    }

    #[test]
    fn only_the_right_token_of_the_right_guest_is_let_in() {
        let known = credentials(Admit::Token);
        assert_eq!(known.judge("vm1", Some("secret")), Ok(()));
        assert_eq!(known.judge("vm1", Some("other")).unwrap_err(), "the credential is not that of vm1");
        assert_eq!(known.judge("vm1", None).unwrap_err(), "vm1 has a credential, and none was given");
        assert_eq!(known.judge("vm2", Some("secret")).unwrap_err(), "no credential was made for vm2");
        assert!(known.judge("../x", Some("secret")).is_err());
    }

    #[test]
    fn a_proof_is_taken_for_the_token_it_was_made_with_and_never_without_one() {
        for admit in [Admit::Any, Admit::Token] {
            let known = credentials(admit);
            assert_eq!(known.secret_of("vm1"), Some(Secret::of("secret")));
            assert_eq!(known.secret_of("vm2"), None);
            assert_eq!(known.judge_proof("vm1", true), Ok(()));
            let wrong = known.judge_proof("vm1", false).unwrap_err();
            assert_eq!(wrong, "the proof was not made with the credential of vm1");
            for nobody in ["vm2", "../x", HOST] {
                assert!(known.judge_proof(nobody, true).is_err(), "{nobody}");
            }
            assert!(known.describe_hang_up("vm1").ends_with("; make one with: vocable token new vm1"));
            assert!(known.describe_hang_up("vm2").contains("no credential was made for vm2;"));
            assert_eq!(
                known.describe_hang_up("../x"),
                "hung up after the challenge: \"../x\" cannot be the id of a guest"
            );
        }
    }

    #[test]
    fn without_tokens_a_guest_that_has_one_still_needs_it() {
        let open = credentials(Admit::Any);
        assert_eq!(open.judge("vm2", None), Ok(()));
        assert!(open.judge("vm1", None).is_err());
    }

    #[test]
    fn a_guest_reads_its_own_mailbox_and_writes_as_itself_and_nothing_else() {
        let (known, vm1) = (credentials(Admit::Token), Principal::new("vm1"));
        let may = |what, to: &str| known.may(&vm1, what, &Destination::parse(to).unwrap());
        assert!(may(Action::Read, "/queue/vocable.in.vm1"));
        assert!(may(Action::Write, "/queue/vocable.out.vm1"));
        assert!(may(Action::Read, "/queue/vocable.stream.in.vm1"));
        assert!(may(Action::Write, "/queue/vocable.stream.out.vm1"));
        for (what, other) in [
            (Action::Read, "/queue/vocable.in.vm2"),
            (Action::Read, "/queue/vocable.out.vm1"),
            (Action::Write, "/queue/vocable.in.vm1"),
            (Action::Write, "/queue/vocable.in.vm2"),
            (Action::Write, "/queue/vocable.out.vm1.more"),
            (Action::Read, "/queue/vocable.stream.in.vm2"),
            (Action::Write, "/queue/vocable.stream.out.vm2"),
            (Action::Write, "/queue/vocable.stream.in.vm1"),
            (Action::Write, "/topic/x"),
        ] {
            assert!(!may(what, other), "{other}");
        }
    }

    #[test]
    fn nobody_logs_in_as_the_host_and_it_hears_every_guest() {
        assert!(credentials(Admit::Any).judge(HOST, None).is_err());
        let (known, host, vm1) = (credentials(Admit::Token), Principal::new(HOST), Principal::new("vm1"));
        let (said, all) =
            (Pattern::parse("/queue/vocable.out.>").unwrap(), Pattern::parse("/queue/>").unwrap());
        assert!(known.may_read_all(&host, &said) && !known.may_read_all(&host, &all));
        let streams = Pattern::parse("/queue/vocable.stream.out.>").unwrap();
        assert!(known.may_read_all(&host, &streams) && !known.may_read_all(&vm1, &streams));
        assert!(!known.may_read_all(&vm1, &said));
        assert!(known.may(&host, Action::Write, &Destination::parse("/queue/vocable.in.vm1").unwrap()));
        assert!(!known.may(&host, Action::Write, &Destination::parse("/queue/other").unwrap()));
    }

    #[test]
    fn tokens_differ_and_do_not_show_themselves() {
        let (one, other) = (Token::new("vg").unwrap(), Token::new("vg").unwrap());
        assert_ne!(one.as_str(), other.as_str());
        assert!(one.as_str().starts_with("vg_") && one.as_str().len() > 40);
        assert_eq!(format!("{one:?}"), "Token(hidden)");
    }
}
