//! Much at once: a thousand commands on one guest, more output than there is room for, readers that do not read.

use hex::encode as hex;
use nix::sys::signal::Signal;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;

#[test]
fn a_thousand_commands_run_on_one_guest_at_the_same_time() {
    const THREADS: usize = 8;
    const EACH: usize = 125;
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let started: Vec<Vec<_>> = std::thread::scope(|scope| {
        let start = |n: usize| {
            let script = format!("echo begin {n}; {}; echo end {n}; exit {}", gate_path(&host), n % 7);
            host.starts("vm1", &["sh", "-c", &script])
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || (0..EACH).map(|n| start(thread * EACH + n)).collect()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let commands: Vec<_> = started.into_iter().flatten().collect();
    for (n, command) in commands.iter().enumerate() {
        command.prints(&format!("begin {n}\n"));
    }
    let running = host.call("cmd.list", json!([{"state": "running", "limit": 1000}])).unwrap();
    assert_eq!(running.as_array().map(Vec::len), Some(THREADS * EACH), "{}", running["error"]);
    commands.iter().for_each(|_| gate.open());
    for (n, command) in commands.iter().enumerate() {
        let ran = command.ends();
        assert_eq!(ran.text(), format!("begin {n}\nend {n}\n"));
        assert_eq!((ran.state(), ran.ending()), ("done", (true, (n % 7) as i64)), "{:#}", ran.report);
    }
    assert_eq!(host.why("vm1"), "vm1 is well");
}

fn gate_path(host: &Host) -> String {
    format!("read x < {}", host.folder().join("gate").display())
}

#[test]
fn output_of_many_times_the_spool_goes_through_it_whole_while_others_run() {
    const BYTES: u64 = 24 << 20;
    const SPOOL: u64 = 2 << 20;
    let host = Host::start();
    let mut vm1 = host.guest("vm1").with(&format!("jobs.spool_limit = \"{}MiB\"", SPOOL >> 20)).joins();
    let script = format!("yes 0123456789abcde | head -c {BYTES}; echo err >&2; exit 3");
    let command = host.starts("vm1", &["sh", "-c", &script]);
    let spool = host.folder().join(format!("vm1/jobs/{}/out", command.id));
    let on_disk = || std::fs::metadata(&spool).map_or(0, |spool| spool.blocks() * 512);
    let mut most = 0;
    for quarter in 1..=3 {
        command.has_written(quarter * BYTES / 4);
        most = most.max(on_disk());
        // The line is shared: a short command does not wait for the end of the long one.
        assert_eq!(host.runs("vm1", &["echo", "short"]).well().text(), "short\n");
        assert_eq!(command.polled_quietly()["state"], "running");
        if quarter == 2 {
            // What was freed cannot be told again by the next agent, and need not be.
            vm1.stops(Signal::SIGKILL);
            vm1.starts_again();
            host.awaits("guest.joined", "vm1");
        }
    }
    assert!(most > 0 && most <= SPOOL + (64 << 10), "{most} bytes of disk");
    let ran = command.ends();
    assert_eq!((ran.state(), ran.ending(), ran.errors()), ("done", (true, 3), "err\n"), "{:#}", ran.report);
    let expected = b"0123456789abcde\n".repeat(usize::try_from(BYTES).unwrap() / 16);
    assert!(ran.out == expected, "{} bytes, and not those that were written", ran.out.len());
    assert_eq!(ran.report["out_sha256"], hex(Sha256::digest(&expected)));
    assert!(ran.report.get("left_out").is_none(), "{:#}", ran.report);
}

#[test]
fn a_caller_that_never_reads_costs_little_and_holds_up_nobody() {
    const MEBIBYTE: u64 = 1 << 20;
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let big = host.shell("vm1", "yes | head -c 1000000").well();
    let id = big.report["cmd_id"].as_str().unwrap();
    let body = format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>cmd.poll</methodName><params><param><value>\
         <string>{id}</string></value></param></params></methodCall>"
    );
    let request = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        host.api(),
        host.token().trim(),
        body.len()
    );
    let before = host.process().peak_memory();
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut caller = TcpStream::connect(host.api()).unwrap();
            for _ in 0..20 {
                caller.write_all(request.as_bytes()).unwrap();
            }
            caller
        })
        .collect();
    for n in 0..10 {
        assert_eq!(host.runs("vm1", &["echo", &n.to_string()]).well().text(), format!("{n}\n"));
    }
    let more = host.process().peak_memory() - before;
    assert!(more < 256 * MEBIBYTE, "{} MiB for 20 callers that do not read", more / MEBIBYTE);
    drop(deaf);
}
