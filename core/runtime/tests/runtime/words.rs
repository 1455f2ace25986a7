//! The built-in words on two agents: the path of one command, and of a guest that comes and goes.

use serde_json::json;
use vocable_runtime::{Envelope, Interpreter, Lexicon, Policies, Policy, Received, wrap};

use crate::support::*;

/// A host and a guest, and nothing but memory between them.
struct Bus {
    host: (std::sync::Arc<FakeAgent>, Lexicon),
    guest: (std::sync::Arc<FakeAgent>, Lexicon),
}

impl Bus {
    async fn open() -> Self {
        let (host, guest) = (FakeAgent::host(), FakeAgent::guest());
        let lexicons = (built_in_words(host.clone()).await, built_in_words(guest.clone()).await);
        Self { host: (host, lexicons.0), guest: (guest, lexicons.1) }
    }

    /// What the words bound to an event on the host have to say is heard on the guest.
    async fn host_says(&self, event: &str, facts: serde_json::Value) -> Vec<String> {
        self.carry(&self.host.1, &self.guest.1, "host", event, facts).await;
        self.guest.0.calls()
    }

    /// And the other way round.
    async fn guest_says(&self, event: &str, facts: serde_json::Value) -> Vec<String> {
        self.carry(&self.guest.1, &self.host.1, "vm1", event, facts).await;
        self.host.0.calls()
    }

    async fn carry(&self, from: &Lexicon, to: &Lexicon, sender: &str, event: &str, facts: serde_json::Value) {
        for (word, message) in from.raise(event, facts.to_string()).await {
            let heard = Interpreter::new(to.clone()).receive(wrap(&word, message.unwrap()), sender).await;
            assert_eq!(heard, Received { word, ..Received::default() });
        }
    }
}

#[tokio::test]
async fn a_command_goes_there_and_its_results_come_back() {
    let bus = Bus::open().await;
    let command = json!({"cmd-id": "c1", "cmd": "/bin/echo", "args": ["a b"]});
    let started = bus.host_says("run-requested", command).await;
    assert_eq!(started, [r#"RUN_CMD for host: start c1: /bin/echo ["a b"]"#]);

    let piece = json!({"cmd-id": "c1", "part": "out", "offset": 5, "length": 2});
    let told = bus.guest_says("job-output", piece).await;
    assert_eq!(told, ["CMD_RESULTS for vm1: output c1 out 5: [255, 0]"]);
    assert_eq!(bus.guest.0.calls(), ["CMD_RESULTS for itself: read c1 out 5+2"]);

    let results = json!({"finished": true, "exitCodeOrSignal": 0, "out": "a b\n", "err": ""});
    let told = bus.guest_says("job-ended", json!({"cmd-id": "c1", "results": results})).await;
    let expected = r#"{"cmd-id":"c1","err":"","exitCodeOrSignal":0,"finished":true,"out":"a b\n"}"#;
    assert_eq!(told, [format!("CMD_RESULTS for vm1: finished c1: {expected}")]);
}

#[tokio::test]
async fn a_guest_comes_stays_and_goes() {
    let bus = Bus::open().await;
    let told = bus.guest_says("connected", json!({"agent": "0.3.0", "mac": "08:00:27:0A:0B:0C"})).await;
    let told = told.join("\n");
    assert!(told.starts_with(r#"HELLO for vm1: joined vm1 10.0.0.2 {"agent":"0.3.0","mac":"08:00:27:0A:0B:0C","words":[["AINT""#), "{told}");
    assert_eq!(bus.guest_says("beacon", json!({})).await, ["BEAT for vm1: alive vm1"]);
    let told = bus.guest_says("leaving", json!({"reason": "the machine is shutting down"})).await;
    assert_eq!(told, ["BYE for vm1: left vm1: the machine is shutting down"]);
}

#[tokio::test]
async fn what_is_said_in_the_wrong_direction_is_denied() {
    let bus = Bus::open().await;
    let body = async |lexicon: &Lexicon, body: &'static str, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let envelope = Envelope { headers, body: body.into() }.asked("a1");
        Interpreter::new(lexicon.clone()).receive(envelope, "vm1").await.reply.unwrap()
    };
    let reply = body(&bus.host.1, "RUN_CMD", &[("cmd-id", "c1"), ("cmd", "reboot")]).await;
    assert_eq!(reply.header("refusal"), Some("denied"));
    assert_eq!(reply.body, "RUN_CMD \"RUN_CMD listens on a guest only\"");
    for (word, expected) in [("HELLO", "HELLO \"HELLO listens on"), ("BEAT", "BEAT \"BEAT listens on")] {
        let reply = body(&bus.guest.1, word, &[("id", "vm1"), ("ip", "")]).await;
        assert!(reply.body.starts_with(expected.as_bytes()), "{reply:?}");
    }
    let reply = body(&bus.guest.1, "CMD_RESULTS {}", &[("cmd-id", "c1")]).await;
    assert_eq!(reply.body, "CMD_RESULTS \"CMD_RESULTS listens on a host only\"");
    assert_eq!(bus.host.0.calls(), [""; 0]);
    assert!(bus.host.1.words().iter().all(|word| word.traps == 0), "a denial is no fault");
}

#[tokio::test]
async fn every_built_in_word_is_bound_to_an_event_of_the_contract() {
    let lexicon = built_in_words(FakeAgent::guest()).await;
    let mut bound: Vec<_> = lexicon.words().into_iter().flat_map(|word| word.on).collect();
    bound.sort();
    assert_eq!(bound, vocable_runtime::EVENTS);
}

#[tokio::test]
async fn a_word_that_nobody_compiled_in_is_dropped_into_a_directory_and_answers() {
    let dir = Dir::with(&[]);
    let grants = ["process".to_owned()].into();
    let policies =
        Policies { words: [("DF".into(), Policy { grants, ..Policy::default() })].into(), ..generous() };
    let (lexicon, _) = open(FakeAgent::guest(), policies, &[], &dir).await;
    let (mut events, _watching) = lexicon.watch();
    dir.put("df.wasm", &df());
    assert_eq!(next(&mut events).await.word(), Some("DF"));

    let said = lexicon.say("DF", r#"{"path": "/"}"#.to_owned()).await.unwrap();
    let heard = Interpreter::new(lexicon.clone()).receive(wrap("DF", said).asked("a1"), "host").await;
    let expected = r#"DF [{"filesystem":"/dev/vda1","free":6144,"mount":"/","size":10240,"used":4096}]"#;
    assert_eq!(heard.reply.unwrap().body, expected);
    assert!(lexicon.word("DF").unwrap().reply.contains(r#""format":"bytes""#));
}
