//! What to do about a failure: from its slug, and from what was typed, to the next command to type.

use super::agent::Connection;
use super::error::CliError;
use std::path::Path;
use vocable_api::guest::List;

/// A failure of something that was done to `target`.
pub(super) fn about_target(error: CliError, target: &str, agent: &Connection) -> CliError {
    match error.code() {
        "guest-offline" => guest_offline(error, target),
        "no-such-guest" if was_expanded(target) => {
            error.cause("it is a file in this folder: the shell expanded *").hint("write '*' in quotes")
        }
        "no-such-guest" => no_such_guest(error, target, agent),
        _ => error,
    }
}

/// `vm2 does not answer; nothing was run: lost since …` is a sentence and its cause.
fn guest_offline(error: CliError, target: &str) -> CliError {
    let told = error.message().split_once(": ").map(|(what, why)| (what.to_owned(), why.to_owned()));
    let error = match told {
        Some((what, why)) => error.reworded(what).cause(why),
        None => error,
    };
    error.guest(target).hint(format!("vocable why {target}"))
}

/// What looks like a file of this folder was probably a `*` that nobody quoted.
fn was_expanded(target: &str) -> bool {
    !target.is_empty() && !target.contains('/') && Path::new(target).exists()
}

fn no_such_guest(error: CliError, target: &str, agent: &Connection) -> CliError {
    // The hint is worth a call, and its failure is not worth a word.
    let known = agent.ask(&List {}).unwrap_or_default();
    match close(target, known.iter().map(|guest| guest.guest.as_str())) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable guests"),
    }
}

/// The name that was probably meant, or two.
pub(super) fn close<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut near: Vec<_> = candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        // One slip in three characters.
        .filter(|(slips, candidate)| *slips <= (candidate.chars().count() / 3).clamp(1, 3))
        .collect();
    near.sort_unstable();
    near.dedup();
    let best = near.first()?.0;
    let names: Vec<_> =
        near.into_iter().filter(|(slips, _)| *slips == best).map(|(_, name)| name).take(2).collect();
    Some(names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_proposed_only_if_close() {
        assert_eq!(close("DFF", ["AINT", "DF", "UPTIME"]).as_deref(), Some("DF"));
        assert_eq!(close("vm9", ["vm1", "vm2", "pi-04"]).as_deref(), Some("vm1 or vm2"));
        assert_eq!(close("database", ["vm1", "vm2"]), None);
        assert_eq!(close("x", []), None);
    }
}
