//! The agents' logs: one line an event, on standard error, the fields `guest`, `cmd` and `word` last, so that one
//! `grep` over both ends tells the story of a command.
//!
//! Owns the `[log]` table of the configuration and the set-up of `tracing`; what is logged is everybody's own, but no guest
//! fills the log: see `rate_limit`.

mod limiter;
mod rate_limit;

pub use limiter::{LeftOut, Limiter};

use rate_limit::RateLimit;
use serde::Deserialize;
use std::io::IsTerminal;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or a list such as `info,vocable_stomp=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text, in colour on a terminal.
    Auto,
    /// A JSON object.
    Json,
    /// Text without colour.
    Text,
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error("log.level \"{0}\" is neither a level nor a filter: {1}")]
    Filter(String, ParseError),
    /// It was set up before.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of this process.
pub fn start(settings: &LogSettings) -> Result<(), LogError> {
    // Not an `EnvFilter`: its regular expressions would be a tenth of the guest agent.
    let filter: Result<Targets, ParseError> = settings.level.parse();
    let filter = filter.map_err(|error| LogError::Filter(settings.level.clone(), error))?;
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = settings.format == LogFormat::Auto && std::io::stderr().is_terminal() && !no_colour;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let log = tracing_subscriber::registry().with(filter).with(RateLimit::new());
    let started = match settings.format {
        LogFormat::Json => log.with(lines.json()).try_init(),
        LogFormat::Auto | LogFormat::Text => log.with(lines.with_target(false)).try_init(),
    };
    started.map_err(|_| LogError::Twice)
}
