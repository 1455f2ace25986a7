//! How a file is to be opened: a word of letters.

use std::fmt;

/// The letters of `open`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other, as the letters are")]
pub struct Flags {
    /// `r`
    pub read: bool,
    /// `w`
    pub write: bool,
    /// `c`: make it if it isn't there
    pub create: bool,
    /// `t`: empty it
    pub truncate: bool,
    /// `a`: write at its end
    pub append: bool,
    /// `x`: it must not be there yet
    pub exclusive: bool,
    /// `s`: what is written is on the disk before the answer
    pub sync: bool,
}

impl Flags {
    /// To read only.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create: false,
        truncate: false,
        append: false,
        exclusive: false,
        sync: false,
    };

    /// `None` if there is another letter.
    pub fn parse(word: &[u8]) -> Option<Self> {
        let mut flags = Self::default();
        for letter in word {
            *match letter {
                b'r' => &mut flags.read,
                b'w' => &mut flags.write,
                b'c' => &mut flags.create,
                b't' => &mut flags.truncate,
                b'a' => &mut flags.append,
                b'x' => &mut flags.exclusive,
                b's' => &mut flags.sync,
                _ => return None,
            } = true;
        }
        Some(flags)
    }

    /// Whether the file may change by it.
    pub fn changes(self) -> bool {
        self.write || self.create || self.truncate || self.append
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, write, create, truncate, append, exclusive, sync } = *self;
        let letters = [(read, "r"), (write, "w"), (create, "c"), (truncate, "t"), (append, "a")];
        let set = letters.into_iter().chain([(exclusive, "x"), (sync, "s")]).filter(|(set, _)| *set);
        set.clone().try_for_each(|(_, letter)| formatter.write_str(letter))?;
        // A word can't be empty.
        if set.count() == 0 { formatter.write_str("r") } else { Ok(()) }
    }
}
