//! A tree of files as a stream: what is in it, and its bytes. The same on the way from the command line to the agent, from
//! the agent to a guest, and back. Pure: reads and writes nothing but buffers.
//!
//! ```text
//! {"item":"dir","path":"src","mode":493,"mtime":1795330871000000000}\n
//! {"item":"file","path":"src/a","mode":420,"mtime":…,"size":5,"offset":0,"length":5}\n
//! hello
//! {"item":"end","sha256":"2cf2…"}\n
//! {"item":"link","path":"src/b","mode":511,"mtime":…,"target":"a"}\n
//! {"item":"attributes","path":"src","mode":493,"mtime":…}\n
//! {"item":"replace","path":"src/c","with":"src/.c.part-…"}\n
//! {"item":"done"}\n
//! ```
//! A line of JSON each, with the bytes of a file right behind its line. A file may come in several stretches: all but the
//! last end without a digest. `done` says that nothing is missing.

use crate::path::{TreePath, escape, unescape};
use bytes::{Bytes, BytesMut};
use hex::FromHex;
use serde::{Deserialize, Serialize};

/// The longest line, bytes: two paths with every byte escaped.
const MAX_LINE: usize = 32 << 10;
/// The bytes of a file come in pieces of at most so many.
pub const PIECE: usize = 64 << 10;

/// What something is called, what it is, and its attributes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Where, below the top.
    pub path: TreePath,
    /// What.
    pub kind: Kind,
    /// The permissions: the lower twelve bits of `st_mode`.
    pub mode: u32,
    /// When it was changed, nanoseconds since 1970.
    pub mtime: i64,
}

/// What there can be in a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A file of that many bytes.
    File(u64),
    /// A symbolic link, and what stands in it.
    Link(Vec<u8>),
    /// A socket, a pipe, a device: not copied.
    Other,
}

/// One step of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// There is this: of a listing; or make it: a folder or link.
    Entry(Entry),
    /// A stretch of a file follows: its bytes in pieces, then an end.
    File {
        /// The file.
        entry: Entry,
        /// Where the stretch begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
    /// A piece of the stretch.
    Bytes(Bytes),
    /// The end of the stretch; with the digest of the whole file, of the file.
    End(Option<[u8; 32]>),
    /// Sets mode and time: of folders once everything is in them.
    Attributes(Entry),
    /// Removes what is there, with all that is in it.
    Remove(TreePath),
    /// Puts what was made beside its place in its place, and then removes what was there, with all that is in it.
    Replace {
        /// The place.
        path: TreePath,
        /// What was made beside it, in the same folder.
        with: TreePath,
    },
    /// Something could not be sent.
    Failed {
        /// What.
        path: TreePath,
        /// The slug.
        code: String,
        /// Why.
        message: String,
    },
    /// All was sent.
    Done,
}

/// What is no stream of a tree.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TreeError {
    /// A line that cannot be read.
    #[error("a line of the tree makes no sense: {0}")]
    Line(String),
    /// A line without end.
    #[error("a line of the tree is longer than {MAX_LINE} bytes")]
    Long,
    /// It ended too early.
    #[error("the tree ended in the middle")]
    Cut,
}

/// A line, with all members any item has.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    item: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    with: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Adds an item to a buffer.
pub fn encode(item: &Item, out: &mut BytesMut) {
    let line = match item {
        Item::Bytes(bytes) => return out.extend_from_slice(bytes),
        Item::Entry(entry) => of_entry(entry),
        Item::File { entry, offset, length } => {
            Line { offset: Some(*offset), length: Some(*length), ..of_entry(entry) }
        }
        Item::End(digest) => {
            Line { item: "end".to_owned(), sha256: digest.map(hex::encode), ..Line::default() }
        }
        Item::Attributes(entry) => {
            Line { item: "attributes".to_owned(), size: None, target: None, ..of_entry(entry) }
        }
        Item::Remove(path) => {
            Line { item: "remove".to_owned(), path: Some(path.to_string()), ..Line::default() }
        }
        Item::Replace { path, with } => Line {
            item: "replace".to_owned(),
            path: Some(path.to_string()),
            with: Some(with.to_string()),
            ..Line::default()
        },
        Item::Failed { path, code, message } => Line {
            item: "failed".to_owned(),
            path: Some(path.to_string()),
            code: Some(code.clone()),
            message: Some(message.clone()),
            ..Line::default()
        },
        Item::Done => Line { item: "done".to_owned(), ..Line::default() },
    };
    // A struct of texts and numbers can always be written.
    out.extend_from_slice(&serde_json::to_vec(&line).unwrap_or_default());
    out.extend_from_slice(b"\n");
}

