//! `guest.*`: who is there, what is wrong with them, and their credentials.

use crate::method::methods;
use crate::{DateTime, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// Returns the state of one guest.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Get {
    /// Id of the guest
    pub guest: String,
}

/// Lists every guest the host knows.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct List {}

/// A guest.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Guest {
    /// Its id
    pub guest: String,
    /// never, joined, alive, late, lost or left
    pub state: State,
    /// When it came into this state
    pub since: DateTime,
    /// The same in seconds since 1970
    pub since_unix: UnixTime,
    /// Why it is in this state
    pub reason: Option<String>,
    /// Its IP address, as it sees it
    pub ip: Option<String>,
    /// MAC address of its network card
    pub mac: Option<String>,
    /// Version of the guest agent
    pub agent_version: Option<String>,
    /// Another one after each boot of the machine
    pub boot_id: Option<String>,
    /// When it joined
    pub hello_time: Option<DateTime>,
    /// Seconds since its last sign of life
    pub last_beacon_s: Option<f64>,
    /// Beacons received since it joined
    pub beats: Option<u64>,
    /// Beacons missed
    pub missed: Option<u32>,
    /// Number of its commands that are not over
    pub commands: u32,
    /// Address it is connected from
    pub peer: Option<String>,
    /// Machine it runs in
    pub vm: Option<String>,
    /// State of that machine
    pub vm_state: Option<String>,
    /// Logins under its name that were refused
    pub refused: Option<Refused>,
}

/// Logins that were refused.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Refused {
    /// How many
    pub count: u64,
    /// Why the last one was
    pub reason: String,
    /// When the last one was
    pub time: DateTime,
    /// Address the last one came from
    pub peer: Option<String>,
}

/// How alive a guest is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Gives signs of life as often as agreed
    Alive,
    /// Said that it is here, nothing since
    Joined,
    /// Missed a beacon
    Late,
    /// Said that it leaves
    Left,
    /// Its connection ended without a word, or it was silent for too long
    Lost,
    /// The host knows of it, and it never joined
    #[default]
    Never,
}

impl State {
    /// The name it has everywhere.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether a message sent now is expected to arrive.
    pub const fn is_there(self) -> bool {
        matches!(self, Self::Alive | Self::Joined | Self::Late)
    }
}

/// Asks a guest's agent for a sign of life.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Ping {
    /// Id of the guest
    pub guest: String,
    /// Seconds to wait at most; more than 20 are 20 [default: 10]
    pub timeout_s: Option<f64>,
}

/// A sign of life.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Pong {
    /// Id of the guest
    pub guest: String,
    /// Round-trip time, milliseconds
    pub rtt_ms: f64,
}

/// Lists the ids of the guests that a target selects.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Select {
    /// Target: a guest, a glob, @group or a comma-separated list of them
    pub target: String,
}

/// Makes a credential for a guest, in place of the one it may have had. It is not kept here: only its digest is. The
/// name of the host agent itself on the bus, host, is refused.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct MakeToken {
    /// Id of the guest: 1 to 64 letters, digits, '.', '_' or '-'
    pub guest: String,
}

/// Returns why a guest does not answer, and what to do about it.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Why {
    /// Id of the guest, or name of a machine
    pub guest: String,
}

/// What is wrong with a guest, if anything.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Verdict {
    /// Id of the guest
    pub subject: String,
    /// Whether nothing is wrong with it
    pub well: bool,
    /// One sentence naming one cause
    pub verdict: String,
    /// The first link that is broken
    pub cause: Option<Link>,
    /// The evidence, in the order of the chain a command takes
    pub checks: Vec<Check>,
    /// What to do, most promising first
    #[serde(rename = "do")]
    pub advice: Vec<Advice>,
}

/// A link of the chain that was checked.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Check {
    /// vm, card, session, identity, agent, words, commands or files
    pub link: Link,
    /// ok, bad or unknown
    pub result: Outcome,
    /// What was found
    pub text: String,
}

/// Something to do.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Advice {
    /// What to type
    pub command: String,
    /// What for
    pub text: String,
}

/// A link of the chain between the host agent and a command of a guest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, IntoStaticStr, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Link {
    /// The machine it runs in
    Vm,
    /// The network card of that machine
    Card,
    /// The connection to the broker
    Session,
    /// The credential it logs in with
    Identity,
    /// The guest agent
    Agent,
    /// The words it answers
    Words,
    /// Its commands
    Commands,
    /// The way to its files
    Files,
}

impl Link {
    /// The name it has everywhere.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is broken
    Bad,
    /// It is well
    Ok,
    /// There is nothing to judge by
    Unknown,
}

methods! {
    Get => "guest.get"(guest) -> Guest: "", reads;
    List => "guest.list"() -> Vec<Guest>: "", reads;
    Ping => "guest.ping"(guest, timeout_s) -> Pong: "", reads;
    Select => "guest.select"(target) -> Vec<String>: "the ids, sorted", reads;
    MakeToken => "guest.token"(guest) -> String: "the credential", changes;
    Why => "guest.why"(guest) -> Verdict: "", reads;
}
