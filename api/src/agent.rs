//! `agent.*`: the agent itself, and what happens.

use crate::method::methods;
use crate::{AnyStruct, DateTime, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tells what has happened, oldest first. Waits for the first event if there is none yet. The agent keeps the last
/// 10,000.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Events {
    /// The number of the first event wanted; 0: all that are kept
    pub since: f64,
    /// Seconds to wait at most; more than 20 are 20
    pub timeout_s: f64,
    /// Only events of this guest
    pub guest: Option<String>,
    /// Only events of these kinds; globs: guest.*
    pub kinds: Option<Vec<String>>,
    /// Maximum number of events [default: 1000]
    pub limit: Option<i32>,
}

/// Events, and where to go on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct EventPage {
    /// The number to ask for next
    pub next: u64,
    /// Number of events in between that are no longer kept
    pub dropped: u64,
    /// The events
    pub events: Vec<Event>,
}

/// Something that has happened.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Event {
    /// Its number: counts up by one
    pub seq: u64,
    /// When
    pub time: DateTime,
    /// The same in seconds since 1970
    pub time_unix: UnixTime,
    /// guest.joined, cmd.done, word.loaded ...
    pub kind: String,
    /// The guest it is about
    pub guest: Option<String>,
    /// The command it is about
    pub cmd_id: Option<String>,
    /// The machine it is about
    pub vm: Option<String>,
    /// A sentence
    pub text: String,
    /// Further facts
    pub data: Option<AnyStruct>,
}

/// That events are missing from the stream at `/events`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Gap {
    /// gap
    pub kind: String,
    /// A sentence
    pub text: String,
    /// Number of events that are missing, if it is known
    pub dropped: Option<u64>,
}

impl Gap {
    /// The kind that stands for it among those of events.
    pub const KIND: &str = "gap";
}

/// Stops the host agent in an orderly way. Commands on guests go on, and are taken up at the next start.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Shutdown {}

/// That the agent stops.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Stopping {
    /// true
    pub stopping: bool,
}

/// Returns the status of the agent in numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetStatus {}

/// The status of the agent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Status {
    /// Seconds since the agent was started
    pub uptime_s: f64,
    /// Guests the host knows
    pub guests: u64,
    /// Guests that are online
    pub guests_online: u64,
    /// Guests that are connected to the broker
    pub broker_connections: u64,
    /// Commands that are not over
    pub commands_running: u64,
    /// Words of the host
    pub words: u64,
    /// Resident memory of the agent, bytes
    pub rss_bytes: Option<u64>,
}

/// Returns the version of the agent.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetVersion {}

/// The version of the agent, and where it answers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Version {
    /// vocable
    pub name: String,
    /// Version of the host agent
    pub version: String,
    /// The contract that words are written against
    pub words_api: String,
    /// Where guests connect
    pub broker: Vec<String>,
    /// When the agent started
    pub started: DateTime,
    /// The same in seconds since 1970
    pub started_unix: UnixTime,
}

methods! {
    Events => "agent.events"(since, timeout_s) -> EventPage: "", reads;
    Shutdown => "agent.shutdown"() -> Stopping: "", changes;
    GetStatus => "agent.status"() -> Status: "", reads;
    GetVersion => "agent.version"() -> Version: "", reads;
}