fn of_entry(entry: &Entry) -> Line {
    let (item, size, target) = match &entry.kind {
        Kind::Dir => ("dir", None, None),
        Kind::File(size) => ("file", Some(*size), None),
        Kind::Link(target) => ("link", None, Some(escape(target))),
        Kind::Other => ("other", None, None),
    };
    Line {
        item: item.to_owned(),
        path: Some(entry.path.to_string()),
        mode: Some(entry.mode),
        mtime: Some(entry.mtime),
        size,
        target,
        ..Line::default()
    }
}

/// Reads items out of what comes.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes of the stretch that are still to come.
    left: u64,
    done: bool,
}

impl Decoder {
    /// The next item, once all of it is in the buffer; of bytes as many as there are.
    ///
    /// # Errors
    /// [`TreeError`]; nothing after it makes sense.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, TreeError> {
        if self.left > 0 {
            let piece = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE).min(buffer.len());
            if piece == 0 {
                return Ok(None);
            }
            self.left -= piece as u64;
            return Ok(Some(Item::Bytes(buffer.split_to(piece).freeze())));
        }
        let Some(end) = memchr(buffer) else {
            return if buffer.len() > MAX_LINE { Err(TreeError::Long) } else { Ok(None) };
        };
        if end > MAX_LINE {
            return Err(TreeError::Long);
        }
        let line = buffer.split_to(end + 1);
        let item = parse(line.get(..end).unwrap_or_default())?;
        match &item {
            Item::File { length, .. } => self.left = *length,
            Item::Done => self.done = true,
            _ => {}
        }
        Ok(Some(item))
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    /// [`TreeError::Cut`] if something is missing.
    pub fn finish(&self, buffer: &BytesMut) -> Result<(), TreeError> {
        if self.done && self.left == 0 && buffer.is_empty() { Ok(()) } else { Err(TreeError::Cut) }
    }
}

fn memchr(buffer: &[u8]) -> Option<usize> {
    buffer.iter().take(MAX_LINE + 1).position(|byte| *byte == b'\n')
}

