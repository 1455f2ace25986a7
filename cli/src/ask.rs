//! `vocable ask`: a word is said to guests, and their answers collected.

mod answers;
mod arguments;

use super::group::{self, folded};
use super::{CliError, Session, completion, filter, format, hints, words};
use clap_complete::ArgValueCompleter;
use std::time::Duration;
use vocable_api::fault::Failure;
use vocable_api::word::{Answer, Ask, List};
use vocable_config::Span;

/// The agent lets nobody wait longer.
const LONGEST: Duration = Duration::from_secs(20);

/// Say a word to guests and collect their answers
///
/// Answers of one shape are a table, others a line of JSON for each guest. `vocable words WORD` tells what a word takes.
#[derive(clap::Args, Debug)]
pub(super) struct AskArgs {
    /// The word
    #[arg(add = ArgValueCompleter::new(completion::words))]
    word: String,
    /// Arguments of the word: NAME=VALUE, or a JSON object
    #[arg(value_name = "NAME=VALUE")]
    arguments: Vec<String>,
    /// Target: a guest, a glob, @group, or several of them separated by commas
    #[arg(long, value_name = "TARGET", default_value = "*", add = ArgValueCompleter::new(completion::targets))]
    to: String,
    /// Arguments of the word, as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with = "arguments")]
    args: Option<String>,
    /// How long to wait for answers, at most 20s
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Span,
    /// Print a table even if the answers have several shapes
    #[arg(long)]
    table: bool,
}

pub(super) fn ask(session: &mut Session<'_>, args: &AskArgs) -> Result<u8, CliError> {
    let timeout = args.timeout.duration();
    if timeout > LONGEST {
        let text =
            format!("--timeout {}: answers are waited for at most {}", args.timeout, Span::new(LONGEST));
        return Err(CliError::bad_argument(text));
    }
    let listed = session.agent.ask(&List {})?;
    let known = words::find(&listed, &args.word);
    let request = Ask {
        target: args.to.clone(),
        word: args.word.clone(),
        args: arguments::object(args, known)?.into(),
        timeout_s: Some(timeout.as_secs_f64()),
    };
    let started = (session.now)().mono;
    let answers = session.agent.ask_waiting(&request, timeout);
    let answers = answers.map_err(|error| hints::about_target(error, &args.to, session.agent))?;
    let took = (session.now)().mono.saturating_duration_since(started);
    if session.terminal.is_json() {
        answers.iter().try_for_each(|answer| session.terminal.reply(answer))?;
    } else {
        answers::print(session.terminal, &answers, known, args.table)?;
    }
    report_failures(session, args, &answers, took)
}

/// Prints who did not answer; returns the exit code.
fn report_failures(
    session: &mut Session<'_>,
    args: &AskArgs,
    answers: &[Answer],
    took: Duration,
) -> Result<u8, CliError> {
    let failed: Vec<_> = answers.iter().filter(|answer| !answer.ok).collect();
    if let ([failure], true) = (failed.as_slice(), filter::is_one(&args.to)) {
        return Err(explained(args, failure));
    }
    let all = match answers {
        [only] => only.guest.clone(),
        all => format!("{} guests", all.len()),
    };
    let (answered, refused) = (answers.len() - failed.len(), failed.len());
    let counts = [(answered, "answered"), (refused, "did not")];
    let counts: Vec<_> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    session.terminal.say(&format!("{all}: {} in {}", counts.join(", "), format::took(took)))?;
    let causes = failed.iter().map(|failure| {
        let Failure { code, message, .. } = failure.error.clone().unwrap_or_default();
        (failure.guest.as_str(), format!("{code}: {message}"))
    });
    group::print(session.terminal, &folded(causes), |_| String::new())?;
    Ok(u8::from(!failed.is_empty()))
}

/// The failure of the one guest that was asked.
fn explained(args: &AskArgs, failure: &Answer) -> CliError {
    let Answer { guest, error, .. } = failure;
    let Failure { code, message, .. } = error.clone().unwrap_or_default();
    let error = CliError::new(&*code, message).guest(guest);
    match &*code {
        "guest-offline" | "timed-out" => error.hint(format!("vocable why {guest}")),
        "no-such-word" => no_such_word(args, error),
        _ => error.hint(format!("vocable words {}", args.word)),
    }
}

/// `vm1 knows no word DFF: …`: the guest's own answer is the cause, and what in it looks like a word may be meant.
fn no_such_word(args: &AskArgs, error: CliError) -> CliError {
    let Some((message, answer)) = error.message().split_once(": ") else {
        return error.hint("vocable words");
    };
    let (message, answer) = (message.to_owned(), answer.to_owned());
    let is_word =
        |token: &&str| *token != args.word && token.len() > 1 && !token.contains(|c: char| c.is_lowercase());
    let known: Vec<_> = answer.split([' ', ',']).filter(is_word).collect();
    let error = error.reworded(message).cause(&*answer);
    match hints::close(&args.word, known) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable words"),
    }
}
