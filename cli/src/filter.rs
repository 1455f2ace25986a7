//! The guests a TARGET on the command line selects out of a listing.

use super::agent::Connection;
use super::error::{CliError, Kind};
use super::hints;
use std::collections::{BTreeMap, BTreeSet};
use vocable_api::guest::Select;
use vocable_api::target::{Target, TargetError};

/// The names among `known` that `target` selects; all of them without a target.
pub(super) fn selected<'a>(
    target: Option<&str>,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>, CliError> {
    let known = known.into_iter().map(str::to_owned).collect();
    chosen(target, &known).map_err(|error| explain(target.unwrap_or_default(), &error, &known))
}

/// Like [`selected`], of guests. The agent is asked about what it alone knows: groups, and in which machine a guest is.
pub(super) fn selected_guests<'a>(
    agent: &Connection,
    target: Option<&str>,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>, CliError> {
    let known = known.into_iter().map(str::to_owned).collect();
    let (error, target) = match (chosen(target, &known), target) {
        (Ok(names), _) => return Ok(names),
        (Err(error), target) => (error, target.unwrap_or_default()),
    };
    if !matches!(error, TargetError::NoGuest(_) | TargetError::Nobody(_) | TargetError::NoGroup(_)) {
        return Err(explain(target, &error, &known));
    }
    match agent.ask(&Select { target: target.to_owned() }) {
        Ok(guests) => Ok(guests.into_iter().collect()),
        // Which one was meant is guessed from what is known here.
        Err(refused) if refused.code() == "no-such-guest" => Err(explain(target, &error, &known)),
        Err(refused) => Err(refused),
    }
}

fn chosen(target: Option<&str>, known: &BTreeSet<String>) -> Result<BTreeSet<String>, TargetError> {
    let Some(target) = target else { return Ok(known.clone()) };
    Ok(Target::parse(target)?.resolve(known, &BTreeMap::new())?.into_iter().collect())
}

fn explain(target: &str, error: &TargetError, known: &BTreeSet<String>) -> CliError {
    match error {
        TargetError::NoGuest(_) | TargetError::Nobody(_) => {
            let told = CliError::new("no-such-guest", error.to_string());
            match hints::close(target, known.iter().map(String::as_str)) {
                Some(meant) => told.hint(format!("did you mean {meant}?")),
                None => told.hint("vocable guests"),
            }
        }
        _ => CliError::bad_argument(error.to_string()).kind(Kind::Usage),
    }
}

/// Whether a target is one guest by its name.
pub(super) fn is_one(target: &str) -> bool {
    Target::parse(target).is_ok_and(|target| target.single().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_globs_select() {
        let known = ["pi-04", "vm1", "vm2"];
        assert_eq!(selected(None, known).unwrap().len(), 3);
        assert_eq!(selected(Some("vm*"), known).unwrap().into_iter().collect::<Vec<_>>(), ["vm1", "vm2"]);
        assert!(is_one("vm1") && !is_one("vm*") && !is_one("vm1,vm2"));
    }

    #[test]
    fn who_selects_nobody_is_told_whom_he_may_have_meant() {
        let error = selected(Some("vm9"), ["pi-04", "vm1"]).unwrap_err();
        assert_eq!(error.code(), "no-such-guest");
        assert!(error.to_string().ends_with("hint: did you mean vm1?"), "{error}");
        assert_eq!(selected(Some("@lab"), ["vm1"]).unwrap_err().code(), "bad-argument");
    }
}
