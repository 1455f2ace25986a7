//! Imports are the permission request: what a component imports is compared with what it was granted.

use std::collections::BTreeSet;

use vocable_runtime::{Lexicon, LoadError, Policies, Policy, WordError, WordSource};

use crate::support::*;

fn granting(word: &str, grants: &[&str]) -> Policies {
    let grants = grants.iter().map(|interface| (*interface).to_owned()).collect();
    let policy = Policy { grants, ..Policy::default() };
    Policies { words: [(word.to_owned(), policy)].into(), ..Policies::default() }
}

#[tokio::test]
async fn what_was_not_granted_is_refused_by_name_and_comes_with_the_grant() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, problems) = open(FakeAgent::guest(), Policies::default(), &[], &dir).await;
    assert_eq!(lexicon.words(), []);
    let text = problems[0].to_string();
    let expected = "word PROBE imports vocable:word/jobs, vocable:word/process, vocable:word/speech, \
                    which [words.PROBE] grants does not allow; if it may, write there: \
                    grants = [\"jobs\", \"process\", \"speech\"]";
    assert!(text.contains("probe.wasm: ") && text.ends_with(expected), "{text}");

    let changes = lexicon.set_policies(granting("PROBE", &["jobs", "process"])).await;
    let needs = ["jobs", "process", "speech"].map(str::to_owned).to_vec();
    let expected = LoadError::NotGranted { word: "PROBE".into(), interfaces: vec!["speech".into()], needs };
    assert_eq!(changes.problems[0].error, expected);

    let changes = lexicon.set_policies(granting("PROBE", &["jobs", "process", "speech"])).await;
    assert_eq!((changes.problems.len(), changes.events.len()), (0, 1));
    assert_eq!(told(&lexicon, "start").await, Ok("16".to_owned()));

    lexicon.set_policies(Policies::default()).await;
    assert_eq!(told(&lexicon, "").await, Err(WordError::Unknown { word: "PROBE".into() }));
}

#[tokio::test]
async fn a_built_in_word_may_do_what_it_was_made_for_and_another_of_its_name_may_not() {
    let beat = built_in("beat");
    let (lexicon, problems) =
        Lexicon::open(engine(), FakeAgent::host(), Policies::default(), &[beat], vec![]).await;
    assert_eq!(problems, []);
    assert_eq!(lexicon.word("BEAT").unwrap().grants, BTreeSet::from(["roster".to_owned()]));

    let other = patched(beat.component.to_vec(), "Says that a guest is alive", "Says that a guest is ALIVE");
    let dir = Dir::with(&[("beat.wasm", &other)]);
    let (lexicon, problems) = open(FakeAgent::host(), Policies::default(), &[beat], &dir).await;
    let text = problems[0].to_string();
    assert!(
        text.ends_with("[words.BEAT] grants does not allow; if it may, write there: grants = [\"roster\"]"),
        "{text}"
    );
    assert_eq!(lexicon.word("BEAT").unwrap().source, WordSource::BuiltIn, "the built-in one goes on");
    lexicon.set_policies(granting("BEAT", &["roster"])).await;
    assert_ne!(lexicon.word("BEAT").unwrap().source, WordSource::BuiltIn);

    // Wherever it lies, it is the same component.
    let dir = Dir::with(&[("beat.wasm", beat.component)]);
    let (lexicon, problems) = open(FakeAgent::host(), Policies::default(), &[beat], &dir).await;
    assert_eq!(problems, []);
    assert_ne!(lexicon.word("BEAT").unwrap().source, WordSource::BuiltIn);
}

#[tokio::test]
async fn what_an_agent_does_not_have_needs_no_grant_and_is_denied_when_called() {
    let lexicon = probing(FakeAgent::host(), granting("PROBE", &["speech"])).await;
    let Err(WordError::Refused { refusal, .. }) = told(&lexicon, "wait").await else { panic!("it ran") };
    assert_eq!(refused(&refusal), ("denied", "process: not of this agent"));
}

#[tokio::test]
async fn a_word_that_is_switched_off_is_not_there_and_is_no_problem() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let mut policies = Policies::default();
    policies.words.insert("PROBE".into(), Policy { enabled: false, ..Policy::default() });
    let (lexicon, problems) = open(FakeAgent::guest(), policies, &[], &dir).await;
    assert_eq!((lexicon.words(), problems), (vec![], vec![]));
}

