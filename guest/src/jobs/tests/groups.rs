//! Cgroups of commands, made in whatever this machine has; and supervisors that are there before their commands.

use std::path::PathBuf;

use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;

use super::super::JobError;
use super::restarts::{kill_supervisor, supervisor};
use super::*;
use crate::job::cgroup::Parent;
use crate::job::folder::{Folder, read_json};
use crate::job::record::Supervisor;

/// Jobs with cgroups, where this machine lets us make them.
async fn with_groups() -> Option<Bed> {
    let bed = Bed::with(|config| config.cgroups = true).await;
    if bed.jobs.context.cgroups.is_none() {
        eprintln!("skipped: no cgroup (version 2) may be divided by this user here");
        return None;
    }
    // Commands that are asked for sooner get none.
    until(|| groups(&bed.jobs.context.config).iter().any(|group| !members(group).is_empty())).await;
    Some(bed)
}

/// The groups of this agent.
fn groups(config: &JobsConfig) -> Vec<PathBuf> {
    let prefix = Parent::find(&config.dir).unwrap().path_prefix();
    let (folder, prefix) = (prefix.parent().unwrap(), prefix.file_name().unwrap().to_str().unwrap());
    let all = std::fs::read_dir(folder).unwrap().flatten();
    let ours = all.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)));
    ours.map(|entry| entry.path()).collect()
}

/// Ends the agent, as often as not before its supervisors; the next one finds nothing but empty groups.
async fn over(bed: Bed) {
    let config = bed.jobs.context.config.clone();
    let _dir = bed.stop().await;
    until(|| {
        Parent::find(&config.dir).unwrap().sweep();
        groups(&config).is_empty()
    })
    .await;
}

fn group(bed: &Bed, cmd_id: &str) -> PathBuf {
    let folder = Folder::new(bed.dir.path().join("jobs").join(cmd_id));
    read_json::<Supervisor>(&folder.supervisor()).unwrap().group.unwrap()
}

fn members(group: &Path) -> Vec<String> {
    std::fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn usage_is_what_the_cgroup_says() {
    let Some(mut bed) = with_groups().await else { return };
    let times = [unique_time(), unique_time()];
    let burner = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    bed.start("busy", shell(&format!("(sleep {} &); {burner}; echo burnt; sleep {}", times[0], times[1])))
        .await;
    bed.output_of("busy", Part::Out, 6).await;
    let usage = bed.jobs.usage("busy").await.unwrap();
    assert_eq!(usage.source, UsageSource::Cgroup);
    assert!(usage.cpu_s > 0.05 && (usage.user_s + usage.system_s - usage.cpu_s).abs() < 1e-9, "{usage:?}");
    assert!(usage.rss_bytes > 100_000, "{usage:?}");
    // The kernel counts in microseconds; the process table does not.
    assert!((usage.cpu_s * 100.0).fract() > 1e-6, "{usage:?}");

    let group = group(&bed, "busy");
    let its_supervisor = supervisor(&bed, "busy").to_string();
    until(|| !members(&group).contains(&its_supervisor)).await;
    // The shell and both that sleep.
    until(|| members(&group).len() == 3).await;
    assert_eq!(bed.jobs.usage("busy").await.unwrap().processes, 3);
    bed.jobs.cancel("busy", 15, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(bed.end_of("busy").await.state, EndState::Cancelled);
    until(|| !group.exists()).await;
    assert!(matches!(bed.jobs.usage("busy").await, Err(JobError::NotRunning { .. })));
    over(bed).await;
}

#[tokio::test]
async fn nobody_leaves_the_cgroup_of_a_command_whose_supervisor_was_killed() {
    assert!(is_there("setsid"), "this test needs setsid(1)");
    let Some(mut bed) = with_groups().await else { return };
    let time = unique_time();
    // Of another session and a child of nobody here: only the cgroup tells whose it is.
    bed.start("lost", shell(&format!("setsid sh -c 'sleep {time} & exit'; echo out; sleep {time}"))).await;
    bed.output_of("lost", Part::Out, 4).await;
    until(|| processes_with(&time) == 2).await;
    let group = group(&bed, "lost");
    kill_supervisor(&bed, "lost", SIGKILL);
    assert_eq!(bed.end_of("lost").await.state, EndState::Lost);
    assert_eq!(processes_with(&time), 0);
    until(|| !group.exists()).await;
    over(bed).await;
}

#[tokio::test]
async fn processes_in_the_background_keep_their_cgroup_until_the_agent_comes_again() {
    let Some(mut bed) = with_groups().await else { return };
    let time = unique_time();
    let results = bed.run("daemon", shell(&format!("sleep {time} & exit 0"))).await;
    assert_eq!(results.state, EndState::Done);
    let group = group(&bed, "daemon");
    until(|| members(&group).len() == 1).await;
    let daemon = members(&group).concat();
    let cgroups = || Parent::find(&bed.jobs.context.config.dir).unwrap();
    // What it may have made in its own, and not be in yet, is left alone as well.
    let below = group.join("below");
    std::fs::create_dir(&below).unwrap();
    cgroups().sweep();
    assert!(below.exists(), "somebody is in it");
    kill(Pid::from_raw(daemon.parse().unwrap()), SIGKILL).unwrap();
    until(|| members(&group).is_empty()).await;
    cgroups().sweep();
    assert!(!group.exists());
    over(bed).await;
}

fn spare(bed: &Bed) -> i32 {
    let spare = bed.jobs.context.spare.lock().unwrap();
    i32::try_from(spare.as_ref().unwrap().pid().unwrap()).unwrap()
}

#[tokio::test]
async fn the_next_command_has_a_supervisor_already() {
    let mut bed = Bed::new().await;
    let waiting = spare(&bed);
    bed.start("next", option(shell("echo out; sleep 1000"), "nice", "5")).await;
    assert_eq!(supervisor(&bed, "next"), waiting);
    bed.output_of("next", Part::Out, 4).await;
    bed.jobs.cancel("next", 15, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(bed.end_of("next").await.state, EndState::Cancelled);
    // There is one again, for the one after that, once it was heard that this one had started.
    until(|| bed.jobs.context.spare.lock().unwrap().is_some()).await;
    let waiting = spare(&bed);
    bed.run("last", shell("true")).await;
    assert_eq!(supervisor(&bed, "last"), waiting);
}

#[tokio::test]
async fn a_supervisor_that_was_killed_while_it_waited_is_not_missed() {
    let mut bed = Bed::new().await;
    let waiting = spare(&bed);
    kill(Pid::from_raw(waiting), SIGKILL).unwrap();
    // Its memory goes before its end of the line does: only a zombie has neither.
    until(|| {
        std::fs::read_to_string(format!("/proc/{waiting}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    })
    .await;
    assert_eq!(bed.run("next", shell("exit 3")).await.exit_code_or_signal, Some(3));
    assert_ne!(supervisor(&bed, "next"), waiting);
}

#[tokio::test]
async fn a_supervisor_that_waits_ends_with_its_agent() {
    let bed = Bed::new().await;
    let waiting = spare(&bed);
    let dir = bed.stop().await;
    until(|| std::fs::read(format!("/proc/{waiting}/cmdline")).unwrap_or_default().is_empty()).await;
    drop(dir);
}
