//! Words come, change and go while the agent runs, and no call notices.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vocable_runtime::{BuiltIn, Lexicon, LexiconEvent, WordSource};

use crate::support::*;

fn kinds(events: &[LexiconEvent]) -> Vec<&str> {
    events.iter().map(LexiconEvent::kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_is_replaced_under_load_and_no_call_fails() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let (mut events, _watching) = lexicon.watch();
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4).map(|_| tokio::spawn(call_until(lexicon.clone(), over.clone()))).collect();
    for version in ["1.0.1", "1.0.2", "1.0.3", "1.0.4"] {
        dir.put("probe.wasm", &probe_version(version));
        let LexiconEvent::Replaced { new, .. } = next(&mut events).await else { panic!("not replaced") };
        assert_eq!(new, version);
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

/// Calls PROBE without a pause; every call has to end well.
async fn call_until(lexicon: Lexicon, over: Arc<AtomicBool>) -> usize {
    let mut calls = 0;
    while !over.load(Ordering::Relaxed) {
        lexicon.say("PROBE", "{}".to_owned()).await.unwrap();
        calls += 1;
        tokio::task::yield_now().await;
    }
    calls
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_component_it_began_with() {
    let agent = FakeAgent::guest();
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(agent.clone(), generous(), &[], &dir).await;
    let waiting = tokio::spawn({
        let lexicon = lexicon.clone();
        async move { told(&lexicon, "wait").await }
    });
    agent.begun.notified().await;
    dir.put("probe.wasm", &probe_version("2.0.0"));
    assert_eq!(kinds(&lexicon.reload_dirs().await.events), ["word.replaced"]);
    agent.ended.notify_one();
    assert_eq!(waiting.await.unwrap(), Ok("\"1.0.0\"".to_owned()));
    assert_eq!(lexicon.word("PROBE").unwrap().version, "2.0.0");

    dir.remove("probe.wasm");
    assert_eq!(kinds(&lexicon.reload_dirs().await.events), ["word.removed"]);
}

#[tokio::test]
async fn a_file_takes_the_place_of_what_is_built_in_and_gives_it_back() {
    let dir = Dir::with(&[]);
    let component = probe().leak();
    let sha256 = vocable_protocol::sha256_hex(&component);
    let built_in = [BuiltIn { name: "probe", sha256: sha256.leak(), component }];
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &built_in, &dir).await;
    let (mut events, _watching) = lexicon.watch();
    assert_eq!(lexicon.word("PROBE").unwrap().source, WordSource::BuiltIn);

    dir.put("other-name.wasm", &probe_version("1.1.0"));
    let LexiconEvent::Replaced { old, new, source, .. } = next(&mut events).await else {
        panic!("not replaced")
    };
    assert_eq!((old.as_str(), new.as_str()), ("1.0.0", "1.1.0"));
    assert_eq!(source, WordSource::File(dir.path().join("other-name.wasm")));

    dir.remove("other-name.wasm");
    let LexiconEvent::Replaced { source, .. } = next(&mut events).await else { panic!("not given back") };
    assert_eq!(source, WordSource::BuiltIn);
}

#[tokio::test]
async fn a_directory_may_come_later_and_go_and_come_again() {
    let root = Dir::with(&[]);
    let words = root.path().join("lib/vocable/words.d");
    let (lexicon, problems) =
        Lexicon::open(engine(), FakeAgent::guest(), generous(), &[], vec![words.clone()]).await;
    assert_eq!(problems, []);
    let (mut events, _watching) = lexicon.watch();
    for _ in 0..2 {
        fs::create_dir_all(&words).unwrap();
        fs::write(words.join("probe.wasm"), probe()).unwrap();
        assert_eq!(next(&mut events).await.kind(), "word.loaded");
        fs::remove_dir_all(root.path().join("lib")).unwrap();
        assert_eq!(next(&mut events).await.kind(), "word.removed");
    }
}

#[tokio::test]
async fn a_directory_that_is_exchanged_as_a_whole_is_noticed() {
    let root = Dir::with(&[]);
    let words = root.path().join("words.d");
    for release in ["1.0.1", "1.0.2"] {
        fs::create_dir(root.path().join(release)).unwrap();
        fs::write(root.path().join(release).join("probe.wasm"), probe_version(release)).unwrap();
    }
    fs::rename(root.path().join("1.0.1"), &words).unwrap();
    let (lexicon, _) =
        Lexicon::open(engine(), FakeAgent::guest(), generous(), &[], vec![words.clone()]).await;
    let (mut events, _watching) = lexicon.watch();
    fs::rename(&words, root.path().join("old")).unwrap();
    fs::rename(root.path().join("1.0.2"), &words).unwrap();
    // Depending on when it looks, it may see the moment without.
    while next(&mut events).await.kind() == "word.removed" {}
    assert_eq!(lexicon.word("PROBE").unwrap().version, "1.0.2");
}

#[tokio::test]
async fn a_half_written_file_is_let_be_until_it_is_whole() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let (mut events, _watching) = lexicon.watch();
    let whole = probe_version("1.0.1");
    let (first, second) = whole.split_at(whole.len() / 2);
    let mut file = fs::File::create(dir.path().join("probe.wasm")).unwrap();
    file.write_all(first).unwrap();
    // Longer than it waits for quiet, shorter than it waits for files to be finished.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(lexicon.word("PROBE").unwrap().version, "1.0.0", "what was there stays");
    file.write_all(second).unwrap();
    drop(file);
    assert_eq!(next(&mut events).await.kind(), "word.replaced");
    assert_eq!(lexicon.word("PROBE").unwrap().version, "1.0.1");
}

#[tokio::test]
async fn a_broken_file_is_told_and_the_old_word_stays() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let (mut events, _watching) = lexicon.watch();
    dir.put("probe.wasm", b"broken");
    let event = next(&mut events).await;
    assert!(event.to_string().contains("probe.wasm: not WebAssembly"), "{event}");
    assert_eq!(told(&lexicon, "").await, Ok(String::new()));
    assert_eq!(lexicon.problems().await.len(), 1);

    dir.put("probe.wasm", &probe_version("1.0.1"));
    assert_eq!(next(&mut events).await.kind(), "word.replaced");
    assert_eq!(lexicon.problems().await, []);
}

#[tokio::test]
async fn a_later_directory_wins_over_an_earlier_one() {
    let (first, second) =
        (Dir::with(&[("p.wasm", &probe())]), Dir::with(&[("q.wasm", &probe_version("3.0.0"))]));
    let dirs = vec![first.path(), second.path()];
    let (lexicon, problems) = Lexicon::open(engine(), FakeAgent::guest(), generous(), &[], dirs).await;
    assert_eq!((lexicon.word("PROBE").unwrap().version.as_str(), problems.len()), ("3.0.0", 0));
}

#[tokio::test]
async fn looking_again_changes_nothing_if_nothing_has_changed() {
    let dir = Dir::with(&[("probe.wasm", &probe()), ("broken.wasm", b"broken")]);
    let (lexicon, problems) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let _ = told(&lexicon, "panic").await;
    let before = lexicon.words();
    let changes = lexicon.reload_dirs().await;
    assert_eq!((changes.events, changes.problems), (vec![], problems));
    assert_eq!((before[0].calls, lexicon.word("PROBE").unwrap().calls), (1, 1));
}
