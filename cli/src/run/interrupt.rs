//! Signals while a command runs: Ctrl-C means "stop this", as it does for a command that runs here. The first one
//! interrupts all of its processes, the second kills them, the third leaves it; Ctrl-\ leaves it at once. TERM is
//! passed on, so that a CI that cancels a step cancels the command; what HUP does is `--on-disconnect`.

use super::status;
use crate::agent::Connection;
use crate::global::Global;
use crate::output::Terminal;
use crate::{CliError, Session, format};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::oneshot;
use vocable_api::Method;
use vocable_api::cmd::{Cancel, SendSignal, Signal, Signalled};

/// How long the agent may take to pass a signal on, before the next key counts.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The exit code of a program that a signal ended, as shells count: this and its number.
const SIGNALLED: i32 = 128;

/// While this lives, signals to this process mean the command.
pub(super) struct Interrupt {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was pressed or sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Received {
    HangUp,
    Interrupt,
    Quit,
    Terminate,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Send it that signal, and go on waiting.
    Send(Signal),
    /// End it, and go.
    EndAndGo,
    /// Leave it running, and go.
    Leave,
}

/// How often what came so far.
#[derive(Clone, Copy, Debug, Default)]
struct Presses {
    interrupts: u32,
    terminations: u32,
    kills_at_hang_up: bool,
}

impl Presses {
    fn next(&mut self, received: Received) -> Step {
        match received {
            Received::Quit => Step::Leave,
            Received::HangUp if self.kills_at_hang_up => Step::EndAndGo,
            Received::HangUp => Step::Leave,
            Received::Interrupt => {
                self.interrupts += 1;
                match self.interrupts {
                    1 => Step::Send(Signal::INT),
                    2 => Step::Send(Signal::KILL),
                    _ => Step::Leave,
                }
            }
            Received::Terminate => {
                self.terminations += 1;
                if self.terminations == 1 { Step::Send(Signal::TERM) } else { Step::Leave }
            }
        }
    }
}

impl Received {
    const fn number(self) -> i32 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }
}

impl Interrupt {
    /// Watches for signals, if this session belongs to a process of its own.
    pub(super) fn watch(
        session: &Session<'_>,
        id: &str,
        target: &str,
        status: Option<&Path>,
        kills_at_hang_up: bool,
    ) -> Result<Self, CliError> {
        let Some(global) = session.process else { return Ok(Self { stop: None, thread: None }) };
        let cannot = |error: io::Error| {
            CliError::new("internal", "signals cannot be watched for").cause(format::io(&error))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        let mut signals = {
            let _inside = runtime.enter();
            Signals::listen().map_err(cannot)?
        };
        let (stop, mut stopped) = oneshot::channel();
        let watched = Watched {
            global: global.clone(),
            id: id.to_owned(),
            target: target.to_owned(),
            status: status.map(Path::to_owned),
        };
        let mut presses = Presses { kills_at_hang_up, ..Presses::default() };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            loop {
                let received = runtime.block_on(async {
                    tokio::select! {
                        received = signals.next() => Some(received),
                        _ = &mut stopped => None,
                    }
                });
                let Some(received) = received else { return };
                watched.take(received, presses.next(received));
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(cannot)?) })
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It ends at once, or when the agent has answered: nothing else is waited for.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

struct Signals {
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.interrupt.recv() => Received::Interrupt,
            _ = self.quit.recv() => Received::Quit,
            _ = self.terminate.recv() => Received::Terminate,
            _ = self.hang_up.recv() => Received::HangUp,
        }
    }
}

/// The command that is meant.
struct Watched {
    global: Global,
    id: String,
    target: String,
    status: Option<PathBuf>,
}

impl Watched {
    fn take(&self, received: Received, step: Step) {
        let mut terminal = Terminal::of_process(&self.global);
        if matches!(received, Received::Interrupt | Received::Quit) {
            // What the terminal shows of the key stands in a line of its own.
            drop(terminal.say(""));
        }
        match step {
            Step::Send(signal) => {
                let sent = self.ask(&SendSignal { cmd_id: self.id.clone(), signal });
                // Whether this can be printed or not, the signal was sent.
                drop(print(&mut terminal, &self.id, &self.target, signal, sent));
            }
            Step::EndAndGo => {
                let ended = self.ask(&Cancel { cmd_id: self.id.clone(), ..Cancel::default() });
                drop(ended.map_err(|error| terminal.error(&error)));
                self.go(received);
            }
            Step::Leave => {
                drop(leave(&mut terminal, &self.id, &self.target));
                self.go(received);
            }
        }
    }

