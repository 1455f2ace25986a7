//! One bad guest beside honest ones, and one bad caller beside others: it floods, nests, exaggerates and keeps silent, and
//! everybody else is served as if it were not there.

use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use vocable_tests::files::{drop_into, word};
use vocable_tests::host::Host;
use vocable_tests::raw_guest::{Flood, RawGuest, answered, escaped_word_frame};

/// Commands on each honest guest, without and with somebody who means harm, unless `VOCABLE_TESTS_COMMANDS` says how many:
/// a percentile wants more of them than a story.
const COMMANDS: usize = 12;
const HONEST: [&str; 3] = ["vm1", "vm2", "vm3"];
/// Messages a second of a guest that floods.
const RATE: u32 = 2300;
/// The most that one flood sends: more than there is time for.
const MOST: usize = 100_000;
/// A body that is nearly as long as one may be.
const LARGE: usize = (1 << 20) - 4096;

/// JSON that costs whoever reads it a hundred times its length of memory.
fn expensive(id: &str) -> String {
    let members = "{\"\":0},".repeat((LARGE - 200) / 7);
    format!("{{\"cmd-id\":\"{id}\",\"finished\":true,\"exitCodeOrSignal\":0,\"resources\":[{members}0]}}")
}

/// Results of a mebibyte that a word can read, and has to read to its end.
fn lengthy(id: &str) -> String {
    let numbers = "1,".repeat((LARGE - 200) / 2);
    format!("{{\"cmd-id\":\"{id}\",\"finished\":true,\"exitCodeOrSignal\":0,\"resources\":[{numbers}1]}}")
}

