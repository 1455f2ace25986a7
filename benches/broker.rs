//! Round trips through the embedded broker: the host sends 1 KiB to a guest's queue, the guest answers 1 KiB on its
//! own. Beside a bare TCP echo of as many bytes in the same run, which is one hop where the broker's round trip is
//! two (four over sockets). And what a thousand idle guests cost.
//!
//! The broker runs in this process, those who talk to it in a child, as in life. `link` is a host inside the broker's
//! process, `socket` one that is connected as the guests are. A window of 64 keeps 64 requests under way.

#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

use bytes::BytesMut;
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use vocable_stomp::broker::{AccessRules, AckMode, Action, Broker, BrokerConfig, Principal, Secret};
use vocable_stomp::codec::{Decoder, Dialect, Item, Limits, encode};
use vocable_stomp::{Command, Frame, Version};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long one line of the table is measured, after a quarter of it to warm up.
const MEASURED: Duration = Duration::from_secs(2);

const PAYLOAD: usize = 1024;

/// Guests and requests under way.
const LOADS: [(usize, usize); 5] = [(1, 1), (100, 1), (100, 64), (1000, 1), (1000, 64)];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", role, address, guests, window] => {
            child(role, address.parse()?, guests.parse()?, window.parse()?)
        }
        _ => measure(),
    }
}

/// In a task, as everything is in an agent: what runs outside of the workers wakes them more slowly.
#[tokio::main]
async fn measure() -> Result<()> {
    tokio::spawn(measure_all()).await?
}

async fn measure_all() -> Result<()> {
    let broker = start_broker().await?;
    let address = *broker.local_addrs().first().ok_or("no address")?;
    idle(&broker, address).await?;
    let echo = start_echo().await?;
    println!(
        "{:<22} {:>10} {:>10} {:>10} {:>8}",
        "round trips of 1 KiB", "per second", "p50 µs", "p99 µs", "of echo"
    );
    for (guests, window) in LOADS {
        let bare = in_child("echo", echo, guests, window).await?;
        bare.print("echo", guests, window, &bare);
        until_all_are_gone(&broker).await?;
        in_child("socket", address, guests, window).await?.print("socket", guests, window, &bare);
        over_link(&broker, address, guests, window).await?.print("link", guests, window, &bare);
    }
    broker.shutdown(Duration::from_secs(2)).await;
    Ok(())
}

async fn start_broker() -> Result<Broker> {
    let mut rules = AccessRules::default().with_login(Principal::new("host"), Secret::of("host"));
    for guest in 0..1000 {
        rules = rules.with_login(Principal::new(&format!("g{guest}")), Secret::of("guest"));
    }
    let rules = rules
        .allow("host", Action::Write, "/queue/vocable.in.>")?
        .allow("host", Action::Read, "/queue/vocable.out.>")?
        .allow("g*", Action::Read, "/queue/vocable.in.{login}")?
        .allow("g*", Action::Write, "/queue/vocable.out.{login}")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(Broker::start(BrokerConfig::default(), Arc::new(rules), vec![listener])?)
}

async fn start_echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                stream.set_nodelay(true)?;
                let mut buffer = [0; PAYLOAD];
                loop {
                    stream.read_exact(&mut buffer).await?;
                    stream.write_all(&buffer).await?;
                }
                #[expect(unreachable_code, reason = "gives the block its type")]
                std::io::Result::Ok(())
            });
        }
    });
    Ok(address)
}

/// What a thousand guests cost that are connected, subscribed, and say nothing but heart-beats.
async fn idle(broker: &Broker, address: SocketAddr) -> Result<()> {
    let before = resident()?;
    let begin = Instant::now();
    let child = spawn("idle", address, 1000, 1)?;
    let child = tokio::task::spawn_blocking(move || child.wait_until_ready()).await??;
    let took = begin.elapsed();
    let (after, guests) = (resident()?, broker.connections().await?.len());
    println!("{guests} idle guests: {before:.1} MB before, {after:.1} MB with them, in {took:.0?}\n");
    drop(child);
    until_all_are_gone(broker).await
}

/// Resident memory of this process, in megabytes.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Round trips, and how long each took.
#[derive(Default)]
struct Times {
    micros: Vec<u32>,
    elapsed: Duration,
}

