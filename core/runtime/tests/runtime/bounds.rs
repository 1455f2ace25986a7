//! Sizes: of what a word hears, what it is to say, what it says and what it answers.

use vocable_runtime::{Envelope, Interpreter, Lexicon, Message, WordError, WordState};

use crate::support::*;

/// A message of a guest to the host, and what comes of it: the kind of the refusal, and its text.
async fn heard(
    lexicon: &Lexicon,
    body: String,
    headers: &[(&str, &str)],
) -> Result<String, (String, String)> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let envelope = Envelope { headers, body: body.into() }.asked("a1");
    let reply = Interpreter::new(lexicon.clone()).receive(envelope, "vm1").await.reply.unwrap();
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    match reply.header("refusal") {
        Some(kind) => Err((kind.to_owned(), body)),
        None => Ok(body),
    }
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[tokio::test]
async fn hostile_json_never_reaches_a_word() {
    let agent = FakeAgent::host();
    let lexicon = built_in_words(agent.clone()).await;
    let results = |results: String| format!(r#"CMD_RESULTS {{"resources": {results}}}"#);
    let bombs = [
        results(nested(49)),
        results(nested(400_000)),
        results(format!("[{}0]", "{},".repeat(300_000))),
        format!("CMD_RESULTS {}", "[".repeat(1_000_000)),
        format!("CMD_RESULTS {{{}\"\":0}}", "\"\":[0,0],".repeat(90_000)),
    ];
    for bomb in bombs {
        let shown: String = bomb.chars().take(40).collect();
        let (kind, text) = heard(&lexicon, bomb, &[("cmd-id", "c1")]).await.unwrap_err();
        assert_eq!(kind, "too-large", "{shown}: {text}");
        assert!(text.starts_with("CMD_RESULTS \"word CMD_RESULTS: the body "), "{text}");
    }
    let (kind, _) =
        heard(&lexicon, results("{\"\\u0001\": 0}".to_owned()), &[("cmd-id", "c1")]).await.unwrap_err();
    assert_eq!(kind, "invalid");
    let fact = nested(60);
    let hello = [("id", "vm1"), ("ip", ""), ("disks", fact.as_str())];
    let (kind, text) = heard(&lexicon, "HELLO".to_owned(), &hello).await.unwrap_err();
    assert_eq!(kind, "too-large");
    assert!(text.contains("header disks is nested more than 48 deep"), "{text}");
    let words = lexicon.words();
    assert!(words.iter().all(|word| word.state == WordState::Ready && word.traps == 0), "{words:?}");
    assert_eq!(agent.calls(), [""; 0]);
}

#[tokio::test]
async fn the_most_that_is_within_bounds_is_no_trouble_to_a_word() {
    let agent = FakeAgent::host();
    let lexicon = built_in_words(agent.clone()).await;
    // What takes most memory: objects of one member, and strings of nothing.
    let worst = [
        "{\"\":0},".repeat(33_000),
        "{\"a\":{\"b\":{}}},".repeat(19_000),
        "\"\",".repeat(99_000),
        format!("\"{}\",", "\\n".repeat(500_000)),
        format!("{}0{},", "{\"a\":".repeat(45), "}".repeat(45)).repeat(1_050),
    ];
    for items in worst {
        let shown: String = items.chars().take(40).collect();
        let body = format!("CMD_RESULTS {{\"resources\": [{}0]}}", items);
        assert_eq!(heard(&lexicon, body, &[("cmd-id", "c1")]).await.as_deref(), Ok("CMD_RESULTS"), "{shown}");
        agent.calls();
    }
    assert!(lexicon.words().iter().all(|word| word.traps == 0));
}

#[tokio::test]
async fn output_may_look_like_anything() {
    let agent = FakeAgent::host();
    let lexicon = built_in_words(agent.clone()).await;
    for output in ["[".repeat(131_072), nested(60), "{\"\\u0001\": 0}".to_owned()] {
        let piece = format!("CMD_RESULTS {output}");
        let heard = heard(&lexicon, piece, &[("cmd-id", "c1"), ("part", "out"), ("offset", "0")]).await;
        assert_eq!(heard.as_deref(), Ok("CMD_RESULTS"));
        assert_eq!(agent.calls(), [format!("CMD_RESULTS for vm1: output c1 out 0: {:?}", output.as_bytes())]);
    }
}

#[tokio::test]
async fn what_only_the_host_says_it_does_not_hear() {
    let lexicon = built_in_words(FakeAgent::host()).await;
    for word in ["RUN_CMD", "SIGNAL_CMD", "USAGE_CMD"] {
        let bomb = format!("{word} {}", "[".repeat(1_000_000));
        let (kind, text) = heard(&lexicon, bomb, &[("cmd-id", "c1"), ("cmd", "true")]).await.unwrap_err();
        assert_eq!((kind.as_str(), text), ("denied", format!("{word} \"{word} listens on a guest only\"")));
    }
    assert!(lexicon.words().iter().all(|word| word.calls == 0), "no word was asked");
}

#[tokio::test]
async fn arguments_that_could_not_be_sent_are_refused_before_a_word_is_asked() {
    let lexicon = built_in_words(FakeAgent::host()).await;
    let run =
        |arg: String| lexicon.say("RUN_CMD", format!(r#"{{"cmd-id": "c1", "cmd": "x", "args": ["{arg}"]}}"#));
    for _ in 0..5 {
        let error = run("x".repeat(15 << 20)).await.unwrap_err();
        let WordError::TooLarge { bytes, limit, .. } = &error else { panic!("{error}") };
        assert_eq!((error.slug(), *bytes > 15 << 20, *limit), ("too-large", true, 1 << 20));
        let text = format!("word RUN_CMD: what it is to say has {bytes} bytes; the limit is 1048576");
        assert_eq!(error.to_string(), text);
    }
    let deep = lexicon.say("RUN_CMD", format!(r#"{{"args": {}}}"#, nested(60))).await.unwrap_err();
    assert_eq!(deep.to_string(), "word RUN_CMD: what it is to say is nested more than 48 deep");
    assert!(run("x".repeat(1_000_000)).await.is_ok());
    lexicon.limit_messages(1000);
    assert_eq!(run("x".repeat(1000)).await.unwrap_err().slug(), "too-large");
    assert_eq!(lexicon.word("RUN_CMD").unwrap().calls, 1);
    let raw =
        |bytes| lexicon.require_sendable("NOSUCH", &Message { headers: vec![], body: vec![b' '; bytes] });
    assert_eq!((raw(993), raw(994).unwrap_err().slug()), (Ok(()), "too-large"));
}

#[tokio::test]
async fn what_a_word_says_or_answers_beyond_the_limit_is_refused_and_the_word_named() {
    let lexicon = probing(FakeAgent::guest(), generous()).await;
    let error = told(&lexicon, "big").await.unwrap_err();
    assert_eq!(error.slug(), "too-large");
    assert_eq!(error.to_string(), "word PROBE: what it says has 2097160 bytes; the limit is 1048576");
    let error = lexicon.say("PROBE", r#"{"do": "", "header": 9000}"#.to_owned()).await.unwrap_err();
    assert_eq!(error.to_string(), "word PROBE: header long has 9005 bytes; the limit is 8192");

    let asked = |what| heard(&lexicon, "PROBE".to_owned(), what);
    let (kind, text) = asked(&[("do", "big")]).await.unwrap_err();
    assert_eq!(kind, "too-large");
    assert_eq!(text, "PROBE \"word PROBE: its answer has 2097160 bytes; the limit is 1048576\"");
    let (kind, text) = asked(&[("do", "deep")]).await.unwrap_err();
    assert_eq!(kind, "too-large");
    assert_eq!(text, "PROBE \"the answer of word PROBE is nested more than 48 deep\"");
    let (kind, _) = asked(&[("do", "odd")]).await.unwrap_err();
    assert_eq!(kind, "invalid");
    lexicon.limit_messages(4 << 20);
    assert!(told(&lexicon, "big").await.is_ok());
    assert!(asked(&[("do", "big")]).await.is_ok());
    assert_eq!(lexicon.word("PROBE").unwrap().state, WordState::Ready, "it is no fault");
    let none = Message { headers: vec![], body: vec![] };
    assert_eq!(lexicon.listen("PROBE", &none, Some("vm1")).await, Ok(None));
}
