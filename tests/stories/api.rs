//! What the endpoint has beside XML-RPC: JSON, events as they happen, metrics, a line of who changed what; and the
//! methods around commands.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use vocable_tests::TIMEOUT;
use vocable_tests::files::{drop_into, word};
use vocable_tests::gate::Gate;
use vocable_tests::host::{Host, Typed, typed};
use vocable_tests::peers;

/// A request with the token; the connection with its answer still to read, after the head.
fn asks(host: &Host, verb: &str, path: &str, fields: &str, body: &str) -> (u16, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect_timeout(&host.api(), TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{fields}\
         Content-Length: {}\r\n\r\n",
        host.token(),
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    (status, stream)
}

fn json_call(host: &Host, method: &str, params: Value) -> (u16, Value) {
    let path = format!("/api/{method}");
    let (status, mut stream) =
        asks(host, "POST", &path, "Content-Type: application/json\r\n", &params.to_string());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

fn text(host: &Host, path: &str) -> String {
    let (status, mut stream) = asks(host, "GET", path, "", "");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

/// Events of a stream, with their ids.
struct Live(BufReader<TcpStream>);

impl Live {
    fn of(host: &Host, query: &str, fields: &str) -> Self {
        let (status, stream) = asks(host, "GET", &format!("/events{query}"), fields, "");
        assert_eq!(status, 200);
        Self(stream)
    }

    /// The next one of that kind.
    fn next(&mut self, kind: &str) -> (String, Value) {
        let mut id = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
            if let Some(told) = line.strip_prefix("id: ") {
                id = told.trim().to_owned();
            }
            // The id comes after the data or before it; an empty line ends the event.
            if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data).unwrap();
                let mut rest = String::new();
                while rest.trim_end() != "" || rest.is_empty() {
                    rest.clear();
                    self.0.read_line(&mut rest).unwrap();
                    if let Some(told) = rest.strip_prefix("id: ") {
                        id = told.trim().to_owned();
                    }
                }
                if event["kind"] == kind {
                    return (id, event);
                }
            }
        }
    }
}

#[test]
fn a_json_program_runs_a_command_and_every_change_is_written_down() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let (status, run) = json_call(
        &host,
        "cmd.run",
        json!({"target": "vm1", "cmd": "sh", "args": ["-c", "cat"], "stdin": "grüße"}),
    );
    assert_eq!(status, 200, "{run}");
    let id = &run["result"];
    let (status, told) = json_call(&host, "cmd.wait", json!({"cmd_id": id, "timeout_s": 20}));
    assert_eq!((status, &told["state"], &told["out"]), (200, &json!("done"), &json!("grüße")), "{told}");
    let (status, told) = json_call(&host, "cmd.run", json!({"target": "vm9", "cmd": "true"}));
    assert_eq!(
        (status, &told["error"]["code"], &told["error"]["fault"]),
        (404, &json!("no-such-guest"), &json!(102))
    );

    let document: Value = serde_json::from_str(&text(&host, "/api/openapi.json")).unwrap();
    let paths: Vec<_> =
        document["paths"].as_object().unwrap().keys().map(|path| path[5..].to_owned()).collect();
    assert_eq!(json!(paths), host.call("system.listMethods", json!([])).unwrap());

    let metrics = text(&host, "/metrics");
    for line in [
        "vocable_guests{state=\"alive\"} 1.0",
        "vocable_api_calls_total{method=\"cmd.run\",outcome=\"ok\"} 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    assert_eq!(text(&host, "/healthz"), "ok\n");

    assert!(host.stops().success());
    let audit = std::fs::read_to_string(host.folder().join("host/audit.jsonl")).unwrap();
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| json!([line["what"], line["about"]["target"], line["outcome"]])).collect();
    assert_eq!(
        json!(told),
        json!([["guest.token", null, "ok"], ["cmd.run", "vm1", "ok"], ["cmd.run", "vm9", "no-such-guest"],])
    );
}

#[test]
fn whoever_listens_goes_on_where_it_was_and_learns_of_gaps() {
    let mut host = Host::start();
    let mut live = Live::of(&host, "?since=0", "");
    let _vm1 = host.guest("vm1").joins();
    let (seen, joined) = live.next("guest.joined");
    assert_eq!(joined["guest"], "vm1");
    drop(live);
    host.runs("vm1", &["true"]);
    let mut live = Live::of(&host, "?kinds=cmd.*", &format!("Last-Event-ID: {seen}\r\n"));
    let (_, started) = live.next("cmd.queued");
    let (last, _) = live.next("cmd.done");
    assert!(started["seq"].as_u64() > joined["seq"].as_u64());
    assert_eq!(asks(&host, "GET", "/events?since=yesterday", "", "").0, 400);

    host.is_killed();
    host.starts_again();
    let mut live = Live::of(&host, "", &format!("Last-Event-ID: {last}\r\n"));
    let (_, gap) = live.next("gap");
    assert!(gap["text"].as_str().unwrap().contains("started anew"), "{gap}");
}

