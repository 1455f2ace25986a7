//! The legacy names, of the prototype of 2010, with their shapes, so that a wrapper written for it works. Each stands for
//! a method of today; new programs use those.

use crate::checked::{MachineName, SnapshotName};
use crate::method::methods;
use crate::vm::Usage;
use crate::{AnyStruct, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vocable_protocol::Failure;

/// Makes methods all of whose parameters come by position.
macro_rules! legacy {
    ($(
        $(#[$help:meta])*
        $type:ident => $name:literal($($(#[$doc:meta])* $field:ident: $of:ty),*) -> $reply:ty: $returns:literal,
        $changes:ident;
    )*) => {$(
        $(#[$help])*
        #[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
        #[allow(non_snake_case, reason = "the names are those of 2010")]
        pub struct $type { $($(#[$doc])* pub $field: $of,)* }

        methods! { $type => $name($($field),*) -> $reply: $returns, $changes; }
    )*};
}

legacy! {
    /// Copies a file from a guest, and waits for the end. The legacy name of file.pull.
    PullFile => "cpFileFromVM"(
        /// Name of the machine
        vm: String,
        /// Path on the guest
        remote: String,
        /// Path on the host, below files.roots
        local: String
    ) -> bool: "true", changes;
    /// Copies a file to a guest, and waits for the end. The legacy name of file.push.
    PushFile => "cpFileToVM"(
        /// Name of the machine
        vm: String,
        /// Path on the host, below files.roots
        local: String,
        /// Path on the guest
        remote: String
    ) -> bool: "true", changes;
    /// Creates a machine. The legacy name of vm.create.
    Create => "createVM"(
        /// Its name
        name: MachineName,
        /// Its disk image, VDI or VMDK: a path on the host; empty: none
        hdd: Option<String>
    ) -> bool: "true", changes;
    /// Returns what a command is. The legacy name of cmd.poll.
    GetCommand => "getCmdDetails"(
        /// What runCmd returned
        id: String
    ) -> Command: "", reads;
    /// Returns the results of a command once it is over, and only once: then they are forgotten. An empty struct means
    /// that it is still under way.
    GetResults => "getCmdResults"(
        /// What runCmd returned
        id: String
    ) -> Results: "", changes;
    /// Returns the name of each MAC address's machine. The legacy name of vm.list.
    IdsToNames => "getIdsToNamesMapping"() -> BTreeMap<String, String>: "names by MAC address", reads;
    /// Returns the MAC address of each machine. The legacy name of vm.list.
    NamesToIds => "getNamesToIdsMapping"() -> BTreeMap<String, String>: "MAC addresses by name", reads;
    /// Returns what a machine uses. The legacy name of vm.usage.
    GetUsage => "getPerformanceData"(
        /// Name of the machine
        vm: String
    ) -> Usage: "", reads;
    /// Returns the state of a machine. The legacy name of vm.get.
    GetState => "getState"(
        /// Name of the machine
        vm: String
    ) -> String: "running, poweroff, saved and so on", reads;
    /// Returns the help of all methods. The legacy name of system.methodHelp.
    Help => "help"() -> String: "a text for people", reads;
    /// Lists all machines. The legacy name of vm.list.
    ListAvailable => "listAvailableVMs"() -> Vec<String>: "names, sorted", reads;
    /// Lists the commands that are over and whose results were not fetched. The legacy name of cmd.list.
    ListFinished => "listFinishedCmds"() -> Vec<String>: "their ids, newest first", reads;
    /// Lists the guests that are online, by the names of their machines. The legacy name of guest.list.
    ListRegistered => "listRegisteredVMs"() -> Vec<String>: "names, sorted", reads;
    /// Lists the machines that run. The legacy name of vm.list.
    ListRunning => "listRunningVMs"() -> Vec<String>: "names, sorted", reads;
    /// Pauses a machine. The legacy name of vm.pause.
    Pause => "pause"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
    /// Returns whether a guest answers within some seconds. The legacy name of guest.ping.
    Ping => "ping"(
        /// Name of the machine
        vm: String,
        /// Seconds; more than 20 are 20 [default: 5]
        timeout: Option<f64>
    ) -> bool: "whether it does", reads;
    /// Powers a machine off. The legacy name of vm.poweroff.
    PowerOff => "powerOff"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
    /// Restores the newest snapshot of a machine. The legacy name of vm.snapshot.restore.
    RestoreSnapshot => "restoreSnapshot"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
    /// Runs a program on a guest. The legacy name of cmd.run.
    Run => "runCmd"(
        /// Name of the machine
        vm: String,
        /// The program
        cmd: String,
        /// Its arguments
        #[serde(default)] args: Vec<String>,
        /// Environment variables
        #[serde(default)] env: BTreeMap<String, String>,
        /// Working directory; empty: none in particular
        path: Option<String>,
        /// A file on the guest whose content is its standard input; empty: none
        fileForStdin: Option<String>
    ) -> String: "the id to ask about", changes;
    /// Takes a snapshot. The legacy name of vm.snapshot.take.
    SaveSnapshot => "saveSnapshot"(
        /// Name of the machine
        vm: String,
        /// Name of the snapshot
        name: SnapshotName,
        /// Description of the snapshot
        desc: Option<String>
    ) -> bool: "true", changes;
    /// Saves a machine's state to disk and switches it off. The legacy name of vm.save.
    SaveState => "saveState"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
    /// Starts a machine. The legacy name of vm.start.
    Start => "start"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
    /// Resumes a machine that was paused. The legacy name of vm.resume.
    Unpause => "unpause"(
        /// Name of the machine
        vm: String
    ) -> bool: "true", changes;
}

/// What a command is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Command {
    /// Its id
    #[serde(rename = "cmd-id")]
    pub cmd_id: String,
    /// The guest it is on
    pub vm: String,
    /// The program
    pub cmd: String,
    /// Its arguments
    pub args: Vec<String>,
    /// queued, running, done and so on
    pub state: String,
}

/// What came of a command.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Results {
    /// Its id
    #[serde(rename = "cmd-id")]
    pub cmd_id: Option<String>,
    /// Standard output
    pub out: Option<Text>,
    /// Standard error
    pub err: Option<Text>,
    /// Whether it ended by itself, not by a signal
    pub finished: Option<bool>,
    /// Exit code, or the signal that ended it
    #[serde(rename = "exitCodeOrSignal")]
    pub exit_code_or_signal: Option<i32>,
    /// What getrusage says
    pub resources: Option<AnyStruct>,
    /// Why it was not run, if it was not
    pub error: Option<Failure>,
}