impl Times {
    fn note(&mut self, begin: Instant, since: Instant) {
        if begin.elapsed() > MEASURED / 4 {
            self.micros.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn end(&mut self, begin: Instant) {
        self.elapsed = begin.elapsed().saturating_sub(MEASURED / 4);
        self.micros.sort_unstable();
    }

    fn summary(&self) -> Summary {
        let at = |part: f64| {
            self.micros.get((self.micros.len() as f64 * part) as usize).copied().unwrap_or_default()
        };
        Summary {
            per_second: self.micros.len() as f64 / self.elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

struct Summary {
    per_second: f64,
    p50: u32,
    p99: u32,
}

impl Summary {
    fn print(&self, what: &str, guests: usize, window: usize, bare: &Self) {
        let Self { per_second, p50, p99 } = self;
        let what = format!("{what} {guests} × window {window}");
        println!("{what:<22} {per_second:>10.0} {p50:>10} {p99:>10} {:>8.2}", per_second / bare.per_second);
    }
}

/// A child process; it ends when its standard input does.
struct Talker(Child);

impl Talker {
    fn wait_until_ready(mut self) -> Result<Self> {
        let output = self.0.stdout.as_mut().ok_or("no output")?;
        let mut line = [0; 6];
        output.read_exact(&mut line)?;
        Ok(self)
    }

    fn summary(mut self) -> Result<Summary> {
        let output = self.0.stdout.take().ok_or("no output")?;
        let line = BufReader::new(output).lines().nth(1).ok_or("the child said nothing")??;
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or("too little said");
        Ok(Summary { per_second: word()?.parse()?, p50: word()?.parse()?, p99: word()?.parse()? })
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(role: &str, address: SocketAddr, guests: usize, window: usize) -> Result<Talker> {
    let arguments =
        ["child", role, &address.to_string(), &guests.to_string(), &window.to_string()].map(str::to_owned);
    let mut process = Process::new(std::env::current_exe()?);
    Ok(Talker(process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
}

async fn in_child(role: &str, address: SocketAddr, guests: usize, window: usize) -> Result<Summary> {
    let child = spawn(role, address, guests, window)?;
    tokio::task::spawn_blocking(move || child.summary()).await?
}

async fn over_link(broker: &Broker, address: SocketAddr, guests: usize, window: usize) -> Result<Summary> {
    until_all_are_gone(broker).await?;
    let mut link = broker.link(Principal::new("host")).await?;
    link.sender().subscribe("out", "/queue/vocable.out.>", AckMode::Auto).await?;
    let child = spawn("idle", address, guests, 1)?;
    let child = tokio::task::spawn_blocking(move || child.wait_until_ready()).await??;
    let mut loop_ = ClosedLoop::new(guests);
    for _ in 0..window {
        link.sender().send(loop_.request()).await?;
    }
    while !loop_.is_over() {
        let answer = link.receive().await.ok_or("the link was closed")?;
        if loop_.answered(&answer)? {
            link.sender().send(loop_.request()).await?;
        }
    }
    drop(child);
    Ok(loop_.end())
}

/// Those of the line before may still be saying good-bye.
async fn until_all_are_gone(broker: &Broker) -> Result<()> {
    let mut events = broker.events();
    while !broker.connections().await?.is_empty() {
        events.next().await.ok_or("the broker has ended")?;
    }
    Ok(())
}

/// The host's side: each answer is followed by the next request.
struct ClosedLoop {
    /// Tells its requests from those that a line before left in the queues.
    run: String,
    begin: Instant,
    guests: usize,
    next: usize,
    under_way: HashMap<usize, Instant>,
    times: Times,
}

impl ClosedLoop {
    fn new(guests: usize) -> Self {
        let run = Secret::random().map(|(run, _)| run).unwrap_or_default();
        Self {
            run,
            begin: Instant::now(),
            guests,
            next: 0,
            under_way: HashMap::new(),
            times: Times::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.begin.elapsed() > MEASURED * 5 / 4
    }

    fn request(&mut self) -> Frame {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, Instant::now());
        let destination = format!("/queue/vocable.in.g{}", number % self.guests);
        let frame =
            Frame::new(Command::Send).with("destination", destination).with("number", number.to_string());
        frame.with("run", self.run.clone()).with_body(vec![b'x'; PAYLOAD])
    }

    /// Whether it is an answer to a request of this run.
    fn answered(&mut self, answer: &Frame) -> Result<bool> {
        if answer.header("run") != Some(&self.run) {
            return Ok(false);
        }
        let number: usize = answer.header("number").ok_or("an answer without number")?.parse()?;
        let since = self.under_way.remove(&number).ok_or("answered twice")?;
        self.times.note(self.begin, since);
        Ok(true)
    }

    fn end(mut self) -> Summary {
        self.times.end(self.begin);
        self.times.summary()
    }
}

/// What the child process does.
#[tokio::main(flavor = "current_thread")]
async fn child(role: &str, address: SocketAddr, guests: usize, window: usize) -> Result<()> {
    if role == "echo" {
        println!("ready");
        return echo_loop(address, guests, window).await;
    }
    let mut tasks = JoinSet::new();
    for guest in 0..guests {
        let stomp = Stomp::login(address, &format!("g{guest}"), "guest").await?;
        tasks.spawn(answer(stomp, guest));
    }
    if role == "idle" {
        println!("ready");
        // Until the parent ends this process.
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        return Ok(());
    }
    println!("ready");
    let mut host = Stomp::login(address, "host", "host").await?;
    let subscribe =
        Frame::new(Command::Subscribe).with("destination", "/queue/vocable.out.>").with("id", "out");
    host.send(&subscribe).await?;
    let mut loop_ = ClosedLoop::new(guests);
    for _ in 0..window {
        host.send(&loop_.request()).await?;
    }
    while !loop_.is_over() {
        let answer = host.receive().await?;
        if loop_.answered(&answer)? {
            host.send(&loop_.request()).await?;
        }
    }
    report(&loop_.end());
    Ok(())
}

fn report(summary: &Summary) {
    println!("{} {} {}", summary.per_second, summary.p50, summary.p99);
}

/// A guest: answers every request.
async fn answer(mut stomp: Stomp, guest: usize) -> Result<()> {
    let subscribe = Frame::new(Command::Subscribe).with("destination", format!("/queue/vocable.in.g{guest}"));
    stomp.send(&subscribe.with("id", "in")).await?;
    let destination = format!("/queue/vocable.out.g{guest}");
    loop {
        let request = stomp.receive().await?;
        let said = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let answer = Frame::new(Command::Send).with("destination", destination.clone());
        let answer = answer.with("number", said("number")).with("run", said("run"));
        stomp.send(&answer.with_body(request.body.clone())).await?;
    }
}

/// The least that is a STOMP client. It sends no heart-beats and promises none, but asks for them.
struct Stomp {
    stream: TcpStream,
    decoder: Decoder,
    buffer: BytesMut,
    out: BytesMut,
}

impl Stomp {
    async fn login(address: SocketAddr, login: &str, passcode: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::new(Limits::default(), Dialect::strict(Version::V1_2));
        let mut stomp = Self { stream, decoder, buffer: BytesMut::new(), out: BytesMut::new() };
        let connect = Frame::new(Command::Connect).with("accept-version", "1.2").with("login", login);
        stomp.send(&connect.with("passcode", passcode).with("heart-beat", "0,10000")).await?;
        match stomp.receive().await? {
            connected if connected.command == Command::Connected => Ok(stomp),
            other => Err(format!("{other:?}").into()),
        }
    }

    async fn send(&mut self, frame: &Frame) -> Result<()> {
        self.out.clear();
        encode(frame, Version::V1_2, &mut self.out)?;
        Ok(self.stream.write_all(&self.out).await?)
    }

    async fn receive(&mut self) -> Result<Frame> {
        loop {
            match self.decoder.decode(&mut self.buffer)? {
                Some(Item::Frame(frame)) => return Ok(frame),
                Some(Item::HeartBeat) => {}
                None if self.stream.read_buf(&mut self.buffer).await? == 0 => return Err("closed".into()),
                None => {}
            }
        }
    }
}

/// As many bytes to and fro, without any broker.
async fn echo_loop(address: SocketAddr, guests: usize, window: usize) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..guests {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        connections.push(stream);
    }
    let begin = Instant::now();
    let workers = window.min(guests);
    let mut tasks = JoinSet::new();
    for worker in 0..workers {
        let mine = connections.drain(..guests / workers + usize::from(worker < guests % workers)).collect();
        tasks.spawn(echo_in_turn(mine, begin));
    }
    let mut all = Times::default();
    while let Some(times) = tasks.join_next().await {
        all.micros.extend(times??.micros);
    }
    all.end(begin);
    report(&all.summary());
    Ok(())
}

async fn echo_in_turn(mut connections: Vec<TcpStream>, begin: Instant) -> Result<Times> {
    let (mut times, mut buffer) = (Times::default(), [0; PAYLOAD]);
    loop {
        for stream in &mut connections {
            if begin.elapsed() > MEASURED * 5 / 4 {
                return Ok(times);
            }
            let since = Instant::now();
            stream.write_all(&buffer).await?;
            stream.read_exact(&mut buffer).await?;
            times.note(begin, since);
        }
    }
}
