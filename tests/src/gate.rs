//! A gate that commands wait at until the story opens it: a named pipe that this process holds open.

use nix::sys::stat::Mode;
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Closed at first. When it is dropped, nobody waits at it any more.
pub struct Gate {
    path: PathBuf,
    // Open both ways: so neither end waits for the other to be opened.
    pipe: RefCell<File>,
}

impl Gate {
    /// A gate in that folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { path, pipe: RefCell::new(pipe) }
    }

    /// The named pipe; a line written to it lets one command through.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a shell types to wait at it.
    pub fn wait(&self) -> String {
        format!("read x < {}", self.path.display())
    }

    /// What a shell types to tell that it is there; [`Self::knocked`] waits for it.
    pub fn knock(&self) -> String {
        format!("echo > {}", self.path.display())
    }

    /// Lets one command through.
    pub fn open(&self) {
        self.pipe.borrow_mut().write_all(b"\n").unwrap();
    }

    /// Waits until somebody has knocked.
    pub fn knocked(&self) {
        self.pipe.borrow_mut().read_exact(&mut [0]).unwrap();
    }
}
