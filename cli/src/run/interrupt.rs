//! Signals while a command runs: Ctrl-C means "stop this", as it does for a command that runs here. The first one
//! interrupts all of its processes, the second kills them, the third leaves it; Ctrl-\ leaves it at once. TERM is
//! passed on, so that a CI that cancels a step cancels the command; what HUP does is `--on-disconnect`.

use super::status;
use crate::agent::Connection;
use crate::global::Global;
use crate::output::Terminal;
use crate::reply::Members;
use crate::{CliError, Session, human};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use vocable_xmlrpc::Value;

/// How long the agent may take to pass a signal on, before the next key counts.
const PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of a program that a signal ended, as shells count: this and its number.
const SIGNALLED: i32 = 128;

/// While this lives, signals to this process mean the command.
pub(super) struct Interrupt {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What was pressed or sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    HangUp,
    Interrupt,
    Quit,
    Terminate,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Send it that signal, and go on waiting.
    Send(&'static str),
    /// End it, and go.
    EndAndGo,
    /// Leave it running, and go.
    Leave,
}

/// How often what was heard so far.
#[derive(Clone, Copy, Debug, Default)]
struct Presses {
    interrupts: u32,
    terminations: u32,
    kills_at_hang_up: bool,
}

impl Presses {
    fn next(&mut self, heard: Heard) -> Step {
        match heard {
            Heard::Quit => Step::Leave,
            Heard::HangUp if self.kills_at_hang_up => Step::EndAndGo,
            Heard::HangUp => Step::Leave,
            Heard::Interrupt => {
                self.interrupts += 1;
                match self.interrupts {
                    1 => Step::Send("INT"),
                    2 => Step::Send("KILL"),
                    _ => Step::Leave,
                }
            }
            Heard::Terminate => {
                self.terminations += 1;
                if self.terminations == 1 { Step::Send("TERM") } else { Step::Leave }
            }
        }
    }
}

impl Heard {
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
            CliError::new("internal", "signals cannot be watched for").cause(human::io(&error))
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
                let heard = runtime.block_on(async {
                    tokio::select! {
                        heard = signals.next() => Some(heard),
                        _ = &mut stopped => None,
                    }
                });
                let Some(heard) = heard else { return };
                watched.take(heard, presses.next(heard));
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
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hang_up: Signal,
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

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Interrupt,
            _ = self.quit.recv() => Heard::Quit,
            _ = self.terminate.recv() => Heard::Terminate,
            _ = self.hang_up.recv() => Heard::HangUp,
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
    fn take(&self, heard: Heard, step: Step) {
        let mut terminal = Terminal::of_process(&self.global);
        if matches!(heard, Heard::Interrupt | Heard::Quit) {
            // What the terminal shows of the key stands in a line of its own.
            drop(terminal.say(""));
        }
        match step {
            Step::Send(name) => {
                let sent = self.call("cmd.signal", vec![Value::from(self.id.as_str()), Value::from(name)]);
                // Whether the words arrive or not, the signal did.
                drop(told(&mut terminal, &self.id, &self.target, name, sent));
            }
            Step::EndAndGo => {
                let ended = self.call("cmd.cancel", vec![Value::from(self.id.as_str())]);
                drop(ended.map_err(|error| terminal.error(&error)));
                self.go(heard);
            }
            Step::Leave => {
                drop(leave(&mut terminal, &self.id, &self.target));
                self.go(heard);
            }
        }
    }

    fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, CliError> {
        Connection::find(&self.global)?.call_within(method, params, PATIENCE)
    }

    /// The calls of the main thread cannot be taken back; the end of the process does it.
    fn go(&self, heard: Heard) {
        drop(self.status.as_ref().map(|file| status::write_interrupted(file, &self.id)));
        let number = if heard == Heard::Quit { Heard::Interrupt.number() } else { heard.number() };
        std::process::exit(SIGNALLED + number);
    }
}

/// Says what became of a signal, and what the next one does.
fn told(
    terminal: &mut Terminal,
    id: &str,
    target: &str,
    name: &str,
    sent: Result<Value, CliError>,
) -> io::Result<()> {
    let reply = match sent {
        Ok(reply) => reply,
        Err(error) => return terminal.error(&error.hint(format!("vocable kill {id}"))),
    };
    let failed = reply.items("commands").iter().filter_map(|command| command.member("error"));
    // What is over needs no signal.
    if let Some(error) = failed.into_iter().find(|error| error.text("code") != Some("finished")) {
        let why = error.text("message").unwrap_or("nobody says why");
        return terminal.warning("not-signalled", &format!("{name} did not reach {id}: {why}"));
    }
    terminal.note(&format!("{name} sent to {id} on {target}{}", what_next(name)))
}

fn what_next(name: &str) -> &'static str {
    match name {
        "INT" => "  (Ctrl-C again: kill it;  Ctrl-\\: leave it running)",
        "KILL" => "  (Ctrl-C again: wait no longer)",
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
    use crate::testing::{Screen, json};

    #[test]
    fn ctrl_c_interrupts_then_kills_then_leaves() {
        let mut presses = Presses::default();
        let steps = [Heard::Interrupt; 3].map(|heard| presses.next(heard));
        assert_eq!(steps, [Step::Send("INT"), Step::Send("KILL"), Step::Leave]);
        assert_eq!(Presses::default().next(Heard::Quit), Step::Leave);
        let mut presses = Presses::default();
        assert_eq!([Heard::Terminate; 2].map(|heard| presses.next(heard)), [Step::Send("TERM"), Step::Leave]);
        assert_eq!(Presses::default().next(Heard::HangUp), Step::Leave);
        let mut kills = Presses { kills_at_hang_up: true, ..Presses::default() };
        assert_eq!(kills.next(Heard::HangUp), Step::EndAndGo);
    }

    #[test]
    fn who_leaves_is_told_how_to_come_back_and_who_interrupts_what_the_next_key_does() {
        let screen = Screen::default();
        let mut terminal = screen.terminal(&[]);
        let sent = || Ok(json(r#"{"commands": [{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "signalled": 9}]}"#));
        told(&mut terminal, "k7mq2x.vm1", "vm1", "INT", sent()).unwrap();
        told(&mut terminal, "k7mq2x.vm1", "vm1", "KILL", sent()).unwrap();
        let away = r#"{"commands": [{"cmd_id": "k7mq2x.vm1", "error": {"code": "guest-offline", "message": "vm1: lost"}}]}"#;
        told(&mut terminal, "k7mq2x.vm1", "vm1", "INT", Ok(json(away))).unwrap();
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
