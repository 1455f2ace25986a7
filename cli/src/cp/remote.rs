//! The agent's `/files/`, as a copy needs it: listings, trees sent and trees fetched.

use super::super::CliError;
use bytes::BytesMut;
use serde::Deserialize;
use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;
use vocable_api::client::{Client, Exchange};
use vocable_copy::exclude::Exclude;
use vocable_copy::landing::Outcome;
use vocable_copy::listing::{Limits, Listing};
use vocable_copy::path::TreePath;
use vocable_copy::tree::{Decoder, Item, Kind};
use vocable_xmlrpc::Fault;

/// How long the agent may take to begin its answer: a guest may have to be asked first, and a tree be written.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The longest answer that is no tree, octets.
const MOST: u64 = 1 << 20;
/// Read at once.
const PIECE: usize = 64 << 10;

/// What the agent says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    fault: i32,
    message: String,
}

/// The address of a path below `/files/`: a relative path begins with `~`.
pub(super) fn address(guest: &str, path: &str, what: &str) -> String {
    let path = match path {
        "" => "/~".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/~/{}", path.strip_prefix("~/").unwrap_or(path)),
    };
    let mut address = String::new();
    for octet in format!("{guest}{path}").bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            address.push(char::from(octet));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(address, "%{octet:02X}");
        }
    }
    if !what.is_empty() {
        address.push('?');
        address.push_str(what);
    }
    address
}

/// What is at a path, in a folder, or below it; nothing if there is nothing. What is excluded is left out.
pub(super) fn entries(
    client: &Client,
    guest: &str,
    path: &str,
    what: &str,
    exclude: &Exclude,
) -> Result<Option<Listing>, CliError> {
    let place = || shown(guest, path);
    let reply = client.get_files(&address(guest, path, what), PATIENCE);
    let reply = reply.map_err(|error| CliError::from(error).at(place()))?;
    if reply.status == 404 {
        let refusal = refusal(reply);
        return if refusal.code() == "no-such-path" { Ok(None) } else { Err(refusal) };
    }
    let mut tree = Tree::of(accepted(reply)?, place());
    let mut listing = Listing::new(Limits::GUEST);
    while let Some(item) = tree.next()? {
        match item {
            Item::Entry(entry) if exclude.fits(&entry.path) => listing.leave_out(&entry.path),
            Item::Entry(entry) => {
                let added = listing.push(&entry);
                added.map_err(|error| CliError::new("too-many", format!("{}: {error}", place())))?;
            }
            Item::Failed { code, message, .. } => return Err(CliError::new(code, message)),
            _ => {}
        }
    }
    Ok(Some(listing))
}

/// What is at a path; nothing if there is nothing.
pub(super) fn one(client: &Client, guest: &str, path: &str) -> Result<Option<Kind>, CliError> {
    let reply = client.get_files(&address(guest, path, "stat"), PATIENCE);
    let reply = reply.map_err(|error| CliError::from(error).at(shown(guest, path)))?;
    if reply.status == 404 {
        let refusal = refusal(reply);
        return if refusal.code() == "no-such-path" { Ok(None) } else { Err(refusal) };
    }
    match Tree::of(accepted(reply)?, shown(guest, path)).next()? {
        Some(Item::Entry(entry)) => Ok(Some(entry.kind)),
        _ => Err(CliError::bad_reply("GET /files/", "entry")),
    }
}

/// Sends a tree and gives what came of it.
pub(super) fn put(
    client: &Client,
    guest: &str,
    path: &str,
    tree: &mut dyn Read,
) -> Result<Outcome, CliError> {
    let reply = client.send_files("PUT", &address(guest, path, "tree"), tree, PATIENCE);
    let reply = accepted(reply.map_err(|error| CliError::from(error).at(shown(guest, path)))?)?;
    let mut text = Vec::new();
    reply.body.take(MOST).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|_| CliError::bad_reply("PUT /files/", "outcome"))
}

