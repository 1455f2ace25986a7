//! Help and wrong usage: what clap finds out, told in our shape.

use super::error::CliError;
use super::global::Global;
use super::output::Terminal;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// The verbs as people look for them. A test keeps it complete.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Run", &["run", "ps", "logs", "wait", "attach", "kill", "top", "rm"]),
    ("Files", &["cp", "ls", "df"]),
    ("Fleet", &["guests", "why", "events"]),
    ("Words", &["ask", "words"]),
    ("Machines", &["vm"]),
    ("Setup", &["serve", "demo", "token", "guest-image", "config", "api", "completion"]),
];

/// What `--help` says beyond `-h`.
const LONG_HELP: &str = "\
Targets
  vm1               a guest by its name
  'cern-*'          a glob; quote it, or the shell expands it
  @lab              a group of the configuration
  vm1,@lab,'pi-*'   several of them

Exit codes
  run, wait         of one command its own code, 128+n if signal n ended it, 124 if its time
                    ran out, 126 if the guest could not execute it, 127 if it has no such
                    program, 125 if the reason is ours; of several commands 0 if all are 0,
                    123 if one failed, 125 if one was not asked or is lost
  everything else   0 done or yes, 1 failed or no, 2 wrong usage, 3 no agent, 4 not allowed,
                    124 timed out, 130 interrupted

Files and variables
  VOCABLE_AGENT, VOCABLE_TOKEN_FILE, VOCABLE_CONFIG, NO_COLOR; vocable config list";

/// The same command with its verbs listed in groups.
pub(super) fn grouped(command: Command) -> Command {
    let verbs = GROUPS.iter().map(|(title, verbs)| group(&command, title, verbs)).collect::<String>();
    command
        .help_template(format!(
            "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{verbs}Options\n{{options}}{{after-help}}"
        ))
        .after_long_help(LONG_HELP)
}

fn group(command: &Command, title: &str, verbs: &[&str]) -> String {
    let line = |verb: &&str| {
        let verb = command.find_subcommand(verb)?;
        Some(format!("  {:<12}{}\n", verb.get_name(), verb.get_about()?))
    };
    let lines: String = verbs.iter().filter_map(line).collect();
    format!("{title}\n{lines}\n")
}

/// Prints help where it was asked for, and a failure where the usage is wrong; gives the exit code.
pub(super) fn report(args: &[OsString], error: &clap::Error) -> ExitCode {
    let global =
        matches(args).and_then(|matches| Global::from_arg_matches(&matches).ok()).unwrap_or_default();
    // If nobody reads it, the exit code says it.
    ExitCode::from(report_on(&mut Terminal::of_process(&global), args, error).unwrap_or_default())
}

/// As [`report`], on a given terminal.
pub(super) fn report_on(
    terminal: &mut Terminal,
    args: &[OsString],
    error: &clap::Error,
) -> std::io::Result<u8> {
    let help = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => terminal.bytes(help.as_bytes()).map(|()| 0),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            terminal.error_bytes(help.as_bytes())?;
            Ok(CliError::usage("").exit_code())
        }
        _ => {
            let verb = matches(args).and_then(|matches| matches.subcommand_name().map(str::to_owned));
            let error = wrong_usage(verb.as_deref(), &help);
            terminal.error(&error)?;
            Ok(error.exit_code())
        }
    }
}

/// What can be understood of the arguments in spite of what is wrong with them.
fn matches(args: &[OsString]) -> Option<ArgMatches> {
    super::command().ignore_errors(true).try_get_matches_from(args).ok()
}

/// clap's message: a sentence, perhaps a list, perhaps tips, then the usage.
fn wrong_usage(verb: Option<&str>, text: &str) -> CliError {
    let text = text.replace("subcommand", "verb");
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let mut told = CliError::usage(first.split_whitespace().collect::<Vec<_>>().join(" "));
    let tips = paragraphs.flat_map(str::lines).filter_map(|line| line.trim_start().strip_prefix("tip: "));
    for tip in tips {
        told = told.hint(tip);
    }
    let help = verb.map_or_else(|| "vocable --help".to_owned(), |verb| format!("vocable {verb} --help"));
    let told = told.hint(help);
    if matches!(verb, Some("run" | "wait")) { told.with_run_exit_code() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_is_in_one_group() {
        let command = crate::Cli::command();
        let mut verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        verbs.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(verbs, grouped);
    }
}
