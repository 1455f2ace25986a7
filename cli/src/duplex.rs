//! Being attached to a command, over the one route that goes both ways: its output to us as it comes, what is typed to
//! it. For `run -t` and `attach`. Over calls goes the rest.
//!
//! A connection that breaks is made again and goes on where it was: output from the last octet shown, input from the
//! last one taken.

mod keys;
mod link;
mod tty;
mod unsent;

pub(super) use keys::{Prefix, prefix};
pub(super) use tty::size;

use super::away::PAUSES;
use super::error::Kind;
use super::{CliError, Session, human};
use keys::{HELP, Keys, Stroke};
use link::{Frame, Link};
use std::io::{self, Read as _};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tty::Raw;
use unsent::Unsent;
use vocable_api::Part;
use vocable_api::attach::{News, Offsets, WINDOW, Wish, read_output};
use vocable_api::client::ClientError;
use vocable_xmlrpc::{Fault, Value, from_json};

/// Octets read of standard input at a time.
const TYPED: usize = 16 * 1024;

/// What is wanted of a command.
pub(super) struct Plan<'a> {
    /// Which.
    pub(super) id: &'a str,
    /// Whether standard input goes to it.
    pub(super) input: bool,
    /// By which key one speaks to us, if the command has our terminal.
    pub(super) prefix: Prefix,
    /// From where on output is wanted.
    pub(super) from: Offsets,
    /// What SIGTERM to us means; nothing where somebody else listens for signals.
    pub(super) when_terminated: Option<Terminated>,
}

/// What it means that we are to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Terminated {
    /// The command is to end too: it was started by us.
    Cancel,
    /// We leave.
    Leave,
}

/// How the attachment ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    /// The command is over: its last report, without output.
    Over(Value),
    /// We left, it goes on.
    Left,
}

/// Holds the command until it is over or we leave.
pub(super) fn hold(session: &mut Session<'_>, plan: &Plan<'_>) -> Result<Held, CliError> {
    let cannot = |error: io::Error| {
        CliError::new("internal", "a connection both ways is not possible").cause(human::io(&error))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let held = runtime.block_on(async {
        let signals = Signals::new().map_err(cannot)?;
        let typed = if plan.input { Some(read_stdin().map_err(cannot)?) } else { None };
        Attached {
            session,
            plan,
            keys: Keys::new(plan.prefix),
            raw: None,
            is_ours: false,
            is_watching: false,
            shown: plan.from,
            told: plan.from,
            unsent: Unsent::default(),
            typed,
            signals,
        }
        .until_over()
        .await
    });
    // Whoever reads standard input waits for a key that may never come.
    runtime.shutdown_background();
    held
}

/// Standard input, piece by piece; none when it has ended.
fn read_stdin() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (pieces, typed) = mpsc::channel(4);
    // Not joined: it may wait for a key for ever, and ends with the process.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; TYPED];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    let piece = buffer.get(..length).unwrap_or_default().to_vec();
                    if pieces.blocking_send(piece).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(typed)
}

/// What this process is told while it is attached.
struct Signals {
    resized: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }
}

/// Why one connection ended without the command.
enum Ended {
    Held(Held),
    Broken(String),
}

/// Something that happened.
enum Happened {
    Frame(Option<Frame>),
    Typed(Option<Vec<u8>>),
    Due,
    Resized,
    Terminated,
    HungUp,
}

/// Says that we go.
async fn leave(mut link: Link) -> Result<Ended, CliError> {
    link.push(&Wish::Leave);
    link.hangs_up().await;
    Ok(Ended::Held(Held::Left))
}

struct Attached<'a, 'b> {
    session: &'a mut Session<'b>,
    plan: &'a Plan<'a>,
    keys: Keys,
    raw: Option<Raw>,
    /// The command has a terminal, and it is ours.
    is_ours: bool,
    /// Somebody else writes to it. Until that is known, what is typed is held: we are about to write.
    is_watching: bool,
    shown: Offsets,
    /// What the agent knows of that.
    told: Offsets,
    unsent: Unsent,
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    signals: Signals,
}

