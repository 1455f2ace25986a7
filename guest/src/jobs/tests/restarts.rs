//! Agents and supervisors come and go, and machines too.

use nix::sys::signal::{SIGKILL, Signal, kill};
use nix::unistd::Pid;

use super::super::JobError;
use super::*;
use crate::job::folder::{Folder, read_json};
use crate::job::processes::Identity;
use crate::job::record::Record;

fn folder(bed: &Bed, cmd_id: &str) -> Folder {
    Folder::new(bed.dir.path().join("jobs").join(cmd_id))
}

pub(super) fn supervisor(bed: &Bed, cmd_id: &str) -> i32 {
    read_json::<Identity>(&folder(bed, cmd_id).supervisor()).unwrap().pid
}

pub(super) fn kill_supervisor(bed: &Bed, cmd_id: &str, signal: Signal) {
    kill(Pid::from_raw(supervisor(bed, cmd_id)), signal).unwrap();
}

#[tokio::test]
async fn a_running_command_is_followed_again_by_the_next_agent() {
    let bed = Bed::new().await;
    let asked = shell("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; exit 6");
    bed.start("lives", asked.clone()).await;
    let mut bed = bed.again().await;
    assert!(bed.jobs.start("lives", asked).await.unwrap().already);
    bed.output_of("lives", Part::Out, 4).await;
    std::fs::write(bed.dir.path().join("go"), "").unwrap();
    let results = bed.end_of("lives").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Done, Some(6)));
    assert_eq!(bed.text("lives", Part::Out).await, "one\ntwo\n");
}

#[tokio::test]
async fn a_killed_agent_takes_no_command_with_it() {
    const AS_AGENT: &str = "as-agent";
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == AS_AGENT) {
        let (jobs, _events, _task) = Jobs::open(test_config(Path::new(&arguments[at + 1]))).await.unwrap();
        jobs.start("orphan", shell("echo one; while [ ! -e go ]; do sleep 0.01; done; exit 8"))
            .await
            .unwrap();
        std::future::pending::<()>().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let test =
        concat!(module_path!(), "::a_killed_agent_takes_no_command_with_it").split_once("::").unwrap().1;
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--quiet", test, AS_AGENT])
        .arg(dir.path())
        .spawn()
        .unwrap();
    let folder = Folder::new(dir.path().join("jobs/orphan"));
    until(|| folder.spooled(Part::Out) == 4).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    std::fs::write(dir.path().join("go"), "").unwrap();
    let mut bed = Bed::open(dir, |_| {}).await;
    let results = bed.end_of("orphan").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Done, Some(8)));
}

#[tokio::test]
async fn a_command_that_ends_without_an_agent_is_announced_by_the_next() {
    let bed = Bed::new().await;
    bed.start("alone", shell("while [ ! -e go ]; do sleep 0.01; done; echo done; exit 7")).await;
    let result = folder(&bed, "alone").result();
    let dir = bed.stop().await;
    std::fs::write(dir.path().join("go"), "").unwrap();
    until(|| result.exists()).await;
    let mut bed = Bed::open(dir, |_| {}).await;
    assert_eq!(bed.end_of("alone").await.exit_code_or_signal, Some(7));
}

#[tokio::test]
async fn an_end_is_announced_after_every_restart_until_it_is_acknowledged() {
    let mut bed = Bed::new().await;
    let first = bed.run("again", shell("echo text; exit 1")).await;
    let mut bed = bed.again().await;
    assert_eq!(bed.end_of("again").await, first);
    bed.jobs.acknowledge("again").await.unwrap();
    let mut bed = bed.again().await;
    let list = bed.jobs.list().await.unwrap();
    assert!(list.iter().any(|job| job.cmd_id == "again" && job.acknowledged && job.results.is_some()));
    // What comes next is another command's: the acknowledged one stays silent.
    bed.run("other", shell("true")).await;
    assert!(!bed.ended.contains_key("again"));
}

