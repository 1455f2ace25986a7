//! The endpoint over loopback: a server with a few methods of its own, and clients that send what they like.

use std::borrow::Cow;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use vocable_api::fault::{self, FaultKind};
use vocable_xmlrpc::{Call, Fault, Limits, Params, Response, Value, code, parse_response, write_call};

use super::{HttpConfig, Listener, Methods, serve};
use vocable_api::description::MethodInfo;

mod calls;
mod client;
mod json;
mod limits;
mod panics;
mod proof;
mod python;
mod refusals;
mod shutdown;

/// The token of every test.
pub(crate) const TOKEN: &str = "s3cret";

/// Everything that is waited for comes earlier than this.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the tests call: `echo` gives its parameters back, `wait` never ends, `fault`, `nan` and `panic` fail.
#[derive(Clone)]
pub(crate) struct Echo {
    words: Arc<Mutex<Vec<MethodInfo>>>,
    /// One permit for each `wait` that has begun.
    begun: Arc<Semaphore>,
    /// One permit for each `wait` that was dropped.
    dropped: Arc<Semaphore>,
}

impl Echo {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { words: Arc::default(), begun: none(), dropped: none() }
    }
}

impl Methods for Echo {
    fn call(&self, method: String, params: Params) -> BoxFuture<'_, Result<Value, fault::Fault>> {
        Box::pin(async move {
            match method.as_str() {
                "echo" => Ok(Value::from(params.into_values().into_iter().flatten().collect::<Vec<_>>())),
                "fault" => Err(fault::Fault::new(FaultKind::GuestOffline, "vm1 does not answer")),
                "panic" => panic!("for tests"),
                "nan" => Ok(Value::Double(f64::NAN)),
                "wait" => {
                    let _end = AddPermit(self.dropped.clone());
                    self.begun.add_permits(1);
                    std::future::pending().await
                }
                other => Err(fault::Fault::no_such_method(other)),
            }
        })
    }

    fn list(&self) -> Vec<MethodInfo> {
        self.words.lock().unwrap().clone()
    }

    fn describe(&self, name: &str) -> Option<Cow<'static, MethodInfo>> {
        let named = self.list().into_iter().find(|method| method.name == name);
        let named = named.or_else(|| {
            ["echo", "fault", "nan", "panic", "wait"].contains(&name).then(|| MethodInfo {
                name: name.to_owned().into(),
                help: "Is for tests.".into(),
                changes: name != "wait",
                ..MethodInfo::of::<Tested>()
            })
        });
        named.map(Cow::Owned)
    }
}

/// What the methods of the tests take.
#[derive(serde::Deserialize, schemars::JsonSchema, serde::Serialize)]
struct Tested {
    /// Target
    target: String,
    /// Arguments
    args: Option<Vec<String>>,
    /// Seconds
    timeout_s: Option<f64>,
}

vocable_api::methods! { Tested => "tested"(target, args) -> vocable_api::Any: "", changes; }

struct AddPermit(Arc<Semaphore>);

impl Drop for AddPermit {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// A server for one test; it ends with it.
pub(crate) struct Bed {
    pub(crate) address: SocketAddr,
    methods: Echo,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(HttpConfig::new(TOKEN)).await
    }

    /// A server that has little patience with slow clients.
    async fn impatient() -> Self {
        Self::with(HttpConfig { read_timeout: Duration::from_millis(300), ..HttpConfig::new(TOKEN) }).await
    }

    async fn with(config: HttpConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serving(address, Listener::Tcp(listener), config)
    }

    /// A server on loopback, of that kind.
    pub(crate) async fn listening(kind: impl FnOnce(TcpListener) -> Listener) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serving(address, kind(listener), HttpConfig::new(TOKEN))
    }

    /// A server that has no address.
    pub(crate) async fn at(listener: Listener) -> Self {
        Self::serving(([0, 0, 0, 0], 0).into(), listener, HttpConfig::new(TOKEN))
    }

    fn serving(address: SocketAddr, listener: Listener, config: HttpConfig) -> Self {
        let (methods, shutdown) = (Echo::new(), CancellationToken::new());
        let server = tokio::spawn(serve(vec![listener], methods.clone(), config, shutdown.clone()));
        Self { address, methods, shutdown, server }
    }

    async fn connect(&self) -> Connection {
        Connection { stream: TcpStream::connect(self.address).await.unwrap(), unread: Vec::new() }
    }

    /// What a fresh connection gets for these bytes.
    async fn exchange(&self, request: &[u8]) -> Reply {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.reply().await
    }

    /// Calls a method as a well-behaved client does.
    async fn call(&self, method: &str, params: Vec<Value>) -> Response {
        self.exchange(&post(&document(method, params), "")).await.response()
    }

    /// Waits until a `wait` has begun.
    async fn wait_begun(&self) {
        timeout(DEADLINE, self.methods.begun.acquire()).await.unwrap().unwrap().forget();
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next reply, by its content length.
    async fn reply(&mut self) -> Reply {
        loop {
            if let Some((reply, length)) = Reply::read(&self.unread) {
                self.unread.drain(..length);
                return reply;
            }
            assert_ne!(self.read().await, 0, "closed after {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Waits until the server closes the connection, and gives what it sent before.
    async fn closed(mut self) -> String {
        while self.read().await > 0 {}
        String::from_utf8(self.unread).unwrap()
    }

    /// A reset is an end, too.
    async fn read(&mut self) -> usize {
        timeout(DEADLINE, self.stream.read_buf(&mut self.unread)).await.expect("some bytes").unwrap_or(0)
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = bytes.get(end..end + length)?.to_vec();
        Some((Self { status, head, body }, end + length))
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// The body as XML-RPC, which always comes with status 200.
    fn response(&self) -> Response {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("text/xml; charset=utf-8"));
        parse_response(&self.body, &Limits::default()).unwrap()
    }

    fn fault(&self) -> Fault {
        self.response().unwrap_err()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn document(method: &str, params: Vec<Value>) -> Vec<u8> {
    write_call(&Call { method: method.to_owned(), params }).unwrap()
}

/// The head of a request that is fine, with other header fields in front (`"Name: value\r\n"`).
fn head(length: usize, fields: &str) -> String {
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n{fields}Authorization: Bearer {TOKEN}\r\n\
         Content-Type: text/xml\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn post(document: &[u8], fields: &str) -> Vec<u8> {
    [head(document.len(), fields).as_bytes(), document].concat()
}