/// Asks for files.
pub(super) fn fetch(
    client: &Client,
    guest: &str,
    path: &str,
    wanted: &mut dyn Read,
) -> Result<Tree, CliError> {
    let reply = client.send_files("POST", &address(guest, path, "fetch"), wanted, PATIENCE);
    let reply = reply.map_err(|error| CliError::from(error).at(shown(guest, path)))?;
    Ok(Tree::of(accepted(reply)?, shown(guest, path)))
}

fn accepted(reply: Exchange) -> Result<Exchange, CliError> {
    if reply.status == 200 { Ok(reply) } else { Err(refusal(reply)) }
}

fn refusal(reply: Exchange) -> CliError {
    let (status, mut text) = (reply.status, Vec::new());
    let read = reply.body.take(MOST).read_to_end(&mut text);
    match serde_json::from_slice::<Refusal>(&text) {
        Ok(Refusal { code, fault, message }) if read.is_ok() => {
            Fault::new(fault, format!("{code}: {message}")).into()
        }
        _ => CliError::new("bad-reply", format!("the agent answered with HTTP {status}"))
            .hint("vocable api agent.version"),
    }
}

/// A tree that is being read.
pub(super) struct Tree {
    body: Box<dyn Read + Send>,
    decoder: Decoder,
    buffer: BytesMut,
    /// For messages.
    shown: String,
}

impl Tree {
    fn of(reply: Exchange, shown: String) -> Self {
        Self { body: reply.body, decoder: Decoder::default(), buffer: BytesMut::new(), shown }
    }

    /// The next item; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Item>, CliError> {
        let shown = &self.shown;
        let broken = |error: &dyn std::fmt::Display| {
            let what = format!("the agent stopped in the middle of its answer about {shown}");
            CliError::new("connection-lost", what).cause(error.to_string())
        };
        loop {
            if let Some(item) = self.decoder.next(&mut self.buffer).map_err(|error| broken(&error))? {
                return Ok(Some(item));
            }
            let before = self.buffer.len();
            self.buffer.resize(before + PIECE, 0);
            let read = self.body.read(self.buffer.get_mut(before..).unwrap_or_default());
            let read = read.map_err(|error| broken(&error))?;
            self.buffer.truncate(before + read);
            if read == 0 {
                return self.decoder.finish(&self.buffer).map(|()| None).map_err(|error| broken(&error));
            }
        }
    }
}

/// A path for messages: `vm1:/data/x`.
pub(super) fn shown(guest: &str, path: &str) -> String {
    format!("{guest}:{path}")
}

/// One further down.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path if path.ends_with('/') => format!("{path}{name}"),
        path => format!("{path}/{name}"),
    }
}

/// The folder around a path, and the name there.
pub(super) fn around(path: &str) -> Option<(String, TreePath)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let (folder, name) = match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => ("", path),
    };
    let name = TreePath::top().join(name.as_bytes()).ok()?;
    Some((folder.to_owned(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses_that_mean_the_same() {
        assert_eq!(address("vm1", "/a b/\u{fc}%", "walk"), "vm1/a%20b/%C3%BC%25?walk");
        assert_eq!(address("vm1", "x", ""), "vm1/~/x");
        assert_eq!(address("vm1", "~/x", ""), "vm1/~/x");
        assert_eq!(address("vm1", "", "list"), "vm1/~?list");
    }

    #[test]
    fn a_path_is_taken_apart_and_put_together() {
        let parts = |path| around(path).map(|(folder, name)| (folder, name.to_string()));
        assert_eq!(parts("/inbox/x/"), Some(("/inbox".into(), "x".into())));
        assert_eq!(parts("/x"), Some(("/".into(), "x".into())));
        assert_eq!(parts("x"), Some((String::new(), "x".into())));
        assert_eq!((parts("/"), parts("/..")), (None, None));
        assert_eq!([join("", "x"), join("/a/", "x"), join("/a", "x")], ["x", "/a/x", "/a/x"]);
    }
}
