//! [`AccessRules`]: access decided by data, default deny.
//!
//! Holds digests of passcodes, never the passcodes. SHA-256 without salt or stretching is enough for what they are
//! meant to be: random tokens of at least 128 bits ([`Secret::random`]), not words that people choose.

use super::access::{Access, Action, Denial, Principal};
use super::destination::{Destination, DestinationError, Pattern, excerpt};
use crate::frame::Frame;
use crate::proof::Secret;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Logins with their passcodes, and what each may do. Whatever no rule allows is refused.
///
/// ```
/// use vocable_stomp::broker::{AccessRules, Action, Principal, Secret};
///
/// let (passcode, secret) = Secret::random()?;
/// let rules = AccessRules::default()
///     .with_login(Principal::new("g1"), secret)
///     .allow("host", Action::Write, "/queue/vocable.in.>")?
///     .allow("host", Action::Read, "/queue/vocable.out.>")?
///     .allow("*", Action::Read, "/queue/vocable.in.{login}")?
///     .allow("*", Action::Write, "/queue/vocable.out.{login}")?;
/// # assert_eq!(passcode.len(), 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    logins: HashMap<String, Login>,
    anonymous: Option<Principal>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Login {
    principal: Principal,
    secret: Secret,
}

/// One permission: principals of this name may do this with these destinations.
#[derive(Clone, Debug)]
struct Rule {
    /// A login; a trailing `*` stands for any ending.
    principal: String,
    action: Action,
    destinations: Pattern,
}

impl AccessRules {
    /// Lets `principal` in with the passcode that `secret` is the digest of. The same login again replaces it.
    #[must_use]
    pub fn with_login(mut self, principal: Principal, secret: Secret) -> Self {
        self.logins.insert(principal.login.to_string(), Login { principal, secret });
        self
    }

    /// Lets whoever gives no login in as `principal`.
    #[must_use]
    pub fn with_anonymous(mut self, principal: Principal) -> Self {
        self.anonymous = Some(principal);
        self
    }

    /// Allows `action` on `destinations` to every principal whose login fits `principal`: the same text, or one that
    /// begins with what stands before a trailing `*`. `{login}` in `destinations` is the principal's own login.
    ///
    /// # Errors
    /// [`DestinationError`] if `destinations` is no pattern.
    pub fn allow(
        mut self,
        principal: &str,
        action: Action,
        destinations: &str,
    ) -> Result<Self, DestinationError> {
        let destinations = Pattern::parse(destinations)?;
        self.rules.push(Rule { principal: principal.to_owned(), action, destinations });
        Ok(self)
    }

    fn allowed<'a>(&'a self, who: &'a Principal, what: Action) -> impl Iterator<Item = Pattern> + 'a {
        let fits = move |rule: &&Rule| rule.action == what && rule.is_for(&who.login);
        self.rules.iter().filter(fits).map(|rule| rule.destinations.for_login(&who.login))
    }
}

impl Rule {
    fn is_for(&self, login: &str) -> bool {
        match self.principal.strip_suffix('*') {
            Some(beginning) => login.starts_with(beginning),
            None => login == self.principal,
        }
    }
}

