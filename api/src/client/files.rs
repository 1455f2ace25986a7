//! A guest's files over `/files/` of the agent, which passes on what it is sent: listings, trees sent and trees fetched.

use bytes::{Buf as _, BytesMut};
use serde::Deserialize;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::iter::Peekable;
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use vocable_copy::plan::Wanted;
use vocable_copy::remote::{Depth, Items};
use vocable_copy::tree::{Decoder, Item, Kind, encode};
use vocable_copy::{Outcome, Progress, Remote};
use vocable_xmlrpc::Fault;

use super::{Client, ClientError};

/// How long the agent may take to begin its answer: a guest may have to be asked first, and a tree be written.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The longest answer that is no tree, bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// Bytes of files in one request: what is lost if its answer is, and read over if the guest's disk is full.
const REQUEST_BYTES: u64 = 64 << 20;
/// Items of one request.
const REQUEST_ITEMS: u64 = 20_000;
/// The media type of trees.
const TREE: &str = "application/x-vocable-tree";

/// The files of one guest.
#[derive(Clone, Copy)]
pub struct GuestFiles<'a> {
    client: &'a Client,
    guest: &'a str,
    progress: &'a dyn Progress,
}

/// What the agent says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    fault: i32,
    message: String,
}

impl<'a> GuestFiles<'a> {
    pub(super) const fn new(client: &'a Client, guest: &'a str) -> Self {
        Self { client, guest, progress: &() }
    }

    /// The same, telling how far a copy is.
    #[must_use]
    pub const fn with_progress(self, progress: &'a dyn Progress) -> Self {
        Self { progress, ..self }
    }

    /// Reads a listing or what is at a path; nothing if there is nothing.
    fn read(&self, path: &[u8], query: &str) -> Result<Option<Stream>, ClientError> {
        let request = self.client.transport.agent().get(self.url(path, query));
        let request = self.client.authorised(request).config().timeout_recv_response(Some(TIMEOUT)).build();
        match self.accepted(request.call()) {
            Err(ClientError::Fault(fault)) if fault.slug() == Some("no-such-path") => Ok(None),
            reply => reply.map(|body| Some(Stream::of(body))),
        }
    }

    /// Sends items and gives what is answered.
    fn send(&self, method: &str, url: String, body: &mut dyn Read) -> Result<impl Read + use<>, ClientError> {
        let agent = self.client.transport.agent();
        let request = if method == "POST" { agent.post(url) } else { agent.put(url) };
        let request = self.client.authorised(request).content_type(TREE).config();
        let request = request.timeout_recv_response(Some(TIMEOUT)).build();
        self.accepted(request.send(ureq::SendBody::from_reader(&mut { body })))
    }

    fn accepted(
        &self,
        reply: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<impl Read + use<>, ClientError> {
        let reply = reply.map_err(|error| self.client.transport.failed(error, TIMEOUT))?;
        let status = reply.status();
        let mut body = reply.into_body().into_reader();
        match status {
            StatusCode::OK => return Ok(body),
            StatusCode::UNAUTHORIZED => return Err(self.client.not_authorised()),
            _ => {}
        }
        let mut text = Vec::new();
        let read = body.by_ref().take(MAX_ANSWER).read_to_end(&mut text);
        Err(match serde_json::from_slice::<Refusal>(&text) {
            Ok(Refusal { code, fault, message }) if read.is_ok() => {
                ClientError::Fault(Fault::new(fault, format!("{code}: {message}")))
            }
            _ => self.client.bad_reply(format!("HTTP {}", status.as_u16())),
        })
    }

    /// Where a path is: a relative one begins with `~`.
    fn url(&self, path: &[u8], query: &str) -> String {
        let (home, rest) = match path {
            b"" => ("/~", path),
            path if path.starts_with(b"/") => ("", path),
            path => ("/~/", path.strip_prefix(b"~/").unwrap_or(path)),
        };
        let mut url = self.client.transport.url("/files/");
        for byte in self.guest.bytes().chain(home.bytes()).chain(rest.iter().copied()) {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                url.push(char::from(byte));
            } else {
                // Writing into a String cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
        url.push('?');
        url.push_str(query);
        url
    }
}

impl Remote for GuestFiles<'_> {
    type Error = ClientError;

    fn stat(&self, path: &[u8]) -> Result<Option<Kind>, ClientError> {
        match self.read(path, "stat")?.map(|mut items| items.next()) {
            None => Ok(None),
            Some(Some(Item::Entry(entry))) => Ok(Some(entry.kind)),
            Some(_) => Err(self.client.bad_reply("GET /files/: no entry".to_owned())),
        }
    }

    fn list(&self, folder: &[u8], depth: Depth) -> Result<Option<Items<'_>>, ClientError> {
        let query = if depth == Depth::Tree { "walk" } else { "list" };
        Ok(self.read(folder, query)?.map(|items| Box::new(items) as Items<'_>))
    }

    fn put(&self, folder: &[u8], items: &mut dyn Iterator<Item = Item>) -> Result<Outcome, ClientError> {
        let (mut items, mut outcome) = (items.peekable(), Outcome::default());
        while items.peek().is_some() && outcome.ended.is_none() {
            let mut body = Body::new(&mut items, self.progress);
            let reply = self.send("PUT", self.url(folder, "tree"), &mut body)?;
            let answer = serde_json::from_reader(reply.take(MAX_ANSWER));
            outcome.add(answer.map_err(|error| self.client.bad_reply(format!("PUT /files/: {error}")))?);
        }
        Ok(outcome)
    }

    fn get(&self, folder: &[u8], wanted: Vec<Wanted>) -> Result<Items<'_>, ClientError> {
        // Asked for are bytes from an offset on: none come with the question.
        let file = |Wanted { entry, offset }| Item::File { entry, offset, length: 0 };
        let mut items = wanted.into_iter().map(file).peekable();
        let mut body = Body { is_open_ended: true, ..Body::new(&mut items, &()) };
        Ok(Box::new(Stream::of(self.send("POST", self.url(folder, "fetch"), &mut body)?)))
    }

    fn shown(&self, path: &[u8]) -> String {
        format!("{}:{}", self.guest, vocable_copy::path::escape(path))
    }

    fn progress(&self) -> &dyn Progress {
        self.progress
    }
}

/// A tree that is being read.
struct Stream {
    body: Box<dyn Read>,
    decoder: Decoder,
    buffer: BytesMut,
    is_over: bool,
}

impl Stream {
    fn of(body: impl Read + 'static) -> Self {
        let (decoder, buffer) = (Decoder::default(), BytesMut::new());
        Self { body: Box::new(body), decoder, buffer, is_over: false }
    }

