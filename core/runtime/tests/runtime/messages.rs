//! What becomes of messages: answers, refusals, words nobody knows.

use vocable_runtime::{Answer, AskError, Envelope, Interpreter, Lexicon, Received, wrap, wrap_raw};
use vocable_words::BUILT_IN;

use crate::support::*;

/// An envelope as it might come from the bus.
fn envelope(body: &str, headers: &[(&str, &str)]) -> Envelope {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Envelope { headers, body: body.to_owned().into() }
}

async fn probing_interpreter() -> Interpreter {
    Interpreter::new(probing(FakeAgent::guest(), generous()).await)
}

/// A guest or host with all built-in words.
async fn speaking(agent: std::sync::Arc<FakeAgent>) -> Interpreter {
    Interpreter::new(built_in_words(agent).await)
}

fn replied(heard: Received) -> (Vec<(String, String)>, String) {
    let reply = heard.reply.expect("no reply");
    (reply.headers, String::from_utf8(reply.body.into()).unwrap())
}

fn headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    envelope("", headers).headers
}

#[tokio::test]
async fn who_asks_gets_the_value_or_at_least_the_word() {
    let interpreter = probing_interpreter().await;
    let told = [("who", "PROBE [\"vm1\",\"host\",[[\"PROBE\",\"1.0.0\"]]]"), ("", "PROBE")];
    for (what, expected) in told {
        let heard = interpreter.receive(envelope("PROBE", &[("do", what), ("asked", "a1")]), "host").await;
        assert_eq!(heard.error, None);
        assert_eq!(replied(heard), (headers(&[("to", "host"), ("in-reply-to", "a1")]), expected.to_owned()));
    }
}

#[tokio::test]
async fn who_asks_gets_the_reason_if_there_is_no_value() {
    let interpreter = probing_interpreter().await;
    let cases = [
        ("refuse", "failed", "PROBE \"as told\""),
        ("panic", "trapped", "PROBE \"word PROBE trapped: panicked at tests/words/probe/src/lib.rs:"),
        ("panic", "quarantined", "PROBE \"word PROBE rests for "),
    ];
    for (what, kind, text) in cases {
        let heard = interpreter.receive(envelope("PROBE", &[("do", what), ("asked", "a1")]), "host").await;
        assert!(heard.error.is_some());
        let (headers_, body) = replied(heard);
        assert_eq!(headers_, headers(&[("to", "host"), ("in-reply-to", "a1"), ("refusal", kind)]));
        assert!(body.starts_with(text), "{body}");
    }
}

#[tokio::test]
async fn who_does_not_ask_gets_nothing_and_the_error_is_told_here() {
    let interpreter = probing_interpreter().await;
    let heard = interpreter.receive(envelope("PROBE", &[("do", "refuse")]), "host").await;
    assert_eq!((heard.reply, heard.answer), (None, None));
    assert_eq!(heard.error.as_deref(), Some("word PROBE, failed: as told"));
    assert_eq!(heard.word, "PROBE");
}

#[tokio::test]
async fn answers_and_refusals_arrive_as_they_were_given() {
    let (asker, asked) = (speaking(FakeAgent::host()).await, probing_interpreter().await);
    let ask = |what: &'static str| envelope("PROBE", &[("do", what), ("asked", "a1")]);
    let round_trip = async |what| {
        let reply = asked.receive(ask(what), "host").await.reply.unwrap();
        let heard = asker.receive(reply, "vm1").await;
        assert_eq!(heard.reply, None, "an answer is never answered");
        heard.answer.unwrap()
    };
    let expected = Answer { to: "a1".to_owned(), result: Ok(Some("1".to_owned())) };
    assert_eq!(round_trip("state").await, expected);
    assert_eq!(round_trip("").await.result, Ok(None));
    let refusal = AskError { kind: "failed".to_owned(), text: "as told".to_owned() };
    assert_eq!(round_trip("refuse").await.result, Err(refusal));
}

#[tokio::test]
async fn a_word_keeps_state_between_calls_though_no_instance_does() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    for count in ["1", "2", "3"] {
        assert_eq!(told(&lexicon, "state").await.as_deref(), Ok(count));
    }
}

