//! A word that keeps going wrong gets less and less to do, and then nothing for a while.

use std::time::Duration;

use vocable_runtime::{LexiconEvent, WordError, WordState};

use crate::support::*;

fn state(lexicon: &vocable_runtime::Lexicon) -> WordState {
    lexicon.word("PROBE").unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_word_that_keeps_trapping_is_put_in_quarantine_and_gets_out() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let mut events = lexicon.events();
    for pause in [1, 2, 4] {
        assert_eq!(told(&lexicon, "panic").await.unwrap_err().slug(), "trapped");
        assert!(matches!(state(&lexicon), WordState::Retrying { .. }));
        assert_eq!(told(&lexicon, "panic").await.unwrap_err().slug(), "quarantined", "it rests");
        assert_eq!(told(&lexicon, "").await, Ok(String::new()), "but for that only");
        tokio::time::advance(Duration::from_secs(pause)).await;
    }
    assert_eq!(told(&lexicon, "panic").await.unwrap_err().slug(), "trapped");
    let LexiconEvent::Quarantined { name, reason } = next(&mut events).await else { panic!("no quarantine") };
    assert!(name == "PROBE" && reason.contains("to order"), "{name}: {reason}");
    assert!(matches!(state(&lexicon), WordState::Quarantined { .. }));

    tokio::time::advance(Duration::from_secs(599)).await;
    let Err(WordError::Quarantined { word, remaining, .. }) = told(&lexicon, "panic").await else {
        panic!("it works")
    };
    assert_eq!((word.as_str(), remaining), ("PROBE", Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(state(&lexicon), WordState::Ready, "one chance");
    let info = lexicon.word("PROBE").unwrap();
    assert_eq!((info.calls, info.traps), (7, 4), "calls that were not made do not count");
}

#[tokio::test(start_paused = true)]
async fn however_many_guests_take_turns_they_take_a_word_from_nobody_else() {
    let agent = FakeAgent::host();
    let lexicon = probing(agent.clone(), generous()).await;
    for turn in 0..5 {
        for guest in 0..20 {
            let _ = lexicon.listen("PROBE", &telling("panic"), Some(&format!("vm{guest}"))).await;
        }
        assert_eq!(lexicon.listen("PROBE", &telling(""), Some("honest")).await, Ok(None), "turn {turn}");
        assert_eq!(told(&lexicon, "").await, Ok(String::new()), "turn {turn}");
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    // Nor if nobody honest has said anything for long, nor for an event of the agent.
    for guest in 0..20 {
        let _ = lexicon.listen("PROBE", &telling("panic"), Some(&format!("another{guest}"))).await;
    }
    assert!(matches!(state(&lexicon), WordState::Quarantined { .. }), "it is told");
    assert_eq!(lexicon.listen("PROBE", &telling(""), Some("new")).await, Ok(None));
    assert!(lexicon.raise("probing", r#"{"do": ""}"#.to_owned()).await[0].1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_one_caller_wants_said_takes_a_word_from_no_other_caller() {
    let lexicon = probing(FakeAgent::host(), generous()).await;
    for turn in 0..40 {
        let args = format!(r#"{{"do": "panic", "turn": {turn}}}"#);
        assert_eq!(lexicon.say("PROBE", args).await.unwrap_err().slug(), "trapped", "each is answered");
    }
    assert_eq!(told(&lexicon, "").await, Ok(String::new()));
    assert_eq!(lexicon.listen("PROBE", &telling(""), Some("vm1")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn one_guest_cannot_take_a_word_away_from_the_others() {
    let lexicon = probing(FakeAgent::host(), generous()).await;
    for _ in 0..100 {
        let _ = lexicon.listen("PROBE", &telling("panic"), Some("vm1")).await;
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    assert_eq!(lexicon.listen("PROBE", &telling(""), Some("vm2")).await, Ok(None));
    let again = lexicon.listen("PROBE", &telling(""), Some("vm1")).await;
    assert_eq!(again.unwrap_err().slug(), "quarantined");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_no_faults() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    for _ in 0..100 {
        assert_eq!(told(&lexicon, "refuse").await.unwrap_err().slug(), "failed");
    }
    assert_eq!(state(&lexicon), WordState::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_new_component_begins_with_a_clean_slate() {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, _) = open(FakeAgent::guest(), generous(), &[], &dir).await;
    let _ = told(&lexicon, "panic").await;
    assert_ne!(state(&lexicon), WordState::Ready);
    dir.put("probe.wasm", &probe_version("1.0.1"));
    lexicon.reload_dirs().await;
    assert_eq!(state(&lexicon), WordState::Ready);
    assert_eq!(lexicon.word("PROBE").unwrap().calls, 0);
}