impl Attached<'_, '_> {
    async fn until_over(mut self) -> Result<Held, CliError> {
        let mut left = pauses();
        let mut is_away = false;
        loop {
            let broken = match self.connect().await {
                Ok(link) => {
                    if is_away {
                        self.note("the connection is back; nothing was lost")?;
                        is_away = false;
                        left = pauses();
                    }
                    match self.until_broken(link).await? {
                        Ended::Held(held) => return Ok(held),
                        Ended::Broken(why) => CliError::new("connection-lost", why).kind(Kind::NoAgent),
                    }
                }
                Err(error) if super::away::is_away(&error) => error,
                Err(error) => return Err(error),
            };
            let Some(pause) = left.next() else { return Err(broken) };
            if !is_away {
                self.note(&format!("{}; connecting again", broken.message()))?;
                is_away = true;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect(&self) -> Result<Link, CliError> {
        let Plan { id, input, .. } = self.plan;
        let Offsets { out, err } = self.shown;
        let path = format!("/attach/{id}?out={out}&err={err}&input={}", u8::from(*input));
        let socket = self.session.agent.attach(&path).await?;
        Ok(Link::new(socket))
    }

    async fn until_broken(&mut self, mut link: Link) -> Result<Ended, CliError> {
        let mut writes = false;
        self.told = self.shown;
        self.unsent.starts_again();
        loop {
            if writes {
                self.unsent.send(&mut link);
            }
            // What is not ours to be interpreted waits in its pipe until we may write; and nobody types so much that
            // the program does not read.
            let listens = (self.is_ours || writes) && self.unsent.has_room();
            let due = self.keys.due();
            let happened = tokio::select! {
                frame = link.next() => Happened::Frame(frame),
                typed = next(&mut self.typed), if listens => Happened::Typed(typed),
                () = until(due) => Happened::Due,
                Some(()) = self.signals.resized.recv() => Happened::Resized,
                Some(()) = self.signals.terminated.recv(), if self.plan.when_terminated.is_some() => Happened::Terminated,
                Some(()) = self.signals.hung_up.recv(), if self.plan.when_terminated.is_some() => Happened::HungUp,
            };
            match happened {
                Happened::Frame(None) => {
                    return Ok(Ended::Broken("the host agent hung up".to_owned()));
                }
                Happened::Frame(Some(Frame::Other)) => {}
                Happened::Frame(Some(Frame::Output(octets))) => self.show(&octets, &mut link)?,
                Happened::Frame(Some(Frame::News(news))) => match self.hear(news, &mut link, &mut writes)? {
                    None => {}
                    Some(held) => return Ok(Ended::Held(held)),
                },
                Happened::Typed(None) => {
                    self.typed = None;
                    self.unsent.ends();
                }
                Happened::Typed(Some(octets)) => {
                    if self.type_in(octets)? {
                        return leave(link).await;
                    }
                }
                Happened::Due if self.is_watching => drop(self.keys.passed_on()),
                Happened::Due => self.unsent.push(&self.keys.passed_on()),
                Happened::Resized => self.tell_size(&mut link, writes),
                Happened::Terminated if self.plan.when_terminated == Some(Terminated::Leave) => {
                    return leave(link).await;
                }
                Happened::Terminated => self.cancel()?,
                Happened::HungUp => {
                    // Not said to the agent: whoever is hung up has not left of his own will.
                    return Err(CliError::new("hung-up", "the terminal is gone").kind(Kind::BrokenPipe));
                }
            }
        }
    }

    fn show(&mut self, frame: &[u8], link: &mut Link) -> Result<(), CliError> {
        let Some((part, octets)) = read_output(frame) else {
            return Err(CliError::bad_reply("attach", "stream that is known"));
        };
        match part {
            Part::Out => self.session.terminal.bytes(octets)?,
            Part::Err => self.session.terminal.error_bytes(octets)?,
        }
        *self.shown.of(part) += octets.len() as u64;
        if self.shown.since(self.told) >= WINDOW / 4 {
            self.told = self.shown;
            link.push(&Wish::Seen { out: self.shown.out, err: self.shown.err });
        }
        Ok(())
    }

    fn hear(&mut self, news: News, link: &mut Link, writes: &mut bool) -> Result<Option<Held>, CliError> {
        match news {
            News::Attached { tty, input, busy, .. } => {
                if self.plan.input && !input {
                    self.note("it takes no input; you watch")?;
                    self.typed = None;
                }
                if tty && self.plan.input && !self.is_ours {
                    self.raw = Raw::take()?;
                    self.is_ours = self.raw.is_some();
                }
                self.is_watching = busy && input && self.plan.input;
                if self.is_watching {
                    self.note("somebody else writes to it; until that goes, you watch")?;
                }
                Ok(None)
            }
            News::Granted => {
                self.is_watching = false;
                Ok(None)
            }
            News::Writes { input } => {
                (*writes, self.is_watching) = (true, false);
                self.unsent.goes_on_at(input);
                self.tell_size(link, true);
                Ok(None)
            }
            News::Taken { input } => {
                self.unsent.was_taken(input);
                Ok(None)
            }
            News::Over { report } => {
                let report = from_json(report).map_err(|_| CliError::bad_reply("attach", "report"))?;
                Ok(Some(Held::Over(report)))
            }
            News::Failed { code, fault, message } => {
                let fault = Fault::new(fault, format!("{code}: {message}"));
                Err(super::hints::of_client(ClientError::Fault(fault)))
            }
        }
    }

    /// Takes what was typed; whether it means that we leave.
    fn type_in(&mut self, octets: Vec<u8>) -> Result<bool, CliError> {
        if !self.is_ours {
            self.unsent.push(&octets);
            return Ok(false);
        }
        for stroke in self.keys.typed(&octets, Instant::now()) {
            match stroke {
                Stroke::Input(octets) if !self.is_watching => self.unsent.push(&octets),
                // Who watches types in vain, and hears it.
                Stroke::Input(_) => self.session.terminal.error_bytes(b"\x07")?,
                Stroke::Help => {
                    self.session.terminal.say(&format!("\r\n{}\r", HELP.replace('\n', "\r\n")))?;
                }
                Stroke::Kill => self.cancel()?,
                Stroke::Leave => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Ends the command; its end comes to us as every end does.
    fn cancel(&mut self) -> Result<(), CliError> {
        self.session.agent.call("cmd.cancel", vec![Value::from(self.plan.id)]).map(drop)
    }

    fn tell_size(&self, link: &mut Link, writes: bool) {
        if let Some(size) = size().filter(|_| self.is_ours && writes) {
            link.push(&Wish::Resize(size));
        }
    }

    /// Says something, on lines of its own also where the terminal is the command's.
    fn note(&mut self, text: &str) -> Result<(), CliError> {
        let was_raw = self.raw.take().is_some();
        self.session.terminal.note(text)?;
        if was_raw {
            self.raw = Raw::take()?;
        }
        Ok(())
    }
}

/// How long to wait before each further attempt.
fn pauses() -> impl Iterator<Item = Duration> {
    PAUSES.iter().map(|milliseconds| Duration::from_millis(*milliseconds))
}

/// The next piece of standard input; never, if none is read.
async fn next(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