fn commands() -> usize {
    std::env::var("VOCABLE_TESTS_COMMANDS").ok().and_then(|number| number.parse().ok()).unwrap_or(COMMANDS)
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// Runs commands on all guests at a time, which all have to come back right; how long each took, in their order.
fn run_everywhere(host: &Host, guests: &[&str], what: &str) -> Vec<Duration> {
    let on = |guest: &str| {
        let one = |n: usize| {
            let (begun, text) = (Instant::now(), format!("{what} {n} on {guest}"));
            assert_eq!(host.runs(guest, &["echo", &text]).well().text(), format!("{text}\n"));
            begun.elapsed()
        };
        (0..commands()).map(one).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = guests.iter().map(|guest| scope.spawn(|| on(guest))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort();
    all
}

fn shown(took: &[Duration]) -> String {
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    format!("p50 {:.1?}, p99 {:.1?}", at(50), at(99))
}

/// Nobody has ever called them lost, and they are there.
fn were_never_lost(host: &Host, guests: &[&str]) {
    for guest in guests {
        let only = json!({"guest": guest, "kinds": ["guest.lost"]});
        let lost = host.call("agent.events", json!([0.0, 0.0, only])).unwrap();
        assert_eq!(lost["events"], json!([]), "{guest}");
        let about = host.call("guest.get", json!([guest])).unwrap();
        assert!(about["state"] == "alive" || about["state"] == "joined", "{about:#}");
    }
}

/// Three honest guests work as well beside that flood as without it.
fn honest_guests_work_beside(what: &str, at_first: usize, flood: impl FnOnce(&RawGuest) -> Flood) {
    let host = Host::start();
    let _guests = host.guests(HONEST);
    let alone = run_everywhere(&host, &HONEST, "alone");
    let rogue = RawGuest::joins(&host, "rogue");
    let flood = flood(&rogue);
    flood.has_sent(at_first);
    let beside = run_everywhere(&host, &HONEST, "beside a flood");
    let sent = flood.stops();
    eprintln!("{what}: alone {}; beside {sent} messages {}", shown(&alone), shown(&beside));
    were_never_lost(&host, &HONEST);
}

#[test]
fn honest_guests_work_beside_one_that_beats_thousands_of_times_a_second() {
    honest_guests_work_beside("BEAT", 1000, |rogue| {
        let beat = escaped_word_frame(rogue.id(), "BEAT", &[("id", rogue.id()), ("ip", "127.0.0.1")], "");
        rogue.floods(MOST, Some(RATE), move |_| beat.clone())
    });
}

#[test]
fn honest_guests_work_beside_one_that_tells_large_results_of_commands_it_never_had() {
    honest_guests_work_beside("CMD_RESULTS", 10, |rogue| {
        let garbage = escaped_word_frame(
            rogue.id(),
            "CMD_RESULTS",
            &[("cmd-id", "none.rogue")],
            &lengthy("none.rogue"),
        );
        rogue.floods(36 * 20, None, move |_| garbage.clone())
    });
}

#[test]
fn honest_guests_work_beside_one_that_says_hello_all_the_time() {
    honest_guests_work_beside("HELLO", 500, |rogue| {
        let id = rogue.id().to_owned();
        rogue.floods(MOST, Some(RATE), move |n| {
            let beacon = (n % 60 + 1).to_string();
            escaped_word_frame(&id, "HELLO", &[("id", &id), ("ip", "127.0.0.1"), ("beacon", &beacon)], "")
        })
    });
}

#[test]
fn honest_guests_work_beside_one_that_sends_mebibytes_nobody_asked_for() {
    honest_guests_work_beside("bodies of 1 MiB", 10, |rogue| {
        let headers = [("id", rogue.id()), ("ip", "127.0.0.1"), ("asked", "again")];
        let large = escaped_word_frame(rogue.id(), "BEAT", &headers, &"x".repeat(LARGE));
        rogue.floods(36 * 100, None, move |_| large.clone())
    });
}

#[test]
fn json_that_breaks_a_word_breaks_it_for_its_senders_only() {
    // Who fails rests for no time: so each message is heard.
    let host = Host::with(&["words.default.retry_after = \"1ms\""]);
    let _guests = host.guests(HONEST);
    let rogues = ["rogue1", "rogue2"].map(|id| RawGuest::joins(&host, id));
    let bodies = [expensive("none.rogue"), nested(LARGE / 2), format!("{{\"a\":{}}}", nested(LARGE / 4))];
    for word in ["RUN_CMD", "CMD_RESULTS"] {
        for body in &bodies {
            // In turn, and nobody honest says anything in between: their commands come afterwards.
            for rogue in rogues.iter().cycle().take(8) {
                let answer = rogue.asks(word, &[("cmd-id", "none.rogue"), ("cmd", "true")], body);
                assert!(answer.header("refusal").is_some(), "{word}: {answer:?}");
            }
            assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
        }
        run_everywhere(&host, &HONEST, word);
    }
    were_never_lost(&host, &HONEST);
}

#[test]
fn arguments_that_no_message_can_carry_are_refused_and_the_word_goes_on() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let (one, many) = (vec!["x".repeat(15 << 20)], vec!["y".repeat(1 << 20); 15]);
    for args in [&one, &many, &one, &many] {
        let refused = host.call("cmd.run", json!(["vm1", "true", args])).expect_err("it is taken");
        assert!(!refused.starts_with("word-") && refused.len() < 1000, "{refused}");
    }
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
    // What is just short enough is as good as anything.
    let long = "z".repeat(100_000);
    assert_eq!(host.runs("vm1", &["echo", &long]).well().out.len(), long.len() + 1);
    let listed = host.call("cmd.list", json!([{"all": true}])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "what was refused is no command");
}

/// Results, facts and answers that are JSON, and that other programs cannot show or do not understand.
fn odd_values() -> Vec<String> {
    let mut odd: Vec<_> = [63, 64, 65, 100, 120].map(nested).to_vec();
    odd.push("{\"a\":".repeat(90) + "1" + &"}".repeat(90));
    for text in ["\\u0001", "\\u0000", "\\ud800", "\\ufffe", "]]>"] {
        odd.push(format!("{{\"{text}\":1}}"));
        odd.push(format!("{{\"a\":\"{text}\"}}"));
    }
    odd.push("{\"n\":1e308,\"m\":-1e308,\"k\":18446744073709551615}".to_owned());
    odd.push(format!("{{\"{}\":1}}", "long".repeat(1000)));
    odd
}

#[test]
fn one_odd_value_of_one_guest_fails_no_list() {
    let host = Host::start();
    let plan = host.guest("vm1");
    for folder in [plan.words(), host.words()] {
        drop_into(&folder, &word("word-echo"), "echo.wasm");
    }
    host.awaits("word.loaded", "ECHO");
    let _vm1 = plan.joins();
    let odd = odd_values();
    for (n, value) in odd.iter().enumerate() {
        let (id, told) = (format!("rogue{n}"), value.clone());
        let rogue = RawGuest::joins_with(&host, &id.clone(), &[], {
            Box::new(move |message| {
                let (word, _) = message.word_and_body();
                let ask = answered(&id, message, if word == "ECHO" { &told } else { "" });
                let command = message.header("cmd-id").filter(|_| word == "RUN_CMD");
                let results = command.map(|command| {
                    let results = format!(
                        "{{\"cmd-id\":\"{command}\",\"finished\":true,\"exitCodeOrSignal\":0,\"resources\":{told},\
                         \"novelty\":{told},\"error\":{told},\"out_bytes\":0,\"err_bytes\":0}}"
                    );
                    escaped_word_frame(&id, "CMD_RESULTS", &[("cmd-id", &command)], &results)
                });
                ask.into_iter().chain(results).collect()
            })
        });
        for fact in ["mac", "agent", "boot-id", "beacon", "files", "novelty"] {
            let hello = [("id", rogue.id()), ("ip", "127.0.0.1"), (fact, value)];
            // Taken or refused, as the host likes.
            rogue.asks("HELLO", &hello[..if value.len() < 4000 { 3 } else { 2 }], "");
        }
        host.call("cmd.run", json!([rogue.id(), "true"])).unwrap();
        rogue.receives("RUN_CMD");
        rogue.is_caught_up();
        all_lists_are_shown(&host, rogue.id(), value);
    }
    for line in [["ps", "-a"].as_slice(), &["guests"], &["ask", "ECHO", "--to", "vm1", "a=1"]] {
        let typed = host.types(line);
        assert_eq!(typed.code, Some(0), "{line:?}: {typed:?}");
    }
}

/// Everything that shows what guests have told, with `rogue` among them.
fn all_lists_are_shown(host: &Host, rogue: &str, value: &str) {
    let shows = |method: &str, params: Value| {
        host.call(method, params).unwrap_or_else(|fault| panic!("{method} after {value:.200}: {fault}"))
    };
    let guests = shows("guest.list", json!([]));
    assert!(guests.as_array().unwrap().iter().any(|guest| guest["guest"] == "vm1"), "{guests:#}");
    shows("guest.why", json!([rogue]));
    shows("cmd.list", json!([{"all": true}]));
    shows("agent.events", json!([0.0, 0.0]));
    let answers = shows("word.ask", json!([format!("vm1,{rogue}"), "ECHO", {"a": 1}]));
    let of_vm1 = answers.as_array().unwrap().iter().find(|answer| answer["guest"] == "vm1").unwrap();
    assert_eq!(of_vm1["answer"], json!({"a": 1}), "{answers:#}");

    let request = shows("cmd.run", json!([format!("vm1,{rogue}"), "echo", ["together"]]));
    let of_vm1 = host.command(&format!("{}.vm1", request.as_str().unwrap()));
    assert_eq!(of_vm1.ends().well().text(), "together\n");
    let together = shows("cmd.poll", json!([request]));
    assert_eq!(together["commands"].as_array().unwrap().len(), 2, "{together:#}");
}

#[test]
fn an_answer_that_is_too_long_is_a_refusal_and_its_guest_can_be_reached() {
    let all = "words.PROBE.grants = [\"process\", \"jobs\", \"speech\"]";
    let host = Host::with(&[all]);
    let plan = host.guest("vm1").with(all);
    for folder in [plan.words(), host.words()] {
        drop_into(&folder, &word("word-probe"), "probe.wasm");
    }
    host.awaits("word.loaded", "PROBE");
    let _vm1 = plan.joins();
    for _ in 0..3 {
        let answer = host.call("word.ask", json!(["vm1", "PROBE", {"do": "", "then": "big"}])).unwrap();
        let told = answer[0]["error"]["message"].as_str().unwrap_or_default();
        assert!(told.contains("PROBE") && told.contains("the limit is 1048576"), "{answer:.300?}");
        assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
    }
    were_never_lost(&host, &["vm1"]);
}

#[test]
fn a_target_of_many_braces_is_refused_and_the_agent_lives() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let nested = |levels: usize| format!("{}vm1{}", "{".repeat(levels), "}".repeat(levels));
    let lists = |levels: usize| format!("{}vm1{}", "{a,".repeat(levels), "}".repeat(levels));
    let open = |levels: usize| "{".repeat(levels);
    let classes = "[!a-".repeat(2000);
    let stars = "*".repeat(50_000) + "x";
    let product = "{a,b,c,d,e,f,g,h}".repeat(60);
    let targets =
        [nested(260), lists(260), open(260), nested(20_000), lists(20_000), classes, stars, product];
    for target in &targets {
        for method in ["cmd.run", "guest.select", "word.ask"] {
            let params = match method {
                "cmd.run" => json!([target, "true"]),
                "word.ask" => json!([target, "BEAT"]),
                _ => json!([target]),
            };
            let refused = host.call(method, params).expect_err("nobody is called that");
            assert!(refused.len() < 2000, "{} bytes of reason", refused.len());
        }
    }
    let typed = host.types(&["run", &targets[0], "--", "true"]);
    assert!(typed.code == Some(125) && typed.err.contains("error["), "{typed:?}");
    assert_eq!(host.call("guest.select", json!(["vm[12],vm?"])), Ok(json!(["vm1"])));
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn a_command_with_more_output_than_it_may_have_is_held_up_and_holds_up_nobody() {
    const LIMIT: u64 = 1 << 20;
    const SPOOL: u64 = 256 << 10;
    const PIPES: u64 = 128 << 10;
    const PIECE: u64 = 128 << 10;
    let host = Host::with(&["commands.output_limit = \"1MiB\"", "commands.keep_free = \"0B\""]);
    let spool = "jobs.spool_limit = \"256KiB\"";
    let _vm1 = host.guest("vm1").with(spool).joins();
    let _vm2 = host.guest("vm2").joins();
    let endless = host.starts("vm1", &["sh", "-c", "echo begin; exec yes"]);
    endless.has_written(LIMIT / 2);
    let told = host.awaits("cmd.paused", "vm1");
    assert!(told["text"].as_str().unwrap().contains("output_limit"), "{told:#}");
    let report = endless.polled_quietly();
    assert!(
        report["state"] == "running" && report["out_bytes"].as_u64().unwrap() <= LIMIT + PIECE,
        "{report:#}"
    );
    let shown = host.types(&["ps"]);
    assert!(shown.text().contains("paused") && shown.err.contains("output_limit"), "{shown:?}");
    // Beside it everything goes on, on its own guest too.
    for guest in ["vm1", "vm2"] {
        assert_eq!(host.runs(guest, &["echo", "fine"]).well().text(), "fine\n");
        let some = host.shell(guest, "yes | head -c 600000").well();
        assert_eq!(some.out.len(), 600_000);
    }
    host.call("cmd.cancel", json!([endless.id])).unwrap();
    let ran = endless.ends();
    assert_eq!(ran.state(), "cancelled", "{:#}", ran.report);
    // What it had written by then is told in the end.
    let written = ran.out.len() as u64;
    assert!(
        ran.out.starts_with(b"begin\ny\ny\n") && written <= LIMIT + PIECE + SPOOL + PIPES,
        "{written} bytes"
    );
}

/// Where a guest serves files, as `why` tells it.
fn files_of(host: &Host, guest: &str) -> SocketAddr {
    let checks = host.call("guest.why", json!([guest])).unwrap()["checks"].clone();
    let texts = checks.as_array().unwrap().iter().filter_map(|check| check["text"].as_str());
    let direct = texts.filter_map(|text| text.split_once("directly, at "));
    direct.map(|(_, address)| address.parse().unwrap()).next().unwrap_or_else(|| panic!("{checks:#}"))
}

#[test]
fn silent_connections_to_a_guests_files_keep_no_copy_out() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let address = files_of(&host, "vm1");
    let silent: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    let file = host.folder().join("file");
    fs::write(&file, "content").unwrap();
    let typed = host.types(&["cp", file.to_str().unwrap(), "vm1:/inbox/"]);
    assert_eq!(typed.code, Some(0), "{typed:?}");
    assert_eq!(fs::read(host.folder().join("vm1/inbox/file")).unwrap(), b"content");
    let logged = host.process().logged();
    assert!(!logged.contains("files go through the bus"), "{logged}");
    drop(silent);
}

#[test]
fn a_flood_of_refused_messages_fills_no_log_and_drives_out_no_event() {
    // More than are heard: who is refused again and again rests in between.
    const REFUSED: usize = 2_000;
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let rogue = RawGuest::joins(&host, "rogue");
    let first = host.runs("vm1", &["echo", "before"]).well();
    let before = host.process().logged_bytes();
    // Each is refused with a reason that could quote it.
    let long = "x".repeat(2000);
    let id = rogue.id().to_owned();
    let flood = rogue.floods(REFUSED, None, move |n| match n % 3 {
        0 => escaped_word_frame(&id, "BEAT", &[("id", &long), ("ip", &long)], ""),
        1 => {
            escaped_word_frame(&id, "CMD_RESULTS", &[("cmd-id", "c"), ("part", &long), ("offset", &long)], "")
        }
        _ => escaped_word_frame(&id, &format!("X{}", n % 10), &[("id", &long)], ""),
    });
    assert_eq!(flood.ends(), REFUSED);
    assert_eq!(host.runs("vm1", &["echo", "beside"]).well().text(), "beside\n");
    let logged = host.process().logged_bytes() - before;
    assert!(logged < 100_000, "{logged} bytes of log about {REFUSED} messages");
    assert!(host.process().logged().contains("rogue"), "nobody would know who it was");
    // What others did can still be read.
    let about = json!({"guest": "vm1", "kinds": ["cmd.*"]});
    let events = host.call("agent.events", json!([0.0, 0.0, about])).unwrap();
    let is_first = |event: &Value| event["cmd_id"] == first.report["cmd_id"] && event["kind"] == "cmd.done";
    assert!(events["events"].as_array().unwrap().iter().any(is_first), "{events:.2000}");
    assert_eq!(host.runs("vm1", &["echo", "after"]).well().text(), "after\n");
}
