//! A word that misbehaves harms nobody: the call ends, the error names the word, the agent goes on.

use std::time::{Duration, Instant};

use vocable_runtime::{Engine, EngineConfig, Lexicon, LoadError, WordError, WordState};

use crate::support::*;

/// The word is as good as before, for somebody else at least.
async fn goes_on(lexicon: &Lexicon) {
    assert_eq!(lexicon.listen("PROBE", &telling(""), Some("somebody else")).await, Ok(None));
}

#[tokio::test]
async fn a_loop_ends_when_its_time_on_the_processor_is_up() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "loop").await.unwrap_err();
    assert_eq!(error, WordError::Computed { word: "PROBE".into(), limit: Duration::from_millis(300) });
    assert_eq!(error.to_string(), "word PROBE computed for more than 300ms");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn many_loops_on_one_thread_leave_room_for_others() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let looping: Vec<_> = (0..4)
        .map(|n| {
            let lexicon = lexicon.clone();
            tokio::spawn(async move { lexicon.listen("PROBE", &telling("loop"), Some(&n.to_string())).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let before = Instant::now();
    goes_on(&lexicon).await;
    assert!(before.elapsed() < Duration::from_millis(1000), "it waited {:?}", before.elapsed());
    for looping in looping {
        assert_eq!(looping.await.unwrap().unwrap_err().slug(), "too-long");
    }
}

#[tokio::test]
async fn a_panic_is_told_with_its_own_words() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "panic").await.unwrap_err();
    assert_eq!(error.slug(), "trapped");
    let text = error.to_string();
    assert!(text.starts_with("word PROBE trapped: "), "{text}");
    assert!(
        text.contains("panicked at tests/words/probe/src/lib.rs:") && text.ends_with(": to order"),
        "{text}"
    );
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn endless_recursion_runs_out_of_stack_and_of_nothing_else() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "recurse").await.unwrap_err().to_string();
    assert!(error.contains("call stack exhausted"), "{error}");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn who_asks_for_four_gigabytes_is_told_no() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "allocate").await.unwrap_err();
    let WordError::Refused { refusal, .. } = &error else { panic!("{error}") };
    assert!(refused(refusal).1.contains("memory allocation failed"), "{error}");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn who_takes_memory_without_asking_traps_at_the_limit() {
    let lexicon = probing(FakeAgent::guest(), limited(|limits| limits.memory = 16 << 20)).await;
    let error = told(&lexicon, "hoard").await.unwrap_err().to_string();
    assert!(error.contains("it wanted more than 16777216 bytes of memory"), "{error}");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn of_a_million_messages_sixteen_are_sent() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), generous()).await;
    assert_eq!(told(&lexicon, "say").await, Ok("16".to_owned()));
    assert_eq!(agent.calls().len(), 16);
    assert_eq!(told(&lexicon, "say").await, Ok("16".to_owned()), "the next call counts anew");
}

#[tokio::test]
async fn of_a_thousand_jobs_sixteen_are_started() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), generous()).await;
    assert_eq!(told(&lexicon, "start").await, Ok("16".to_owned()));
    assert_eq!(agent.calls().len(), 16);
}

#[tokio::test]
async fn what_is_logged_is_bounded_and_that_something_is_missing_is_said_once() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), limited(|limits| limits.log = 1000)).await;
    assert!(told(&lexicon, "chatter").await.is_ok());
    let lines = agent.calls();
    assert!(lines.iter().map(String::len).sum::<usize>() < 3000);
    let missing = lines.iter().filter(|line| line.contains("the rest is dropped")).count();
    assert_eq!((missing, lines.last().unwrap().contains("Warn")), (1, true));
}

#[tokio::test]
async fn who_writes_much_to_standard_error_is_not_stopped_for_that() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    assert_eq!(told(&lexicon, "mutter").await, Ok("\"1.0.0\"".to_owned()));
}

#[tokio::test]
async fn exiting_ends_the_call_and_not_the_agent() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "exit").await.unwrap_err();
    assert_eq!(error.slug(), "trapped");
    assert!(error.to_string().contains("exit"), "{error}");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn what_a_call_leaves_in_memory_no_other_finds() {
    for pooling in [true, false] {
        let engine = Engine::new(EngineConfig { pooling, ..EngineConfig::default() }).unwrap();
        let dir = Dir::with(&[("probe.wasm", &probe())]);
        let (lexicon, _) = Lexicon::open(engine, FakeAgent::guest(), generous(), &[], vec![dir.path()]).await;
        for _ in 0..300 {
            assert_eq!(told(&lexicon, "stain").await.as_deref(), Ok("0"));
        }
    }
}

