//! What a command writes: every byte, in order, or a number that says how many are missing.

use super::*;

#[tokio::test]
async fn both_streams_are_kept_apart_with_their_digests() {
    let mut bed = Bed::new().await;
    let results = bed.run("both", shell("printf 'a\\000\\377'; printf 'é' >&2; printf z")).await;
    assert_eq!(bed.jobs.read("both", Part::Out, 0, 100).await.unwrap(), b"a\0\xffz");
    assert_eq!(bed.jobs.read("both", Part::Err, 0, 100).await.unwrap(), "é".as_bytes());
    assert_eq!((results.out_bytes, results.err_bytes, results.left_out), (4, 2, None));
    assert_eq!(results.out_sha256, Some(sha256_hex(b"a\0\xffz")));
    assert_eq!(results.err_sha256, Some(sha256_hex("é")));
}

#[tokio::test]
async fn output_can_be_read_from_any_offset_while_it_grows() {
    let mut bed = Bed::new().await;
    bed.start("grows", shell("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two")).await;
    bed.output_of("grows", Part::Out, 4).await;
    assert_eq!(bed.jobs.read("grows", Part::Out, 0, 100).await.unwrap(), b"one\n");
    assert_eq!(bed.jobs.read("grows", Part::Out, 1, 2).await.unwrap(), b"ne");
    assert_eq!(bed.jobs.read("grows", Part::Out, 4, 100).await.unwrap(), b"");
    assert_eq!(bed.jobs.read("grows", Part::Out, u64::MAX, 100).await.unwrap(), b"");
    std::fs::write(bed.dir.path().join("go"), "").unwrap();
    bed.end_of("grows").await;
    assert_eq!(bed.jobs.read("grows", Part::Out, 4, 100).await.unwrap(), b"two\n");
}

#[tokio::test]
async fn the_last_words_of_a_program_are_kept() {
    let mut bed = Bed::new().await;
    for n in 0..20 {
        let results =
            bed.run(&format!("tail-{n}"), shell("head -c 60000 /dev/zero; printf end; kill -9 $$")).await;
        assert_eq!(results.out_bytes, 60003);
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_arrive_whole_and_take_no_memory() {
    const LENGTH: usize = 64 << 20;
    let mut bed = Bed::new().await;
    let results = bed.run("big", shell(&format!("yes 0123456789abcde | head -c {LENGTH}"))).await;
    assert_eq!(results.out_bytes, LENGTH as u64);
    let line = b"0123456789abcde\n".repeat(LENGTH / 16);
    assert_eq!(results.out_sha256, Some(sha256_hex(&line)));
    assert!(bed.jobs.read("big", Part::Out, LENGTH as u64 - 16, 100).await.unwrap() == b"0123456789abcde\n");
}

#[tokio::test]
async fn a_supervisor_stays_small_whatever_goes_through_it() {
    let mut bed = Bed::new().await;
    bed.start("flow", shell("head -c 67108864 /dev/zero; while [ ! -e go ]; do sleep 0.01; done")).await;
    bed.output_of("flow", Part::Out, 64 << 20).await;
    let pid = restarts::supervisor(&bed, "flow");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 4096, "{peak}");
    std::fs::write(bed.dir.path().join("go"), "").unwrap();
    bed.end_of("flow").await;
}

#[tokio::test]
async fn a_full_spool_holds_the_command_until_it_is_cancelled_and_nothing_it_wrote_is_missing() {
    let mut bed = Bed::with(|config| config.spool_limit = 100_000).await;
    bed.start("held", shell("head -c 30000 /dev/zero >&2; head -c 1000000 /dev/zero")).await;
    bed.output_of("held", Part::Out, 70_000).await;
    bed.jobs.cancel("held", 15, None).await.unwrap();
    let results = bed.end_of("held").await;
    assert_eq!((results.state, results.err_bytes, results.left_out), (EndState::Cancelled, 30_000, None));
    // At most what is in a pipe comes on top.
    assert!((70_001..=70_000 + 65_536).contains(&results.out_bytes), "{}", results.out_bytes);
}

#[tokio::test]
async fn a_command_that_ends_while_its_spool_is_full_loses_nothing() {
    let mut bed = Bed::with(|config| config.spool_limit = 10_000).await;
    let results = bed.run("ends", shell("head -c 30000 /dev/zero; echo end >&2")).await;
    let totals = (results.out_bytes, results.err_bytes);
    assert_eq!((results.state, totals, results.left_out), (EndState::Done, (30_000, 4), None));
}

#[tokio::test]
async fn output_that_just_fits_is_not_too_much() {
    let mut bed = Bed::with(|config| config.spool_limit = 70_000).await;
    let results = bed.run("fits", shell("head -c 70000 /dev/zero")).await;
    assert_eq!((results.state, results.out_bytes, results.left_out), (EndState::Done, 70_000, None));
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_and_told_where_that_is_configured() {
    let mut bed = Bed::with(|config| {
        config.spool_limit = 10_000;
        config.when_spool_full = WhenSpoolFull::Drop;
    })
    .await;
    let results = bed.run("goes-on", shell("head -c 70000 /dev/zero; echo end >&2")).await;
    assert_eq!((results.state, results.out_bytes + results.err_bytes), (EndState::Done, 10_000));
    let left_out = results.left_out.unwrap();
    assert_eq!(left_out.out + left_out.err, 70_004 - 10_000);
}

#[tokio::test]
async fn a_full_spool_ends_the_command_where_that_is_configured() {
    let mut bed = Bed::with(|config| {
        config.spool_limit = 10_000;
        config.when_spool_full = WhenSpoolFull::Kill;
    })
    .await;
    let results = bed.run("ended", shell("trap '' PIPE; exec yes")).await;
    assert_eq!((results.state, results.out_bytes), (EndState::Cancelled, 10_000));
    assert!(results.left_out.unwrap().out > 0);
    let error = results.error.unwrap();
    assert_eq!(error.code, FailureCode::SpoolFull.as_str());
    assert!(error.message.contains("spool_limit"), "{}", error.message);
}
