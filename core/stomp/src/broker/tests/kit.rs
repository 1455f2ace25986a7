//! A broker on loopback, and a client that says and hears exactly what the test wants.

use crate::broker::core::tests::bench::{frame, line, rules};
use crate::broker::{Action, Broker, BrokerConfig, BrokerEvent, Events, Principal};
use crate::codec::{Decoder, Dialect, Item, Limits, encode};
use crate::frame::{Command, Frame, Version};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything takes that works.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a test waits for comes, or the test fails.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what).await.expect("waited for in vain")
}

/// A broker with the logins of the core's tests; whoever gives none is `tool`, which may do anything.
pub(super) async fn broker(config: BrokerConfig) -> Broker {
    let mut access = rules().with_anonymous(Principal::new("tool").many());
    for action in [Action::Read, Action::Write] {
        access = access.allow("tool", action, "/queue/>").unwrap().allow("tool", action, "/topic/>").unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Broker::start(config, Arc::new(access), vec![listener]).unwrap()
}

/// Waits for the event that the test is about.
pub(super) async fn event<T>(events: &mut Events, wanted: impl Fn(BrokerEvent) -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(found) = wanted(events.next().await.expect("the broker has ended")) {
                return found;
            }
        }
    })
    .await
}

/// Why the next connection of that login ended.
pub(super) async fn ending_of(events: &mut Events, wanted: &str) -> String {
    event(events, |event| match event {
        BrokerEvent::LoggedOut { login, reason, .. } if &*login == wanted => Some(reason.to_string()),
        _ => None,
    })
    .await
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
    buffer: BytesMut,
    decoder: Decoder,
    /// Heart-beats heard since the beginning.
    pub(super) beats: usize,
}

impl Client {
    /// Connected, and silent.
    pub(super) async fn open(broker: &Broker) -> Self {
        let stream = soon(TcpStream::connect(broker.local_addrs()[0])).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let decoder = Decoder::new(Limits::default(), Dialect::strict(Version::V1_2));
        Self { stream, buffer: BytesMut::new(), decoder, beats: 0 }
    }

    /// Logged in, in 1.2, without heart-beats.
    pub(super) async fn login(broker: &Broker, login: &str) -> Self {
        Self::login_with(broker, login, "x:y").await
    }

    pub(super) async fn login_with(broker: &Broker, login: &str, headers: &str) -> Self {
        let mut client = Self::open(broker).await;
        client.say(&format!("CONNECT accept-version:1.2 login:{login} passcode:{login} {headers}")).await;
        let connected = client.hear().await;
        assert!(connected.starts_with("CONNECTED version:1.2 "), "{connected}");
        client
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.send(&frame(text)).await;
    }

    pub(super) async fn send(&mut self, frame: &Frame) {
        self.write(&bytes_of(frame)).await;
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next frame, as a line.
    pub(super) async fn hear(&mut self) -> String {
        line(&self.frame().await)
    }

    pub(super) async fn frame(&mut self) -> Frame {
        soon(self.next()).await.unwrap().expect("the broker closed the connection")
    }

    /// The next frame that is a message.
    pub(super) async fn message(&mut self) -> Frame {
        let frame = self.frame().await;
        assert_eq!(frame.command, Command::Message, "{frame:?}");
        frame
    }

    /// Says something and waits until the broker has dealt with it.
    pub(super) async fn confirm(&mut self, text: &str) {
        let frame = frame(text).with("receipt", "confirmed");
        self.send(&frame).await;
        assert_eq!(self.hear().await, "RECEIPT receipt-id:confirmed");
    }

    /// Nothing more comes but the end.
    pub(super) async fn hear_the_end(&mut self) {
        let next = soon(self.next()).await;
        assert!(matches!(next, Ok(None)), "{next:?}");
    }

    /// The next frame, or the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.decoder.decode(&mut self.buffer).unwrap() {
                Some(Item::Frame(frame)) => return Ok(Some(frame)),
                Some(Item::HeartBeat) => self.beats += 1,
                None if self.stream.read_buf(&mut self.buffer).await? == 0 => return Ok(None),
                None => {}
            }
        }
    }
}

pub(super) fn bytes_of(frame: &Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(frame, Version::V1_2, &mut bytes).unwrap();
    bytes
}
