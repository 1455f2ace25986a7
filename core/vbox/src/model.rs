//! What machines, snapshots and networks are to those who use this crate: plain values, nothing of VirtualBox's.

mod machine;
mod network;
mod new;
mod state;

pub use machine::{Display, DisplaySettings, Machine, Metric, Snapshot};
pub use network::{Adapter, Attachment, DhcpServer, Forward, HostOnlyInterface, Protocol};
pub use new::{AdapterKind, Disk, Engine, Import, NewAdapter, NewMachine};
pub use state::State;

use std::fmt;
use std::path::PathBuf;

/// Which VirtualBox this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As it calls itself, such as `7.2.22_Debian`.
    pub text: String,
    /// The version of its interface, such as `7_2`.
    pub api: String,
    /// The revision of its source.
    pub revision: u32,
    /// Where it is installed.
    pub folder: PathBuf,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of the whole operation.
    pub percent: u8,
    /// The step that VirtualBox is at, in its own words.
    pub doing: String,
}

/// Is told how far an operation is, on VirtualBox's own thread: it should only pass it on.
#[derive(Default)]
pub struct Reporter(Option<Box<dyn Fn(Progress) + Send>>);

impl Reporter {
    /// Nobody is told.
    pub fn none() -> Self {
        Self(None)
    }

    /// Tells that function.
    pub fn new(tell: impl Fn(Progress) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Whether anybody is told.
    pub(crate) fn wants(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn report(&self, progress: Progress) {
        if let Some(tell) = &self.0 {
            tell(progress);
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(if self.wants() { "Reporter(…)" } else { "Reporter(none)" })
    }
}

/// Something happened in VirtualBox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Event {
    /// VBoxSVC has gone (false), or one is there again (true), whose machines have to be listed anew. VirtualBox 7.2
    /// finds no other one from a process that has lost one.
    Available(bool),
    /// The settings of a machine have changed, or its extra data.
    Changed { id: String },
    /// A property of a guest has changed.
    GuestProperty { id: String, name: String, value: String },
    /// A machine was registered, or unregistered.
    Registered { id: String, registered: bool },
    /// A machine was locked or unlocked.
    Session { id: String },
    /// Something happened to a snapshot.
    Snapshot { id: String, snapshot: String, change: SnapshotChange },
    /// A machine is in another state.
    State { id: String, state: State },
}

/// What can happen to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotChange {
    /// Its name or description is another.
    Changed,
    /// It was deleted.
    Deleted,
    /// Its machine is as it was then.
    Restored,
    /// It was taken.
    Taken,
}
