//! `/events`: what happens, as it happens.

use std::fmt;
use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    time::Duration,
};

use serde_json::Value as Json;
use vocable_xmlrpc::{from_json, from_value};

use super::{Client, ClientError};
use crate::agent::{Event, Gap};

/// How long the agent may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest line that is read, bytes.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The number of the first one; without it those that happen from now on.
    pub since: Option<u64>,
    /// Only events of this guest.
    pub guest: Option<String>,
    /// Only events of these kinds; globs: `guest.*`.
    pub kinds: Vec<String>,
}

/// What comes in a stream of events.
#[derive(Clone, Debug)]
pub enum EventMessage {
    /// An event.
    Event(Event),
    /// Before the next one, some are missing.
    Gap(Gap),
}

/// Events without an end. After an error the next one comes over a new connection, and none is missing in between
/// unless an [`EventMessage::Gap`] says so.
pub struct EventStream {
    client: Client,
    filter: EventFilter,
    /// The id of the last event there was.
    last: Option<String>,
    connection: Option<BufReader<Body>>,
}

impl Client {
    /// Begins to listen to what happens.
    ///
    /// # Errors
    /// [`ClientError`], as of calls.
    pub fn events(&self, filter: EventFilter) -> Result<EventStream, ClientError> {
        let mut stream = EventStream { client: self.clone(), filter, last: None, connection: None };
        stream.connection = Some(stream.connect()?);
        Ok(stream)
    }
}

impl Iterator for EventStream {
    type Item = Result<EventMessage, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.receive();
        if received.is_err() {
            self.connection = None;
        }
        Some(received)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventStream")
            .field("filter", &self.filter)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// What the agent sends, as it comes.
type Body = ureq::BodyReader<'static>;

impl EventStream {
    fn connect(&self) -> Result<BufReader<Body>, ClientError> {
        let Self { client, filter, last, .. } = self;
        let mut request = client.authorised(client.transport.agent().get(client.transport.url("/events")));
        if let Some(guest) = &filter.guest {
            request = request.query("guest", guest);
        }
        if !filter.kinds.is_empty() {
            request = request.query("kinds", filter.kinds.join(","));
        }
        request = match (last, filter.since) {
            (Some(last), _) => request.header("Last-Event-ID", last),
            (None, Some(since)) => request.query("since", since.to_string()),
            (None, None) => request,
        };
        let reply = request.config().timeout_recv_response(Some(TIMEOUT)).build().call();
        let reply = reply.map_err(|error| client.transport.failed(error, TIMEOUT))?;
        let status = reply.status().as_u16();
        let stream = reply.into_body().into_reader();
        match status {
            200 => return Ok(BufReader::new(stream)),
            401 => return Err(client.not_authorised()),
            _ => {}
        }
        let mut body = Vec::new();
        let read = stream.take(super::STRANGE_REPLY).read_to_end(&mut body);
        read.map_err(|error| client.transport.broken(error))?;
        Err(client.refused(status, &body))
    }

    /// The next message that has content; <https://html.spec.whatwg.org/multipage/server-sent-events.html> says how they
    /// are written.
    fn receive(&mut self) -> Result<EventMessage, ClientError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let (mut data, mut id) = (String::new(), None);
        loop {
            let line = line(&mut connection).map_err(|error| self.client.transport.broken(error))?;
            match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
                Some(("data", value)) => data.push_str(value),
                Some(("id", value)) => id = Some(value.to_owned()),
                None if line.is_empty() => {
                    self.last = id.take().or_else(|| self.last.take());
                    if !data.is_empty() {
                        self.connection = Some(connection);
                        return message(&data).map_err(|problem| self.client.bad_reply(problem));
                    }
                }
                _ => {}
            }
        }
    }
}

fn line(connection: &mut BufReader<Body>) -> io::Result<String> {
    let mut line = String::new();
    connection.take(MAX_LINE).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(text) => Ok(text.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn message(data: &str) -> Result<EventMessage, String> {
    let json: Json = serde_json::from_str(data).map_err(|error| format!("an event is no JSON: {error}"))?;
    let is_gap = json["kind"] == Gap::KIND;
    let value = from_json(json).map_err(|error| error.to_string())?;
    let read = match is_gap {
        true => from_value(value).map(EventMessage::Gap),
        false => from_value(value).map(EventMessage::Event),
    };
    read.map_err(|error| format!("an event: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_events_or_gaps() {
        let event = r#"{"seq":7,"time":"2026-11-22T09:00:01.25Z","time_unix":1795338001.25,"kind":"guest.lost",
            "guest":"vm1","text":"gone","data":{"n":1}}"#;
        let EventMessage::Event(event) = message(event).unwrap() else { panic!("no event") };
        assert_eq!((event.seq, event.kind.as_str(), event.guest.as_deref()), (7, "guest.lost", Some("vm1")));
        let gap = r#"{"kind":"gap","text":"3 events are no longer kept","dropped":3}"#;
        assert!(matches!(message(gap), Ok(EventMessage::Gap(Gap { dropped: Some(3), .. }))));
        assert!(message("{}").is_err() && message("<").is_err());
    }
}
