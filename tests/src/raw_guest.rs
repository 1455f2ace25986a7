//! A guest without an agent: it has a valid credential and says whatever it is told to, as fast as it is told to.
//!
//! One thread reads what the host says, acknowledges it and may answer by a script; one thread a [`Flood`] sends. All
//! of them end, and are joined, when the guest is dropped.

use crate::TIMEOUT;
use crate::host::Host;
use crate::stomp::{Received, Stomp, escaped, frame, word_frame};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a guest answers to a message: frames, which it sends in their order.
pub type Script = Box<dyn FnMut(&Received) -> Vec<Vec<u8>> + Send>;

/// A connection with one guest's credential.
pub struct RawGuest {
    id: String,
    line: Arc<Line>,
    reader: Option<JoinHandle<()>>,
    asks: AtomicUsize,
}

/// What the threads of a guest share.
struct Line {
    stream: Mutex<TcpStream>,
    /// The same, to hang up with while somebody waits for the broker to read.
    end: TcpStream,
    heard: Mutex<Inbox>,
    changed: Condvar,
    over: AtomicBool,
}

/// What the host has said so far.
#[derive(Default)]
struct Inbox {
    messages: VecDeque<Received>,
    /// What the broker said at last, if it refused something.
    refused: Option<Received>,
    is_all: bool,
}

impl RawGuest {
    /// A guest with a new credential that says HELLO, and then nothing but acknowledgements.
    pub fn joins(host: &Host, id: &str) -> Self {
        Self::joins_with(host, id, &[], Box::new(|_| Vec::new()))
    }

    /// The same with these facts in its HELLO, answering by a script.
    pub fn joins_with(host: &Host, id: &str, facts: &[(&str, &str)], script: Script) -> Self {
        let guest = Self::logs_in(host.broker(), id, &credential(host, id), script);
        guest.says("HELLO", &[&[("id", id), ("ip", "127.0.0.1")], facts].concat(), "");
        host.awaits("guest.joined", id);
        guest
    }

    /// Logs in and reads its mailbox; says nothing.
    pub fn logs_in(broker: SocketAddr, id: &str, credential: &str, script: Script) -> Self {
        Self::over(Stomp::log_in(broker, id, credential), id, script)
    }

    /// The same; none if it is not let in.
    pub fn tries(broker: SocketAddr, id: &str, credential: &str) -> Option<Self> {
        let mut client = Stomp::dial(broker);
        let answer = client.connects(id, Some(credential))?;
        (answer.verb == "CONNECTED").then(|| Self::over(client, id, Box::new(|_| Vec::new())))
    }

