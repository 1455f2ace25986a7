//! What an operation means for a machine in a state: nothing to do, which steps, or a refusal that says why. Also what
//! counts as a leftover. Pure: no clock, no hypervisor.

use super::{HypervisorError, Machine, State, Step};
use std::time::Duration;
use vocable_api::vm::{Action, Settings};

/// What callers want done to a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// Remove a snapshot.
    DeleteSnapshot(String),
    /// Remove the machine.
    Destroy {
        /// Keep its disks.
        keep_disks: bool,
        /// Even if it runs or is not ours.
        force: bool,
    },
    /// Hold it.
    Pause,
    /// Cut its power.
    PowerOff,
    /// Press its reset button.
    Reset,
    /// Go back to a snapshot. A machine that runs is switched off for it, and on again afterwards.
    RestoreSnapshot(String),
    /// Let it go on.
    Resume,
    /// Write its state to disk.
    Save,
    /// Change settings.
    Set(Settings),
    /// Have the guest shut down; after the grace cut its power.
    Shutdown {
        /// How long the guest may take.
        grace: Duration,
    },
    /// Switch it on.
    Start,
    /// Remember the present.
    TakeSnapshot {
        /// Its name.
        name: String,
        /// What to write about it.
        description: String,
        /// In place of one of that name.
        replace: bool,
    },
}

impl Operation {
    /// What is done.
    pub(crate) const fn action(&self) -> Action {
        match self {
            Self::DeleteSnapshot(_) => Action::SnapshotDelete,
            Self::Destroy { .. } => Action::Destroy,
            Self::Pause => Action::Pause,
            Self::PowerOff => Action::PowerOff,
            Self::Reset => Action::Reset,
            Self::RestoreSnapshot(_) => Action::SnapshotRestore,
            Self::Resume => Action::Resume,
            Self::Save => Action::Save,
            Self::Set(_) => Action::Set,
            Self::Shutdown { .. } => Action::Shutdown,
            Self::Start => Action::Start,
            Self::TakeSnapshot { .. } => Action::SnapshotTake,
        }
    }

    /// What the machine would have to do, for refusals: it cannot ...
    pub(crate) const fn infinitive(&self) -> &'static str {
        match self {
            Self::DeleteSnapshot(_) => "delete a snapshot",
            Self::Destroy { .. } => "be removed",
            Self::Pause => "be paused",
            Self::PowerOff => "be powered off",
            Self::Reset => "be reset",
            Self::RestoreSnapshot(_) => "be restored",
            Self::Resume => "be resumed",
            Self::Save => "be saved",
            Self::Set(_) => "be changed",
            Self::Shutdown { .. } => "be shut down",
            Self::Start => "be started",
            Self::TakeSnapshot { .. } => "take a snapshot",
        }
    }

    /// Whether it may take long: disks are read or written.
    pub(crate) const fn is_long(&self) -> bool {
        matches!(
            self,
            Self::DeleteSnapshot(_)
                | Self::Destroy { .. }
                | Self::RestoreSnapshot(_)
                | Self::Save
                | Self::Shutdown { .. }
                | Self::TakeSnapshot { .. }
        )
    }
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Task {
    /// Something of the driver's.
    Do(Step),
    /// Wait until the machine is off; after that time cut its power.
    UntilOff(Duration),
}

