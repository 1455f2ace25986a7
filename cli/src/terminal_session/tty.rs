//! The terminal we are run from, while it belongs to a command: without echo, lines and signals of its own.

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal};
use vocable_api::cmd::TerminalSize;

/// While this lives, every key comes as it is pressed. Afterwards the terminal is as it was.
pub(super) struct Raw(Termios);

impl Raw {
    /// Takes the terminal of standard input; none if that is no terminal.
    pub(super) fn take() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to give back.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// The size of the terminal we are run from, if there is one.
pub(crate) fn size() -> Option<TerminalSize> {
    let (width, height) = terminal_size::terminal_size()?;
    Some(TerminalSize { rows: height.0, columns: width.0 })
}
