//! The engine over a fake hypervisor: one thing at a time, in time, only what is ours.

use super::engine::{Notice, Settings, start};
use super::fake::Fake;
use super::policy::Operation;
use super::request::{Op, Phase, over};
use super::service::{Collected, Machines};
use super::{Create, DriverEvent, HypervisorError, State, Step};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

struct Lab {
    machines: Machines,
    notices: mpsc::Receiver<Notice>,
    fake: Fake,
    _stop: DropGuard,
}

impl Lab {
    fn new(machines: &[(&str, State)]) -> Self {
        Self::over(Fake::with(machines))
    }

    fn over(fake: Fake) -> Self {
        let stop = CancellationToken::new();
        let settings = Settings { tag: "ours".into(), operation_timeout: Duration::from_secs(60) };
        let (machines, notices, _task) = start(Arc::new(fake.clone()), settings, stop.clone());
        Self { machines, notices, fake, _stop: stop.drop_guard() }
    }

    async fn does(&self, which: &str, operation: Operation) -> Op {
        over(self.machines.begin(which, operation, None).await.unwrap()).await
    }

    async fn notice(&mut self, kind: &str) -> Notice {
        loop {
            let notice = self.notices.recv().await.unwrap();
            if notice.kind == kind {
                return notice;
            }
        }
    }
}

fn failure(op: &Op) -> String {
    match &op.phase {
        Phase::Failed(error) => error.to_string(),
        other => panic!("not failed: {other:?}"),
    }
}

fn shutdown() -> Operation {
    Operation::Shutdown { grace: Duration::from_secs(20) }
}

#[tokio::test(start_paused = true)]
async fn what_is_as_wanted_already_is_done_without_a_change() {
    let lab = Lab::new(&[("vm1", State::Running)]);
    assert_eq!(lab.does("vm1", Operation::Start).await.phase, Phase::Done { changed: false });
    let paused = lab.does("vm1", Operation::Pause).await;
    assert_eq!((paused.phase, paused.state), (Phase::Done { changed: true }, Some(State::Paused)));
    assert_eq!(lab.does("vm1", Operation::Pause).await.phase, Phase::Done { changed: false });
    assert_eq!(lab.fake.inside().done, ["id-vm1 Pause"]);
    assert_eq!(lab.machines.find("08:00:27:00:00:00").await.unwrap().state, State::Paused, "the view is new");
}

