//! A command on one guest: everything that goes in and comes out, and every way it can end.

use base64::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;
use vocable_tests::process::Process;

const RESOURCES: [&str; 16] = [
    "ru_utime",
    "ru_stime",
    "ru_maxrss",
    "ru_ixrss",
    "ru_idrss",
    "ru_isrss",
    "ru_minflt",
    "ru_majflt",
    "ru_nswap",
    "ru_inblock",
    "ru_oublock",
    "ru_msgsnd",
    "ru_msgrcv",
    "ru_nsignals",
    "ru_nvcsw",
    "ru_nivcsw",
];

#[test]
fn output_exit_code_and_resources_come_back() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let ran =
        host.shell("vm1", "echo out; echo err >&2; i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; exit 3");
    assert_eq!((ran.text(), ran.errors()), ("out\n", "err\n"));
    assert_eq!((ran.state(), ran.ending()), ("done", (true, 3)));
    let resources = ran.report["resources"].as_object().unwrap();
    assert_eq!(resources.len(), RESOURCES.len(), "{resources:?}");
    assert!(RESOURCES.iter().all(|name| resources[*name].is_number()), "{resources:?}");
    assert!(resources["ru_utime"].as_f64().unwrap() > 0.0, "{resources:?}");
    assert!(resources["ru_maxrss"].as_f64().unwrap() > 100.0, "{resources:?}");
}

#[test]
fn arguments_environment_directory_and_input_arrive_as_they_were_given() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let words = ["two words", "grüße 日本 🦀", "two\nlines", "", "$HOME `id` \"'\\", "--"];
    let line = [["printf", "%s|"].as_slice(), &words].concat();
    assert_eq!(host.runs("vm1", &line).well().text(), format!("{}|", words.join("|")));

    let bytes: Vec<u8> = (0..=255).collect();
    let options = json!({"env": {"COLOUR": "blau ü"}, "path": "/usr", "stdin": {"b64": BASE64_STANDARD.encode(&bytes)}});
    let script = "printf '%s %s ' \"$COLOUR\" \"$PWD\"; cat";
    let ran = host.starts_with("vm1", &["sh", "-c", script], options).ends().well();
    assert_eq!(ran.out, ["blau ü /usr ".as_bytes(), &bytes].concat());
}

#[test]
fn input_and_arguments_far_longer_than_a_line_of_the_protocol_arrive_whole() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let bytes: Vec<u8> = (0..=255).cycle().take(400_000).collect();
    let options = json!({"stdin": {"b64": BASE64_STANDARD.encode(&bytes)}});
    assert_eq!(host.starts_with("vm1", &["cat"], options).ends().well().out, bytes);
    let long = "ü\n:".repeat(20_000);
    assert_eq!(host.runs("vm1", &["printf", "%s", &long]).well().text(), long);
}

#[test]
fn output_that_is_no_text_arrives_byte_for_byte() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let ran = host.shell("vm1", r"printf 'a\0b\377\376\n'; printf '\200\0' >&2").well();
    assert_eq!(
        (ran.out.as_slice(), ran.err.as_slice()),
        (b"a\0b\xff\xfe\n".as_slice(), b"\x80\0".as_slice())
    );
    let typed = host.types(&["run", "vm1", "--", "printf", r"a\0b\377"]);
    assert_eq!((typed.code, typed.out.as_slice()), (Some(0), b"a\0b\xff".as_slice()));
}

#[test]
fn the_end_by_a_signal_is_told_from_an_exit_code() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    assert_eq!(host.shell("vm1", "kill -SEGV $$").ending(), (false, 11));
    assert_eq!(host.shell("vm1", "exit 139").ending(), (true, 139));
}