fn parse(line: &[u8]) -> Result<Item, TreeError> {
    let bad = |error: &dyn std::fmt::Display| TreeError::Line(error.to_string());
    let line: Line = serde_json::from_slice(line).map_err(|error| bad(&error))?;
    let missing =
        |what: &str| TreeError::Line(format!("{} has no {what}", vocable_xmlrpc::excerpt(&line.item)));
    let path = || {
        let text = line.path.as_deref().ok_or_else(|| missing("path"))?;
        TreePath::unescape(text).map_err(|error| bad(&error))
    };
    let entry = |kind| -> Result<Entry, TreeError> {
        Ok(Entry {
            path: path()?,
            kind,
            mode: line.mode.ok_or_else(|| missing("mode"))? & 0o7777,
            mtime: line.mtime.ok_or_else(|| missing("mtime"))?,
        })
    };
    Ok(match line.item.as_str() {
        "dir" => Item::Entry(entry(Kind::Dir)?),
        "other" => Item::Entry(entry(Kind::Other)?),
        "link" => {
            let target = line.target.as_deref().ok_or_else(|| missing("target"))?;
            Item::Entry(entry(Kind::Link(unescape(target).map_err(|error| bad(&error))?))?)
        }
        "file" => {
            let size = line.size.ok_or_else(|| missing("size"))?;
            let entry = entry(Kind::File(size))?;
            match (line.offset, line.length) {
                (None, None) => Item::Entry(entry),
                (Some(offset), Some(length)) if offset.checked_add(length).is_some_and(|end| end <= size) => {
                    Item::File { entry, offset, length }
                }
                _ => return Err(TreeError::Line("a stretch that is not within its file".to_owned())),
            }
        }
        "attributes" => Item::Attributes(entry(Kind::Dir)?),
        "end" => Item::End(match line.sha256.as_deref() {
            None => None,
            Some(digits) => Some(<[u8; 32]>::from_hex(digits).map_err(|_| bad(&"sha256 is no digest"))?),
        }),
        "remove" => Item::Remove(path()?),
        "replace" => {
            let with = line.with.as_deref().ok_or_else(|| missing("with"))?;
            let (path, with) = (path()?, TreePath::unescape(with).map_err(|error| bad(&error))?);
            let together = match (path.split(), with.split()) {
                (Some((folder, name)), Some((other, beside))) => folder == other && name != beside,
                _ => false,
            };
            if !together {
                return Err(bad(&"replace needs two names in the same folder"));
            }
            Item::Replace { path, with }
        }
        "failed" => Item::Failed {
            path: path()?,
            code: line.code.clone().unwrap_or_default(),
            message: line.message.clone().unwrap_or_default(),
        },
        "done" => Item::Done,
        other => return Err(TreeError::Line(format!("there is no item {}", vocable_xmlrpc::excerpt(other)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Entry> {
        let path = proptest::collection::vec(proptest::collection::vec(1_u8..=255, 1..6), 0..4);
        (path, kind, 0_u32..0o7777, any::<i64>()).prop_filter_map("no path", |(names, kind, mode, mtime)| {
            let path = TreePath::parse(&names.join(&b'/')).ok()?;
            Some(Entry { path, kind, mode, mtime })
        })
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let file = (entries(Just(Kind::File(0))), any::<Vec<u8>>(), any::<bool>()).prop_map(
            |(mut entry, bytes, whole)| {
                entry.kind = Kind::File(bytes.len() as u64 + 7);
                let file = Item::File { entry, offset: 7, length: bytes.len() as u64 };
                let mut all = vec![file];
                all.extend((!bytes.is_empty()).then(|| Item::Bytes(bytes.into())));
                all.push(Item::End(whole.then_some([7; 32])));
                all
            },
        );
        let one = prop_oneof![
            entries(Just(Kind::Dir)).prop_map(Item::Entry),
            entries(any::<Vec<u8>>().prop_map(Kind::Link)).prop_map(Item::Entry),
            entries(any::<u64>().prop_map(Kind::File)).prop_map(Item::Entry),
            entries(Just(Kind::Dir)).prop_map(Item::Attributes),
            entries(Just(Kind::Dir)).prop_map(|entry| Item::Remove(entry.path)),
            entries(Just(Kind::Dir)).prop_map(|Entry { path, .. }| Item::Replace {
                with: path.join(b"new").unwrap(),
                path: path.join(b"old").unwrap(),
            }),
        ];
        let steps = prop_oneof![file, one.prop_map(|item| vec![item])];
        proptest::collection::vec(steps, 0..8)
            .prop_map(|steps| steps.into_iter().flatten().chain([Item::Done]).collect())
    }

    fn decode(stream: &[u8], step: usize) -> Result<Vec<Item>, TreeError> {
        let (mut decoder, mut buffer, mut items) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in stream.chunks(step.max(1)) {
            buffer.extend_from_slice(piece);
            while let Some(item) = decoder.next(&mut buffer)? {
                match (items.last_mut(), item) {
                    // Bytes come in as many pieces as they like.
                    (Some(Item::Bytes(before)), Item::Bytes(more)) => {
                        *before = [before.as_ref(), &more].concat().into();
                    }
                    (_, item) => items.push(item),
                }
            }
        }
        decoder.finish(&buffer).map(|()| items)
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again_in_whatever_pieces(items in items(), step in 1_usize..40) {
            let mut stream = BytesMut::new();
            items.iter().for_each(|item| encode(item, &mut stream));
            prop_assert_eq!(decode(&stream, step).unwrap(), items);
        }

        #[test]
        fn nothing_hurts_the_reader(stream: Vec<u8>) {
            let _ = decode(&stream, 9);
        }
    }

    #[test]
    fn a_stream_that_was_cut_is_not_taken_for_whole() {
        let entry = Entry { path: TreePath::top(), kind: Kind::File(3), mode: 0o644, mtime: 0 };
        let mut stream = BytesMut::new();
        encode(&Item::File { entry, offset: 0, length: 3 }, &mut stream);
        stream.extend_from_slice(b"ab");
        assert_eq!(decode(&stream, 100), Err(TreeError::Cut));
        assert_eq!(decode(b"", 1), Err(TreeError::Cut));
        assert_eq!(decode(&[b'x'; MAX_LINE + 2], 5000), Err(TreeError::Long));
    }

    #[test]
    fn paths_of_others_are_checked() {
        let line = br#"{"item":"dir","path":"../x","mode":493,"mtime":0}"#;
        assert!(matches!(parse(line), Err(TreeError::Line(why)) if why.contains("..")));
        let lying = br#"{"item":"file","path":"x","mode":0,"mtime":0,"size":3,"offset":2,"length":2}"#;
        assert!(parse(lying).is_err());
        for (path, with) in [("x", "x"), ("x", "y/x"), ("", "x"), ("x", "../x")] {
            let line = format!(r#"{{"item":"replace","path":"{path}","with":"{with}"}}"#);
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
