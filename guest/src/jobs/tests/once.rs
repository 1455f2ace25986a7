//! Programs that are read to their end while somebody waits.

use super::super::JobError;
use super::*;

#[tokio::test]
async fn all_of_the_output_comes_back() {
    let bed = Bed::new().await;
    let output =
        bed.jobs.run_once(shell("echo $FROM_AGENT; printf 'e\\377' >&2; exit 3"), 100).await.unwrap();
    assert_eq!((output.finished, output.exit_code_or_signal), (true, 3));
    assert_eq!((output.out.as_slice(), output.err.as_slice()), (&b"yes\n"[..], &b"e\xff"[..]));
    let output = bed.jobs.run_once(option(program("cat", &[]), "stdin", "AAE="), 2).await.unwrap();
    assert_eq!(output.out, [0, 1]);
    let output = bed.jobs.run_once(shell("kill -11 $$"), 0).await.unwrap();
    assert_eq!((output.finished, output.exit_code_or_signal), (false, 11));
}

#[tokio::test]
async fn too_much_output_is_an_error_and_never_a_cut() {
    let bed = Bed::new().await;
    let time = unique_time();
    let refusal =
        bed.jobs.run_once(shell(&format!("printf 123; printf 45 >&2; sleep {time}")), 4).await.unwrap_err();
    assert!(matches!(refusal, JobError::TooMuchOutput { limit: 4, .. }), "{refusal}");
    until(|| processes_with(&time) == 0).await;
}

#[tokio::test]
async fn who_takes_too_long_is_killed_with_its_group() {
    let bed = Bed::new().await;
    let time = unique_time();
    let asked = option(shell(&format!("sleep {time} & sleep {time}")), "timeout", "0.2");
    let refusal = bed.jobs.run_once(asked, 100).await.unwrap_err();
    assert!(matches!(refusal, JobError::TimedOut { .. }), "{refusal}");
    until(|| processes_with(&time) == 0).await;
}

#[tokio::test]
async fn who_is_not_waited_for_any_more_is_killed() {
    let bed = Bed::new().await;
    let time = unique_time();
    let (jobs, asked) = (bed.jobs.clone(), shell(&format!("sleep {time} & sleep {time}")));
    let waiting = tokio::spawn(async move { jobs.run_once(asked, 100).await });
    until(|| processes_with(&time) == 2).await;
    waiting.abort();
    until(|| processes_with(&time) == 0).await;
}

#[tokio::test]
async fn a_background_process_does_not_hold_up_the_end() {
    let bed = Bed::new().await;
    let time = unique_time();
    let output = bed.jobs.run_once(shell(&format!("sleep {time} & echo hi")), 100).await.unwrap();
    assert_eq!(output.out, b"hi\n");
    until(|| processes_with(&time) == 0).await;
}

#[tokio::test]
async fn what_cannot_be_started_or_is_for_jobs_alone_is_refused() {
    let bed = Bed::new().await;
    let refusal = bed.jobs.run_once(program("no-such-tool", &[]), 100).await.unwrap_err();
    assert!(matches!(refusal, JobError::NotStarted(_)) && refusal.to_string().contains("no-such-tool"));
    let refusal = bed.jobs.run_once(option(shell("true"), "nice", "1"), 100).await.unwrap_err();
    assert!(matches!(refusal, JobError::Invalid { .. }), "{refusal}");
}
