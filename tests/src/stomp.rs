//! A STOMP client with bad manners: it sends what it is told, byte for byte, and reads frames.

use crate::TIMEOUT;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A frame that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// `CONNECTED`, `ERROR` …
    pub verb: String,
    /// The header lines as they came.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        let of_name = |line: &String| Some(unescaped(line.strip_prefix(name)?.strip_prefix(':')?));
        self.headers.iter().find_map(of_name)
    }

    /// The word, and what it says.
    pub fn word_and_body(&self) -> (String, String) {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        (word.to_owned(), rest.to_owned())
    }
}

/// A frame as it is sent. Header values are taken as they are: [`escaped`] is for those who want to be understood.
pub fn frame(verb: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{verb}\n");
    for (name, value) in headers {
        writeln!(head, "{name}:{value}").unwrap();
    }
    writeln!(head, "content-length:{}\n", body.len()).unwrap();
    [head.as_bytes(), body, b"\0"].concat()
}

/// A word as a guest says it.
pub fn word_frame(guest: &str, word: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let destination = format!("/queue/vocable.out.{guest}");
    let mut all = vec![("destination", destination.as_str())];
    all.extend(headers);
    frame("SEND", &all, format!("{word} {body}").trim_end().as_bytes())
}

/// A header value as version 1.2 writes it.
pub fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace(':', "\\c")
}

fn unescaped(value: &str) -> String {
    let mut all = value.chars();
    let mut text = String::new();
    while let Some(c) = all.next() {
        text.push(match c {
            '\\' => match all.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('c') => ':',
                other => other.unwrap_or('\\'),
            },
            c => c,
        });
    }
    text
}

/// A connection to the broker.
pub struct Stomp {
    stream: BufReader<TcpStream>,
}

impl Stomp {
    /// Connects; says nothing.
    pub fn dial(broker: SocketAddr) -> Self {
        let stream = TcpStream::connect(broker).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Connects and is let in.
    pub fn log_in(broker: SocketAddr, login: &str, passcode: &str) -> Self {
        let mut client = Self::dial(broker);
        let answer = client.connects(login, Some(passcode)).expect("no answer to CONNECT");
        assert_eq!(answer.verb, "CONNECTED", "{answer:?}");
        client
    }

    /// Sends CONNECT; gives the answer, if there is one.
    pub fn connects(&mut self, login: &str, passcode: Option<&str>) -> Option<Received> {
        let mut headers = vec![("accept-version", "1.2"), ("host", "vocable"), ("login", login)];
        headers.extend(passcode.map(|passcode| ("passcode", passcode)));
        self.sends("CONNECT", &headers, b"");
        self.receives()
    }

    /// Sends a frame. Header values are sent as they are.
    pub fn sends(&mut self, verb: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.sends_bytes(&frame(verb, headers, body));
    }

    /// Sends anything. The broker may hang up at any time: that is told by the next read.
    pub fn sends_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Says a word as a guest does.
    pub fn says(&mut self, guest: &str, word: &str, headers: &[(&str, &str)], body: &str) {
        self.sends_bytes(&word_frame(guest, word, headers, body));
    }

    /// The next frame; none if the broker has hung up.
    pub fn receives(&mut self) -> Option<Received> {
        let verb = loop {
            let line = self.line()?;
            if !line.is_empty() {
                break line;
            }
        };
        let headers: Vec<_> = std::iter::from_fn(|| self.line().filter(|line| !line.is_empty())).collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body = vec![0; length.parse::<usize>().unwrap() + 1];
                self.stream.read_exact(&mut body).ok()?;
            }
            None => drop(self.stream.read_until(0, &mut body).ok()?),
        }
        body.pop();
        Some(Received { verb, headers, body })
    }

    /// Reads until the broker refuses or hangs up; gives the refusal's text.
    pub fn is_refused(&mut self) -> String {
        while let Some(frame) = self.receives() {
            if frame.verb == "ERROR" {
                let text = format!("{}\n{}", frame.headers.join("\n"), String::from_utf8_lossy(&frame.body));
                assert!(self.receives().is_none(), "an ERROR is the end of a connection");
                return text;
            }
        }
        String::new()
    }

    /// The same connection once more, for another thread to write to or to end.
    pub(crate) fn stream(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Waits for frames for as long as it takes: whoever reads ends with the connection.
    pub(crate) fn waits_for_ever(&self) {
        self.stream.get_ref().set_read_timeout(None).unwrap();
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(1..) => Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
            Ok(0) => None,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the broker says nothing"),
            Err(_) => None,
        }
    }
}
