//! Pseudo-terminals: one side is the program's standard input and output, the other the supervisor's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::unistd::{Uid, fchown};
use rustix::termios::{Winsize, tcsetwinsize};

use vocable_protocol::TerminalSize;

pub(super) struct Terminal {
    pub(super) ours: File,
    pub(super) theirs: File,
}

impl Terminal {
    /// A new one, which belongs to that user if not to ours.
    pub(super) fn open(size: TerminalSize, owner: Option<u32>) -> io::Result<Self> {
        // Neither side is inherited but as what it is given as, nor becomes our own terminal.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let theirs = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&master)?)?;
        if let Some(owner) = owner {
            // Fails where becoming that user fails too, which then says so.
            let _ = fchown(&theirs, Some(Uid::from_raw(owner)), None);
        }
        let ours = File::from(master.as_fd().try_clone_to_owned()?);
        resize(&ours, size)?;
        Ok(Self { ours, theirs })
    }
}

/// Gives the terminal another size; the kernel tells the program.
pub(super) fn resize(ours: &File, TerminalSize { rows, columns }: TerminalSize) -> io::Result<()> {
    Ok(tcsetwinsize(ours, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::termios::{isatty, tcgetwinsize};

    use super::*;

    #[test]
    fn both_sides_hear_each_other_and_agree_about_the_size() {
        let Terminal { mut ours, mut theirs } =
            Terminal::open(TerminalSize { rows: 24, columns: 80 }, None).unwrap();
        assert!(isatty(&theirs));
        resize(&ours, TerminalSize { rows: 50, columns: 132 }).unwrap();
        let size = tcgetwinsize(&theirs).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (50, 132));
        theirs.write_all(b"hello\n").unwrap();
        let mut heard = [0; 7];
        ours.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello\r\n");
    }
}
