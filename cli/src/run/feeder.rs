//! `-i`: standard input for the command, as it comes. What was read here is sent from its offset until the agent has
//! it, whatever is gone in between: nothing is lost and nothing arrives twice.

use crate::agent::Connection;
use crate::output::Terminal;
use crate::{CliError, Global, Kind, format};
use std::io::{self, Read};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use vocable_api::Bytes;
use vocable_api::cmd::Input;

/// Bytes read and sent at once.
const PIECE: usize = 256 * 1024;
/// How long the agent may wait for the command to read.
const WAIT: Duration = Duration::from_secs(20);
/// Before somebody who is gone is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends the command input beside everything else. The thread may wait for somebody to type for ever, so nobody waits
/// for it: it ends with the process.
pub(super) fn start(global: &Global, id: &str) -> Result<JoinHandle<()>, CliError> {
    let (global, id) = (global.clone(), id.to_owned());
    let thread = thread::Builder::new().name("input".to_owned()).spawn(move || {
        let fed =
            Connection::find(&global).and_then(|agent| feed(&agent, &id, io::stdin().lock(), thread::sleep));
        if let Err(error) = fed {
            // There is nobody else to tell.
            drop(Terminal::of_process(&global).error(&error));
        }
    });
    thread.map_err(|error| CliError::new("internal", "no thread for the input").cause(format::io(&error)))
}

/// Sends the command everything there is to read, and its end.
pub(super) fn feed(
    agent: &Connection,
    id: &str,
    mut input: impl Read,
    pause: fn(Duration),
) -> Result<(), CliError> {
    let mut block = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let length = read(&mut input, &mut block)?;
        let bytes = block.get(..length).unwrap_or_default();
        if !send(agent, id, offset, bytes, pause)? || bytes.is_empty() {
            return Ok(());
        }
        offset += bytes.len() as u64;
    }
}

fn read(input: &mut impl Read, block: &mut [u8]) -> Result<usize, CliError> {
    loop {
        match input.read(block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(CliError::new(
                    "cannot-read",
                    "standard input cannot be read; the command has what came before",
                )
                .cause(format::io(&error)));
            }
            Ok(length) => return Ok(length),
        }
    }
}

/// Sends bytes until the agent has all of them; returns whether the command wants more. No bytes are the end.
fn send(
    agent: &Connection,
    id: &str,
    offset: u64,
    bytes: &[u8],
    pause: fn(Duration),
) -> Result<bool, CliError> {
    let until = offset + bytes.len() as u64;
    let close = bytes.is_empty();
    let mut at = offset;
    loop {
        let rest = bytes.get(usize::try_from(at - offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let request = Input {
            cmd_id: id.to_owned(),
            offset: at,
            data: Bytes(rest.to_vec()),
            close: Some(close),
            timeout_s: Some(WAIT.as_secs_f64()),
        };
        let taken = match agent.ask_waiting(&request, WAIT) {
            Ok(taken) => taken,
            Err(error) if is_transient(&error) => {
                pause(PAUSE);
                continue;
            }
            Err(error) => return Err(error.hint(format!("vocable kill {id}"))),
        };
        if taken.over {
            return Ok(false);
        }
        if taken.offset < offset {
            let text = format!("{id} has lost input: {} of {offset} bytes are there", taken.offset);
            return Err(CliError::new("input-lost", text).hint(format!("vocable kill {id}")));
        }
        at = taken.offset.min(until);
        if at == until && !close {
            return Ok(true);
        }
    }
}

/// Whether it is worth asking again: somebody between here and the command is gone.
fn is_transient(error: &CliError) -> bool {
    error.class() == Kind::NoAgent
        || matches!(error.code(), "guest-offline" | "stopping" | "timed-out" | "too-many")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeAgent;
    use vocable_api::cmd::InputTaken;

    fn fed(agent: &FakeAgent, input: &[u8]) -> Result<String, CliError> {
        feed(&Connection::to(agent.clone()), "k7.vm1", input, |_| {})?;
        Ok(agent.calls())
    }

    #[test]
    fn input_is_offered_from_where_the_agent_is_and_then_ended() {
        let agent = FakeAgent::default()
            .replies::<Input>(InputTaken { offset: 2, over: false })
            .refuses("cmd.input", 103, "guest-offline: vm1: lost")
            .replies::<Input>(InputTaken { offset: 5, over: false })
            .replies::<Input>(InputTaken { offset: 5, over: true });
        insta::assert_snapshot!(fed(&agent, b"hello").unwrap(), @r#"
    cmd.input("k7.vm1", 0, {"b64":"aGVsbG8="}, {"close":false,"timeout_s":20.0})
    cmd.input("k7.vm1", 2, {"b64":"bGxv"}, {"close":false,"timeout_s":20.0})
    cmd.input("k7.vm1", 2, {"b64":"bGxv"}, {"close":false,"timeout_s":20.0})
    cmd.input("k7.vm1", 5, {"b64":""}, {"close":true,"timeout_s":20.0})
    "#);
    }

    #[test]
    fn a_command_that_is_over_wants_no_more() {
        let agent = FakeAgent::default().replies::<Input>(InputTaken { offset: 5, over: true });
        fed(&agent, b"hello").unwrap();
    }

    #[test]
    fn what_cannot_be_given_is_an_error() {
        let agent = FakeAgent::default().refuses("cmd.input", 500, "word-invalid: no streamed input");
        assert_eq!(fed(&agent, b"hello").unwrap_err().code(), "word-invalid");
    }
}
