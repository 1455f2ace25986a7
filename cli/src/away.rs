//! An agent that is away for a moment, restarted perhaps: commands go on without it, so who only listens asks again.
//! Only for calls that change nothing.

use super::error::Kind;
use super::{CliError, Session, human};
use std::time::Duration;
use vocable_xmlrpc::Value;

/// How long to wait before each further attempt, a good half minute in all.
pub(super) const PAUSES: [u64; 20] = [
    100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000,
    2000, 2000,
];

/// Calls a method that waits in the agent for `wait`; while nobody answers, again, and says so.
pub(super) fn call_again(
    session: &mut Session<'_>,
    method: &str,
    params: &[Value],
    wait: Duration,
) -> Result<Value, CliError> {
    let mut pauses = PAUSES.iter().map(|milliseconds| Duration::from_millis(*milliseconds));
    let mut away_since = None;
    loop {
        let error = match session.agent.call_waiting(method, params.to_vec(), wait) {
            Err(error) if is_away(&error) => error,
            reply => {
                if let Some(since) = away_since {
                    let time = human::took((session.now)().mono.saturating_duration_since(since));
                    session
                        .terminal
                        .note(&format!("the host agent was away for {time}; nothing was lost"))?;
                }
                return reply;
            }
        };
        let Some(pause) = pauses.next() else { return Err(error) };
        if away_since.is_none() {
            session.terminal.note(&format!("{}; asking again", error.message()))?;
            away_since = Some((session.now)().mono);
        }
        (session.pause)(pause);
    }
}

/// Whether the failure is of the link or of an agent that ends, not of what was asked.
pub(super) fn is_away(error: &CliError) -> bool {
    error.class() == Kind::NoAgent && matches!(error.code(), "connection-lost" | "no-agent")
        || error.code() == "stopping"
}