#[tokio::test]
async fn the_time_of_an_acknowledged_command_goes_on_over_a_restart() {
    let mut bed = Bed::new().await;
    bed.run("old", shell("true")).await;
    assert!(folder(&bed, "old").spool(Part::Out).exists());
    bed.jobs.acknowledge("old").await.unwrap();
    assert!(!folder(&bed, "old").spool(Part::Out).exists(), "the host has it");
    let path = folder(&bed, "old").path().to_owned();
    let dir = bed.stop().await;
    let bed = Bed::open(dir, |config| config.keep = Duration::from_millis(1)).await;
    until(|| !path.exists()).await;
    drop(bed);
}

#[tokio::test]
async fn a_killed_supervisor_means_a_lost_job_that_keeps_its_output_and_leaves_nobody() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    bed.start("lost", shell(&format!("echo kept; (sleep {time} &); setsid sleep {time} & sleep {time}")))
        .await;
    bed.output_of("lost", Part::Out, 5).await;
    until(|| processes_with(&time) == 3).await;
    kill_supervisor(&bed, "lost", SIGKILL);
    let results = bed.end_of("lost").await;
    assert_eq!((results.state, results.finished, results.exit_code_or_signal), (EndState::Lost, false, None));
    assert_eq!((results.out_bytes, &results.resources), (5, &None));
    assert_eq!(results.error.as_ref().unwrap().code, FailureCode::SupervisorGone.as_str());
    assert_eq!(bed.text("lost", Part::Out).await, "kept\n");
    until(|| processes_with(&time) == 0).await;
    assert_eq!(bed.again().await.end_of("lost").await, results);
}

#[tokio::test]
async fn a_supervisor_that_died_without_an_agent_is_found_out() {
    let bed = Bed::new().await;
    let time = unique_time();
    bed.start("lost", shell(&format!("sleep {time}"))).await;
    let pid = supervisor(&bed, "lost");
    let dir = bed.stop().await;
    kill(Pid::from_raw(pid), SIGKILL).unwrap();
    let mut bed = Bed::open(dir, |_| {}).await;
    assert_eq!(bed.end_of("lost").await.state, EndState::Lost);
    until(|| processes_with(&time) == 0).await;
}

#[tokio::test]
async fn after_a_restart_of_the_guest_an_unfinished_job_is_lost() {
    let mut bed = Bed::new().await;
    bed.run("before", shell("echo kept; exit 1")).await;
    let folder = folder(&bed, "before");
    let dir = bed.stop().await;
    let mut record: Record = read_json(&folder.record()).unwrap();
    record.boot_id = "another".to_owned();
    Folder::write_briefly(&folder.record(), &record).unwrap();
    std::fs::remove_file(folder.result()).unwrap();
    let mut bed = Bed::open(dir, |_| {}).await;
    let results = bed.end_of("before").await;
    let error = results.error.unwrap();
    assert_eq!(
        (results.state, error.code, results.out_bytes),
        (EndState::Lost, FailureCode::GuestRestarted.into(), 5)
    );
    assert!(error.message.contains("the guest was restarted"));
}

#[tokio::test]
async fn results_whose_output_did_not_come_to_the_disk_before_the_machine_stopped_are_not_told() {
    let mut bed = Bed::new().await;
    bed.run("torn", shell("echo text")).await;
    bed.run("whole", shell("echo text")).await;
    let folders = ["torn", "whole"].map(|cmd_id| folder(&bed, cmd_id));
    let dir = bed.stop().await;
    for folder in &folders {
        let mut record: Record = read_json(&folder.record()).unwrap();
        record.boot_id = "another".to_owned();
        Folder::write_briefly(&folder.record(), &record).unwrap();
    }
    std::fs::write(folders[0].spool(Part::Out), "te").unwrap();
    let (jobs, mut events, _task) = Jobs::open(test_config(dir.path())).await.unwrap();
    let mut states = BTreeMap::new();
    while states.len() < 2 {
        if let JobEvent::Ended { cmd_id, results } = events.recv().await.unwrap() {
            states.insert(cmd_id, (results.state, results.out_bytes));
        }
    }
    assert_eq!(states["torn"], (EndState::Lost, 2));
    assert_eq!(states["whole"], (EndState::Done, 5));
    drop(jobs);
}

