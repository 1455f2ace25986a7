//! What the two ends of an attachment say to each other, frame by frame. At one end is the route of the agent,
//! at the other the [client](crate::client).
//!
//! | frame | to the caller | to the agent |
//! |---|---|---|
//! | binary | output: an octet that names the stream (0 out, 1 err), then octets of it | input, octet for octet |
//! | text | JSON of [`News`] | JSON of [`Wish`] |
//!
//! Each direction has a window: nobody sends more than [`WINDOW`] octets beyond what the other end has told it is done
//! with, so neither end has to hold more, and neither is blocked by a peer that does not read.

use crate::Part;
use serde::{Deserialize, Serialize};

/// Octets of output, of both streams together, and of input, that may be under way.
pub const WINDOW: u64 = 256 * 1024;

/// The most octets of one frame.
pub const FRAME: usize = 64 * 1024;

/// Where the octets that follow belong.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offsets {
    /// Of standard output.
    pub out: u64,
    /// Of standard error.
    pub err: u64,
}

impl Offsets {
    /// Octets of both from `earlier` on.
    pub const fn since(self, earlier: Self) -> u64 {
        self.out.saturating_sub(earlier.out) + self.err.saturating_sub(earlier.err)
    }

    /// The offset of one stream.
    pub const fn of(&mut self, part: Part) -> &mut u64 {
        match part {
            Part::Err => &mut self.err,
            Part::Out => &mut self.out,
        }
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// What the agent tells.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum News {
    /// The first frame: which command this is.
    Attached {
        /// Its whole id.
        cmd_id: String,
        /// Where it runs.
        guest: String,
        /// Whether it has a terminal.
        tty: bool,
        /// From where on output comes.
        from: Offsets,
        /// Whether it takes input: it has a terminal, or its input is streamed.
        input: bool,
        /// Somebody else writes to it now.
        busy: bool,
    },
    /// Whoever wrote has gone and this end is next: [`Self::Writes`] follows, once the guest has said from where on.
    Granted,
    /// From now on this end writes, and input goes on from there: the others watch.
    Writes {
        /// What the agent has of the input.
        input: u64,
    },
    /// The agent is done with the input up to there.
    Taken {
        /// An offset of the input.
        input: u64,
    },
    /// The command is over and all its output was sent; nothing comes after it.
    Over {
        /// As `cmd.poll` gives it, in JSON, without output.
        report: serde_json::Value,
    },
    /// It cannot go on; nothing comes after it.
    Failed {
        /// The fault's slug.
        code: String,
        /// Its number.
        fault: i32,
        /// What and why.
        message: String,
    },
}

/// What the caller wants.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wish {
    /// Output up to there was done with.
    Seen {
        /// Of standard output.
        out: u64,
        /// Of standard error.
        err: u64,
    },
    /// That was all of the input.
    End,
    /// The terminal has this size now.
    Resize(Size),
    /// The caller goes and knows that the command stays.
    Leave,
}

/// A binary frame to the caller.
pub fn output_frame(part: Part, octets: &[u8]) -> Vec<u8> {
    let stream = match part {
        Part::Out => 0,
        Part::Err => 1,
    };
    [&[stream], octets].concat()
}

/// What a binary frame to the caller holds; nothing if it names no stream.
pub fn read_output(frame: &[u8]) -> Option<(Part, &[u8])> {
    match frame.split_first()? {
        (0, octets) => Some((Part::Out, octets)),
        (1, octets) => Some((Part::Err, octets)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn wishes_are_what_the_documentation_shows() {
        let read = |json: serde_json::Value| serde_json::from_value::<Wish>(json);
        assert_eq!(read(json!({"type": "seen", "out": 7, "err": 0})).unwrap(), Wish::Seen { out: 7, err: 0 });
        let size = Size { rows: 24, columns: 80 };
        assert_eq!(read(json!({"type": "resize", "rows": 24, "columns": 80})).unwrap(), Wish::Resize(size));
        assert_eq!(read(json!({"type": "end"})).unwrap(), Wish::End);
        assert_eq!(read(json!({"type": "leave"})).unwrap(), Wish::Leave);
        for wrong in
            [json!({}), json!({"type": "fly"}), json!({"type": "resize", "rows": 70_000, "columns": 1})]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn news_are_what_the_documentation_shows() {
        let news = News::Attached {
            cmd_id: "k7mq2x.vm1".into(),
            guest: "vm1".into(),
            tty: true,
            from: Offsets::default(),
            input: true,
            busy: false,
        };
        let shown = json!({
            "type": "attached", "cmd_id": "k7mq2x.vm1", "guest": "vm1", "tty": true, "from": {"out": 0, "err": 0}, "input": true, "busy": false
        });
        assert_eq!(serde_json::to_value(&news).unwrap(), shown);
        assert_eq!(serde_json::from_value::<News>(shown).unwrap(), news);
    }

    proptest! {
        #[test]
        fn output_comes_back_from_its_frame(octets: Vec<u8>, is_err: bool) {
            let part = if is_err { Part::Err } else { Part::Out };
            let frame = output_frame(part, &octets);
            prop_assert_eq!(read_output(&frame), Some((part, octets.as_slice())));
        }

        #[test]
        fn no_frame_is_too_strange_to_be_refused(octets: Vec<u8>, text in "\\PC{0,80}") {
            if let Some((_, rest)) = read_output(&octets) {
                prop_assert_eq!(rest.len() + 1, octets.len());
            }
            drop(serde_json::from_str::<Wish>(&text));
            drop(serde_json::from_str::<News>(&text));
        }
    }
}
