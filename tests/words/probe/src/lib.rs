//! PROBE: a word that misbehaves to order. For tests; never installed.
//!
//! `say` and `listen` do what the member or header `do` tells them. What it says about itself stands in
//! one line of its data, [`MARK`], so that a test can make another component of it by changing bytes.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use vocable_word::bindings::exports::vocable::word::word::Guest;
use vocable_word::{
    Answer, Description, Message, Program, Refusal, Value, about, bindings, from_str, jobs, json, log,
    process, speech, store,
};

/// Name, version, manners of `describe`: all that differs between two of its kind.
static MARK: &str = "mark=PROBE=1.0.0=well=";

/// What would be left behind, if an instance lived for more than a call.
static STAINS: AtomicU32 = AtomicU32::new(0);

struct Probe;

bindings::export_word!(Probe with_types_in bindings);

/// Not by the macro of the SDK, which would not let it answer what is not JSON.
impl Guest for Probe {
    fn describe() -> Description {
        match mark(3) {
            "loop" => endless(),
            "trap" => abort("no description"),
            _ => Description::new(mark(1), "Misbehaves to order", mark(2)).on("probing"),
        }
    }

    fn say(args: String) -> Answer<Message> {
        let args: Value = from_str(&args)?;
        let done = act(args["do"].as_str().unwrap_or_default())?;
        let said =
            Message::new().with_header("version", mark(2)).with_header("to", "forged").with_text(&done);
        // What whoever listens is to do.
        let said = args["then"].as_str().into_iter().fold(said, |said, then| said.with_header("do", then));
        let long = args["header"].as_u64().and_then(|length| usize::try_from(length).ok());
        Ok(long.into_iter().fold(said, |said, length| said.with_header("long", &"x".repeat(length))))
    }

    fn listen(message: Message) -> Answer<Option<String>> {
        act(message.get("do").unwrap_or_default()).map(|done| (!done.is_empty()).then_some(done))
    }
}

fn mark(part: usize) -> &'static str {
    black_box(MARK).split('=').nth(part).unwrap_or_default()
}

/// Does as it is told; gives JSON, unless told otherwise.
fn act(what: &str) -> Answer<String> {
    match what {
        "" => return Ok(String::new()),
        "allocate" => allocate()?,
        "big" => return Ok(json!("x".repeat(2 << 20)).to_string()),
        "chatter" => (0..10_000).for_each(|line| log::info(&format!("line {line} of very many"))),
        "deep" => return Ok("[".repeat(49) + &"]".repeat(49)),
        "exit" => std::process::exit(3),
        "file" => return std::fs::read_to_string("/etc/passwd").map_err(|e| Refusal::Failed(e.to_string())),
        "hoard" => hoard(),
        "loop" => endless(),
        "mutter" => eprintln(&"mutter ".repeat(100_000)),
        "not-json" => return Ok("{".to_owned()),
        "odd" => return Ok(json!({"\u{1}": 0}).to_string()),
        "panic" => abort("to order"),
        "recurse" => return Ok(json!(recurse(1)).to_string()),
        "refuse" => return Err(Refusal::Failed("as told".to_owned())),
        "say" => {
            return Ok(json!(many(1_000_000, || speech::say("PROBE", "host", "{}").map(drop))).to_string());
        }
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(60)),
        "stain" => return Ok(json!(STAINS.fetch_add(1, Ordering::Relaxed)).to_string()),
        "start" => {
            return Ok(json!(many(1_000, || jobs::start("c1", &Program::new("true", &[])))).to_string());
        }
        "state" => return count(),
        "variables" => return Ok(json!(std::env::vars().count()).to_string()),
        "wait" => drop(process::run(&Program::new("wait", &[]))?),
        "wait-or-trap" => {
            if process::run(&Program::new("wait", &[])).is_err() {
                abort("it took too long");
            }
        }
        "who" => return Ok(json!([about::my_id(), about::sender(), about::words()]).to_string()),
        other => return Err(Refusal::Invalid(format!("what is {other}?"))),
    }
    Ok(json!(mark(2)).to_string())
}

fn endless() -> ! {
    loop {
        black_box(());
    }
}

#[allow(clippy::panic, reason = "to order")]
fn abort(reason: &str) -> ! {
    panic!("{reason}")
}

#[allow(clippy::print_stderr, reason = "to order")]
fn eprintln(text: &str) {
    eprintln!("{text}");
}

#[allow(unconditional_recursion, reason = "to order")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1)) + 1)
}

/// Asks politely for nearly all that 32 bits can address.
fn allocate() -> Answer<()> {
    let mut room: Vec<u8> = Vec::new();
    for _ in 0..4 {
        room.try_reserve_exact((1 << 30) - 1).map_err(|e| Refusal::Failed(e.to_string()))?;
        black_box(&mut room).resize(1 << 20, 1);
    }
    Ok(())
}

/// Takes without asking whether there is any.
fn hoard() {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// How often something goes well before it is refused.
fn many(most: u32, mut act: impl FnMut() -> Answer<()>) -> u32 {
    (0..most).take_while(|_| act().is_ok()).count().try_into().unwrap_or(u32::MAX)
}

/// How often it has been told to count, over all calls.
fn count() -> Answer<String> {
    let before = store::get("count")?.and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    let now = (before + 1).to_string();
    store::set("count", &now)?;
    Ok(now)
}