    fn read(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(item) = self.decoder.next(&mut self.buffer).map_err(io::Error::other)? {
                return Ok(Some(item));
            }
            let before = self.buffer.len();
            self.buffer.resize(before + PIECE, 0);
            let read = self.body.read(self.buffer.get_mut(before..).unwrap_or_default());
            self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return self.decoder.finish(&self.buffer).map(|()| None).map_err(io::Error::other);
            }
        }
    }
}

impl Iterator for Stream {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.is_over {
            return None;
        }
        let next = self.read().unwrap_or_else(|error| {
            self.is_over = true;
            let message = format!("the agent stopped in the middle of its answer: {error}");
            Some(Item::Failed { path: Default::default(), code: "connection-lost".to_owned(), message })
        });
        self.is_over |= next.is_none();
        next
    }
}

/// Items as the body of one request, until that is long enough.
struct Body<'a, I: Iterator<Item = Item>> {
    items: &'a mut Peekable<I>,
    buffer: BytesMut,
    bytes: u64,
    count: u64,
    ended: bool,
    /// All of the items belong to this request.
    is_open_ended: bool,
    progress: &'a dyn Progress,
}

impl<'a, I: Iterator<Item = Item>> Body<'a, I> {
    fn new(items: &'a mut Peekable<I>, progress: &'a dyn Progress) -> Self {
        let (buffer, is_open_ended) = (BytesMut::new(), false);
        Self { items, buffer, bytes: 0, count: 0, ended: false, is_open_ended, progress }
    }

    fn fill(&mut self) {
        while self.buffer.len() < PIECE && !self.ended {
            // A file's bytes and its end belong to what was begun.
            let may_end = !matches!(self.items.peek(), Some(Item::Bytes(_) | Item::End(_)));
            let long = self.bytes >= REQUEST_BYTES || self.count >= REQUEST_ITEMS;
            match self.items.next_if(|_| self.is_open_ended || !(long && may_end)) {
                Some(item) => {
                    if let Item::Bytes(bytes) = &item {
                        self.bytes += bytes.len() as u64;
                        self.progress.advanced(bytes.len() as u64, 0);
                    }
                    self.count += 1;
                    encode(&item, &mut self.buffer);
                }
                None => {
                    encode(&Item::Done, &mut self.buffer);
                    self.ended = true;
                }
            }
        }
    }
}

impl<I: Iterator<Item = Item>> Read for Body<'_, I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill();
        let length = out.len().min(self.buffer.len());
        self.buffer.split_to(length).copy_to_slice(out.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_copy::path::TreePath;
    use vocable_copy::tree::Entry;

    #[test]
    fn paths_become_addresses_that_mean_the_same() {
        let client = Client::new("http://127.0.0.1:1/", "token").unwrap();
        let files = client.files("vm1");
        let url = |path: &str, query| {
            files.url(path.as_bytes(), query).split_off("http://127.0.0.1:1/files/".len())
        };
        assert_eq!(url("/a b/\u{fc}%", "walk"), "vm1/a%20b/%C3%BC%25?walk");
        assert_eq!(url("x", "stat"), "vm1/~/x?stat");
        assert_eq!(url("~/x", "stat"), "vm1/~/x?stat");
        assert_eq!(url("", "list"), "vm1/~?list");
    }

    #[test]
    fn a_body_ends_between_two_files_and_says_that_it_is_whole() {
        let entry = |name: &str, size| Entry {
            path: TreePath::parse(name.as_bytes()).unwrap(),
            kind: Kind::File(size),
            mode: 0o644,
            mtime: 0,
        };
        let piece = vec![7; 1 << 20];
        let mut items = Vec::new();
        for name in ["a", "b"] {
            items.push(Item::File { entry: entry(name, 70 << 20), offset: 0, length: 70 << 20 });
            items.extend((0..70).map(|_| Item::Bytes(piece.clone().into())));
            items.push(Item::End(Some([0; 32])));
        }
        let mut items = items.into_iter().peekable();
        let mut bodies = 0;
        while items.peek().is_some() {
            let mut bytes = Vec::new();
            Body::new(&mut items, &()).read_to_end(&mut bytes).unwrap();
            let stream = Stream::of(io::Cursor::new(bytes));
            assert_eq!(stream.filter(|item| matches!(item, Item::File { .. })).count(), 1);
            bodies += 1;
        }
        assert_eq!(bodies, 2);
        let mut cut = Stream::of(&b"{\"item\":\"done\"}\n{"[..]);
        assert!(matches!(cut.by_ref().last(), Some(Item::Failed { code, .. }) if code == "connection-lost"));
    }
}