#[test]
fn a_guest_is_pinged_whatever_words_it_has() {
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    let ping = host.call("guest.ping", json!(["vm1"])).unwrap();
    assert!(ping["rtt_ms"].as_f64().unwrap() > 0.0, "{ping}");
    assert_eq!(host.call("guest.get", json!(["vm1"])).unwrap()["state"], "alive");
    let capabilities = host.call("system.getCapabilities", json!([])).unwrap();
    assert!(capabilities["xmlrpc"]["specUrl"].is_string(), "{capabilities}");
    let status = host.call("agent.status", json!([])).unwrap();
    assert_eq!((&status["guests_online"], &status["commands_running"]), (&json!(1), &json!(0)), "{status}");
    vm1.is_killed();
    host.awaits("guest.lost", "vm1");
    let fault = host.call("guest.ping", json!(["vm1", 5])).unwrap_err();
    assert!(fault.starts_with("guest-offline: vm1 does not answer"), "{fault}");
    assert!(host.call("guest.ping", json!(["vm9"])).unwrap_err().starts_with("no-such-guest: "));
}

#[test]
fn a_word_is_installed_over_the_api_and_a_broken_one_changes_nothing() {
    let host = Host::start();
    let component = std::fs::read(word("word-df")).unwrap();
    let b64 = |bytes: &[u8]| json!({"b64": base64(bytes)});
    let install = |name: &str, bytes: &[u8], options: Value| {
        host.call("word.install", json!([name, b64(bytes), options]))
    };
    let broken = install("DF", b"\0asm no component", json!({})).unwrap_err();
    assert!(broken.starts_with("word-invalid: DF was not installed"), "{broken}");
    let misnamed = install("FD", &component, json!({})).unwrap_err();
    assert!(misnamed.contains("does not call itself FD"), "{misnamed}");
    assert!(
        !host.call("system.listMethods", json!([])).unwrap().as_array().unwrap().contains(&json!("word.DF"))
    );
    assert!(install("../DF", &component, json!({})).unwrap_err().starts_with("invalid-parameter: "));

    let installed = install("DF", &component, json!({})).unwrap();
    assert_eq!((&installed["word"], &installed["changed"]), (&json!("DF"), &json!(true)));
    assert_eq!(install("DF", &component, json!({})).unwrap()["changed"], false);
    assert!(
        host.call("system.listMethods", json!([])).unwrap().as_array().unwrap().contains(&json!("word.DF"))
    );
    let broken = install("DF", b"nonsense", json!({"replace": true})).unwrap_err();
    assert!(broken.starts_with("word-invalid: "), "{broken}");
    assert_eq!(host.call("word.info", json!(["DF"])).unwrap()["sha256"], installed["sha256"]);

    assert_eq!(host.call("word.remove", json!(["DF"])).unwrap()["changed"], true);
    assert!(host.call("word.info", json!(["DF"])).unwrap_err().starts_with("no-such-word: "));
    let built_in = host.call("word.list", json!([])).unwrap()[0]["word"].clone();
    assert!(host.call("word.remove", json!([built_in])).unwrap_err().starts_with("wrong-state: "));
    drop_into(&host.words(), &word("word-df"), "df.wasm");
    let reload = host.call("word.reload", json!([])).unwrap();
    assert!(reload["problems"].as_array().unwrap().is_empty(), "{reload}");
    assert_eq!(host.call("word.info", json!(["DF"])).unwrap()["state"], "ready");
}

#[test]
fn an_agent_that_is_asked_to_stop_stops() {
    let host = Host::start();
    assert_eq!(host.call("agent.shutdown", json!([])).unwrap(), json!({"stopping": true}));
    assert!(host.process().ends().success());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// An example of the documentation, run against this host.
fn example(host: &Host, name: &str, arguments: &[&str]) -> Typed {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name);
    let mut command = std::process::Command::new(path);
    command
        .args(arguments)
        .env("VOCABLE_URL", format!("http://{}", host.api()))
        .env("VOCABLE_TOKEN", host.token());
    typed(&mut command)
}

