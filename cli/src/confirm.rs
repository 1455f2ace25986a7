//! Questions before something is lost. Asked only where a person is there to answer: standard input and standard error
//! are terminals. Everywhere else `--yes` is the answer, and without it nothing is done.

use super::{CliError, Kind, Session};
use clap::ArgAction;
use std::io::{self, BufRead, IsTerminal};

/// The answer to the question, given before.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Consent {
    /// Do not ask for confirmation
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(super) yes: bool,
    /// Only print what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) struct Question {
    /// The question, with what is lost and what is not.
    pub(super) ask: String,
    /// The same as what is being done: `destroying vm4`.
    pub(super) doing: String,
}

/// Whether to do it. With `--dry-run` it is only said what would be done.
pub(super) fn confirm(
    session: &mut Session<'_>,
    consent: &Consent,
    question: &Question,
) -> Result<bool, CliError> {
    if consent.dry_run {
        session.terminal.say(&format!("would ask: {}", question.ask))?;
        return Ok(false);
    }
    if consent.yes {
        return Ok(true);
    }
    let somebody = session.process.is_some() && io::stdin().is_terminal() && io::stderr().is_terminal();
    if !somebody || session.terminal.is_json() {
        let text = format!("{} needs confirmation: use --yes", question.doing);
        return Err(CliError::new("needs-yes", text).kind(Kind::Usage));
    }
    session.terminal.error_bytes(format!("{} [y/N] ", question.ask).as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        session.terminal.note("nothing was done")?;
    }
    Ok(yes)
}
