//! Leaving a command that runs, by Ctrl-C or because nobody reads: it goes on, and we say how to see it again.

use super::status;
use crate::cli::output::Terminal;
use crate::cli::{CliError, Session, human};
use std::path::Path;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The exit code of a program that SIGINT ended, as shells count.
const INTERRUPTED: i32 = 130;

/// While this lives, Ctrl-C leaves the command and ends this process.
pub(super) struct Interrupt {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Watches for Ctrl-C, if this session belongs to a process of its own.
    pub(super) fn leaves(
        session: &Session<'_>,
        id: &str,
        target: &str,
        status: Option<&Path>,
    ) -> Result<Self, CliError> {
        let Some(global) = session.process else { return Ok(Self { stop: None, thread: None }) };
        let cannot = |error: std::io::Error| {
            CliError::new("internal", "Ctrl-C cannot be watched for").cause(human::io(&error))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
        let (stop, stopped) = oneshot::channel();
        let (global, id, target) = (global.clone(), id.to_owned(), target.to_owned());
        let status = status.map(Path::to_owned);
        let thread = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            let is_interrupted = runtime.block_on(async {
                tokio::select! {
                    pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
                    _ = stopped => false,
                }
            });
            if is_interrupted {
                // The calls of the main thread cannot be taken back; the end of the process does it. Whether the
                // words arrive or not, we end.
                let mut terminal = Terminal::of_process(&global);
                drop(terminal.say("").and_then(|()| leave(&mut terminal, &id, &target)));
                drop(status.map(|file| status::write_interrupted(&file, &id)));
                std::process::exit(INTERRUPTED);
            }
        });
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(cannot)?) })
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It ends at once: nothing else is waited for.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Says that the command goes on, and how to see it again.
fn leave(terminal: &mut Terminal, id: &str, target: &str) -> std::io::Result<()> {
    terminal.note(&format!("left {id} running on {target}"))?;
    terminal.hint(&format!("vocable logs -f {id}   vocable wait {id}"))
}

/// Says that the command does not end with whoever read its output.
pub(super) fn unread(terminal: &mut Terminal, id: &str) -> std::io::Result<()> {
    terminal.note(&format!("nobody reads the output any more; {id} goes on, if it is not over"))?;
    terminal.hint(&format!("vocable logs {id}   vocable wait {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Screen;

    #[test]
    fn who_leaves_is_told_how_to_come_back() {
        let screen = Screen::default();
        leave(&mut screen.terminal(&[]), "k7mq2x.vm1", "vm1").unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    ------- stderr
    note: left k7mq2x.vm1 running on vm1
    hint: vocable logs -f k7mq2x.vm1   vocable wait k7mq2x.vm1
    "#);
    }
}
