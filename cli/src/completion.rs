//! `vocable completion`, and what Tab proposes: names that the agent knows, asked for with a short limit. Whatever
//! goes wrong, nothing is proposed and nothing is said.

use super::agent::Connection;
use super::{CliError, Global, Terminal, command};
use clap_complete::CompletionCandidate;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;
use vocable_api::{Method, cmd, guest, system, vm, word};

/// A person waits for Tab.
const TIMEOUT: Duration = Duration::from_millis(150);

/// Print the line that enables completion in a shell
///
/// For bash: echo 'source <(vocable completion bash)' >> ~/.bashrc
#[derive(clap::Args, Debug)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    pub(super) shell: String,
}

pub(super) fn completion(terminal: &mut Terminal, args: &CompletionArgs) -> Result<ExitCode, CliError> {
    terminal.line(line(&args.shell))?;
    Ok(ExitCode::SUCCESS)
}

/// The line asks this program for the script each time a shell starts, so that both always fit.
fn line(shell: &str) -> &'static str {
    match shell {
        "bash" => "source <(COMPLETE=bash vocable)",
        "elvish" => "eval (E:COMPLETE=elvish vocable | slurp)",
        "fish" => "COMPLETE=fish vocable | source",
        "powershell" => {
            "$env:COMPLETE = \"powershell\"; vocable | Out-String | Invoke-Expression; Remove-Item Env:\\COMPLETE"
        }
        _ => "source <(COMPLETE=zsh vocable)",
    }
}

pub(super) fn guests(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, &guest::List {}, |guest| {
        let reason = guest.reason.map_or_else(String::new, |reason| format!(", {reason}"));
        Some((guest.guest, format!("{}{reason}", guest.state.as_str())))
    })
}

pub(super) fn machines(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, &vm::List {}, |machine| Some((machine.name, <&str>::from(machine.state).to_owned())))
}

/// Guests after the last comma of a target.
pub(super) fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some((before, last)) = typed.to_str().map(last_item) else { return Vec::new() };
    guests(OsStr::new(last)).into_iter().map(|guest| guest.add_prefix(before)).collect()
}

/// What stands before the last item of a target, with the comma, and the item.
fn last_item(typed: &str) -> (&str, &str) {
    typed.split_at(typed.rfind(',').map_or(0, |comma| comma + 1))
}

pub(super) fn commands(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = cmd::List { all: Some(true), limit: Some(100), ..cmd::List::default() };
    propose(typed, &all, |command| {
        let line = command::command_line(command.cmd.iter().chain(command.args.iter().flatten()));
        Some((command.cmd_id, format!("{} {line}", command.state)))
    })
}

pub(super) fn words(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, &word::List {}, |word| Some((word.word, word.summary)))
}

pub(super) fn methods(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, &system::ListMethods {}, |name| Some((name, String::new())))
}

/// What a method lists, as far as it begins with what was typed.
fn propose<M: Method<Reply = Vec<T>>, T>(
    typed: &OsStr,
    method: &M,
    name_and_help: impl Fn(T) -> Option<(String, String)>,
) -> Vec<CompletionCandidate> {
    let (Some(typed), Ok(agent)) = (typed.to_str(), Connection::find(&Global::default())) else {
        return Vec::new();
    };
    let listed = agent.ask_within(method, TIMEOUT).unwrap_or_default();
    candidates(typed, listed.into_iter().filter_map(name_and_help))
}

fn candidates(typed: &str, all: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let candidate = |(name, help): (String, String)| {
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    all.filter(|(name, _)| name.starts_with(typed)).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_so_are_proposed_with_what_they_are() {
        let all = [("vm1", "alive"), ("pi-04", "late"), ("vm2", "")];
        let proposed =
            candidates("v", all.into_iter().map(|(name, help)| (name.to_owned(), help.to_owned())));
        let told: Vec<_> =
            proposed.iter().map(|it| (it.get_value(), it.get_help().map(ToString::to_string))).collect();
        assert_eq!(told, [(OsStr::new("vm1"), Some("alive".to_owned())), (OsStr::new("vm2"), None)]);
    }

    #[test]
    fn of_a_target_the_last_item_is_completed() {
        assert_eq!(last_item("vm"), ("", "vm"));
        assert_eq!(last_item("vm1,@lab,p"), ("vm1,@lab,", "p"));
    }
}
