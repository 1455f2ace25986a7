//! The states of a machine.

use crate::values;
use std::fmt;

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident = $value:ident,)*) => {
        /// The state of a machine, as VirtualBox has them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum State {
            $($(#[$doc])* $state,)*
            /// One that this program does not know.
            Other(u32),
        }

        impl State {
            /// The state with that number.
            pub(crate) fn from_number(number: u32) -> Self {
                match number {
                    $(values::$value => Self::$state,)*
                    other => Self::Other(other),
                }
            }

            /// Its name, as VirtualBox spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$state => stringify!($state),)*
                    Self::Other(_) => "Unknown",
                }
            }
        }
    };
}

states! {
    /// It does not run.
    PoweredOff = POWERED_OFF,
    /// It does not run, and will go on where it was.
    Saved = SAVED,
    /// It has moved to another host.
    Teleported = TELEPORTED,
    /// Its process ended without saying so.
    Aborted = ABORTED,
    /// The same, while it was being restored: it will go on where it was.
    AbortedSaved = ABORTED_SAVED,
    /// It runs.
    Running = RUNNING,
    /// It is stopped, and can go on at once.
    Paused = PAUSED,
    /// Something went wrong in it; it can only be powered off.
    Stuck = STUCK,
    /// It is moving to another host while it runs.
    Teleporting = TELEPORTING,
    /// A snapshot is being taken while it runs.
    LiveSnapshotting = LIVE_SNAPSHOTTING,
    /// It is being started.
    Starting = STARTING,
    /// It is being powered off.
    Stopping = STOPPING,
    /// It is being saved.
    Saving = SAVING,
    /// It is being brought to where it was saved.
    Restoring = RESTORING,
    /// It is moving to another host, paused.
    TeleportingPausedVM = TELEPORTING_PAUSED,
    /// It is moving here from another host.
    TeleportingIn = TELEPORTING_IN,
    /// A snapshot is being deleted while it runs.
    DeletingSnapshotOnline = DELETING_SNAPSHOT_ONLINE,
    /// A snapshot is being deleted while it is paused.
    DeletingSnapshotPaused = DELETING_SNAPSHOT_PAUSED,
    /// A snapshot is being taken while it is paused.
    OnlineSnapshotting = ONLINE_SNAPSHOTTING,
    /// It is being brought to a snapshot.
    RestoringSnapshot = RESTORING_SNAPSHOT,
    /// A snapshot is being deleted while it does not run.
    DeletingSnapshot = DELETING_SNAPSHOT,
    /// It is being set up.
    SettingUp = SETTING_UP,
    /// A snapshot is being taken while it does not run.
    Snapshotting = SNAPSHOTTING,
}

impl State {
    /// Whether it has a process that runs it.
    pub fn is_online(self) -> bool {
        matches!(
            self,
            Self::DeletingSnapshotOnline
                | Self::DeletingSnapshotPaused
                | Self::LiveSnapshotting
                | Self::OnlineSnapshotting
                | Self::Paused
                | Self::Restoring
                | Self::Running
                | Self::Saving
                | Self::Starting
                | Self::Stopping
                | Self::Stuck
                | Self::Teleporting
                | Self::TeleportingIn
                | Self::TeleportingPausedVM
        )
    }

    /// Whether it is on its way to another state.
    pub fn is_transient(self) -> bool {
        !matches!(
            self,
            Self::Aborted
                | Self::AbortedSaved
                | Self::Other(_)
                | Self::Paused
                | Self::PoweredOff
                | Self::Running
                | Self::Saved
                | Self::Stuck
                | Self::Teleported
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(to, "Unknown({number})"),
            known => to.write_str(known.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_by_virtualbox_s_names() {
        assert_eq!(State::from_number(6), State::Running);
        assert_eq!(State::from_number(15).to_string(), "TeleportingPausedVM");
        assert_eq!(State::from_number(99).to_string(), "Unknown(99)");
    }

    #[test]
    fn those_on_their_way_lie_between_first_and_last_transient() {
        // FirstTransient = 9, LastTransient = 23; FirstOnline = 6, LastOnline = 19.
        for number in 1..=23 {
            let state = State::from_number(number);
            assert_eq!(state.is_transient(), number >= 9, "{state}");
            assert_eq!(state.is_online(), (6..=19).contains(&number), "{state}");
        }
    }
}
