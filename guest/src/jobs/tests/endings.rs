//! How jobs end, and that nothing of them is left when they are made to.

use super::super::JobError;
use super::*;

/// Three ways to get away from a parent, each of them asleep for so long.
fn runaways(time: &str) -> String {
    format!("setsid sh -c 'sleep {time} & sleep {time}' & (sleep {time} &); sleep {time}")
}

#[tokio::test]
async fn a_signal_is_told_from_an_exit_code() {
    let mut bed = Bed::new().await;
    for signal in [9, 15, 11, 34] {
        let results = bed.run(&format!("s{signal}"), shell(&format!("kill -{signal} $$"))).await;
        assert_eq!((results.finished, results.exit_code_or_signal), (false, Some(signal)));
        assert_eq!(results.state, EndState::Done);
    }
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree_however_detached() {
    assert!(is_there("setsid"), "this test needs setsid(1)");
    let mut bed = Bed::new().await;
    let time = unique_time();
    let asked = shell(&runaways(&time));
    let results = bed.run("late", option(option(asked, "timeout", "0.5"), "grace", "5")).await;
    assert_eq!(
        (results.state, results.finished, results.exit_code_or_signal),
        (EndState::Timeout, false, Some(15))
    );
    assert!((0.4..30.0).contains(&(results.ended - results.started)));
    assert_eq!(processes_with(&time), 0);
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed_after_the_grace() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    let asked = shell(&format!("trap '' TERM; (trap '' TERM; sleep {time}) & sleep {time}"));
    let results = bed.run("stubborn", option(option(asked, "timeout", "0.2"), "grace", "0.3")).await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Timeout, Some(9)));
    assert_eq!(processes_with(&time), 0);
}

#[tokio::test]
async fn a_program_that_cleans_up_in_its_grace_keeps_its_exit_code() {
    let mut bed = Bed::new().await;
    let asked = shell("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    bed.start("tidy", asked).await;
    bed.output_of("tidy", Part::Out, 6).await;
    bed.jobs.cancel("tidy", 15, None).await.unwrap();
    let results = bed.end_of("tidy").await;
    assert_eq!(
        (results.state, results.finished, results.exit_code_or_signal),
        (EndState::Cancelled, true, Some(5))
    );
    assert_eq!(bed.text("tidy", Part::Out).await, "ready\nbye\n");
}

#[tokio::test]
async fn a_second_cancel_can_shorten_the_grace() {
    let mut bed = Bed::new().await;
    bed.start("hurry", shell("trap '' TERM; echo ready; while :; do sleep 0.01; done")).await;
    bed.output_of("hurry", Part::Out, 6).await;
    bed.jobs.cancel("hurry", 15, Some(Duration::from_secs(3600))).await.unwrap();
    bed.jobs.cancel("hurry", 15, Some(Duration::ZERO)).await.unwrap();
    let results = bed.end_of("hurry").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Cancelled, Some(9)));
    assert!(matches!(bed.jobs.cancel("hurry", 15, None).await, Err(JobError::NotRunning { .. })));
}

#[tokio::test]
async fn a_stopped_command_can_be_cancelled() {
    let mut bed = Bed::new().await;
    bed.start("stopped", program("sleep", &["1000"])).await;
    assert_eq!(bed.jobs.signal("stopped", 19).await.unwrap(), 1);
    bed.jobs.cancel("stopped", 15, Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!(bed.end_of("stopped").await.exit_code_or_signal, Some(15));
}

#[tokio::test]
async fn a_signal_reaches_every_process() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    bed.start("tree", shell(&format!("{} & wait", runaways(&time)))).await;
    until(|| processes_with(&time) >= 4).await;
    assert!(bed.jobs.signal("tree", 9).await.unwrap() >= 5);
    let results = bed.end_of("tree").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Done, Some(9)));
    until(|| processes_with(&time) == 0).await;
    assert!(matches!(bed.jobs.signal("tree", 9).await, Err(JobError::NotRunning { .. })));
    assert!(matches!(bed.jobs.signal("tree", 65).await, Err(JobError::Invalid { .. })));
    assert!(matches!(bed.jobs.signal("nobody", 9).await, Err(JobError::Unknown { .. })));
}

