//! `job.*`: one computation in one machine, as a BOINC wrapper needs it: bring the files, run the program, fetch the
//! results, and meanwhile suspend, save or throttle the machine.

use crate::checked::{JobId, Percent};
use crate::method::methods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::IntoStaticStr;

/// Opens a job: starts its machine, brings the inputs, runs the program, fetches the outputs. The same id with the same
/// job is the same job, also after a restart of the agent.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Open {
    /// The job
    pub spec: Spec,
}

/// A job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The machine, or a guest that is in none
    pub vm: String,
    /// The program
    pub cmd: String,
    /// Its arguments
    pub args: Option<Vec<String>>,
    /// Environment variables
    pub env: Option<BTreeMap<String, String>>,
    /// Working directory
    pub path: Option<String>,
    /// Files to copy to the guest before
    pub inputs: Option<Vec<File>>,
    /// Files to copy from the guest after
    pub outputs: Option<Vec<File>>,
    /// File on the guest in which the program writes its progress, 0 to 1
    pub fraction_file: Option<String>,
    /// Seconds the machine may take to come up [default: 600]
    pub boot_timeout_s: Option<f64>,
    /// The caller's own id: 1 to 40 letters, digits, '-' or '_' [default: made up]
    pub id: Option<JobId>,
}

/// A file to copy.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Path on the host, below files.roots
    pub local: String,
    /// Path on the guest
    pub remote: String,
}

/// Returns the status of a job.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetStatus {
    /// The id of the job
    pub job_id: String,
}

/// The status of a job. What cannot be known now is absent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Status {
    /// Its id
    pub job_id: String,
    /// starting, bringing, running, fetching, done, failed or aborted
    pub state: State,
    /// Why it failed
    pub message: Option<String>,
    /// The kind of failure
    pub code: Option<String>,
    /// Of a failure: whether the same job may succeed later
    pub transient: Option<bool>,
    /// Its command, once there is one
    pub cmd_id: Option<String>,
    /// Exit code of the command, or the signal that ended it
    #[serde(rename = "exitCodeOrSignal")]
    pub exit_code_or_signal: Option<i32>,
    /// Progress, as the program wrote it last, 0 to 1
    pub fraction_done: Option<f64>,
    /// Processor time of the program, seconds
    pub cpu_s: Option<f64>,
    /// The same at the last checkpoint
    pub checkpoint_cpu_s: Option<f64>,
    /// Process id of the machine
    pub vm_pid: Option<u32>,
    /// Network receive rate of the machine, bytes a second
    pub net_rx_bytes_s: Option<f64>,
    /// Network send rate of the machine, bytes a second
    pub net_tx_bytes_s: Option<f64>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, IntoStaticStr, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Its machine is being started
    #[default]
    Starting,
    /// Its inputs are being copied
    Bringing,
    /// Its program runs
    Running,
    /// Its outputs are being copied
    Fetching,
    /// All of it is done
    Done,
    /// Something went wrong
    Failed,
    /// Somebody ended it
    Aborted,
}

impl State {
    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Aborted | Self::Done | Self::Failed)
    }
}

/// Suspends, resumes, saves, throttles or aborts a job, or takes a checkpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Control {
    /// The id of the job
    pub job_id: String,
    /// suspend, resume, quit (save the machine), abort, checkpoint, network_off, network_on or throttle
    pub what: Action,
    /// Of throttle: CPU limit, per cent of the machine's processors
    pub arg: Option<Percent>,
}

/// What to do with a job.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pause the machine
    Suspend,
    /// Resume the machine
    Resume,
    /// Save the machine
    Quit,
    /// End the program; the machine stays as it is
    Abort,
    /// Take a snapshot of the machine, in place of the last one
    Checkpoint,
    /// Disconnect the machine from its network
    NetworkOff,
    /// Connect the machine to its network
    NetworkOn,
    /// Limit the machine's processors
    Throttle,
}

/// Closes a job that is over: it is forgotten. End others first with job.control abort.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Close {
    /// The id of the job
    pub job_id: String,
}

/// How far a job is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct JobState {
    /// The state of the job
    pub state: State,
}

methods! {
    Open => "job.open"(spec) -> String: "the job's id", changes;
    GetStatus => "job.status"(job_id) -> Status: "", reads;
    Control => "job.control"(job_id, what, arg) -> JobState: "", changes;
    Close => "job.close"(job_id) -> JobState: "", changes;
}
