//! A terminal attached to a command, over the one route that goes both ways: its output to us as it comes, what is typed
//! to it. For `run -t` and `attach`.
//!
//! A connection that breaks is made again and goes on where it was: output after the last byte shown, input after the
//! last one taken.

mod keys;
mod link;
mod tty;
mod unsent;

pub(super) use keys::{Prefix, prefix};
pub(super) use tty::size;

use super::error::Kind;
use super::retry::{is_gone, pauses};
use super::{CliError, Session, format};
use keys::{HELP, KeyAction, Keys};
use link::{Frame, Link};
use std::io::{self, Read as _};
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tty::Raw;
use unsent::Unsent;
use vocable_api::Part;
use vocable_api::attach::{ClientMessage, Offsets, ServerMessage, WINDOW, read_output};
use vocable_api::client::ClientError;
use vocable_api::cmd::{Cancel, Command};
use vocable_xmlrpc::Fault;

/// Bytes read of standard input at a time.
const READ_SIZE: usize = 16 * 1024;

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
pub(super) enum AttachResult {
    /// The command is over.
    Over(Box<Command>),
    /// We left, it goes on.
    Left,
}

/// Attaches to the command until it is over or we leave.
pub(super) fn attach_to(session: &mut Session<'_>, plan: &Plan<'_>) -> Result<AttachResult, CliError> {
    let cannot = |error: io::Error| {
        CliError::new("internal", "a connection both ways is not possible").cause(format::io(&error))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let result = runtime.block_on(async {
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
            acknowledged: plan.from,
            unsent: Unsent::default(),
            typed,
            signals,
        }
        .run()
        .await
    });
    // Whoever reads standard input waits for a key that may never come.
    runtime.shutdown_background();
    result
}

/// Says that a command goes on, and how to come back.
pub(super) fn print_left(session: &mut Session<'_>, id: &str, guest: &str) -> Result<(), CliError> {
    session.terminal.say("")?;
    session.terminal.note(&format!("left {id} running on {guest}"))?;
    session.terminal.hint(&format!("vocable attach {id}   vocable logs -f {id}   vocable wait {id}"))?;
    Ok(())
}

/// Standard input, piece by piece; none when it has ended.
fn read_stdin() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (pieces, typed) = mpsc::channel(4);
    // Not joined: it may wait for a key for ever, and ends with the process.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; READ_SIZE];
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

/// Signals to this process while it is attached.
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
    Attached(AttachResult),
    Broken(String),
}

/// Something that happened.
enum Event {
    Frame(Option<Frame>),
    Typed(Option<Vec<u8>>),
    Due,
    Resized,
    Terminated,
    HungUp,
}

/// Says that we go.
async fn leave(mut link: Link) -> Result<Ended, CliError> {
    link.push(&ClientMessage::Leave);
    link.close().await;
    Ok(Ended::Attached(AttachResult::Left))
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
    acknowledged: Offsets,
    unsent: Unsent,
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    signals: Signals,
}