#[test]
fn the_examples_of_the_documentation_run_commands() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "printf 'gr\\303\\274\\303\\237e\\n'; printf '\\377' >&2; exit 3";
    for (package, sign, name) in [("python3", "python3", "run.py"), ("perl", "perl", "run.pl")] {
        if peers::there(package, sign) {
            let run = example(&host, name, &["vm1", "sh", "-c", script]);
            assert_eq!((run.code, run.text()), (Some(3), "grüße\n"), "{name} {run:?}");
            let refused = example(&host, name, &["vm9", "true"]);
            assert_eq!(refused.code, Some(125), "{name} {refused:?}");
            assert!(refused.err.starts_with("no-such-guest: "), "{name} {refused:?}");
        }
    }
    if peers::there("curl", "curl") {
        let run = example(&host, "run.sh", &["vm1", "echo \"hallo\"; exit 3"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(
            (&run.json()["out"], &run.json()["exitCodeOrSignal"]),
            (&json!("hallo\n"), &json!(3)),
            "{run:?}"
        );
        assert_ne!(example(&host, "run.sh", &["vm9", "true"]).code, Some(0));
    }
}

#[test]
fn a_job_is_opened_watched_and_closed_and_the_same_job_is_one() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let file = host.folder().join("fraction");
    let spec = json!({"vm": "vm1", "cmd": "sh", "args": ["-c", format!("echo x >> {}; exit 4", file.display())], "id": "wu-1"});
    assert_eq!(host.call("job.open", json!([spec])).unwrap(), "wu-1");
    assert_eq!(host.call("job.open", json!([spec])).unwrap(), "wu-1");
    let other = host.call("job.open", json!([{"vm": "vm1", "cmd": "true", "id": "wu-1"}])).unwrap_err();
    assert!(other.starts_with("already-exists: "), "{other}");
    let over = job_over(&host, "wu-1");
    assert_eq!((&over["state"], &over["exitCodeOrSignal"]), (&json!("done"), &json!(4)), "{over}");
    assert_eq!(over["cmd_id"], "wu-1.vm1");
    assert!(over["cpu_s"].as_f64().is_some(), "{over}");
    assert_eq!(host.call("job.close", json!(["wu-1"])).unwrap(), json!({"state": "done"}));
    assert!(host.call("job.status", json!(["wu-1"])).unwrap_err().starts_with("no-such-job: "));

    // Opened again, as after a restart of the agent: nothing runs twice.
    host.call("job.open", json!([spec])).unwrap();
    assert_eq!(job_over(&host, "wu-1")["exitCodeOrSignal"], 4);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");

    let nobody = json!({"vm": "vm9", "cmd": "true", "id": "wu-2", "boot_timeout_s": 0});
    host.call("job.open", json!([nobody])).unwrap();
    let failed = job_over(&host, "wu-2");
    assert_eq!(failed["state"], "failed", "{failed}");
    for bad in [
        json!({"vm": "vm1"}),
        json!({"vm": "vm1", "cmd": "true", "tiemout": 1}),
        json!({"vm": 1, "cmd": "x"}),
    ] {
        let fault = host.call("job.open", json!([bad])).unwrap_err();
        assert!(fault.starts_with("invalid-parameter: job.open: "), "{fault}");
    }
}

/// How a job ended.
fn job_over(host: &Host, id: &str) -> Value {
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let told = host.call("job.status", json!([id])).unwrap();
        if matches!(told["state"].as_str(), Some("done" | "failed" | "aborted")) {
            return told;
        }
        assert!(std::time::Instant::now() < deadline, "{told}");
    }
}

#[test]
fn a_job_that_is_aborted_leaves_nothing_running() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let fraction = host.folder().join("vm1/inbox/fraction");
    let script = format!("echo 0.25 > {}; {}; sleep 1000", fraction.display(), gate.knock());
    let spec = json!({"vm": "vm1", "cmd": "sh", "args": ["-c", script], "id": "wu-3", "fraction_file": "/inbox/fraction"});
    host.call("job.open", json!([spec])).unwrap();
    gate.knocked();
    assert_eq!(host.call("job.status", json!(["wu-3"])).unwrap()["fraction_done"], 0.25);
    let running = host.call("job.close", json!(["wu-3"])).unwrap_err();
    assert!(running.starts_with("wrong-state: job wu-3 is running"), "{running}");
    assert!(
        host.call("job.control", json!(["wu-3", "dance"])).unwrap_err().starts_with("invalid-parameter: ")
    );
    // Ending the command needs cmd.cancel, which agents without it refuse clearly.
    match host.call("job.control", json!(["wu-3", "abort"])) {
        Ok(told) => assert_eq!(told["state"], "aborted"),
        Err(fault) => assert!(fault.starts_with("not-yet: "), "{fault}"),
    }
    assert_eq!(host.call("job.close", json!(["wu-3"])).unwrap(), json!({"state": "aborted"}));
}
