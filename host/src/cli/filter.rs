//! The guests a TARGET on the command line selects out of a listing. Groups are the agent's, so are the names of runs.

use super::error::{CliError, Kind};
use super::hints;
use crate::target::{Target, TargetError};
use std::collections::{BTreeMap, BTreeSet};

/// The names among `known` that `target` selects; all of them without a target.
pub(super) fn selected<'a>(
    target: Option<&str>,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>, CliError> {
    let known: BTreeSet<_> = known.into_iter().map(str::to_owned).collect();
    let Some(target) = target else { return Ok(known) };
    let chosen = Target::parse(target).and_then(|parsed| parsed.resolve(&known, &BTreeMap::new()));
    match chosen {
        Ok(names) => Ok(names.into_iter().collect()),
        Err(error) => Err(told(target, &error, &known)),
    }
}

fn told(target: &str, error: &TargetError, known: &BTreeSet<String>) -> CliError {
    match error {
        TargetError::NoGuest(_) | TargetError::Nobody(_) => {
            let told = CliError::new("no-such-guest", error.to_string());
            match hints::close(target, known.iter().map(String::as_str)) {
                Some(meant) => told.hint(format!("did you mean {meant}?")),
                None => told.hint("vocable guests"),
            }
        }
        TargetError::NoGroup(_) => {
            CliError::not_yet("listings cannot be narrowed to a @group yet; use names and globs")
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
        assert_eq!(selected(Some("@lab"), ["vm1"]).unwrap_err().code(), "not-yet");
    }
}
