//! Commands as the agent reports them: asked for whole, or without their output.

use super::agent::LONG_POLL;
use super::retry::ask_again;
use super::{CliError, Session, format};
use std::time::Duration;
use vocable_api::cmd::{ByteCount, Command, Poll, Wait};

/// An offset no output reaches: the greatest whole number a double holds exactly.
const BEYOND: Option<ByteCount> = Some(ByteCount(1 << 53));
/// The most output of one command that is put into one document.
const MAX_COLLECTED: usize = 64 * 1024 * 1024;

/// The command or run of that id, without output.
pub(super) fn poll(session: &Session<'_>, id: &str) -> Result<Command, CliError> {
    session.agent.ask(&without_output(id))
}

/// What asks for it.
pub(super) fn without_output(id: &str) -> Poll {
    Poll { cmd_id: id.to_owned(), out_offset: BEYOND, err_offset: BEYOND, ..Poll::default() }
}

/// The same once it is over, or after that time.
pub(super) fn wait(session: &mut Session<'_>, id: &str, time: Duration) -> Result<Command, CliError> {
    let request = Wait {
        cmd_id: id.to_owned(),
        timeout_s: time.as_secs_f64(),
        out_offset: BEYOND,
        err_offset: BEYOND,
        ..Wait::default()
    };
    ask_again(session, &request, time)
}

/// One command that is over, with all its output.
pub(super) fn wait_for_all(session: &mut Session<'_>, id: &str) -> Result<Command, CliError> {
    let request = Wait { cmd_id: id.to_owned(), timeout_s: LONG_POLL.as_secs_f64(), ..Wait::default() };
    let mut last = loop {
        let command = ask_again(session, &request, LONG_POLL)?;
        if command.state.is_over() {
            break command;
        }
    };
    let (mut out, mut err) = (last.out.take().unwrap_or_default(), last.err.take().unwrap_or_default());
    while last.more == Some(true) {
        if out.0.len().saturating_add(err.0.len()) > MAX_COLLECTED {
            let most = format::size(MAX_COLLECTED as u64);
            let text = format!("{id} wrote more than {most}, too much for one document");
            return Err(CliError::new("too-many", text).hint(format!("vocable logs --json {id}")));
        }
        let (out_offset, err_offset) = (last.out_offset.map(ByteCount), last.err_offset.map(ByteCount));
        last =
            session.agent.ask(&Poll { cmd_id: id.to_owned(), out_offset, err_offset, ..Poll::default() })?;
        out.0.append(&mut last.out.take().unwrap_or_default().0);
        err.0.append(&mut last.err.take().unwrap_or_default().0);
    }
    Ok(Command { out: Some(out), err: Some(err), ..last })
}

/// A program with its arguments, as one would type it in a shell.
pub(super) fn command_line<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    let shown = word.escape_debug().to_string();
    match word {
        "" => "''".to_owned(),
        _ if word.chars().all(is_plain) => word.to_owned(),
        _ if word.contains(|c: char| c.is_control()) => format!("$'{shown}'"),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        let told = ["ls", "-l", "a b", "", "it's", "two\nlines", "$HOME"].map(quoted);
        assert_eq!(told, ["ls", "-l", "'a b'", "''", r"'it'\''s'", r"$'two\nlines'", "'$HOME'"]);
    }
}
