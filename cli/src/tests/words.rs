//! `vocable ask` and `words`.

use crate::testing::{FakeAgent, Screen, on, vocable};
use serde_json::{Value as Json, json};
use vocable_api::Any;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::word::{Answer, Ask, List, State, Word};
use vocable_xmlrpc::from_json;

fn any(json: Json) -> Any {
    Any(from_json(json).unwrap())
}

fn word(name: &str, version: &str, sha256: &str) -> Word {
    let (word, version, sha256) = (name.to_owned(), version.to_owned(), sha256.to_owned());
    Word { word, version, sha256, contract: "0.1".to_owned(), ..Word::default() }
}

fn listed() -> Vec<Word> {
    let path = json!({"type": "string", "description": "only the file system that holds this"});
    let bytes = json!({"format": "bytes"});
    let minutes = json!({"type": "integer", "minimum": 1, "maximum": 600});
    vec![
        Word {
            summary: "Says which words are known".to_owned(),
            source: "built-in".to_owned(),
            ..word("AINT", "0.3.0", "1c9e04ab77")
        },
        Word {
            summary: "Tells how full the file systems are".to_owned(),
            source: "/words.d/DF.wasm".to_owned(),
            imports: vec!["process".to_owned()],
            grants: vec!["process".to_owned()],
            calls: 1204,
            parameters: any(json!({"properties": {"path": path}})),
            reply: any(json!({"type": "array", "items": {"properties": {"size": bytes, "free": bytes}}})),
            ..word("DF", "1.2.0", "77aa10f2aa")
        },
        Word {
            calls: 57,
            traps: 5,
            state: State::Quarantined,
            reason: Some("out of memory (64 MiB)".to_owned()),
            parameters: any(json!({"required": ["minutes"], "properties": {"minutes": minutes}})),
            ..word("SOAK", "0.1.4", "e0913d77")
        },
    ]
}

fn asked(answers: impl Into<Vec<Answer>>) -> FakeAgent {
    FakeAgent::default().replies::<List>(listed()).replies::<Ask>(answers.into())
}

fn answered(guest: &str, answer: Json) -> Answer {
    let answer = (!answer.is_null()).then(|| any(answer));
    Answer { guest: guest.to_owned(), ok: true, answer, error: None }
}

fn failed(guest: &str, kind: FaultKind, message: &str) -> Answer {
    let error = Some(Fault::new(kind, message).into());
    Answer { guest: guest.to_owned(), error, ..Answer::default() }
}

fn disks() -> [Answer; 2] {
    let disk = |name: &str, size: u64, free: u64| json!({"filesystem": name, "size": size, "free": free});
    [
        answered("vm1", json!([disk("/dev/sda2", 21_474_836_480, 9_663_676_416), disk("tmpfs", 1024, 1024)])),
        answered("vm2", json!([disk("/dev/sda2", 21_474_836_480, 429_496_729)])),
    ]
}

