//! A person at a terminal: a pseudo-terminal with a program on it, what is typed, what is seen.

use crate::TIMEOUT;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What the screen has shown so far, whether that is all, and how the program ended.
#[derive(Default)]
struct Shown {
    text: String,
    is_all: bool,
    ended: Option<ExitStatus>,
}

/// A terminal with a program in it.
pub struct Person {
    keyboard: File,
    /// Held so that the terminal does not end with the program.
    _screen: OwnedFd,
    pid: Pid,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// How much of the screen was looked at.
    looked: usize,
}

impl Person {
    /// Starts that program in a terminal of 24 lines.
    pub fn starts(command: &Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        // The terminal has to be the program's own, so that it hears of its size and its end. It becomes the program.
        let mut all = Command::new("setsid");
        all.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => all.env(name, value),
                None => all.env_remove(name),
            };
        }
        let mut child = all.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        let keyboard = File::from(pty.master);
        let shown = Arc::<(Mutex<Shown>, Condvar)>::default();
        // Not joined: it ends with the last holder of the terminal.
        thread::spawn({
            let (mut screen, shown) = (keyboard.try_clone().unwrap(), shown.clone());
            move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = screen.read(&mut buffer) {
                    shown.0.lock().unwrap().text += &String::from_utf8_lossy(&buffer[..length]);
                    shown.1.notify_all();
                }
                shown.0.lock().unwrap().is_all = true;
                shown.1.notify_all();
            }
        });
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        thread::spawn({
            let shown = shown.clone();
            move || {
                let ended = child.wait().ok();
                shown.0.lock().unwrap().ended = ended;
                shown.1.notify_all();
            }
        });
        Self { keyboard, _screen: pty.slave, pid, shown, looked: 0 }
    }

    /// Types.
    pub fn types(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// Waits until this stands on the screen, after what was waited for before.
    pub fn sees(&mut self, text: &str) -> &mut Self {
        let deadline = Instant::now() + TIMEOUT;
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            let fresh = &shown.text[self.looked..];
            if let Some(at) = fresh.find(text) {
                self.looked += at + text.len();
                drop(shown);
                return self;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !shown.is_all, "no {text:?} on the screen, but {fresh:?}");
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Makes the window larger or smaller.
    pub fn resizes(&mut self, rows: u16, columns: u16) -> &mut Self {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keyboard, size).unwrap();
        self
    }

    /// Whether the terminal echoes and makes lines by itself, as it does when it belongs to nobody else.
    pub fn has_lines(&self) -> bool {
        let flags = tcgetattr(self.keyboard.as_fd()).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// Kills the program at the terminal without warning.
    pub fn is_killed(&mut self) {
        kill(self.pid, Signal::SIGKILL).unwrap();
        self.leaves();
    }

    /// Waits for the end of the program, and gives its exit code.
    pub fn leaves(&mut self) -> Option<i32> {
        let shown = self.shown.0.lock().unwrap();
        let is_there = |shown: &mut Shown| shown.ended.is_none();
        let (shown, _) = self.shown.1.wait_timeout_while(shown, TIMEOUT, is_there).unwrap();
        let ended = shown.ended.unwrap_or_else(|| panic!("it does not end: {:?}", shown.text));
        ended.code()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // A story that has failed while it looked still ends what it started.
        let shown = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.ended.is_none() {
            // It may end by itself in between.
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}