impl Access for AccessRules {
    fn authenticate(
        &self,
        login: Option<&str>,
        passcode: Option<&str>,
        _connect: &Frame,
        _peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial> {
        let Some(login) = login else {
            return self.anonymous.clone().ok_or_else(|| denial("no login given".to_owned()));
        };
        let known = self.logins.get(login);
        // An unknown login is compared as well, so that the time taken does not tell whether it exists.
        let secret = known.map_or(Secret::IMPOSSIBLE, |known| known.secret);
        let matches = secret.matches(passcode.unwrap_or_default());
        match known {
            Some(known) if matches => Ok(known.principal.clone()),
            Some(_) => Err(denial(format!("wrong passcode for login {:?}", excerpt(login)))),
            None => Err(denial(unknown(login))),
        }
    }

    fn secret_of(&self, login: &str) -> Option<Secret> {
        self.logins.get(login).map(|known| known.secret)
    }

    fn authenticate_by_proof(
        &self,
        login: &str,
        is_proved: bool,
        _connect: &Frame,
        _peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial> {
        match self.logins.get(login) {
            Some(known) if is_proved => Ok(known.principal.clone()),
            Some(_) => Err(denial(format!("wrong proof for login {:?}", excerpt(login)))),
            None => Err(denial(unknown(login))),
        }
    }

    fn may(&self, who: &Principal, what: Action, destination: &Destination) -> bool {
        self.allowed(who, what).any(|allowed| allowed.matches(destination))
    }

    fn may_read_all(&self, who: &Principal, pattern: &Pattern) -> bool {
        self.allowed(who, Action::Read).any(|allowed| allowed.contains(pattern))
    }
}

fn unknown(login: &str) -> String {
    format!("unknown login {:?}", excerpt(login))
}

/// Every refusal sounds the same to the client.
fn denial(logged: String) -> Denial {
    Denial { message: "login or passcode not accepted".to_owned(), logged }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Command;

    fn rules() -> AccessRules {
        AccessRules::default()
            .with_login(Principal::new("g1"), Secret::of("one"))
            .with_login(Principal::new("host").many(), Secret::of("zero"))
            .allow("host", Action::Write, "/queue/in.>")
            .unwrap()
            .allow("host", Action::Read, "/queue/out.>")
            .unwrap()
            .allow("g*", Action::Read, "/queue/in.{login}")
            .unwrap()
    }

    fn enter(login: Option<&str>, passcode: Option<&str>) -> Result<Principal, Denial> {
        rules().authenticate(login, passcode, &Frame::new(Command::Connect), None)
    }

    #[test]
    fn only_the_right_passcode_opens() {
        assert_eq!(enter(Some("g1"), Some("one")).unwrap(), Principal::new("g1"));
        assert!(enter(Some("host"), Some("zero")).unwrap().many);
        for (login, passcode) in
            [(Some("g1"), Some("zero")), (Some("g1"), None), (Some("x"), Some("one")), (None, None)]
        {
            assert_eq!(enter(login, passcode).unwrap_err().message, "login or passcode not accepted");
        }
        assert_eq!(enter(Some("x"), None).unwrap_err().logged, "unknown login \"x\"");
    }

    #[test]
    fn whoever_gives_no_login_is_the_anonymous_principal_if_there_is_one() {
        let rules = rules().with_anonymous(Principal::new("nobody"));
        let connect = Frame::new(Command::Connect);
        assert_eq!(&*rules.authenticate(None, None, &connect, None).unwrap().login, "nobody");
        assert!(rules.authenticate(Some(""), None, &connect, None).is_err());
    }

    #[test]
    fn what_no_rule_allows_is_refused() {
        let may = |login: &str, what, destination: &str| {
            rules().may(&Principal::new(login), what, &Destination::parse(destination).unwrap())
        };
        assert!(may("host", Action::Write, "/queue/in.g1"));
        assert!(!may("host", Action::Read, "/queue/in.g1"));
        assert!(may("g1", Action::Read, "/queue/in.g1"));
        assert!(!may("g1", Action::Read, "/queue/in.g2"));
        assert!(!may("g1", Action::Read, "/topic/in.g1"));
        assert!(!may("g1", Action::Write, "/queue/in.g1"));
        assert!(!may("x1", Action::Read, "/queue/in.x1"));
        assert!(!may("g*", Action::Read, "/queue/in.g1"));
    }

    #[test]
    fn a_wildcard_has_to_lie_within_one_rule() {
        let may = |login: &str, pattern: &str| {
            rules().may_read_all(&Principal::new(login), &Pattern::parse(pattern).unwrap())
        };
        assert!(may("host", "/queue/out.>"));
        assert!(may("host", "/queue/out.*"));
        assert!(!may("host", "/queue/>"));
        assert!(!may("g1", "/queue/in.*"));
        assert!(!may("g1", "/queue/in.>"));
        assert!(may("g1", "/queue/in.g1"));
    }
}
