//! A STOMP client with bad manners: it sends what it is told, octet for octet, and reads frames.

use crate::PATIENCE;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A frame that was received.
#[derive(Debug)]
pub struct Received {
    /// `CONNECTED`, `ERROR` …
    pub verb: String,
    /// The header lines as they came.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to the broker.
pub struct Stomp {
    stream: BufReader<TcpStream>,
}

impl Stomp {
    /// Connects; says nothing.
    pub fn dial(broker: SocketAddr) -> Self {
        let stream = TcpStream::connect(broker).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Connects and is let in.
    pub fn log_in(broker: SocketAddr, login: &str, passcode: &str) -> Self {
        let mut client = Self::dial(broker);
        let answer = client.says_hello(login, Some(passcode)).expect("no answer to CONNECT");
        assert_eq!(answer.verb, "CONNECTED", "{answer:?}");
        client
    }

    /// Sends CONNECT; gives the answer, if there is one.
    pub fn says_hello(&mut self, login: &str, passcode: Option<&str>) -> Option<Received> {
        let mut headers = vec![("accept-version", "1.2"), ("host", "vocable"), ("login", login)];
        headers.extend(passcode.map(|passcode| ("passcode", passcode)));
        self.sends("CONNECT", &headers, b"");
        self.receives()
    }

    /// Sends a frame. Header values are sent as they are.
    pub fn sends(&mut self, verb: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{verb}\n");
        for (name, value) in headers {
            writeln!(head, "{name}:{value}").unwrap();
        }
        writeln!(head, "content-length:{}\n", body.len()).unwrap();
        self.sends_octets(&[head.as_bytes(), body, b"\0"].concat());
    }

    /// Sends anything. The broker may hang up at any time: that is told by the next read.
    pub fn sends_octets(&mut self, octets: &[u8]) {
        let _ = self.stream.get_mut().write_all(octets);
    }

    /// Says a word as a guest does.
    pub fn says(&mut self, guest: &str, word: &str, headers: &[(&str, &str)], body: &str) {
        let destination = format!("/queue/vocable.out.{guest}");
        let mut all = vec![("destination", destination.as_str())];
        all.extend(headers);
        self.sends("SEND", &all, format!("{word} {body}").trim_end().as_bytes());
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
