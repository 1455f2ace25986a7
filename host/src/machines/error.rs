//! Why something could not be done to a machine, and which fault that is.

use std::time::Duration;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::vm::State;

/// Why something could not be done to a machine.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HypervisorError {
    /// An address that several machines have.
    #[error("the address {mac} is that of several machines: {}; we do not guess", .machines.join(" and "))]
    DuplicateMac {
        /// The address.
        mac: String,
        /// Their names.
        machines: Vec<String>,
    },
    /// There is a machine of that name.
    #[error("there is a machine {0} already")]
    Exists(String),
    /// It does not answer any more.
    #[error("{driver} does not answer: {reason}")]
    Gone {
        /// As people call it.
        driver: String,
        /// Why.
        reason: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is none that could do it.
    #[error("{0}")]
    Missing(String),
    /// It was tried, and the hypervisor says no.
    #[error("{what}: {text}{}", native(.code.as_deref()))]
    Native {
        /// What could not be done, to which machine.
        what: String,
        /// The hypervisor's own words.
        text: String,
        /// The hypervisor's own code.
        code: Option<String>,
    },
    /// No machine of that name, id or address.
    #[error("no machine is called {0}")]
    NoMachine(String),
    /// No such snapshot.
    #[error("{machine} has no snapshot {snapshot}")]
    NoSnapshot {
        /// Of which machine.
        machine: String,
        /// Which.
        snapshot: String,
    },
    /// Nobody can look at its screen.
    #[error("the screen of {0} is not shown anywhere: the machine has to run")]
    NotShown(String),
    /// It was not made by us, so it is not ours to remove.
    #[error("{machine} does not have our tag \"{tag}\": it is not removed without force")]
    NotOurs {
        /// Which.
        machine: String,
        /// The tag it would have.
        tag: String,
    },
    /// The machine has that snapshot already.
    #[error("{machine} has a snapshot {snapshot} already")]
    SnapshotExists {
        /// Which machine.
        machine: String,
        /// Its name.
        snapshot: String,
    },
    /// It took too long.
    #[error("{what} was given up after {} s", .after.as_secs())]
    TimedOut {
        /// What, of which machine.
        what: String,
        /// How long it was tried.
        after: Duration,
    },
    /// Not in this state.
    #[error("{machine} is {}: it cannot {wanted}{}", .state.as_str(), then(.advice))]
    WrongState {
        /// Which.
        machine: String,
        /// What it is doing.
        state: State,
        /// What it would have to do: `be paused`.
        wanted: &'static str,
        /// What to do first; may be empty.
        advice: &'static str,
    },
    /// Something else is being done to it.
    #[error("{machine} is busy: {doing}")]
    Busy {
        /// Which.
        machine: String,
        /// What is being done.
        doing: String,
    },
}

fn native(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" [{code}]"))
}

fn then(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; {text}") }
}

impl HypervisorError {
    /// The kind of fault it is for callers.
    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::Busy { .. } => FaultKind::Busy,
            Self::DuplicateMac { .. } => FaultKind::DuplicateMac,
            Self::Exists(_) | Self::SnapshotExists { .. } => FaultKind::AlreadyExists,
            Self::Gone { .. } | Self::Missing(_) => FaultKind::HypervisorMissing,
            Self::Invalid(_) => FaultKind::InvalidParameter,
            Self::Native { text, code, .. } => of_native(text, code.as_deref().unwrap_or_default()),
            Self::NoMachine(_) => FaultKind::NoSuchVm,
            Self::NoSnapshot { .. } => FaultKind::NoSuchSnapshot,
            Self::NotOurs { .. } => FaultKind::NotOurs,
            Self::TimedOut { .. } => FaultKind::TimedOut,
            Self::NotShown(_) | Self::WrongState { .. } => FaultKind::WrongState,
        }
    }
}

/// What the hypervisor's own words mean for whoever has to decide whether to try again.
fn of_native(text: &str, code: &str) -> FaultKind {
    let says = |sign: &str| text.contains(sign) || code.contains(sign);
    if ["VERR_VMX_", "VERR_SVM_", "VERR_CPU_"].into_iter().any(says) {
        return FaultKind::Virtualisation;
    }
    let no_driver = ["vboxdrv", "VERR_VM_DRIVER", "Kernel driver not installed", "-1908", "/dev/vboxnetctl"];
    if no_driver.into_iter().any(says) {
        return FaultKind::DriverNotLoaded;
    }
    if code.contains("VBOX_E_INVALID_VM_STATE") {
        return FaultKind::WrongState;
    }
    FaultKind::Hypervisor
}

impl From<HypervisorError> for Fault {
    fn from(error: HypervisorError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hypervisors_own_words_and_code_reach_the_caller() {
        let error = HypervisorError::Native {
            what: "vm4 could not be started".into(),
            text: "VT-x is used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE)".into(),
            code: Some("NS_ERROR_FAILURE 0x80004005".into()),
        };
        let fault = Fault::from(error);
        assert_eq!(
            fault.to_string(),
            "hw-virtualisation: vm4 could not be started: VT-x is used by another hypervisor \
             (VERR_VMX_IN_VMX_ROOT_MODE) [NS_ERROR_FAILURE 0x80004005]"
        );
        assert_eq!(fault.kind.code(), 401);
    }

    #[test]
    fn what_was_refused_says_in_which_state() {
        let error = HypervisorError::WrongState {
            machine: "vm1".into(),
            state: State::Saved,
            wanted: "be paused",
            advice: "start it first",
        };
        assert_eq!(error.to_string(), "vm1 is saved: it cannot be paused; start it first");
        assert_eq!(error.kind().code(), 200);
        let net = HypervisorError::Native {
            what: "no host-only interface could be created".into(),
            text: "failed to open /dev/vboxnetctl: No such file or directory".into(),
            code: None,
        };
        assert_eq!(net.kind().code(), 402);
    }
}
