//! `vocable config`: the configuration of this machine, read here; the agent is not asked.

use super::agent::load;
use super::{CliError, Global, Terminal};
use crate::Program;
use serde_json::json;
use std::process::ExitCode;
use vocable_config::Listing;

/// Show and check the configuration
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigVerb {
    Check(CheckArgs),
    Default(DefaultArgs),
    List(ListArgs),
}

/// Check the configuration; exits with 1 if there are errors
#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {}

/// Print the default configuration file, with every key explained
#[derive(clap::Args, Debug)]
pub(super) struct DefaultArgs {}

/// List every key with its value and origin
#[derive(clap::Args, Debug)]
pub(super) struct ListArgs {
    /// Only keys that are set
    #[arg(long)]
    pub(super) changed: bool,
}

pub(super) fn config(
    global: &Global,
    terminal: &mut Terminal,
    verb: &ConfigVerb,
) -> Result<ExitCode, CliError> {
    match verb {
        ConfigVerb::Check(_) => check(global, terminal),
        ConfigVerb::Default(_) => {
            terminal.bytes(Program::current()?.default_config.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ConfigVerb::List(args) => list(global, terminal, args),
    }
}

fn check(global: &Global, terminal: &mut Terminal) -> Result<ExitCode, CliError> {
    let problems = load(global)?.problems;
    if terminal.is_json() {
        terminal.document(&json!(problems))?;
    } else if problems.is_empty() {
        terminal.say(&problems.to_string())?;
    } else {
        terminal.line(&problems.to_string())?;
    }
    Ok(if problems.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn list(global: &Global, terminal: &mut Terminal, args: &ListArgs) -> Result<ExitCode, CliError> {
    let loaded = load(global)?;
    let entries: Vec<_> = loaded.entries.iter().filter(|entry| !args.changed || entry.is_set()).collect();
    if terminal.is_json() {
        terminal.document(&json!({"entries": entries}))?;
    } else if entries.is_empty() {
        terminal.note("every key has its default")?;
    } else {
        terminal.bytes(Listing(entries).to_string().as_bytes())?;
    }
    if loaded.problems.has_errors() {
        terminal.warning("bad-configuration", "there are errors in it; vocable config check")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
