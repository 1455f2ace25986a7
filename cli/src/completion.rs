//! `vocable completion`, and what Tab proposes: names that the agent knows, asked for with a short limit. Whatever
//! goes wrong, nothing is proposed and nothing is said.

use super::agent::Connection;
use super::reply::{Members, as_text};
use super::{CliError, Global, Terminal, command};
use clap_complete::CompletionCandidate;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;
use vocable_xmlrpc::Value;

/// A person waits for Tab.
const PATIENCE: Duration = Duration::from_millis(150);

/// Print the line that makes a shell complete verbs, guests, commands and words
///
/// For bash: echo 'source <(vocable completion bash)' >> ~/.bashrc
#[derive(clap::Args, Debug)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    pub(super) shell: String,
}

/// Prints the line.
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

/// Guests, with their states.
pub(super) fn guests(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, "guest.list", Vec::new(), |guest| {
        let reason = guest.text("reason").map_or_else(String::new, |reason| format!(", {reason}"));
        Some((guest.text("guest")?.to_owned(), format!("{}{reason}", guest.text("state")?)))
    })
}

/// Machines, with their states.
pub(super) fn machines(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, "vm.list", Vec::new(), |vm| {
        Some((vm.text("name")?.to_owned(), vm.text("state")?.to_owned()))
    })
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

/// Commands, with what they run.
pub(super) fn commands(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = Value::from([("all", Value::from(true)), ("limit", Value::from(100))]);
    propose(typed, "cmd.list", vec![all], |command| {
        let command: vocable_api::cmd::Command = vocable_xmlrpc::from_value(command.clone()).ok()?;
        let line = command::command_line(command.cmd.iter().chain(command.args.iter().flatten()));
        Some((command.cmd_id, format!("{} {line}", command.state)))
    })
}

/// Words, with what they say of themselves.
pub(super) fn words(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, "word.list", Vec::new(), |word| {
        Some((word.text("word")?.to_owned(), word.text("summary")?.to_owned()))
    })
}

/// Methods.
pub(super) fn methods(typed: &OsStr) -> Vec<CompletionCandidate> {
    propose(typed, "system.listMethods", Vec::new(), |name| Some((as_text(name)?.to_owned(), String::new())))
}

/// What a method lists, as far as it begins with what was typed.
fn propose(
    typed: &OsStr,
    method: &str,
    params: Vec<Value>,
    name_and_help: impl Fn(&Value) -> Option<(String, String)>,
) -> Vec<CompletionCandidate> {
    let (Some(typed), Ok(agent)) = (typed.to_str(), Connection::find(&Global::default())) else {
        return Vec::new();
    };
    let Ok(reply) = agent.call_within(method, params, PATIENCE) else { return Vec::new() };
    candidates(typed, &reply, name_and_help)
}

fn candidates(
    typed: &str,
    reply: &Value,
    name_and_help: impl Fn(&Value) -> Option<(String, String)>,
) -> Vec<CompletionCandidate> {
    let fitting = reply.list().iter().filter_map(name_and_help).filter(|(name, _)| name.starts_with(typed));
    let candidate = |(name, help): (String, String)| {
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    fitting.map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::json;

    #[test]
    fn names_that_begin_so_are_proposed_with_what_they_are() {
        let reply = json(
            r#"[{"guest": "vm1", "state": "alive"}, {"guest": "vm2"}, {"guest": "pi-04", "state": "late"}]"#,
        );
        let one = |guest: &Value| Some((guest.text("guest")?.to_owned(), guest.text("state")?.to_owned()));
        let proposed = candidates("v", &reply, one);
        let told: Vec<_> =
            proposed.iter().map(|it| (it.get_value(), it.get_help().map(ToString::to_string))).collect();
        assert_eq!(told, [(OsStr::new("vm1"), Some("alive".to_owned()))]);
    }

    #[test]
    fn of_a_target_the_last_item_is_completed() {
        assert_eq!(last_item("vm"), ("", "vm"));
        assert_eq!(last_item("vm1,@lab,p"), ("vm1,@lab,", "p"));
    }
}