#[test]
fn answers_of_one_shape_are_a_table() {
    let agent = asked(disks());
    insta::assert_snapshot!(vocable(&agent, &["ask", "DF", "--to", "@lab", "path=/data"]), @r#"
    GUEST  FILESYSTEM     FREE     SIZE
    vm1    /dev/sda2   9.0 GiB   20 GiB
    vm1    tmpfs       1.0 KiB  1.0 KiB
    vm2    /dev/sda2   410 MiB   20 GiB
    ------- stderr
    2 guests: 2 answered in 0 ms
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    word.list()
    word.ask("@lab", "DF", {"path":"/data"}, {"timeout_s":10.0})
    "#);
}

#[test]
fn other_answers_are_a_line_each() {
    let two = [answered("vm1", json!({"load": [1, 2]})), answered("vm2", json!("idle"))];
    let three = [&two[..], &[answered("vm3", Json::Null)]].concat();
    insta::assert_snapshot!(vocable(&asked(three), &["ask", "LOAD"]), @r#"
    vm1: {"load":[1,2]}
    vm2: "idle"
    vm3: ok
    ------- stderr
    3 guests: 3 answered in 0 ms
    "#);
    insta::assert_snapshot!(vocable(&asked(two), &["ask", "LOAD", "--table"]), @r#"
    GUEST  ANSWER  LOAD
    vm1            [1,2]
    vm2    idle
    ------- stderr
    2 guests: 2 answered in 0 ms
    "#);
}

#[test]
fn who_did_not_answer_is_told_and_is_no_success() {
    let answers = || {
        [
            answered("vm1", json!({"up": 1})),
            failed("vm2", FaultKind::GuestOffline, "vm2 does not answer: lost"),
            failed("vm3", FaultKind::GuestOffline, "vm3 does not answer: lost"),
        ]
    };
    insta::assert_snapshot!(vocable(&asked(answers()), &["ask", "UPTIME"]), @r#"
    GUEST  UP
    vm1     1
    ------- stderr
    3 guests: 1 answered, 2 did not in 0 ms
      vm2, vm3 (2)  guest-offline: does not answer: lost
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&asked(answers()), &["ask", "--json", "UPTIME"]), @r#"
    {"answer":{"up":1},"guest":"vm1","ok":true}
    {"error":{"code":"guest-offline","fault":103,"message":"vm2 does not answer: lost"},"guest":"vm2","ok":false}
    {"error":{"code":"guest-offline","fault":103,"message":"vm3 does not answer: lost"},"guest":"vm3","ok":false}
    ------- exit code 1
    "#);
}

#[test]
fn the_one_guest_that_does_not_answer_is_an_error() {
    let one = |kind, message: &str| asked([failed("vm1", kind, message)]);
    let unknown = one(
        FaultKind::NoSuchWord,
        "vm1 knows no word DFF: DFF ain't a word here; known are AINT 0.1.0, DF 1.2.0",
    );
    insta::assert_snapshot!(vocable(&unknown, &["ask", "DFF", "--to", "vm1"]), @r#"
    ------- stderr
    error[no-such-word]: vm1 knows no word DFF
      cause: DFF ain't a word here; known are AINT 0.1.0, DF 1.2.0
      hint: did you mean DF?
    ------- exit code 1
    "#);
    let denied = one(FaultKind::WordDenied, "DF on vm1: it imports process, granted is log");
    insta::assert_snapshot!(vocable(&denied, &["ask", "DF", "--to", "vm1"]), @r#"
    ------- stderr
    error[word-denied]: DF on vm1: it imports process, granted is log
      hint: vocable words DF
    ------- exit code 1
    "#);
    let silent = one(FaultKind::TimedOut, "vm1 did not answer within 10 s");
    insta::assert_snapshot!(vocable(&silent, &["ask", "DF", "--to", "vm1"]), @r#"
    ------- stderr
    error[timed-out]: vm1 did not answer within 10 s
      hint: vocable why vm1
    ------- exit code 1
    "#);
}

#[test]
fn arguments_are_checked_before_anything_is_said() {
    let agent = || FakeAgent::default().replies::<List>(listed());
    insta::assert_snapshot!(vocable(&agent(), &["ask", "SOAK", "minutes=ten"]), @r#"
    ------- stderr
    error[bad-argument]: SOAK minutes="ten": expected a whole number from 1 to 600
      hint: vocable words SOAK
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["ask", "SOAK"]), @r#"
    ------- stderr
    error[bad-argument]: SOAK needs a minutes
      hint: vocable words SOAK
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["ask", "DF", "pth=/"]), @r#"
    ------- stderr
    error[bad-argument]: DF takes no "pth"
      hint: did you mean path?
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["ask", "DF", "{bad"]), @r#"
    ------- stderr
    error[bad-argument]: "{bad" is no JSON
      cause: key must be a string at line 1 column 2
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["ask", "DF", "--args", "[1]"]), @r#"
    ------- stderr
    error[bad-argument]: "[1]" is no JSON object
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["ask", "DF", "--timeout", "1m"]), @r#"
    ------- stderr
    error[bad-argument]: --timeout 1m: answers are waited for at most 20s
    ------- exit code 2
    "#);
}

#[test]
fn json_goes_as_it_is() {
    let agent = asked([]);
    vocable(&agent, &["ask", "SOAK", r#"{"minutes": 5, "deep": {"a": [1, true]}}"#, "--timeout", "2s"]);
    vocable(&agent, &["ask", "-h"]);
    insta::assert_snapshot!(agent.calls(), @r#"
    word.list()
    word.ask("*", "SOAK", {"deep":{"a":[1,true]},"minutes":5}, {"timeout_s":2.0})
    "#);
}

#[test]
fn words_are_listed_with_how_they_fare() {
    let agent = || FakeAgent::default().replies::<List>(listed());
    insta::assert_snapshot!(vocable(&agent(), &["words"]), @r#"
    WORD  VERSION  DIGEST    CALLS  TRAPS  STATE
    AINT  0.3.0    1c9e04ab      0      0  built in
    DF    1.2.0    77aa10f2   1204      0  ok, /words.d/DF.wasm
    SOAK  0.1.4    e0913d77     57      5  quarantined: out of memory (64 MiB)
    "#);
    assert_eq!(vocable(&agent(), &["words", "-q"]), "AINT\nDF\nSOAK\n");
    insta::assert_snapshot!(vocable(&agent(), &["words", "DF"]), @r#"
    Tells how full the file systems are
    DF 1.2.0, contract 0.1, sha256 77aa10f2, /words.d/DF.wasm

      path=STRING  only the file system that holds this

      answers  {"items":{"properties":{"free":{"format":"bytes"},"size":{"format":"bytes"}}},"type":"array"}
      binds    nothing
      imports  process
      grants   process
      calls    1204, 0 of them trapped
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["words", "DFF"]), @r#"
    ------- stderr
    error[no-such-word]: the host has no word DFF
      cause: it has AINT DF SOAK
      hint: did you mean DF?
    ------- exit code 1
    "#);
    insta::assert_snapshot!(on(&Screen::default(), &agent(), &["words", "--json", "SOAK"]), @r#"{"binds":[],"calls":57,"contract":"0.1","grants":[],"imports":[],"parameters":{"properties":{"minutes":{"maximum":600,"minimum":1,"type":"integer"}},"required":["minutes"]},"reason":"out of memory (64 MiB)","reply":{},"sha256":"e0913d77","source":"","state":"quarantined","summary":"","traps":5,"version":"0.1.4","word":"SOAK"}"#);
}
