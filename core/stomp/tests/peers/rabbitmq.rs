//! The client against RabbitMQ: a folder, a node name and ports of its own, all on loopback.

use super::kit::{installed, soon};
use bytes::Bytes;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use vocable_stomp::client::{
    AckMode, Client, ClientConfig, Credentials, Delivery, Event, Reconnect, Subscription,
};
use vocable_stomp::{Command as Verb, Frame, Version};

const QUEUE: &str = "/queue/vocable.peers";
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A broker starts in 6 s on a machine that has nothing else to do, and in a minute on one that has.
const BOOT: Duration = Duration::from_secs(240);

/// One broker that runs. It ends with the test.
struct Rabbit {
    // Processes before the folder they work in: fields are dropped in this order.
    server: Child,
    _names: Child,
    places: Places,
}

/// What stays when the broker is started again.
struct Places {
    folder: TempDir,
    stomp: u16,
    names: u16,
    distribution: u16,
}

impl Places {
    fn new() -> Self {
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        // Free again as soon as all are known.
        let [stomp, names, distribution] = ports.map(|port| port.local_addr().unwrap().port());
        let folder = tempfile::Builder::new().prefix("vocable-rabbitmq-").tempdir().unwrap();
        let config = format!("listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{stomp}\n");
        std::fs::write(folder.path().join("rabbitmq.conf"), config).unwrap();
        std::fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_stomp].\n").unwrap();
        Self { folder, stomp, names, distribution }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn node(&self) -> String {
        format!("vocable{}@localhost", self.stomp)
    }

    /// Erlang's name server, in the foreground: left alone, the broker would start one that outlives it.
    fn start_names(&self) -> Child {
        let port = self.names.to_string();
        let mut command = Command::new("epmd");
        quietly(command.args(["-address", "127.0.0.1", "-port", &port]))
    }