#[tokio::test(start_paused = true)]
async fn operations_on_one_machine_wait_for_each_other_and_those_on_two_do_not() {
    let lab = Lab::new(&[("vm1", State::PowerOff), ("vm2", State::PowerOff)]);
    lab.fake.inside().slow = Duration::from_secs(10);
    let began = Instant::now();
    let all = [
        lab.machines.begin("vm1", Operation::Start, None).await.unwrap(),
        lab.machines.begin("vm1", Operation::Pause, None).await.unwrap(),
        lab.machines.begin("vm2", Operation::Start, None).await.unwrap(),
        lab.machines.begin("vm1", Operation::Save, None).await.unwrap(),
    ];
    assert_eq!(all[1].borrow().phase, Phase::Waiting);
    for op in all {
        assert_eq!(over(op).await.phase, Phase::Done { changed: true });
    }
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let done: Vec<_> = lab.fake.inside().done.iter().filter(|it| it.contains("vm1")).cloned().collect();
    assert_eq!(done, ["id-vm1 Start", "id-vm1 Pause", "id-vm1 Save"]);
    assert_eq!(lab.fake.inside().most_at_once, 1);
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_given_up_at_its_deadline_and_the_next_one_has_its_turn() {
    let lab = Lab::new(&[("vm1", State::PowerOff)]);
    lab.fake.inside().slow = Duration::from_secs(1000);
    let slow = lab.machines.begin("vm1", Operation::Start, Some(Duration::from_secs(5))).await.unwrap();
    let late = lab.machines.begin("vm1", Operation::Pause, Some(Duration::from_secs(2))).await.unwrap();
    let next = lab.machines.begin("vm1", Operation::Start, None).await.unwrap();
    assert_eq!(failure(&over(late).await), "vm1 is busy: start (op1) is under way, and 2 wait");
    assert_eq!(failure(&over(slow).await), "start of vm1 was given up after 5 s");
    lab.fake.inside().slow = Duration::ZERO;
    // It had begun while everything was slow: so it is given up too, at its own deadline.
    assert_eq!(failure(&over(next).await), "start of vm1 was given up after 60 s");
    assert_eq!(lab.does("vm1", Operation::Start).await.phase, Phase::Done { changed: true });
    assert_eq!(lab.fake.inside().most_at_once, 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_that_wait_are_refused() {
    let lab = Lab::new(&[("vm1", State::Running)]);
    lab.fake.inside().slow = Duration::from_secs(1);
    let mut waiting = Vec::new();
    let refused = loop {
        match lab.machines.begin("vm1", Operation::Reset, None).await {
            Ok(op) => waiting.push(op),
            Err(error) => break error,
        }
    };
    assert_eq!(waiting.len(), 17, "one that is under way, sixteen that wait");
    assert_eq!(refused.to_string(), "vm1 is busy: reset (op1) is under way, and 16 wait");
    for op in waiting {
        assert_eq!(over(op).await.phase, Phase::Done { changed: true });
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_shuts_down_does_and_one_that_does_not_loses_its_power() {
    let lab = Lab::new(&[("vm1", State::Running), ("vm2", State::Running)]);
    lab.fake.inside().listens = true;
    let began = Instant::now();
    assert_eq!(lab.does("vm1", shutdown()).await.state, Some(State::PowerOff));
    assert_eq!(began.elapsed(), Duration::ZERO);
    lab.fake.inside().listens = false;
    assert_eq!(lab.does("vm2", shutdown()).await.state, Some(State::PowerOff));
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    let done = lab.fake.inside().done.clone();
    assert_eq!(done, ["id-vm1 PressPowerButton", "id-vm2 PressPowerButton", "id-vm2 PowerOff"]);
}

#[tokio::test(start_paused = true)]
async fn the_hypervisors_own_words_reach_whoever_asked() {
    let lab = Lab::new(&[("vm1", State::PowerOff)]);
    lab.fake.inside().fails.push(Step::Start);
    let op = lab.does("vm1", Operation::Start).await;
    assert_eq!(failure(&op), "Start of id-vm1: the fake says no [E_FAKE 1]");
    assert_eq!(op.state, Some(State::PowerOff));
    let refused = lab.does("vm1", Operation::Pause).await;
    assert_eq!(failure(&refused), "vm1 is poweroff: it cannot be paused; start it first");
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_taken_once_replaced_on_request_and_restored_with_the_machine_on_again() {
    let lab = Lab::new(&[("vm1", State::Running)]);
    let take =
        |replace| Operation::TakeSnapshot { name: "clean".into(), description: String::new(), replace };
    assert_eq!(lab.does("vm1", take(false)).await.phase, Phase::Done { changed: true });
    assert_eq!(failure(&lab.does("vm1", take(false)).await), "vm1 has a snapshot clean already");
    assert_eq!(lab.does("vm1", take(true)).await.phase, Phase::Done { changed: true });
    let all = lab.machines.snapshots("vm1").await.unwrap();
    assert_eq!(all.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["s2"]);
    assert_eq!(lab.does("vm1", Operation::RestoreSnapshot("clean".into())).await.state, Some(State::Running));
    let missing = lab.does("vm1", Operation::RestoreSnapshot("dirty".into())).await;
    assert_eq!(failure(&missing), "vm1 has no snapshot dirty");
    assert!(lab.fake.inside().done.ends_with(&[
        "id-vm1 PowerOff".to_owned(),
        "id-vm1 RestoreSnapshot(\"clean\")".to_owned(),
        "id-vm1 Start".to_owned(),
    ]));
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_made_once() {
    let mut lab = Lab::new(&[]);
    lab.fake.inside().slow = Duration::from_secs(3);
    let wanted = Create::new("vm4".to_owned().try_into().unwrap());
    let made = lab.machines.create(wanted.clone(), None).await.unwrap();
    let twice = lab.machines.create(wanted, None).await.unwrap_err();
    assert_eq!(twice, HypervisorError::Exists("vm4".into()));
    let made = over(made).await;
    assert_eq!((made.phase, made.machine_id.as_deref()), (Phase::Done { changed: true }, Some("id-vm4")));
    assert_eq!(lab.notice("vm.created").await.machine.as_deref(), Some("vm4"));
}

#[tokio::test(start_paused = true)]
async fn what_happens_behind_our_back_is_known_and_told() {
    let mut lab = Lab::new(&[("vm1", State::Running), ("vm2", State::PowerOff)]);
    lab.machines.read().await.unwrap();
    lab.fake.changes("id-vm1", |machine| machine.state = State::Aborted);
    let notice = lab.notice("vm.state").await;
    assert_eq!((notice.machine.as_deref(), notice.text.as_str()), (Some("vm1"), "aborted"));
    assert_eq!(notice.data["was"], "running");
    lab.fake.changes("id-vm2", |machine| machine.cards[0].mac = "08:00:27:00:00:00".into());
    let notice = lab.notice("vm.duplicate-mac").await;
    assert!(
        notice.text.starts_with("vm1 and vm2 have the same address 08:00:27:00:00:00"),
        "{}",
        notice.text
    );
    let error = lab.machines.find("08:00:27:00:00:00").await.unwrap_err();
    assert_eq!(error.kind().slug(), "duplicate-mac");
    let waited = lab.machines.wait("vm2", &[State::Running], Instant::now() + Duration::from_secs(5));
    let (waited, ()) = tokio::join!(waited, async {
        lab.fake.changes("id-vm2", |machine| machine.state = State::Running);
    });
    assert_eq!(waited.unwrap(), State::Running);
    lab.fake.inside().machines.remove("id-vm1");
    lab.fake.tells(DriverEvent::Machine("id-vm1".into()));
    assert_eq!(lab.notice("vm.removed").await.machine.as_deref(), Some("vm1"));
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_does_not_answer_is_named_and_asked_again() {
    let fake = Fake::with(&[("vm1", State::Running)]);
    fake.inside().gone = Some("its service has ended".into());
    let mut lab = Lab::over(fake);
    let error = lab.machines.find("vm1").await.unwrap_err();
    assert_eq!(error.to_string(), "the fake does not answer: its service has ended");
    assert_eq!(lab.notice("vm.hypervisor").await.machine, None);
    lab.fake.inside().gone = None;
    let mut view = lab.machines.view.clone();
    view.wait_for(|view| view.problem.is_none() && view.is_read).await.unwrap();
    assert_eq!(lab.machines.find("vm1").await.unwrap().state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn only_leftovers_of_ours_are_collected() {
    let lab = Lab::new(&[
        ("left", State::PowerOff),
        ("died", State::Aborted),
        ("runs", State::Running),
        ("saved", State::Saved),
        ("theirs", State::PowerOff),
        ("nobodys", State::PowerOff),
    ]);
    {
        let mut inside = lab.fake.inside();
        for machine in inside.machines.values_mut().filter(|it| it.name != "nobodys") {
            machine.tag = Some(if machine.name == "theirs" { "theirs" } else { "ours" }.to_owned());
        }
    }
    let names = |all: Vec<Collected>| {
        all.into_iter().map(|it| (it.machine.name, it.removed.unwrap())).collect::<Vec<_>>()
    };
    let looked = lab.machines.collect("ours", true).await.unwrap();
    assert_eq!(names(looked), [("died".into(), false), ("left".into(), false)]);
    assert_eq!(lab.fake.inside().machines.len(), 6, "looking removes nothing");
    let removed = lab.machines.collect("ours", false).await.unwrap();
    assert_eq!(names(removed), [("died".into(), true), ("left".into(), true)]);
    let left: Vec<_> = lab.fake.inside().machines.values().map(|it| it.name.clone()).collect();
    assert_eq!(left, ["nobodys", "runs", "saved", "theirs"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_started_again_in_time_is_not_collected() {
    let lab = Lab::new(&[("vm1", State::PowerOff)]);
    lab.fake.inside().machines.get_mut("id-vm1").unwrap().tag = Some("ours".into());
    lab.machines.read().await.unwrap();
    lab.fake.inside().slow = Duration::from_secs(1);
    let started = lab.machines.begin("vm1", Operation::Start, None).await.unwrap();
    let collected = lab.machines.collect("ours", false).await.unwrap();
    assert_eq!(over(started).await.phase, Phase::Done { changed: true });
    let error = collected[0].removed.clone().unwrap_err().to_string();
    assert_eq!(error, "vm1 is running: it cannot be collected; it is not left over any more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked of whom, however slow and unlucky the hypervisor is: no two things are done to one machine at
    /// once, every operation ends, none later than its turn and its deadline allow, and the view is what is there.
    #[test]
    fn every_operation_ends_and_none_meets_another(
        asked in prop::collection::vec((0_usize..3, 0_usize..8, 1_u64..40), 1..40),
        slow in 0_u64..30,
        listens in any::<bool>(),
        fails in any::<bool>(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new(&[("a", State::PowerOff), ("b", State::Running), ("c", State::Paused)]);
            {
                let mut inside = lab.fake.inside();
                (inside.slow, inside.listens) = (Duration::from_secs(slow), listens);
                if fails {
                    inside.fails = vec![Step::Save];
                }
            }
            let mut ops = Vec::new();
            for (machine, operation, limit) in asked {
                let operation = match operation {
                    0 => Operation::Start,
                    1 => Operation::Pause,
                    2 => Operation::Resume,
                    3 => Operation::Save,
                    4 => Operation::PowerOff,
                    5 => shutdown(),
                    6 => Operation::TakeSnapshot { name: "s".into(), description: String::new(), replace: true },
                    _ => Operation::RestoreSnapshot("s".into()),
                };
                let which = ["a", "b", "c"][machine];
                match lab.machines.begin(which, operation, Some(Duration::from_secs(limit))).await {
                    Ok(op) => ops.push(op),
                    Err(HypervisorError::Busy { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            // Seventeen of at most forty seconds each is the longest queue.
            let all = futures_util::future::join_all(ops.into_iter().map(over));
            let all = tokio::time::timeout(Duration::from_secs(17 * 40 + 1), all).await.expect("they all end");
            for op in &all {
                assert!(op.is_over() && op.ended.is_some());
            }
            assert!(lab.fake.inside().most_at_once <= 1);
            for machine in lab.fake.inside().machines.values() {
                assert_eq!(lab.machines.view().machines[&machine.id].state, machine.state);
            }
        });
    }
}