#[tokio::test]
async fn background_processes_do_not_hold_up_the_end_and_are_left_alone() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    let results = bed.run("daemon", shell(&format!("echo $$; sleep {time} & exit 0"))).await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Done, Some(0)));
    until(|| processes_with(&time) == 1).await;
    let id = bed.text("daemon", Part::Out).await.trim().parse().unwrap();
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn resources_are_those_of_the_command_alone() {
    let mut bed = Bed::new().await;
    // A child of the program burns, so that it counts only if descendants do.
    let burner = shell("(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); exit 0");
    let burnt = bed.run("burn", burner).await.resources.unwrap();
    let idle = bed.run("idle", program("true", &[])).await.resources.unwrap();
    assert!(burnt.ru_utime > 0.05, "{burnt:?}");
    assert!(burnt.ru_utime > 5.0 * idle.ru_utime, "{burnt:?} {idle:?}");
    assert!(idle.ru_maxrss > 100 && idle.ru_minflt > 0, "{idle:?}");
}

#[tokio::test]
async fn usage_is_that_of_all_processes_while_they_run() {
    let mut bed = Bed::new().await;
    bed.start("busy", shell("while :; do :; done & while :; do :; done")).await;
    let usage = loop {
        let usage = bed.jobs.usage("busy").await.unwrap();
        if usage.processes == 2 && usage.cpu_s > 0.1 {
            break usage;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!((usage.user_s + usage.system_s - usage.cpu_s).abs() < 1e-9);
    assert!(usage.rss_bytes > 100_000);
    assert_eq!(usage.source, UsageSource::Proc);
    bed.jobs.cancel("busy", 15, Some(Duration::ZERO)).await.unwrap();
    bed.end_of("busy").await;
    assert!(matches!(bed.jobs.usage("busy").await, Err(JobError::NotRunning { .. })));
}

#[tokio::test]
async fn an_acknowledged_command_is_forgotten_after_its_time() {
    let mut bed = Bed::with(|config| config.keep = Duration::ZERO).await;
    bed.start("brief", shell("echo hi; sleep 1000")).await;
    assert!(matches!(bed.jobs.acknowledge("brief").await, Err(JobError::NotEnded { .. })));
    bed.jobs.cancel("brief", 15, Some(Duration::ZERO)).await.unwrap();
    bed.end_of("brief").await;
    let folder = bed.dir.path().join("jobs/brief");
    assert!(folder.exists());
    bed.jobs.acknowledge("brief").await.unwrap();
    until(|| !folder.exists()).await;
    assert!(matches!(bed.jobs.read("brief", Part::Out, 0, 9).await, Err(JobError::Unknown { .. })));
    assert!(matches!(bed.jobs.acknowledge("never").await, Err(JobError::Unknown { .. })));
}

#[tokio::test]
async fn the_list_tells_what_runs_and_what_ended() {
    let mut bed = Bed::new().await;
    bed.start("runs", option(program("sleep", &["1000"]), "on-disconnect", "kill")).await;
    bed.run("ended", shell("echo out; exit 2")).await;
    bed.jobs.acknowledge("ended").await.unwrap();
    let list = bed.jobs.list().await.unwrap();
    let [ended, runs] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!((ended.cmd_id.as_str(), runs.cmd_id.as_str()), ("ended", "runs"));
    assert_eq!(
        (runs.on_disconnect, runs.results.is_none(), runs.acknowledged),
        (OnDisconnect::Kill, true, false)
    );
    assert_eq!((ended.out_bytes, ended.acknowledged), (4, true));
    assert_eq!(ended.results.as_ref().unwrap().exit_code_or_signal, Some(2));
    bed.jobs.cancel("runs", 15, None).await.unwrap();
    bed.end_of("runs").await;
}

#[tokio::test]
async fn a_supervisor_told_to_end_cancels_its_job() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    bed.start("shutdown", shell(&format!("sleep {time}"))).await;
    restarts::kill_supervisor(&bed, "shutdown", nix::sys::signal::SIGTERM);
    let results = bed.end_of("shutdown").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Cancelled, Some(15)));
    assert_eq!(results.error.map(|error| error.code), None);
}