impl Attached<'_, '_> {
    async fn run(mut self) -> Result<AttachResult, CliError> {
        let mut left = pauses();
        let mut is_broken = false;
        loop {
            let broken = match self.connect().await {
                Ok(link) => {
                    if is_broken {
                        self.note("the connection is back; nothing was lost")?;
                        is_broken = false;
                        left = pauses();
                    }
                    match self.converse(link).await? {
                        Ended::Attached(result) => return Ok(result),
                        Ended::Broken(why) => CliError::new("connection-lost", why).kind(Kind::NoAgent),
                    }
                }
                Err(error) if is_gone(&error) => error,
                Err(error) => return Err(error),
            };
            let Some(pause) = left.next() else { return Err(broken) };
            if !is_broken {
                self.note(&format!("{}; connecting again", broken.message()))?;
                is_broken = true;
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

    async fn converse(&mut self, mut link: Link) -> Result<Ended, CliError> {
        let mut writes = false;
        self.acknowledged = self.shown;
        self.unsent.restart();
        loop {
            if writes {
                self.unsent.send(&mut link);
            }
            // What is not ours to be interpreted waits in its pipe until we may write; and nobody types so much that
            // the program does not read.
            let listens = (self.is_ours || writes) && self.unsent.has_room();
            let due = self.keys.due();
            let event = tokio::select! {
                frame = link.next() => Event::Frame(frame),
                typed = next(&mut self.typed), if listens => Event::Typed(typed),
                () = until(due) => Event::Due,
                Some(()) = self.signals.resized.recv() => Event::Resized,
                Some(()) = self.signals.terminated.recv(), if self.plan.when_terminated.is_some() => Event::Terminated,
                Some(()) = self.signals.hung_up.recv(), if self.plan.when_terminated.is_some() => Event::HungUp,
            };
            match event {
                Event::Frame(None) => {
                    return Ok(Ended::Broken("the host agent hung up".to_owned()));
                }
                Event::Frame(Some(Frame::Other)) => {}
                Event::Frame(Some(Frame::Output(frame))) => self.show(&frame, &mut link)?,
                Event::Frame(Some(Frame::Message(message))) => {
                    if let Some(result) = self.receive(message, &mut link, &mut writes)? {
                        return Ok(Ended::Attached(result));
                    }
                }
                Event::Typed(None) => {
                    self.typed = None;
                    self.unsent.end();
                }
                Event::Typed(Some(bytes)) => {
                    if self.type_in(bytes)? {
                        return leave(link).await;
                    }
                }
                Event::Due if self.is_watching => drop(self.keys.expire()),
                Event::Due => self.unsent.push(&self.keys.expire()),
                Event::Resized => self.send_size(&mut link, writes),
                Event::Terminated if self.plan.when_terminated == Some(Terminated::Leave) => {
                    return leave(link).await;
                }
                Event::Terminated => self.cancel()?,
                Event::HungUp => {
                    // The agent is not told: who is hung up has not left on purpose.
                    return Err(CliError::new("hung-up", "the terminal is gone").kind(Kind::BrokenPipe));
                }
            }
        }
    }

    fn show(&mut self, frame: &[u8], link: &mut Link) -> Result<(), CliError> {
        let Some((part, bytes)) = read_output(frame) else {
            return Err(CliError::bad_reply("attach", "stream that is known"));
        };
        match part {
            Part::Out => self.session.terminal.bytes(bytes)?,
            Part::Err => self.session.terminal.error_bytes(bytes)?,
        }
        *self.shown.of(part) += bytes.len() as u64;
        if self.shown.since(self.acknowledged) >= WINDOW / 4 {
            self.acknowledged = self.shown;
            link.push(&ClientMessage::Seen { out: self.shown.out, err: self.shown.err });
        }
        Ok(())
    }

    fn receive(
        &mut self,
        message: ServerMessage,
        link: &mut Link,
        writes: &mut bool,
    ) -> Result<Option<AttachResult>, CliError> {
        match message {
            ServerMessage::Attached { tty, input, busy, .. } => {
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
            ServerMessage::Granted => {
                self.is_watching = false;
                Ok(None)
            }
            ServerMessage::Writes { input } => {
                (*writes, self.is_watching) = (true, false);
                self.unsent.go_on_at(input);
                self.send_size(link, true);
                Ok(None)
            }
            ServerMessage::Taken { input } => {
                self.unsent.taken(input);
                Ok(None)
            }
            ServerMessage::Over { report } => Ok(Some(AttachResult::Over(report))),
            ServerMessage::Failed { code, fault, message } => {
                let fault = Fault::new(fault, format!("{code}: {message}"));
                Err(CliError::from(ClientError::Fault(fault)))
            }
        }
    }

    /// Takes what was typed; returns whether we leave.
    fn type_in(&mut self, bytes: Vec<u8>) -> Result<bool, CliError> {
        if !self.is_ours {
            self.unsent.push(&bytes);
            return Ok(false);
        }
        for action in self.keys.typed(&bytes, Instant::now()) {
            match action {
                KeyAction::Input(bytes) if !self.is_watching => self.unsent.push(&bytes),
                // Who watches types in vain, and hears the bell.
                KeyAction::Input(_) => self.session.terminal.error_bytes(b"\x07")?,
                KeyAction::Help => {
                    self.session.terminal.say(&format!("\r\n{}\r", HELP.replace('\n', "\r\n")))?;
                }
                KeyAction::Kill => self.cancel()?,
                KeyAction::Leave => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Ends the command; its end comes to us as every end does.
    fn cancel(&mut self) -> Result<(), CliError> {
        self.session.agent.ask(&Cancel { cmd_id: self.plan.id.to_owned(), ..Cancel::default() }).map(drop)
    }

    fn send_size(&self, link: &mut Link, writes: bool) {
        if let Some(size) = size().filter(|_| self.is_ours && writes) {
            link.push(&ClientMessage::Resize(size));
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
