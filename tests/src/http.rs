//! An HTTP client with bad manners: it sends what it is told, byte for byte, and reads answers.

use crate::TIMEOUT;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer that was received.
#[derive(Debug)]
pub struct Answer {
    /// 200, 401 …
    pub status: u16,
    /// The header lines as they came.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The number of the XML-RPC fault it tells.
    pub fn fault(&self) -> Option<i32> {
        let (_, rest) = self.body.split_once("<name>faultCode</name><value><int>")?;
        rest.split_once('<')?.0.parse().ok()
    }
}

/// A connection to the endpoint.
pub struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    /// Connects; says nothing.
    pub fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends anything; whether the agent still takes it.
    pub fn sends(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends a document, as an honest client does.
    pub fn posts(&mut self, token: &str, document: &[u8]) {
        let length = format!("Content-Length: {}", document.len());
        self.sends(head(token, &[&length]).as_bytes());
        self.sends(document);
    }

    /// Sends that piece again and again, until the agent refuses or `most` bytes are sent; how many it took.
    pub fn pours(&mut self, piece: &[u8], most: u64) -> u64 {
        let mut sent = 0;
        while sent < most && self.sends(piece) {
            sent += piece.len() as u64;
        }
        sent
    }

    /// Says that nothing more will come.
    pub fn is_done(&self) {
        // It may be closed already.
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// The next answer; none if the agent has hung up.
    pub fn answer(&mut self) -> Option<Answer> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = std::iter::from_fn(|| self.line().filter(|line| !line.is_empty())).collect();
        let length = headers.iter().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|it| it.trim().parse().ok())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Waits until the agent has hung up; nothing but answers may come before.
    pub fn is_hung_up_on(&mut self) -> Vec<Answer> {
        std::iter::from_fn(|| self.answer()).collect()
    }

    /// Whether the agent has not hung up: nothing comes for a moment, not even the end.
    pub fn is_kept(&mut self) -> bool {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let ended = matches!(self.stream.fill_buf(), Ok([]));
        self.stream.get_ref().set_read_timeout(Some(TIMEOUT)).unwrap();
        !ended
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(1..) => Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
            Ok(0) => None,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the agent says nothing"),
            Err(_) => None,
        }
    }
}

/// What the endpoint has at that path, which is JSON.
pub fn json(address: SocketAddr, token: &str, path: &str) -> serde_json::Value {
    let mut caller = Caller::dial(address);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    caller.sends(head.as_bytes());
    let answer = caller.answer().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The head of a call with the token, and these fields beside.
pub fn head(token: &str, fields: &[&str]) -> String {
    let mut head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nAuthorization: Bearer {token}\r\n"
    );
    for field in fields {
        head += field;
        head += "\r\n";
    }
    head + "\r\n"
}