#[tokio::test]
async fn who_says_what_nobody_knows_is_told_which_words_are() {
    let (host, guest) = (FakeAgent::host(), FakeAgent::guest());
    let (asker, asked) = (speaking(host.clone()).await, speaking(guest.clone()).await);
    let heard = asked.receive(envelope("DFF {}", &[("asked", "a1")]), "host").await;
    assert_eq!(heard.error.as_deref(), Some("no word DFF is known here"));
    let reply = heard.reply.unwrap();
    let expected = [("to", "host"), ("in-reply-to", "a1"), ("refusal", "unknown-word")];
    assert_eq!(reply.headers, headers(&expected));
    assert!(
        reply.body.starts_with(br#"AINT "DFF ain't a word here; known are AINT 0.1.0, BEAT 0.1.0"#),
        "{reply:?}"
    );

    // The ask is over, and the word that says so has been listened to as well.
    let heard = asker.receive(reply, "vm1").await;
    assert_eq!(heard.reply, None);
    let answer = heard.answer.unwrap();
    assert_eq!((answer.to.as_str(), answer.result.unwrap_err().kind.as_str()), ("a1", "unknown-word"));
    let log = host.calls().join("\n");
    assert!(log.starts_with("AINT for vm1: Warn vm1: DFF ain't a word here; known are AINT 0.1.0"), "{log}");
}

#[tokio::test]
async fn take_a_word_away_and_it_is_not_known_any_more() {
    let guest = FakeAgent::guest();
    let known: Vec<_> = BUILT_IN.iter().copied().filter(|word| word.name != "run-cmd").collect();
    let (lexicon, _) = Lexicon::open(engine(), guest, generous(), &known, vec![]).await;
    let heard = Interpreter::new(lexicon).receive(envelope("RUN_CMD", &[("message-id", "m7")]), "host").await;
    let (headers_, body) = replied(heard);
    let expected = [("to", "host"), ("in-reply-to", "m7"), ("refusal", "unknown-word")];
    assert_eq!(headers_, headers(&expected), "even who did not ask is told, but as an answer");
    assert!(body.starts_with("AINT ") && body.contains("RUN_CMD ain't a word here"), "{body}");
}

#[tokio::test]
async fn what_is_not_even_a_word_is_answered_without_repeating_it() {
    let interpreter = speaking(FakeAgent::guest()).await;
    let long = "x".repeat(1 << 20);
    for body in ["", " ", "df", "\u{1b}[2J", "{\"json\": 1}", &long] {
        let (_, body) = replied(interpreter.receive(envelope(body, &[("asked", "a1")]), "host").await);
        assert!(body.starts_with("AINT \"") && body.len() < 400, "{body}");
        assert!(!body.contains('\u{1b}'));
    }
}

#[tokio::test]
async fn with_nothing_bound_to_unknown_words_who_asks_is_still_answered() {
    let interpreter = probing_interpreter().await;
    let asked = |body| interpreter.receive(envelope(body, &[("asked", "a1")]), "host");
    let (_, body) = replied(asked("DFF {}").await);
    assert_eq!(body, "DFF \"no word DFF is known here\"");
    let (_, body) = replied(asked("dff {}").await);
    assert_eq!(body, "? \"no word dff is known here\"");
    assert_eq!(interpreter.receive(envelope("DFF {}", &[]), "host").await.reply, None);
}

#[tokio::test]
async fn no_two_agents_can_talk_for_ever() {
    // Each has one word, with which it says that it does not understand the other.
    let lexicon = async |name| {
        let component = patched(probe(), "mark=PROBE=", &format!("mark={name}="));
        let mut policies = generous();
        policies.default.binds = Some(vec!["unknown-word".to_owned()]);
        let (lexicon, problems) =
            open(FakeAgent::guest(), policies, &[], &Dir::with(&[("w.wasm", &component)])).await;
        assert_eq!((lexicon.knows(name), problems.len()), (true, 0));
        Interpreter::new(lexicon)
    };
    let (one, other) = (lexicon("HUHHH").await, lexicon("WHAAT").await);
    for headers in [&[][..], &[("asked", "a1")], &[("message-id", "m1")], &[("message-id", "")]] {
        let reply = one.receive(envelope("GIBBERISH", headers), "other").await.reply.unwrap();
        assert!(reply.body.starts_with(b"HUHHH"), "{reply:?}");
        let heard = other.receive(reply, "one").await;
        assert_eq!(heard.reply, None);
        assert!(heard.answer.is_some());
    }
}

#[tokio::test]
async fn a_refusal_under_the_asked_words_own_name_is_not_heard_by_that_word() {
    let interpreter = probing_interpreter().await;
    let reply = wrap_raw("PROBE", "\"no\"".into()).refusal("unknown-word").in_reply_to("a1");
    let before = interpreter.receive(reply, "host").await;
    assert_eq!(before.error, None);
    assert_eq!(before.answer.unwrap().result.unwrap_err().text, "no");
}

#[tokio::test]
async fn what_comes_back_is_not_taken_at_its_word() {
    let interpreter = probing_interpreter().await;
    let answered = async |body: &[u8], refusal: Option<&str>| {
        let mut envelope = Envelope { headers: vec![], body: body.to_vec().into() }.in_reply_to("a1");
        if let Some(kind) = refusal {
            envelope = envelope.refusal(kind);
        }
        interpreter.receive(envelope, "vm1").await.answer.unwrap().result
    };
    assert_eq!(answered(b"DF {", None).await.unwrap_err().kind, "not-json");
    assert_eq!(answered(b"DF \xff", None).await.unwrap_err().kind, "not-json");
    let deep = format!("DF {}0{}", "[".repeat(49), "]".repeat(49));
    let deep = answered(deep.as_bytes(), None).await.unwrap_err();
    assert_eq!(
        (deep.kind.as_str(), deep.text.as_str()),
        ("too-large", "the answer is nested more than 48 deep")
    );
    assert_eq!(answered(br#"DF {"a\u0001": 0}"#, None).await.unwrap_err().kind, "invalid");
    let odd = answered(b"DF not json", Some("\x1b[31mRED")).await.unwrap_err();
    assert_eq!((odd.kind.as_str(), odd.text.as_str()), ("failed", "not json"));
    let long = answered(&[b'x'; 1 << 20], Some("denied")).await.unwrap_err();
    assert!(long.text.len() < 10_000);
}

#[tokio::test]
async fn who_speaks_decides_the_broker_and_not_the_message() {
    let interpreter = probing_interpreter().await;
    let forged = envelope("PROBE", &[("do", "who"), ("asked", "a1"), ("from", "host"), ("sender", "host")]);
    let (_, body) = replied(interpreter.receive(forged, "vm2").await);
    assert!(body.contains("\"vm2\""), "{body}");
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let said = lexicon.say("PROBE", "{}".to_owned()).await.unwrap();
    assert_eq!(wrap("PROBE", said).header("to"), None, "PROBE tries to set it");
}