/// What an operation means for this machine now. Nothing to do is an empty list: the machine is as wanted already.
pub(crate) fn decide(
    operation: &Operation,
    machine: &Machine,
    tag: &str,
) -> Result<Vec<Task>, HypervisorError> {
    use State as S;
    let state = machine.state;
    let refuse = |advice| {
        Err(HypervisorError::WrongState {
            machine: machine.name.clone(),
            state,
            wanted: operation.infinitive(),
            advice,
        })
    };
    if let Some(problem) = &machine.problem
        && !matches!(operation, Operation::Destroy { .. })
    {
        let what = format!("{} cannot {}", machine.name, operation.infinitive());
        return Err(HypervisorError::Native { what, text: problem.clone(), code: None });
    }
    if state.is_transitional() {
        let doing = format!("it is {} already, and that is not our doing", state.as_str());
        return Err(HypervisorError::Busy { machine: machine.name.clone(), doing });
    }
    let off = matches!(state, S::PowerOff | S::Aborted);
    let steps = match (operation, state) {
        (Operation::Start, S::PowerOff | S::Aborted | S::Saved | S::Absent) => vec![Step::Start],
        (Operation::Start | Operation::Resume, S::Running) => vec![],
        (Operation::Start, S::Paused) => return refuse("resume it"),
        (Operation::Pause, S::Running) => vec![Step::Pause],
        (Operation::Pause, S::Paused) => vec![],
        (Operation::Resume, S::Paused) => vec![Step::Resume],
        (Operation::Pause | Operation::Resume | Operation::Reset | Operation::Save, _) if off => {
            return refuse("start it first");
        }
        (Operation::Save, S::Running | S::Paused) => vec![Step::Save],
        (Operation::Save, S::Saved) => vec![],
        (Operation::Reset, S::Running | S::Stuck) => vec![Step::Reset],
        (Operation::Reset, S::Paused) => return refuse("resume it first"),
        (Operation::PowerOff, S::Running | S::Paused | S::Stuck) => vec![Step::PowerOff],
        (Operation::PowerOff | Operation::Shutdown { .. }, _) if off => vec![],
        (Operation::PowerOff | Operation::Shutdown { .. }, S::Saved) => {
            return refuse("it is off; start it, or restore a snapshot to give its saved state up");
        }
        (Operation::Shutdown { grace }, S::Running | S::Paused) => {
            let mut tasks = vec![Task::Do(Step::PressPowerButton), Task::UntilOff(*grace)];
            if state == S::Paused {
                tasks.insert(0, Task::Do(Step::Resume));
            }
            return Ok(tasks);
        }
        (
            Operation::TakeSnapshot { name, description, .. },
            S::Running | S::Paused | S::Saved | S::PowerOff | S::Aborted,
        ) => {
            vec![Step::TakeSnapshot { name: name.clone(), description: description.clone() }]
        }
        (Operation::RestoreSnapshot(name), S::Running | S::Paused | S::Stuck) => {
            vec![Step::PowerOff, Step::RestoreSnapshot(name.clone()), Step::Start]
        }
        (Operation::RestoreSnapshot(name), S::PowerOff | S::Aborted | S::Saved) => {
            vec![Step::RestoreSnapshot(name.clone())]
        }
        (Operation::DeleteSnapshot(name), S::Running | S::Paused | S::Saved | S::PowerOff | S::Aborted) => {
            vec![Step::DeleteSnapshot(name.clone())]
        }
        (Operation::Set(settings), _) if settings.is_empty() => vec![],
        (Operation::Set(settings), _) => vec![Step::Set(settings.clone())],
        (Operation::Destroy { keep_disks, force }, _) => {
            if !force && machine.tag.as_deref() != Some(tag) {
                return Err(HypervisorError::NotOurs { machine: machine.name.clone(), tag: tag.to_owned() });
            }
            if state.is_on() && !force {
                return refuse("shut it down first");
            }
            let power = state.is_on().then_some(Step::PowerOff);
            power.into_iter().chain([Step::Destroy { keep_disks: *keep_disks }]).collect()
        }
        _ => return refuse(""),
    };
    Ok(steps.into_iter().map(Task::Do).collect())
}

