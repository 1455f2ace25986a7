//! The lines an agent and a supervisor exchange over the two FIFOs of a job.  A line is shorter
//! than `PIPE_BUF`, so the kernel writes it whole or not at all.  Whoever reads passes over lines
//! it does not know: the other end may be newer.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use vocable_protocol::TerminalSize;

/// What a supervisor tells, over `events`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// `result.json` is in place.
    Ended,
    /// The spool takes no more.
    Full,
    /// So many bytes of each stream are in the spool by now.
    Output { out: u64, err: u64 },
    /// The program has been started, or could not be; `running.json` is there if it was.
    Started,
    /// So many bytes of its input the program has read, or will never read.
    Taken { bytes: u64 },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => writeln!(f, "ended"),
            Self::Full => writeln!(f, "full"),
            Self::Output { out, err } => writeln!(f, "output {out} {err}"),
            Self::Started => writeln!(f, "started"),
            Self::Taken { bytes } => writeln!(f, "taken {bytes}"),
        }
    }
}

impl FromStr for Event {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ended"] => Ok(Self::Ended),
            ["full"] => Ok(Self::Full),
            ["output", out, err] => {
                Ok(Self::Output { out: out.parse().map_err(|_| ())?, err: err.parse().map_err(|_| ())? })
            }
            ["started"] => Ok(Self::Started),
            ["taken", bytes] => Ok(Self::Taken { bytes: bytes.parse().map_err(|_| ())? }),
            _ => Err(()),
        }
    }
}

/// What an agent asks for, over `control`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    /// End the job: the signal (SIGTERM if there is none), and after the grace (the job's own if
    /// there is none) SIGKILL.
    Cancel { grace: Option<Duration>, signal: Option<i32> },
    /// There is more in the file of the input, or its end is marked.
    Input,
    /// The terminal has another size.
    Resize(TerminalSize),
    /// So many bytes of each stream are with the host: room may be made of them.
    Taken { out: u64, err: u64 },
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancel { grace, signal } => {
                write!(f, "cancel")?;
                match (grace, signal) {
                    (None, None) => {}
                    (None, Some(_)) => write!(f, " own")?,
                    (Some(grace), _) => write!(f, " {}", grace.as_millis())?,
                }
                signal.map_or(Ok(()), |signal| write!(f, " {signal}"))?;
                writeln!(f)
            }
            Self::Input => writeln!(f, "input"),
            Self::Resize(TerminalSize { rows, columns }) => writeln!(f, "resize {rows} {columns}"),
            Self::Taken { out, err } => writeln!(f, "taken {out} {err}"),
        }
    }
}

impl FromStr for Control {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["cancel"] => Ok(Self::Cancel { grace: None, signal: None }),
            ["cancel", grace] => Ok(Self::Cancel { grace: milliseconds(grace)?, signal: None }),
            ["cancel", grace, signal] => {
                let signal = Some(signal.parse().map_err(|_| ())?);
                Ok(Self::Cancel { grace: milliseconds(grace)?, signal })
            }
            ["taken", out, err] => {
                Ok(Self::Taken { out: out.parse().map_err(|_| ())?, err: err.parse().map_err(|_| ())? })
            }
            ["input"] => Ok(Self::Input),
            ["resize", rows, columns] => Ok(Self::Resize(TerminalSize {
                rows: rows.parse().map_err(|_| ())?,
                columns: columns.parse().map_err(|_| ())?,
            })),
            _ => Err(()),
        }
    }
}

fn milliseconds(word: &str) -> Result<Option<Duration>, ()> {
    match word {
        "own" => Ok(None),
        number => Ok(Some(Duration::from_millis(u64::from(number.parse::<u32>().map_err(|_| ())?)))),
    }
}

/// Puts lines together from whatever pieces they arrive in.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// No line is nearly as long; what is longer is no line of ours.
    const MAX_LENGTH: usize = 512;

    /// Takes bytes, and gives back what is understood of the lines they complete.
    pub(crate) fn take<T: FromStr>(&mut self, bytes: &[u8]) -> Vec<T> {
        let mut understood = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::str::from_utf8(&self.0).ok();
                understood.extend(line.and_then(|line| line.parse().ok()));
                self.0.clear();
            } else if self.0.len() < Self::MAX_LENGTH {
                self.0.push(*byte);
            }
        }
        understood
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_strangers_are_passed_over() {
        let mut lines = Lines::default();
        let events = [
            Event::Started,
            Event::Output { out: 5, err: u64::MAX },
            Event::Taken { bytes: 7 },
            Event::Full,
            Event::Ended,
        ];
        let text: String = events.iter().map(|event| format!("{event}shiny {event}")).collect();
        assert_eq!(lines.take::<Event>(text.as_bytes()), events);
        let graces = [None, Some(Duration::from_millis(1500))];
        let cancel = |signal| graces.map(|grace| Control::Cancel { grace, signal });
        let more = [Control::Input, Control::Resize(TerminalSize { rows: 24, columns: 80 })];
        let asked = [cancel(None), cancel(Some(2)), more].concat();
        let text: String = asked.iter().map(Control::to_string).collect();
        assert_eq!(lines.take::<Control>(text.as_bytes()), asked);
        let taken = Control::Taken { out: 7, err: 0 };
        assert_eq!(lines.take::<Control>(taken.to_string().as_bytes()), [taken]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_noise_does_not_pile_up(
            noise in proptest::collection::vec(any::<u8>(), 0..2000),
            cut in 0_usize..2000,
        ) {
            let text = [noise.as_slice(), b"\nstarted\n"].concat();
            let (head, tail) = text.split_at(cut.min(text.len()));
            let mut pieces = Lines::default();
            let mut read = pieces.take::<Event>(head);
            read.extend(pieces.take::<Event>(tail));
            prop_assert_eq!(&read, &Lines::default().take::<Event>(&text));
            prop_assert_eq!(read.last(), Some(&Event::Started));
            prop_assert!(pieces.0.len() <= Lines::MAX_LENGTH);
        }
    }
}
