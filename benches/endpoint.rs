//! A small XML-RPC call at the real host agent: CPU a call, beside a bare axum handler that answers the same bytes
//! without looking at the request, and beside Python's own server with a method of the same result.
//!
//! Needs the host agent in the same profile: `cargo build --release -p vocable` first. Each server is a process of its
//! own, of one thread where it can be; what it used is read from the scheduler, so other work on the machine counts
//! little. The servers are asked in turn, in several rounds, by the same client. Prints a table, ends by itself.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its table, and one that cannot start has nothing to measure"
)]

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use vocable_tests::host::Host;

/// Connections that ask at the same time, one call after the other.
const CONNECTIONS: usize = 4;

/// Rounds, and calls of each connection in a round.
const ROUNDS: usize = 5;
const CALLS: usize = 5000;

/// Python is given fewer.
const FEW_CALLS: usize = 500;

const CALL: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>agent.version</methodName>\n<params>\n</params>\n</methodCall>\n";

/// A server with the reply of the real one as its result, made by Python's own means.
const PYTHON: &str = r#"
import sys, xmlrpc.client as client, xmlrpc.server as server
class Handler(server.SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
from socketserver import ThreadingMixIn
class Server(ThreadingMixIn, server.SimpleXMLRPCServer):
    daemon_threads = True
(result,), _ = client.loads(sys.stdin.read())
it = Server(("127.0.0.1", 0), Handler, logRequests=False)
it.register_function(lambda: result, "agent.version")
print("%s:%d" % it.server_address, flush=True)
it.serve_forever()
"#;

/// A server, and what was measured of it.
struct Contestant {
    name: &'static str,
    process: u32,
    address: SocketAddr,
    token: String,
    calls: usize,
    /// Of each round: CPU and wall time a call.
    seen: Vec<(Duration, Duration)>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "bare") {
        return bare();
    }
    // A limit on one caller's rate is not what is to be measured.
    let host = Host::with(&["api.max_rate = 0"]);
    let agent = u32::try_from(host.process().pid()).expect("a process id");
    let reply = ask(&mut dial(host.api()), &request(&host.token()));
    let own = std::env::current_exe().expect("own path");
    let bare = Served::start(Command::new(own).arg("bare"), &reply);
    let python = Served::start(Command::new("python3").args(["-c", PYTHON]), &reply);

    let contestant = |name, process, address, calls| {
        let (token, seen) = (host.token(), Vec::new());
        Contestant { name, process, address, token, calls, seen }
    };
    let mut contestants = [
        contestant("bare axum handler", bare.child.id(), bare.address, CALLS),
        contestant("vocable serve", agent, host.api(), CALLS),
        contestant("Python SimpleXMLRPCServer", python.child.id(), python.address, FEW_CALLS),
    ];
    for round in 0..=ROUNDS {
        for contestant in &mut contestants {
            contestant.is_asked();
            if round == 0 {
                // To warm up.
                contestant.seen.clear();
            }
        }
    }
    println!("agent.version: {} bytes of request, {} of reply", CALL.len(), reply.len());
    println!("{:<28}{:>14}{:>10}{:>16}", "", "CPU µs a call", "of bare", "calls a second");
    let floor = contestants[0].cpu();
    for contestant in &contestants {
        let rate = 1.0 / contestant.wall().as_secs_f64();
        let cpu = contestant.cpu().as_secs_f64();
        println!(
            "{:<28}{:>14.1}{:>10.2}{:>16.0}",
            contestant.name,
            cpu * 1e6,
            cpu / floor.as_secs_f64(),
            rate
        );
    }
}

impl Contestant {
    /// One round.
    fn is_asked(&mut self) {
        let request = request(&self.token);
        let (cpu, wall) = (cpu_of(self.process), Instant::now());
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut connection = dial(self.address);
                    for _ in 0..self.calls {
                        ask(&mut connection, &request);
                    }
                });
            }
        });
        let calls = u32::try_from(CONNECTIONS * self.calls).expect("a small number");
        self.seen.push(((cpu_of(self.process) - cpu) / calls, wall.elapsed() / calls));
    }

    /// CPU a call, in the middle of all rounds.
    fn cpu(&self) -> Duration {
        median(self.seen.iter().map(|(cpu, _)| *cpu))
    }

    fn wall(&self) -> Duration {
        median(self.seen.iter().map(|(_, wall)| *wall))
    }
}

fn median(all: impl Iterator<Item = Duration>) -> Duration {
    let mut all: Vec<_> = all.collect();
    all.sort();
    all[all.len() / 2]
}

/// What a process has had of the processor so far, in all its threads.
fn cpu_of(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("a running server");
    let of_one = |task: std::fs::DirEntry| -> u64 {
        let told = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(of_one).sum())
}

fn request(token: &str) -> Vec<u8> {
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/xml\r\nUser-Agent: bench\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{CALL}",
        CALL.len()
    )
    .into_bytes()
}

fn dial(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("a listening server");
    stream.set_nodelay(true).expect("a socket");
    BufReader::new(stream)
}

/// One call; the body of its answer.
fn ask(connection: &mut BufReader<TcpStream>, request: &[u8]) -> Vec<u8> {
    connection.get_mut().write_all(request).expect("a server that takes requests");
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).expect("a status line");
    assert!(line.contains(" 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line).expect("a header");
        let field = line.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("a whole body");
    body
}

/// A server that was started for this, and ends with it.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Starts one that reads what to answer, and tells where it listens.
    fn start(command: &mut Command, reply: &[u8]) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.expect("a program that runs");
        child.stdin.take().expect("a pipe").write_all(reply).expect("a reader");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("an address");
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The floor: everything but the request's meaning.
#[tokio::main(flavor = "current_thread")]
async fn bare() {
    let mut reply = Vec::new();
    std::io::stdin().read_to_end(&mut reply).expect("what to answer");
    let reply = Bytes::from(reply);
    let answer = move |_request: Bytes| async move { ([(CONTENT_TYPE, "text/xml; charset=utf-8")], reply) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, Router::new().route("/RPC2", post(answer))).await.expect("a server");
}
