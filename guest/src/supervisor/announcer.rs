//! Tells the agent what happens, if there is one: the FIFO `events`.  Output is announced at once
//! after a silence and then at most every [`INTERVAL`], so that a program that writes a lot does
//! not wake the agent for every block.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::job::lines::Event;

/// Short enough for a person at a terminal.
const INTERVAL: Duration = Duration::from_millis(20);

/// The supervisor's end of `events`.
pub(super) struct Announcer {
    pipe: File,
    announced: (u64, u64),
    latest: (u64, u64),
    quiet_until: Instant,
}

impl Announcer {
    pub(super) fn new(pipe: File, now: Instant) -> Self {
        Self { pipe, announced: (0, 0), latest: (0, 0), quiet_until: now }
    }

    /// Writes the line.  Without an agent it goes nowhere, which is no loss: everything it says
    /// can be read from the job's folder.  The same if the pipe is full: then the agent has more
    /// than a thousand lines to read already.
    pub(super) fn send(&mut self, event: Event) {
        let _ = self.pipe.write_all(event.to_string().as_bytes());
    }

    /// Notes how much is in the spool, and announces it if it is time.
    pub(super) fn output(&mut self, totals: (u64, u64), now: Instant) {
        self.latest = totals;
        if self.latest == self.announced || now < self.quiet_until {
            return;
        }
        let (out, err) = totals;
        self.send(Event::Output { out, err });
        self.announced = totals;
        self.quiet_until = now + INTERVAL;
    }

    /// When `output` has something to announce.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.latest != self.announced).then_some(self.quiet_until)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn the_first_output_is_announced_at_once_and_then_at_intervals() {
        let now = Instant::now();
        let (mut heard, pipe) = io::pipe().unwrap();
        let mut announcer = Announcer::new(File::from(OwnedFd::from(pipe)), now);
        announcer.output((0, 0), now);
        assert_eq!(announcer.deadline(), None);
        announcer.output((1, 0), now);
        announcer.output((2, 0), now);
        announcer.output((3, 1), now + INTERVAL / 2);
        assert_eq!(announcer.deadline(), Some(now + INTERVAL));
        announcer.output((3, 1), now + INTERVAL);
        assert_eq!(announcer.deadline(), None);
        drop(announcer);
        let mut lines = String::new();
        heard.read_to_string(&mut lines).unwrap();
        assert_eq!(lines, "output 1 0\noutput 3 1\n");
    }

    #[test]
    fn without_an_agent_it_goes_nowhere() {
        let (heard, pipe) = io::pipe().unwrap();
        let mut announcer = Announcer::new(File::from(OwnedFd::from(pipe)), Instant::now());
        drop(heard);
        announcer.send(Event::Started);
        announcer.output((1, 1), Instant::now());
        assert_eq!(announcer.deadline(), None);
    }
}
