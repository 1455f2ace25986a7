//! The other end, by script: a broker that does exactly what a test says.

use crate::client::{Client, ClientConfig, Dial, Event, Reconnect, Subscription};
use crate::codec::{Decoder, Dialect, Item, Limits, encode};
use crate::frame::{Command, Frame, Version};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// What a client test holds on to.
pub(super) struct Started {
    pub(super) client: Client,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) task: AbortOnDropHandle<()>,
}

impl Started {
    fn new((client, events, task): (Client, mpsc::Receiver<Event>, AbortOnDropHandle<()>)) -> Self {
        Self { client, events, task }
    }

    pub(super) fn over_tcp(config: ClientConfig, subscriptions: Vec<Subscription>) -> Self {
        Self::new(Client::start(config, subscriptions))
    }

    pub(super) async fn event(&mut self) -> Event {
        soon(self.events.recv()).await.expect("the client has ended")
    }

    /// The next event, which must be a message; its body.
    pub(super) async fn message(&mut self) -> String {
        match self.event().await {
            Event::Message(delivery) => String::from_utf8(delivery.frame.body.to_vec()).unwrap(),
            other => panic!("a message was expected, not {other:?}"),
        }
    }

    pub(super) async fn connected(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
    }

    /// The next event, which must be the loss of the connection; its reason.
    pub(super) async fn disconnected(&mut self) -> String {
        match self.event().await {
            Event::Disconnected { reason, .. } => reason,
            other => panic!("the loss of the connection was expected, not {other:?}"),
        }
    }
}

/// Within a time that no test that works ever takes; with a paused clock it passes at once if nothing happens.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(600), future).await.expect("it did not happen")
}

pub(super) fn config(address: impl Into<String>) -> ClientConfig {
    let reconnect =
        Reconnect { first: Duration::from_millis(1), most: Duration::from_millis(1), jitter: 0.0 };
    ClientConfig { heart_beat: Duration::ZERO, reconnect, ..ClientConfig::new(address) }
}

/// A broker on a socket.
pub(super) struct Broker {
    listener: TcpListener,
}

impl Broker {
    pub(super) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn config(&self) -> ClientConfig {
        config(self.listener.local_addr().unwrap().to_string())
    }

    pub(super) fn start(&self, subscriptions: Vec<Subscription>) -> Started {
        Started::over_tcp(self.config(), subscriptions)
    }

    pub(super) async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(soon(self.listener.accept()).await.unwrap().0)
    }

    /// Accepts a connection and says `CONNECTED`.
    pub(super) async fn connected(&self, version: Version) -> Peer<TcpStream> {
        let mut peer = self.accept().await;
        peer.connect(version, "0,0").await;
        peer
    }
}

/// A broker at the other end of a pipe, which a paused clock does not outrun.
pub(super) struct Pipes {
    ends: mpsc::UnboundedReceiver<DuplexStream>,
}

struct Dialer {
    ends: mpsc::UnboundedSender<DuplexStream>,
}

impl Dial for Dialer {
    type Stream = DuplexStream;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(4 << 10);
        self.ends.send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}

impl Pipes {
    pub(super) fn start(config: ClientConfig, subscriptions: Vec<Subscription>) -> (Self, Started) {
        let (sender, ends) = mpsc::unbounded_channel();
        let started = Client::start_over(Dialer { ends: sender }, config, subscriptions);
        (Self { ends }, Started::new(started))
    }

    pub(super) async fn accept(&mut self) -> Peer<DuplexStream> {
        Peer::new(soon(self.ends.recv()).await.unwrap())
    }
}

/// One connection, from the broker's side.
pub(super) struct Peer<S> {
    stream: S,
    decoder: Decoder,
    buffer: BytesMut,
    version: Version,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Self {
        let decoder = Decoder::new(Limits::default(), Dialect::default());
        Self { stream, decoder, buffer: BytesMut::new(), version: Version::V1_0 }
    }

    /// What comes next; `None` at the end of the connection.
    pub(super) async fn item(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(item);
            }
            // A connection that was reset has ended as well.
            if soon(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame, which must be of that command.
    pub(super) async fn expect(&mut self, command: Command) -> Frame {
        loop {
            match self.item().await {
                Some(Item::Frame(frame)) if frame.command == command => return frame,
                Some(Item::HeartBeat) => {}
                other => panic!("{command} was expected, not {other:?}"),
            }
        }
    }

    /// The body of the next frame, which must be `SEND`.
    pub(super) async fn expect_send(&mut self) -> String {
        String::from_utf8(self.expect(Command::Send).await.body.to_vec()).unwrap()
    }

    /// The client must have closed the connection.
    pub(super) async fn expect_end(&mut self) {
        while let Some(item) = self.item().await {
            assert_eq!(item, Item::HeartBeat);
        }
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    pub(super) async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        encode(&frame, self.version, &mut bytes).unwrap();
        self.raw(&bytes).await;
    }

    /// Takes `CONNECT` and answers it; gives what it was.
    pub(super) async fn connect(&mut self, version: Version, heart_beat: &str) -> Frame {
        let connect = self.expect(Command::Connect).await;
        let mut connected = Frame::new(Command::Connected).with("server", "script/1");
        if version > Version::V1_0 {
            connected = connected.with("version", version.to_string()).with("heart-beat", heart_beat);
        }
        self.send(connected).await;
        self.version = version;
        self.decoder.set_version(version);
        connect
    }

    pub(super) async fn message(&mut self, subscription: &str, body: &str) {
        self.send(message(subscription, body)).await;
    }
}

pub(super) fn message(subscription: &str, body: &str) -> Frame {
    let id: String = body.chars().take(10).collect();
    Frame::new(Command::Message)
        .with("subscription", subscription)
        .with("destination", "/q")
        .with("message-id", format!("id-{id}"))
        .with("ack", format!("ack-{id}"))
        .with_body(body.to_owned())
}

/// A frame to be sent.
pub(super) fn send(body: &str) -> Frame {
    Frame::new(Command::Send).with("destination", "/q").with_body(body.to_owned())
}