#[tokio::test]
async fn the_configuration_can_bind_a_word_to_other_events() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    assert_eq!(lexicon.bound_to("probing"), ["PROBE"]);
    let mut policies = generous();
    policies.default.binds = Some(vec!["beacon".into()]);
    lexicon.set_policies(policies).await;
    assert_eq!(lexicon.bound_to("probing"), [""; 0]);
    assert_eq!(lexicon.bound_to("beacon"), ["PROBE"]);
    let said = lexicon.raise("beacon", r#"{"do": "who"}"#.to_owned()).await;
    assert_eq!(said[0].0, "PROBE");
    assert!(said[0].1.as_ref().unwrap().body.starts_with(br#"["vm1",null,[["PROBE","1.0.0"]]]"#));
}

#[tokio::test]
async fn what_no_word_gets_is_refused_whatever_was_granted() {
    let foreign = patched(probe(), "vocable:word/process@", "vocable:wurd/process@");
    let dir = Dir::with(&[("foreign.wasm", &foreign)]);
    let (_, problems) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let text = problems[0].to_string();
    assert!(text.contains("foreign.wasm: imports vocable:wurd/process@0.1.0, which no word gets"), "{text}");
}

#[tokio::test]
async fn another_contract_is_told_with_both_versions() {
    let other = patched(built_in("beat").component.to_vec(), "@0.1.0", "@0.2.0");
    let later = patched(built_in("bye").component.to_vec(), "@0.1.0", "@0.1.9");
    let dir = Dir::with(&[("other.wasm", &other), ("later.wasm", &later)]);
    let (lexicon, problems) = open(FakeAgent::host(), generous(), &[], &dir).await;
    let text = problems[0].to_string();
    let expected = "other.wasm: is written for vocable:word@0.2.0; this agent speaks 0.1.0";
    assert!(text.ends_with(expected), "{text}");
    let later = lexicon.word("BYE").unwrap();
    assert_eq!(
        (later.contract.as_str(), problems.len()),
        ("0.1.9", 1),
        "a patch that uses nothing new is fine"
    );
}

#[tokio::test]
async fn a_function_that_the_contract_does_not_have_is_told() {
    let novel = patched(probe(), "my-id", "my-iq");
    let dir = Dir::with(&[("novel.wasm", &novel)]);
    let (_, problems) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let text = problems[0].to_string();
    assert!(text.contains("is written for a later vocable:word than the 0.1.0 of this agent"), "{text}");
    assert!(text.contains("my-iq"), "{text}");
}

#[tokio::test]
async fn what_is_no_component_is_told_what_it_is() {
    let whole = probe();
    let files: [(&str, &[u8]); 4] = [
        ("1-text.wasm", b"#!/bin/sh"),
        ("2-module.wasm", b"\0asm\x01\0\0\0"),
        ("3-half.wasm", &whole[..whole.len() / 2]),
        ("4-empty.wasm", b"\0asm\x0d\0\x01\0"),
    ];
    let (_, problems) = open(FakeAgent::guest(), generous(), &[], &Dir::with(&files)).await;
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "1-text.wasm: not WebAssembly",
        "2-module.wasm: a core module, not a component: build with --target wasm32-wasip2",
        "3-half.wasm: not a sound component: ",
        "4-empty.wasm: a component, but no word: it does not export vocable:word/word",
    ];
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(texts.len(), expected.len());
}

#[tokio::test]
async fn of_two_files_with_one_word_the_first_by_name_has_it() {
    let dir = Dir::with(&[("a.wasm", &probe_version("1.0.1")), ("b.wasm", &probe())]);
    let (lexicon, problems) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    assert_eq!(lexicon.word("PROBE").unwrap().version, "1.0.1");
    let text = problems[0].to_string();
    assert!(text.contains("b.wasm: word PROBE is in") && text.contains("a.wasm already"), "{text}");
}

#[tokio::test]
async fn a_word_is_told_with_all_that_is_known_about_it() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let info = lexicon.word("PROBE").unwrap();
    assert_eq!((info.version.as_str(), info.summary.as_str()), ("1.0.0", "Misbehaves to order"));
    assert_eq!((info.parameters.as_str(), info.reply.as_str(), info.sha256.len()), ("{}", "{}", 64));
    let ours: BTreeSet<_> = info.imports.iter().filter(|name| name.starts_with("vocable:")).collect();
    assert!(ours.contains(&"vocable:word/process@0.1.0".to_owned()), "{ours:?}");
    assert!(!ours.iter().any(|name| name.contains("/types@")), "{ours:?}");
}