#[tokio::test]
async fn a_job_that_was_recorded_and_not_started_any_more_is_started_once_by_the_next_agent() {
    let mut bed = Bed::new().await;
    let mark = bed.dir.path().join("mark");
    bed.run("recorded", shell(&format!("touch {}", mark.display()))).await;
    let folder = folder(&bed, "recorded");
    let pid = supervisor(&bed, "recorded");
    let dir = bed.stop().await;
    until(|| !Snapshot::take().unwrap().pids().any(|other| other == pid)).await;
    for file in
        [folder.result(), folder.supervisor(), folder.spool(Part::Out), folder.spool(Part::Err), mark.clone()]
    {
        std::fs::remove_file(file).unwrap();
    }
    let mut bed = Bed::open(dir, |_| {}).await;
    let results = bed.end_of("recorded").await;
    assert_eq!((results.state, results.error), (EndState::Done, None));
    assert!(mark.exists());
    std::fs::remove_file(&mark).unwrap();
    let mut bed = bed.again().await;
    assert_eq!(bed.end_of("recorded").await.state, EndState::Done);
    assert!(!mark.exists(), "it has run once already");
}

#[tokio::test]
async fn that_nothing_was_run_is_told_only_when_no_agent_will_run_it() {
    let mut bed = Bed::new().await;
    bed.run("recorded", shell("true")).await;
    let folder = folder(&bed, "recorded");
    let pid = supervisor(&bed, "recorded");
    let dir = bed.stop().await;
    until(|| !Snapshot::take().unwrap().pids().any(|other| other == pid)).await;
    for file in [folder.result(), folder.supervisor(), folder.spool(Part::Out), folder.spool(Part::Err)] {
        std::fs::remove_file(file).unwrap();
    }
    // In the way of the results, as a full disk would be.
    let in_the_way = folder.path().join("result.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let mut bed = Bed::open(dir, |_| {}).await;
    let too_early = tokio::time::timeout(Duration::from_millis(700), bed.end_of("recorded")).await;
    assert!(too_early.is_err(), "the next agent would start it: {too_early:?}");
    std::fs::remove_dir(&in_the_way).unwrap();
    let results = bed.end_of("recorded").await;
    assert_eq!(results.error.as_ref().unwrap().code, FailureCode::NotStarted.as_str());
    assert!(!folder.spool(Part::Out).exists());
    assert_eq!(bed.again().await.end_of("recorded").await, results);
}

#[tokio::test]
async fn what_was_not_recorded_in_full_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let half = dir.path().join("jobs/half");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("job.json"), "{").unwrap();
    let mut bed = Bed::open(dir, |_| {}).await;
    assert!(bed.jobs.list().await.unwrap().is_empty());
    assert_eq!(bed.run("half", shell("exit 4")).await.exit_code_or_signal, Some(4));
}

#[tokio::test]
async fn a_supervisor_whose_folder_is_gone_ends_with_its_program() {
    let bed = Bed::new().await;
    bed.start("gone", shell("while [ ! -e go ]; do sleep 0.01; done")).await;
    let pid = supervisor(&bed, "gone");
    let folder = folder(&bed, "gone");
    let dir = bed.stop().await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::write(dir.path().join("go"), "").unwrap();
    until(|| !Snapshot::take().unwrap().pids().any(|other| other == pid)).await;
}

#[tokio::test]
async fn a_second_agent_is_kept_out() {
    let bed = Bed::new().await;
    let refusal = Jobs::open(test_config(bed.dir.path())).await.unwrap_err();
    assert!(matches!(refusal, JobError::InUse { .. }), "{refusal}");
}
