//! An agent that is gone for a moment, restarted perhaps: commands go on without it, so who only waits asks again.
//! Only for calls that change nothing.

use super::error::Kind;
use super::{CliError, Session, format};
use std::time::Duration;
use vocable_api::Method;

/// How long to wait before each further attempt, a good half minute in all.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    const MILLISECONDS: [u64; 20] = [
        100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000,
        2000, 2000, 2000,
    ];
    MILLISECONDS.into_iter().map(Duration::from_millis)
}

/// Calls a method that waits in the agent for `wait`; while nobody answers, again, and says so.
pub(super) fn ask_again<M: Method>(
    session: &mut Session<'_>,
    request: &M,
    wait: Duration,
) -> Result<M::Reply, CliError> {
    let mut pauses = pauses();
    let mut gone_since = None;
    loop {
        let error = match session.agent.ask_waiting(request, wait) {
            Err(error) if is_gone(&error) => error,
            reply => {
                if let Some(since) = gone_since {
                    let time = format::took((session.now)().mono.saturating_duration_since(since));
                    session
                        .terminal
                        .note(&format!("the host agent was away for {time}; nothing was lost"))?;
                }
                return reply;
            }
        };
        let Some(pause) = pauses.next() else { return Err(error) };
        if gone_since.is_none() {
            session.terminal.note(&format!("{}; asking again", error.message()))?;
            gone_since = Some((session.now)().mono);
        }
        (session.pause)(pause);
    }
}

/// Whether the failure is of the connection or of an agent that ends, not of what was asked.
pub(super) fn is_gone(error: &CliError) -> bool {
    error.class() == Kind::NoAgent && matches!(error.code(), "connection-lost" | "no-agent")
        || error.code() == "stopping"
}