#[test]
fn what_cannot_be_started_says_why() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let refused = |line: &[&str], options: Value| {
        let command = host.starts_with("vm1", line, options);
        let ran = command.ends();
        assert_eq!(ran.state(), "failed", "{:#}", ran.report);
        assert_eq!(command.listed()["error"], ran.report["error"]);
        (ran.ending().1, ran.report["error"]["message"].as_str().unwrap().to_owned())
    };
    let (code, message) = refused(&["no-such-program"], json!({}));
    assert!(code == 127 && message.contains("no-such-program"), "{code}: {message}");
    let (code, message) = refused(&["/etc/passwd"], json!({}));
    assert!(code == 126 && message.contains("/etc/passwd"), "{code}: {message}");
    let (_, message) = refused(&["true"], json!({"path": "/no/such/folder"}));
    assert!(message.contains("/no/such/folder"), "{message}");
}

#[test]
fn when_its_time_is_up_everything_it_has_started_ends_too() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "setsid sh -c 'echo $$; exec sleep 600' & sleep 600 & echo $!; wait";
    let command = host.starts_with("vm1", &["sh", "-c", script], json!({"timeout_s": 1.0, "grace_s": 0.2}));
    let ran = command.ends();
    assert_eq!(ran.state(), "timeout", "{:#}", ran.report);
    let started: Vec<_> = ran.text().lines().collect();
    assert_eq!(started.len(), 2, "{ran:?}");
    for pid in started {
        assert!(!std::path::Path::new("/proc").join(pid).exists(), "{pid} still runs");
    }
}

#[test]
fn output_can_be_read_while_the_command_runs() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("echo first; {}; echo second; {}; echo third", gate.wait(), gate.wait());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    command.prints("first\n");
    assert_eq!(command.polled()["state"], "running");

    let mut typed = Process::start("vocable logs", &mut host.command_line(&["logs", "-f", &command.id]));
    assert_eq!(typed.next_line(), "first");
    gate.open();
    assert_eq!(typed.next_line(), "second");
    gate.open();
    assert_eq!(typed.finishes().0, b"third\n");
    assert_eq!(command.ends().well().text(), "first\nsecond\nthird\n");
}

#[test]
fn the_command_line_streams_too() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("echo first; {}; echo second", gate.wait());
    let arguments = ["run", "vm1", "--", "sh", "-c", &script];
    let mut typed = Process::start("vocable run", &mut host.command_line(&arguments));
    assert_eq!(typed.next_line(), "first");
    gate.open();
    let (rest, status) = typed.finishes();
    assert_eq!((rest.as_slice(), status.code()), (b"second\n".as_slice(), Some(0)));
}

#[test]
fn very_much_output_is_complete_and_holds_nobody_up() {
    const BYTES: u64 = 64 << 20;
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    host.runs("vm1", &["true"]).well();
    let memory = || [host.process().peak_memory(), vm1.process().peak_memory()];
    let before = memory();
    let beats = host.about("vm1")["beats"].as_u64().unwrap();

    let script = format!("head -c {BYTES} /dev/zero | tr '\\0' 'x'");
    let much = host.starts("vm1", &["sh", "-c", &script]);
    much.has_written(1);
    let mut slowest = Duration::ZERO;
    let mut in_between = 0;
    while much.polled_quietly()["state"] == "running" || in_between == 0 {
        let asked = Instant::now();
        host.runs("vm1", &["true"]).well();
        slowest = slowest.max(asked.elapsed());
        in_between += 1;
    }
    // A few milliseconds on a quiet machine; what counts is that they do not queue behind 64 MiB.
    assert!(slowest < Duration::from_secs(5), "{slowest:?} for a small command in between");
    assert!(host.about("vm1")["beats"].as_u64().unwrap() > beats, "no beat came through");

    let typed = host.types(&["logs", &much.id]);
    assert_eq!(typed.code, Some(0), "{}", typed.err);
    assert_eq!(typed.out.len() as u64, BYTES);
    let expected = Sha256::new_with_prefix(vec![b'x'; usize::try_from(BYTES).unwrap()]).finalize();
    assert_eq!(Sha256::digest(&typed.out), expected);
    for (before, after) in before.into_iter().zip(memory()) {
        assert!(after < before + (60 << 20), "from {before} to {after} bytes");
    }
}