#[tokio::test]
async fn there_are_no_files_and_no_variables() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    assert!(matches!(told(&lexicon, "file").await, Err(WordError::Refused { .. })));
    assert_eq!(told(&lexicon, "variables").await, Ok("0".to_owned()));
}

#[tokio::test]
async fn waiting_is_not_computing() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), limited(|limits| limits.compute = Duration::from_millis(50))).await;
    let waiting = tokio::spawn(async move { told(&lexicon, "wait").await });
    agent.begun.notified().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    agent.ended.notify_one();
    assert_eq!(waiting.await.unwrap(), Ok("\"1.0.0\"".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_agent_may_take_its_time_and_that_is_nobodys_fault() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), generous()).await;
    // A disk that is busy for longer than a call may take: ten seconds.
    let slow = async {
        agent.begun.notified().await;
        tokio::time::sleep(Duration::from_secs(25)).await;
        agent.ended.notify_one();
    };
    let (told_, ()) = tokio::join!(told(&lexicon, "wait"), slow);
    assert_eq!(told_, Ok("\"1.0.0\"".to_owned()));

    // And one that is busy for ever. The word may take that as it likes.
    for what in ["wait", "wait-or-trap"] {
        for _ in 0..10 {
            let before = tokio::time::Instant::now();
            let error = lexicon.listen("PROBE", &telling(what), Some("vm1")).await.unwrap_err();
            let expected = "word PROBE, failed: process: the agent is busy, or this takes longer than 30s";
            assert_eq!((error.to_string().as_str(), error.slug()), (expected, "failed"), "{what}");
            assert_eq!(before.elapsed().as_secs(), 30);
        }
    }
    assert_eq!(lexicon.word("PROBE").unwrap().state, WordState::Ready);
    assert_eq!(lexicon.listen("PROBE", &telling(""), Some("vm1")).await, Ok(None));
}

#[tokio::test]
async fn what_a_word_lets_pass_by_itself_has_an_end() {
    let lexicon =
        probing(FakeAgent::guest(), limited(|limits| limits.wall = Duration::from_millis(100))).await;
    let error = told(&lexicon, "sleep").await.unwrap_err();
    assert_eq!(error.to_string(), "word PROBE took longer than 100ms");
    goes_on(&lexicon).await;
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_none() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let answer = lexicon.listen("PROBE", &telling("not-json"), Some("host")).await;
    let error = answer.unwrap_err();
    assert_eq!(error.slug(), "not-json");
    assert_eq!(
        error.to_string(),
        "the answer of word PROBE is not JSON: expected a name in quotes at byte 1"
    );
}

#[tokio::test]
async fn who_describes_itself_badly_is_not_let_in_and_the_others_are() {
    let bad = [
        ("loops.wasm", patched(probe(), "=1.0.0=well=", "=1.0.0=loop="), "cannot describe itself: computed"),
        ("small.wasm", patched(probe(), "mark=PROBE=", "mark=probe="), "its name, \"probe\", is not one"),
        ("traps.wasm", patched(probe(), "=1.0.0=well=", "=1.0.0=trap="), "cannot describe itself: trapped"),
    ];
    let mut files: Vec<(&str, &[u8])> =
        bad.iter().map(|(name, bytes, _)| (*name, bytes.as_slice())).collect();
    let good = probe();
    files.push(("good.wasm", &good));
    let (lexicon, problems) = open(FakeAgent::guest(), generous(), &[], &Dir::with(&files)).await;
    assert_eq!(problems.len(), 3);
    for (problem, (name, _, reason)) in problems.iter().zip(&bad) {
        let text = problem.to_string();
        assert!(text.contains(name) && text.contains(reason), "{text}");
    }
    assert!(matches!(problems[1].error, LoadError::BadDescription(_)));
    assert!(told(&lexicon, "refuse").await.is_err_and(|error| error.slug() == "failed"));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    let agent = FakeAgent::guest();
    let lexicon = probing(agent.clone(), generous()).await;
    for _ in 0..600 {
        let call = told(&lexicon, "wait");
        tokio::select! {
            _ = call => panic!("nothing has ended"),
            () = agent.begun.notified() => {}
        }
    }
    assert_eq!(told(&lexicon, "").await, Ok(String::new()), "there is room still");
}