    fn ask<M: Method>(&self, request: &M) -> Result<M::Reply, CliError> {
        Connection::find(&self.global)?.ask_within(request, TIMEOUT)
    }

    /// The calls of the main thread cannot be taken back; the end of the process does it.
    fn go(&self, received: Received) {
        drop(self.status.as_ref().map(|file| status::write_interrupted(file, &self.id)));
        let number =
            if received == Received::Quit { Received::Interrupt.number() } else { received.number() };
        std::process::exit(SIGNALLED + number);
    }
}

/// Says what became of a signal, and what the next one does.
fn print(
    terminal: &mut Terminal,
    id: &str,
    target: &str,
    signal: Signal,
    sent: Result<Signalled, CliError>,
) -> io::Result<()> {
    let reply = match sent {
        Ok(reply) => reply,
        Err(error) => return terminal.error(&error.hint(format!("vocable kill {id}"))),
    };
    let mut errors = reply.commands.iter().filter_map(|command| command.error.as_ref());
    // What is over needs no signal.
    if let Some(error) = errors.find(|error| error.code != "finished") {
        let text = format!("{signal} did not reach {id}: {}", error.message);
        return terminal.warning("not-signalled", &text);
    }
    terminal.note(&format!("{signal} sent to {id} on {target}{}", what_next(signal)))
}

fn what_next(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "  (Ctrl-C again: kill it;  Ctrl-\\: leave it running)",
        Signal::KILL => "  (Ctrl-C again: wait no longer)",
        _ => "",
    }
}

/// Says that the command goes on, and how to see it again.
fn leave(terminal: &mut Terminal, id: &str, target: &str) -> io::Result<()> {
    terminal.note(&format!("left {id} running on {target}"))?;
    terminal.hint(&format!("vocable logs -f {id}   vocable wait {id}   vocable kill {id}"))
}

/// Says that the command does not end with whoever read its output.
pub(super) fn unread(terminal: &mut Terminal, id: &str) -> io::Result<()> {
    terminal.note(&format!("nobody reads the output any more; {id} goes on, if it is not over"))?;
    terminal.hint(&format!("vocable logs {id}   vocable wait {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Screen;
    use vocable_api::cmd::{Failure, SignalledCommand};

    #[test]
    fn ctrl_c_interrupts_then_kills_then_leaves() {
        let mut presses = Presses::default();
        let steps = [Received::Interrupt; 3].map(|received| presses.next(received));
        assert_eq!(steps, [Step::Send(Signal::INT), Step::Send(Signal::KILL), Step::Leave]);
        assert_eq!(Presses::default().next(Received::Quit), Step::Leave);
        let mut presses = Presses::default();
        assert_eq!(
            [Received::Terminate; 2].map(|received| presses.next(received)),
            [Step::Send(Signal::TERM), Step::Leave]
        );
        assert_eq!(Presses::default().next(Received::HangUp), Step::Leave);
        let mut kills = Presses { kills_at_hang_up: true, ..Presses::default() };
        assert_eq!(kills.next(Received::HangUp), Step::EndAndGo);
    }

    #[test]
    fn who_leaves_is_told_how_to_come_back_and_who_interrupts_what_the_next_key_does() {
        let screen = Screen::default();
        let mut terminal = screen.terminal(&[]);
        let mut sent = |signal, error| {
            let command = SignalledCommand { error, ..SignalledCommand::default() };
            print(&mut terminal, "k7mq2x.vm1", "vm1", signal, Ok(Signalled { commands: vec![command] }))
        };
        sent(Signal::INT, None).unwrap();
        sent(Signal::KILL, None).unwrap();
        sent(Signal::INT, Some(Failure::new("guest-offline", "vm1: lost"))).unwrap();
        leave(&mut terminal, "k7mq2x.vm1", "vm1").unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    ------- stderr
    note: INT sent to k7mq2x.vm1 on vm1  (Ctrl-C again: kill it;  Ctrl-\: leave it running)
    note: KILL sent to k7mq2x.vm1 on vm1  (Ctrl-C again: wait no longer)
    warning: INT did not reach k7mq2x.vm1: vm1: lost
    note: left k7mq2x.vm1 running on vm1
    hint: vocable logs -f k7mq2x.vm1   vocable wait k7mq2x.vm1   vocable kill k7mq2x.vm1
    "#);
    }
}