/// The machines that are left over: ours by their tag, switched off, and nothing of their state is kept. One that runs,
/// is paused or saved is never collected, nor one that the hypervisor cannot read: its tag is not known.
pub(crate) fn leftovers<'a>(machines: impl IntoIterator<Item = &'a Machine>, tag: &str) -> Vec<&'a Machine> {
    let is_left = |machine: &&Machine| {
        !tag.is_empty()
            && machine.tag.as_deref() == Some(tag)
            && machine.problem.is_none()
            && matches!(machine.state, State::PowerOff | State::Aborted)
    };
    machines.into_iter().filter(is_left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::OffsetDateTime;

    fn machine(state: State) -> Machine {
        let mut machine = Machine::new("id", "vm1", OffsetDateTime::UNIX_EPOCH);
        (machine.state, machine.tag) = (state, Some("ours".into()));
        machine
    }

    fn decided(operation: &Operation, state: State) -> String {
        match decide(operation, &machine(state), "ours") {
            Ok(tasks) if tasks.is_empty() => "nothing to do".to_owned(),
            Ok(tasks) => format!("{tasks:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// One row a case: what is wanted, in which state, what comes of it.
    #[test]
    fn each_case_has_its_answer() {
        let shutdown = Operation::Shutdown { grace: Duration::from_secs(3) };
        let restore = Operation::RestoreSnapshot("clean".into());
        let destroy = |force| Operation::Destroy { keep_disks: false, force };
        let cases = [
            (Operation::Start, State::Saved, "[Do(Start)]"),
            (Operation::Start, State::Running, "nothing to do"),
            (Operation::Start, State::Paused, "vm1 is paused: it cannot be started; resume it"),
            (Operation::Pause, State::Paused, "nothing to do"),
            (Operation::Pause, State::PowerOff, "vm1 is poweroff: it cannot be paused; start it first"),
            (Operation::Resume, State::Running, "nothing to do"),
            (
                Operation::Save,
                State::Starting,
                "vm1 is busy: it is starting already, and that is not our doing",
            ),
            (Operation::PowerOff, State::Aborted, "nothing to do"),
            (Operation::Reset, State::Paused, "vm1 is paused: it cannot be reset; resume it first"),
            (shutdown.clone(), State::Running, "[Do(PressPowerButton), UntilOff(3s)]"),
            (shutdown, State::Paused, "[Do(Resume), Do(PressPowerButton), UntilOff(3s)]"),
            (restore.clone(), State::Running, "[Do(PowerOff), Do(RestoreSnapshot(\"clean\")), Do(Start)]"),
            (restore, State::PowerOff, "[Do(RestoreSnapshot(\"clean\"))]"),
            (destroy(false), State::Running, "vm1 is running: it cannot be removed; shut it down first"),
            (destroy(true), State::Running, "[Do(PowerOff), Do(Destroy { keep_disks: false })]"),
            (Operation::Set(Settings::default()), State::Running, "nothing to do"),
        ];
        for (operation, state, expected) in cases {
            assert_eq!(decided(&operation, state), expected, "{operation:?} in {state:?}");
        }
    }

    #[test]
    fn what_is_not_ours_is_removed_by_force_only() {
        let mut theirs = machine(State::PowerOff);
        theirs.tag = None;
        let error =
            decide(&Operation::Destroy { keep_disks: false, force: false }, &theirs, "ours").unwrap_err();
        assert_eq!(error.to_string(), "vm1 does not have our tag \"ours\": it is not removed without force");
        assert!(decide(&Operation::Destroy { keep_disks: false, force: true }, &theirs, "ours").is_ok());
    }

    fn states() -> impl Strategy<Value = State> {
        prop::sample::select(State::ALL)
    }

    fn operations() -> impl Strategy<Value = Operation> {
        prop::sample::select(vec![
            Operation::DeleteSnapshot("s".into()),
            Operation::Destroy { keep_disks: true, force: false },
            Operation::Pause,
            Operation::PowerOff,
            Operation::Reset,
            Operation::RestoreSnapshot("s".into()),
            Operation::Resume,
            Operation::Save,
            Operation::Shutdown { grace: Duration::ZERO },
            Operation::Start,
            Operation::TakeSnapshot { name: "s".into(), description: String::new(), replace: false },
        ])
    }

    proptest! {
        /// A refusal always says the machine and, where the state is the reason, the state.
        #[test]
        fn refusals_name_machine_and_state(operation in operations(), state in states()) {
            if let Err(error) = decide(&operation, &machine(state), "ours") {
                let text = error.to_string();
                prop_assert!(text.contains("vm1") && text.contains(state.as_str()), "{}", text);
            }
        }

        /// Only what has our tag, is off and readable is ever a leftover.
        #[test]
        fn leftovers_are_ours_and_off(
            all in prop::collection::vec((states(), prop::option::of("ours|theirs"), any::<bool>()), 0..20)
        ) {
            let machines: Vec<_> = all.iter().map(|(state, tag, broken)| {
                let mut it = machine(*state);
                it.tag.clone_from(tag);
                it.problem = broken.then(|| "its file is gone".to_owned());
                it
            }).collect();
            let expected = machines.iter().filter(|it| it.tag.as_deref() == Some("ours") && it.problem.is_none()
                && (it.state == State::PowerOff || it.state == State::Aborted)).count();
            let found = leftovers(&machines, "ours");
            prop_assert_eq!(found.len(), expected);
            prop_assert!(found.iter().all(|it| !it.state.is_on() && it.state != State::Saved));
            prop_assert!(leftovers(&machines, "").is_empty());
        }
    }
}
