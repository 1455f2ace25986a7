//! Twenty guests, of which three mean harm all the time: one floods, one sends JSON that costs a lot to read, one tells
//! what is not true. The others do their work, and the host keeps its size.
//!
//! For twenty seconds in every test run; `cargo xtask siege SECONDS` goes on for longer.

use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vocable_tests::guest::Guest;
use vocable_tests::host::Host;
use vocable_tests::raw_guest::{RawGuest, credential, escaped_word_frame};
use vocable_tests::seconds;

const HONEST: usize = 17;
/// Who has commands run at the same time.
const CALLERS: usize = 4;
/// No honest command takes longer, on however busy a machine.
const IN_TIME: Duration = Duration::from_secs(30);
const MOST_MEMORY: u64 = 150_000_000;
/// Messages in which a hostile guest loses interest, and comes again.
const EACH_TIME: usize = 20_000;

#[test]
fn twenty_guests_work_though_three_of_them_are_hostile() {
    siege(Duration::from_secs(20));
}

#[test]
#[ignore = "takes as long as one likes: cargo xtask siege SECONDS"]
fn twenty_guests_work_for_as_long_as_one_likes() {
    siege(seconds());
}

fn siege(how_long: Duration) {
    let host = Host::start();
    let names: Vec<_> = (1..=HONEST).map(|n| format!("vm{n}")).collect();
    let guests: Vec<Guest> = names.iter().map(|name| host.guest(name).starts()).collect();
    names.iter().for_each(|name| drop(host.awaits("guest.joined", name)));
    let alone = work(&host, &names, how_long.min(Duration::from_secs(10)) / 2);

    let is_over = AtomicBool::new(false);
    let rogues = [("floods", flooding as Message), ("nests", nesting), ("lies", lying)];
    let (sent, memory) = (AtomicUsize::new(0), Mutex::new(vec![host.process().anonymous_memory()]));
    let beside = std::thread::scope(|scope| {
        let (host, is_over, sent, memory) = (&host, &is_over, &sent, &memory);
        for (id, message) in rogues {
            let credential = credential(host, id);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    sent.fetch_add(means_harm(host, id, &credential, message, is_over), Ordering::Relaxed);
                }
            });
        }
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                memory.lock().unwrap().push(host.process().anonymous_memory());
                // A measurement, which nothing waits for.
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        // Told however the work ends, so that everybody else ends too.
        let end = Ending(is_over);
        let beside = work(host, &names, how_long);
        drop(end);
        beside
    });
    let (peak, memory) = (host.process().peak_memory(), memory.into_inner().unwrap());
    let anonymous = memory.iter().copied().max().unwrap_or_default();
    // Whether it grows.
    let fifths = memory.chunks(memory.len().div_ceil(5)).filter_map(|fifth| fifth.iter().max());
    let fifths: Vec<_> = fifths.map(|bytes| bytes / 1_000_000).collect();
    eprintln!(
        "siege: alone {}; beside {} hostile messages {}; host agent: RssAnon {} MB, in each fifth at most {fifths:?}, \
         VmHWM {} MB",
        shown(&alone),
        sent.into_inner(),
        shown(&beside),
        memory[0] / 1_000_000,
        peak / 1_000_000
    );
    for name in &names {
        let only = json!({"guest": name, "kinds": ["guest.lost"]});
        let lost = host.call("agent.events", json!([0.0, 0.0, only])).unwrap();
        assert_eq!(lost["events"], json!([]), "{name}");
        assert_eq!(host.call("guest.get", json!([name])).unwrap()["state"], "alive");
    }
    // Not VmHWM: that counts the pages of the program's own file, too, of which an unoptimised one has many.
    assert!(anonymous < MOST_MEMORY, "{anonymous} bytes");
    drop(guests);
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has commands run on all of them for so long, in turn; each has to come back right, and in time. How long each took,
/// in their order.
fn work(host: &Host, names: &[String], how_long: Duration) -> Vec<Duration> {
    let end = Instant::now() + how_long;
    let caller = |caller: usize| {
        let mut took = Vec::new();
        for n in (caller..).step_by(CALLERS).take_while(|_| Instant::now() < end) {
            took.push(one(host, &names[n % names.len()], n));
        }
        took
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|n| scope.spawn(move || caller(n))).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    all.sort();
    all
}

