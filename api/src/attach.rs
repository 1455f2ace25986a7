//! The protocol of attachments, frame by frame. At one end is the route of the agent, at the other the client.
//!
//! | frame | to the caller | to the agent |
//! |---|---|---|
//! | binary | output: a byte that names the stream (0 out, 1 err), then bytes of it | input as it is |
//! | text | JSON of [`ServerMessage`] | JSON of [`ClientMessage`] |
//!
//! Each direction has a window: nobody sends more than [`WINDOW`] bytes beyond what the other end has acknowledged, so
//! neither end has to hold more, and neither is blocked by a peer that does not read.

use crate::Part;
use crate::cmd::{Command, TerminalSize};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use vocable_xmlrpc::{to_json, to_value};

/// Bytes of output, of both streams together, and of input, that may be in flight.
pub const WINDOW: u64 = 256 * 1024;

/// The most bytes of one frame.
pub const FRAME: usize = 64 * 1024;

/// Where the bytes that follow belong.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offsets {
    /// Of standard output.
    pub out: u64,
    /// Of standard error.
    pub err: u64,
}

impl Offsets {
    /// Bytes of both from `earlier` on.
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

/// What the agent sends.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
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
        /// As `cmd.poll` returns it, without output.
        #[serde(serialize_with = "without_nulls")]
        report: Box<Command>,
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

/// What the caller sends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Output up to there is done with.
    Seen {
        /// Of standard output.
        out: u64,
        /// Of standard error.
        err: u64,
    },
    /// That was all of the input.
    End,
    /// The terminal has this size now.
    Resize(TerminalSize),
    /// The caller goes and knows that the command stays.
    Leave,
}

/// As JSON callers get it.
fn without_nulls<S: Serializer>(report: &Command, serializer: S) -> Result<S::Ok, S::Error> {
    to_json(&to_value(report).map_err(S::Error::custom)?).serialize(serializer)
}

/// A binary frame to the caller.
pub fn output_frame(part: Part, bytes: &[u8]) -> Vec<u8> {
    let stream = match part {
        Part::Out => 0,
        Part::Err => 1,
    };
    [&[stream], bytes].concat()
}

/// What a binary frame to the caller holds; nothing if it names no stream.
pub fn read_output(frame: &[u8]) -> Option<(Part, &[u8])> {
    match frame.split_first()? {
        (0, bytes) => Some((Part::Out, bytes)),
        (1, bytes) => Some((Part::Err, bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn client_messages_are_what_the_documentation_shows() {
        let read = |json: serde_json::Value| serde_json::from_value::<ClientMessage>(json);
        assert_eq!(
            read(json!({"type": "seen", "out": 7, "err": 0})).unwrap(),
            ClientMessage::Seen { out: 7, err: 0 }
        );
        let size = TerminalSize { rows: 24, columns: 80 };
        assert_eq!(
            read(json!({"type": "resize", "rows": 24, "columns": 80})).unwrap(),
            ClientMessage::Resize(size)
        );
        assert_eq!(read(json!({"type": "end"})).unwrap(), ClientMessage::End);
        assert_eq!(read(json!({"type": "leave"})).unwrap(), ClientMessage::Leave);
        for wrong in [json!({}), json!({"type": "fly"}), json!({"type": "resize", "rows": 0, "columns": 1})] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn server_messages_are_what_the_documentation_shows() {
        let message = ServerMessage::Attached {
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
        assert_eq!(serde_json::to_value(&message).unwrap(), shown);
        assert_eq!(serde_json::from_value::<ServerMessage>(shown).unwrap(), message);
        let report =
            Box::new(Command { cmd_id: "k7mq2x.vm1".into(), finished: Some(true), ..Command::default() });
        let over = serde_json::to_value(ServerMessage::Over { report: report.clone() }).unwrap();
        let shown = json!({"cmd_id": "k7mq2x.vm1", "state": "queued", "finished": true, "created_unix": 0.0,
            "created": "1970-01-01T00:00:00Z"});
        assert_eq!(over["report"], shown);
        assert_eq!(serde_json::from_value::<ServerMessage>(over).unwrap(), ServerMessage::Over { report });
    }

    proptest! {
        #[test]
        fn output_comes_back_from_its_frame(bytes: Vec<u8>, is_err: bool) {
            let part = if is_err { Part::Err } else { Part::Out };
            let frame = output_frame(part, &bytes);
            prop_assert_eq!(read_output(&frame), Some((part, bytes.as_slice())));
        }

        #[test]
        fn no_frame_is_too_strange_to_be_refused(bytes: Vec<u8>, text in "\\PC{0,80}") {
            if let Some((_, rest)) = read_output(&bytes) {
                prop_assert_eq!(rest.len() + 1, bytes.len());
            }
            drop(serde_json::from_str::<ClientMessage>(&text));
            drop(serde_json::from_str::<ServerMessage>(&text));
        }
    }
}