    fn start_server(&self) -> Child {
        let mut command = Command::new(SERVER);
        command
            .env("HOME", self.folder.path())
            .env("RABBITMQ_CONF_ENV_FILE", self.path("none"))
            .env("RABBITMQ_CONFIG_FILE", self.path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.path("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", self.path("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.path("log"))
            .env("RABBITMQ_NODENAME", self.node())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            // With this the script becomes the broker, so that its process is the one to kill.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        quietly(&mut command)
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(Path::new(&self.path("log")).join(format!("{}.log", self.node())));
        log.unwrap_or_else(|error| error.to_string())
    }
}

fn quietly(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

impl Rabbit {
    fn start() -> Self {
        let places = Places::new();
        Self { _names: places.start_names(), server: places.start_server(), places }
    }

    /// Asked to end, and not killed: within its first moments it has not yet written that there is a queue, and
    /// forgets it with what is in it.
    async fn is_started_again(&mut self) {
        let process = self.server.id().unwrap().to_string();
        assert!(soon(Command::new("kill").arg(process).status()).await.unwrap().success());
        soon(self.server.wait()).await.unwrap();
        self.server = self.places.start_server();
    }

    fn config(&self, passcode: &str) -> ClientConfig {
        ClientConfig {
            login: Some("guest".to_owned()),
            credentials: Credentials::Passcode(passcode.to_owned()),
            virtual_host: "/".to_owned(),
            reconnect: Reconnect { most: Duration::from_secs(1), ..Reconnect::default() },
            ..ClientConfig::new(format!("127.0.0.1:{}", self.places.stomp))
        }
    }

    async fn visitor(&self, subscriptions: Vec<Subscription>) -> Visitor {
        let (client, events, task) = Client::start(self.config("guest"), subscriptions);
        let mut visitor = Visitor { client, events, _task: task };
        self.lets_in(&mut visitor).await;
        visitor
    }

    /// Waits until the broker runs and has accepted the client.
    async fn lets_in(&self, visitor: &mut Visitor) {
        let connected = timeout(
            BOOT,
            visitor.sees(|event| match event {
                Event::Connected { version, server, .. } => Some((version, server)),
                _ => None,
            }),
        );
        let Ok((version, server)) = connected.await else { panic!("{}", self.places.log()) };
        assert_eq!(version, Version::V1_2);
        assert!(server.is_some_and(|server| server.starts_with("RabbitMQ/")));
    }
}

/// A client, and what happens to it.
struct Visitor {
    client: Client,
    events: Receiver<Event>,
    _task: AbortOnDropHandle<()>,
}

impl Visitor {
    /// Waits for the event that the test is about.
    async fn sees<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.events.recv().await.expect("the client has ended")) {
                return found;
            }
        }
    }

    /// The next message.
    async fn hears(&mut self) -> Delivery {
        soon(self.sees(|event| match event {
            Event::Message(delivery) => Some(delivery),
            _ => None,
        }))
        .await
    }

    async fn sends(&self, body: impl Into<Bytes>) {
        // Kept on disk; the receipt says that it is there.
        let send = Frame::new(Verb::Send).with("destination", QUEUE).with("persistent", "true");
        let send = send.with("colour", "a:b\\c\nd").with_body(body);
        self.client.send_receipted(send, Duration::from_secs(60)).await.unwrap();
    }

    async fn leaves(self) {
        self.client.disconnect(Duration::from_secs(60)).await.unwrap();
    }
}

fn subscription() -> Subscription {
    // One at a time: what comes next shows that the one before was acknowledged.
    let mut subscription = Subscription::new("s", QUEUE, AckMode::ClientIndividual);
    subscription.headers.push(("prefetch-count".to_owned(), "1".to_owned()));
    subscription
}

/// One story, since a broker takes its time to start.
#[tokio::test]
async fn the_client_works_with_rabbitmq_and_outlives_it() {
    if !installed("rabbitmq-server", SERVER) {
        return;
    }
    let mut rabbit = Rabbit::start();
    sends_subscribes_and_acknowledges(&rabbit).await;
    is_refused_with_a_wrong_passcode(&rabbit).await;
    what_was_not_acknowledged_comes_again(&rabbit).await;
    comes_back_after_the_broker_was_away(&mut rabbit).await;
}

async fn sends_subscribes_and_acknowledges(rabbit: &Rabbit) {
    let mut visitor = rabbit.visitor(vec![subscription()]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for body in [b"one".to_vec(), every_byte, Vec::new(), vec![0; 1 << 20]] {
        visitor.sends(body.clone()).await;
        let heard = visitor.hears().await;
        is_body(&heard, &body);
        assert_eq!(heard.frame.header("colour"), Some("a:b\\c\nd"));
        visitor.client.ack(&heard).await.unwrap();
    }
    visitor.leaves().await;
}

async fn is_refused_with_a_wrong_passcode(rabbit: &Rabbit) {
    let (client, events, task) = Client::start(rabbit.config("wrong"), Vec::new());
    let mut visitor = Visitor { client, events, _task: task };
    let told = visitor.sees(|event| match event {
        Event::Refused { message, .. } => Some(message),
        Event::Connected { .. } => panic!("it was let in"),
        _ => None,
    });
    let told = soon(told).await;
    assert!(told.starts_with("Bad CONNECT"), "{told}");
}

async fn what_was_not_acknowledged_comes_again(rabbit: &Rabbit) {
    let mut first = rabbit.visitor(vec![subscription()]).await;
    first.sends("twice").await;
    is_body(&first.hears().await, b"twice");
    first.leaves().await;
    let mut second = rabbit.visitor(vec![subscription()]).await;
    let again = second.hears().await;
    is_body(&again, b"twice");
    assert_eq!(again.frame.header("redelivered"), Some("true"));
    // This broker gives it to the next who asks, which is us.
    second.client.nack(&again).await.unwrap();
    let once_more = second.hears().await;
    is_body(&once_more, b"twice");
    second.client.ack(&once_more).await.unwrap();
    second.sends("three").await;
    is_body(&second.hears().await, b"three");
    second.leaves().await;
}

async fn comes_back_after_the_broker_was_away(rabbit: &mut Rabbit) {
    let mut visitor = rabbit.visitor(vec![subscription()]).await;
    let before = visitor.hears().await;
    is_body(&before, b"three");
    rabbit.is_started_again().await;
    soon(visitor.sees(|event| matches!(event, Event::Disconnected { .. }).then_some(()))).await;
    rabbit.lets_in(&mut visitor).await;
    // Subscribed again: the message comes once more, and only its new delivery can be acknowledged.
    let after = visitor.hears().await;
    is_body(&after, b"three");
    assert!(visitor.client.ack(&before).await.is_err());
    visitor.client.ack(&after).await.unwrap();
    visitor.sends("four").await;
    let last = visitor.hears().await;
    is_body(&last, b"four");
    visitor.client.ack(&last).await.unwrap();
    visitor.leaves().await;
}

/// Without showing a megabyte.
#[track_caller]
fn is_body(heard: &Delivery, wanted: &[u8]) {
    let found = &heard.frame.body;
    assert!(found == wanted, "{} bytes, {found:.80?}", found.len());
}