    fn over(mut client: Stomp, id: &str, mut script: Script) -> Self {
        let line = Arc::new(Line {
            stream: Mutex::new(client.stream()),
            end: client.stream(),
            heard: Mutex::default(),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let mailbox = format!("/queue/vocable.in.{id}");
        let subscribe = [("id", "mail"), ("destination", mailbox.as_str()), ("ack", "client-individual")];
        line.sends(&frame("SUBSCRIBE", &subscribe, b""));
        client.waits_for_ever();
        let reader = std::thread::spawn({
            let line = line.clone();
            move || {
                while let Some(received) = client.receives() {
                    line.handle(received, &mut script);
                }
                line.change(|heard| heard.is_all = true);
            }
        });
        Self { id: id.to_owned(), line, reader: Some(reader), asks: AtomicUsize::new(0) }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says a word. Header values are escaped.
    pub fn says(&self, word: &str, headers: &[(&str, &str)], body: &str) {
        self.line.sends(&escaped_word_frame(&self.id, word, headers, body));
    }

    /// Sends anything; the broker may have hung up.
    pub fn sends(&self, bytes: &[u8]) {
        self.line.sends(bytes);
    }

    /// Says a word that has to be answered, and waits for the answer.
    pub fn asks(&self, word: &str, headers: &[(&str, &str)], body: &str) -> Received {
        let ask = format!("raw-{}", self.asks.fetch_add(1, Ordering::Relaxed));
        self.says(word, &[headers, &[("asked", ask.as_str())]].concat(), body);
        let answers = |message: &Received| message.header("in-reply-to").as_deref() == Some(&ask);
        self.takes(&format!("the answer to {word}"), answers)
    }

    /// The next message that begins with that word and is no answer.
    pub fn receives(&self, word: &str) -> Received {
        self.takes(word, |message| {
            message.header("in-reply-to").is_none() && message.word_and_body().0 == word
        })
    }

    /// Waits until everything it has said so far was heard: the host answers in the order in which it hears.
    pub fn is_caught_up(&self) {
        self.asks("?", &[], "");
    }

    /// Waits until the broker hangs up; gives what it said about that.
    pub fn is_cut_off(&self) -> String {
        let heard = self.line.waits(|heard| heard.is_all.then(|| heard.refused.clone()));
        heard.expect("the broker holds the connection").map_or_else(String::new, |error| format!("{error:?}"))
    }

    /// Whether the broker has not hung up so far.
    pub fn is_connected(&self) -> bool {
        !self.line.heard.lock().unwrap().is_all
    }

    /// Sends `most` frames, so many a second or as fast as they are taken, until it is stopped or cut off.
    pub fn floods(
        &self,
        most: usize,
        per_second: Option<u32>,
        frame: impl Fn(usize) -> Vec<u8> + Send + 'static,
    ) -> Flood {
        let line = self.line.clone();
        let sent = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::spawn({
            let sent = sent.clone();
            move || {
                let begun = Instant::now();
                for n in 0..most {
                    if let Some(rate) = per_second {
                        let due = begun + Duration::from_secs(1).mul_f64(n as f64 / f64::from(rate));
                        // The pace is what is told: nothing is waited for.
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                    if line.over.load(Ordering::Relaxed) || !line.sends(&frame(n)) {
                        break;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    line.change(|_| {});
                }
                line.change(|_| {});
            }
        });
        Flood { line: self.line.clone(), sent, thread: Some(thread) }
    }

    /// Hangs up without a word.
    pub fn hangs_up(&self) {
        self.line.ends();
    }

    fn takes(&self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        let taken = self.line.waits(|heard| {
            let found = heard.messages.iter().position(&fits);
            found.and_then(|at| heard.messages.remove(at)).map(Some).or_else(|| heard.is_all.then_some(None))
        });
        let taken = taken.unwrap_or_else(|| panic!("{} waits in vain for {what}", self.id));
        taken.unwrap_or_else(|| panic!("{} was cut off and waits for {what}: {}", self.id, self.is_cut_off()))
    }
}

impl Drop for RawGuest {
    fn drop(&mut self) {
        self.line.ends();
        if let Some(reader) = self.reader.take() {
            // A script that has failed is told by its own message.
            let _ = reader.join();
        }
    }
}

/// Messages without end. Ends with its guest at the latest.
pub struct Flood {
    line: Arc<Line>,
    sent: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Frames sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many were sent, or it was cut off before.
    pub fn has_sent(&self, frames: usize) {
        let there = self.line.waits(|_| (self.sent() >= frames || !self.goes_on()).then_some(()));
        assert!(there.is_some(), "only {} of {frames} frames were taken", self.sent());
    }

    /// Whether it goes on.
    pub fn goes_on(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until all is sent, or it is cut off; how many were sent.
    pub fn ends(mut self) -> usize {
        self.thread.take().unwrap().join().unwrap();
        self.sent()
    }

    /// Hangs up in the middle; how many were sent.
    pub fn stops(self) -> usize {
        self.line.ends();
        self.ends()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.line.ends();
            // It has failed, and said so, or it has ended.
            let _ = thread.join();
        }
    }
}

impl Line {
    fn sends(&self, bytes: &[u8]) -> bool {
        self.stream.lock().unwrap().write_all(bytes).is_ok()
    }

    fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
        // It may have ended already.
        let _ = self.end.shutdown(Shutdown::Both);
    }

    fn handle(&self, received: Received, script: &mut Script) {
        if received.verb != "MESSAGE" {
            return self.change(|heard| heard.refused = Some(received));
        }
        if let Some(ack) = received.header("ack") {
            self.sends(&frame("ACK", &[("id", &escaped(&ack))], b""));
        }
        for answer in script(&received) {
            self.sends(&answer);
        }
        self.change(|heard| heard.messages.push_back(received));
    }

    fn change(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.heard.lock().unwrap());
        self.changed.notify_all();
    }

    fn waits<R>(&self, mut found: impl FnMut(&mut Inbox) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + TIMEOUT;
        let mut heard = self.heard.lock().unwrap();
        loop {
            if let Some(result) = found(&mut heard) {
                return Some(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            heard = self.changed.wait_timeout(heard, left).unwrap().0;
        }
    }
}

/// A new credential of a guest, in place of the one it had.
pub fn credential(host: &Host, id: &str) -> String {
    host.call("guest.token", json!([id])).unwrap().as_str().unwrap().to_owned()
}

/// A frame that says a word, with its header values escaped.
pub fn escaped_word_frame(id: &str, word: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let escaped: Vec<_> = headers.iter().map(|(name, value)| (*name, escaped(value))).collect();
    let headers: Vec<_> = escaped.iter().map(|(name, value)| (*name, value.as_str())).collect();
    word_frame(id, word, &headers, body)
}

/// The frame that answers what was asked; nothing if an answer is not wanted.
pub fn answered(id: &str, message: &Received, body: &str) -> Option<Vec<u8>> {
    let ask = message.header("asked")?;
    Some(escaped_word_frame(id, &message.word_and_body().0, &[("in-reply-to", &ask)], body))
}

/// The frame that tells the end of a command.
pub fn results(id: &str, command: &str, results: &Value) -> Vec<u8> {
    escaped_word_frame(id, "CMD_RESULTS", &[("cmd-id", command)], &results.to_string())
}