fn one(host: &Host, guest: &str, n: usize) -> Duration {
    let (begun, lines, code) = (Instant::now(), [0, 3, 500, 40_000][n % 4], (n % 3) as i64);
    let ran = host.shell(guest, &format!("echo {n}; seq {lines}; echo {guest} >&2; exit {code}"));
    let took = begun.elapsed();
    let told: String = (1..=lines).map(|line| format!("{line}\n")).collect();
    assert_eq!((ran.state(), ran.ending()), ("done", (true, code)), "{:#}", ran.report);
    assert!(ran.text() == format!("{n}\n{told}") && ran.errors() == format!("{guest}\n"), "{:#}", ran.report);
    assert!(took < IN_TIME, "{guest} took {took:.1?}");
    took
}

fn shown(took: &[Duration]) -> String {
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    format!("{} commands p50 {:.1?}, p99 {:.1?}, max {:.1?}", took.len(), at(50), at(99), at(100))
}

/// The n-th message of a hostile guest.
type Message = fn(&str, usize) -> Vec<u8>;

/// Comes, and sends until it is cut off, has sent enough or all is over; how many it sent.
fn means_harm(host: &Host, id: &str, credential: &str, message: Message, is_over: &AtomicBool) -> usize {
    let Some(guest) = RawGuest::tries(host.broker(), id, credential) else {
        // The last connection is still being ended.
        std::thread::sleep(Duration::from_millis(50));
        return 0;
    };
    guest.says("HELLO", &[("id", id), ("ip", "127.0.0.1")], "");
    let name = id.to_owned();
    let flood = guest.floods(EACH_TIME, None, move |n| message(&name, n));
    while flood.goes_on() && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    flood.stops()
}

fn flooding(id: &str, n: usize) -> Vec<u8> {
    match n % 100 {
        0 => escaped_word_frame(id, "HELLO", &[("id", id), ("ip", "127.0.0.1")], ""),
        1 => escaped_word_frame(id, "BEAT", &[("id", id), ("ip", "127.0.0.1")], &"x".repeat(1_000_000)),
        2 => escaped_word_frame(id, &format!("NOSUCH{n}"), &[("asked", "again")], ""),
        _ => escaped_word_frame(id, "BEAT", &[("id", id), ("ip", "127.0.0.1")], ""),
    }
}

fn nesting(id: &str, n: usize) -> Vec<u8> {
    let body = match n % 3 {
        0 => format!("{{\"resources\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000)),
        1 => format!("{{\"resources\":[{}0]}}", "{\"\":0},".repeat(140_000)),
        _ => format!("{{\"{}\":\"\\u0001\"}}", "long".repeat(200_000)),
    };
    let word = ["CMD_RESULTS", "RUN_CMD", "HELLO", "USAGE_CMD"][n % 4];
    escaped_word_frame(
        id,
        word,
        &[("id", id), ("ip", "127.0.0.1"), ("cmd-id", "none"), ("cmd", "true")],
        &body,
    )
}

fn lying(id: &str, n: usize) -> Vec<u8> {
    let (command, offset) = (format!("c{n}.vm{}", n % HONEST + 1), (n * 7).to_string());
    match n % 4 {
        0 => escaped_word_frame(
            id,
            "CMD_RESULTS",
            &[("cmd-id", &command), ("part", "out"), ("offset", &offset)],
            "lie",
        ),
        1 => {
            let results = json!({"cmd-id": command, "finished": true, "exitCodeOrSignal": 0, "out": "lie"});
            escaped_word_frame(id, "CMD_RESULTS", &[("cmd-id", &command)], &results.to_string())
        }
        2 => escaped_word_frame(id, "BYE", &[("id", "vm1"), ("ip", "6.6.6.6"), ("reason", "a lie")], ""),
        _ => escaped_word_frame(
            id,
            "CMD_RESULTS",
            &[("in-reply-to", &format!("{n:x}")), ("cmd-id", &command)],
            "{}",
        ),
    }
}
