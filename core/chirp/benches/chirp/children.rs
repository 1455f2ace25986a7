//! Our server and our client as processes, and what processes cost.

use crate::Result;
use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vocable_chirp::client::{Body, Client, Config as ClientConfig, Login};
use vocable_chirp::proto::Meta;
use vocable_chirp::server::{Config, Logins, Root, Server};

/// What something cost.
pub(crate) struct Spent {
    pub(crate) wall: f64,
    pub(crate) client: f64,
    pub(crate) server: Option<f64>,
}

/// Our server.
pub(crate) struct Ours {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Ours {
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(["child", "serve"]).arg(root).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no output")?;
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Our client does that.
    pub(crate) fn client(&self, what: &[&str]) -> Result<Spent> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", "client", &self.address.to_string()]).args(what);
        time(command, Some(self.pid()))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end; the server and all its children are charged.
pub(crate) fn time(mut command: Command, server: Option<u32>) -> Result<Spent> {
    let before = server.map(cpu_of_all).transpose()?;
    let own = cpu_of_children()?;
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let wall = begun.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    let client = cpu_of_children()? - own;
    let server = match server.zip(before) {
        Some((server, before)) => Some(cpu_of_all(server)? - before),
        None => None,
    };
    Ok(Spent { wall, client, server })
}

/// Of a process and of all its children that are or were: seconds.
pub(crate) fn cpu_of_all(pid: u32) -> Result<f64> {
    let mut sum = cpu(&format!("/proc/{pid}/stat"), 11..15)?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stat = format!("/proc/{name}/stat");
        let parent = fs::read_to_string(&stat).ok().and_then(|text| {
            text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
        });
        if name.parse::<u32>().is_ok() && parent == Some(pid) {
            sum += cpu(&stat, 11..15).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// Of children that have ended.
pub(crate) fn cpu_of_children() -> Result<f64> {
    cpu("/proc/self/stat", 13..15)
}

/// Fields behind the name; in hundredths of a second.
fn cpu(path: &str, fields: std::ops::Range<usize>) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let rest = text.rsplit_once(')').ok_or("no stat")?.1;
    let ticks = rest.split_whitespace().skip(fields.start).take(fields.len());
    Ok(ticks.filter_map(|tick| tick.parse::<f64>().ok()).sum::<f64>() / 100.0)
}

#[tokio::main]
pub(crate) async fn run(arguments: &[&str]) -> Result<()> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    tokio::spawn(async move {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["serve", root] => serve(root).await,
            ["client", address, ref what @ ..] => client(address, what).await,
            _ => Err("no such child".into()),
        }
    })
    .await?
}

async fn serve(root: &str) -> Result<()> {
    let root = Root::new("/", Dir::open_ambient_dir(root, ambient_authority())?);
    let logins = Logins { addresses: vec!["127.0.0.1".parse()?], ..Logins::default() };
    let server = Server::new(Config { roots: vec![root], logins, ..Config::default() })?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(server.run(listener, std::future::pending()).await?)
}

async fn client(address: &str, what: &[&str]) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    let client = Client::login(stream, &[Login::Address], ClientConfig::default()).await?;
    match *what {
        ["put", from, to] => {
            let file = fs::File::open(from)?;
            let len = file.metadata()?.len();
            client.putfile(to, 0o644, Body::file(file, 0, len)).await?;
        }
        ["vput", from, to] => {
            let file = fs::File::open(from)?;
            let about = file.metadata()?;
            client.vput_file(to, meta(&about), file, about.len()).await?;
        }
        ["get", from, to] => {
            client.fetch(from, fs::File::create(to)?).await?;
        }
        ["vget", from, to] => {
            client.vfetch(from, fs::File::create(to)?).await?;
        }
        ["put-tree", from, to] => put_tree(&client, Path::new(from), to).await?,
        ["get-tree", from, to] => get_tree(&client, from, Path::new(to)).await?,
        _ => return Err("no such thing to do".into()),
    }
    Ok(())
}

fn meta(stat: &fs::Metadata) -> Meta {
    let mtime_ns = i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec());
    Meta { mode: stat.mode() & 0o7777, mtime_ns }
}

/// On their way at a time.
const AT_ONCE: usize = 64;

/// Every file is read, digested, sent with its mode and times, checked there and put in place.
async fn put_tree(client: &Client, from: &Path, to: &str) -> Result<()> {
    client.mkdir(to, 0o755).await?;
    let mut sends = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for directory in fs::read_dir(from)? {
        let directory = directory?;
        let there = format!("{to}/{}", directory.file_name().to_string_lossy());
        client.mkdir(&there, 0o755).await?;
        for file in fs::read_dir(directory.path())? {
            let file = file?;
            let bytes = Bytes::from(fs::read(file.path())?);
            let (client, meta) = (client.clone(), meta(&file.metadata()?));
            let there = format!("{there}/{}", file.file_name().to_string_lossy());
            let place = places.clone().acquire_owned().await?;
            sends.spawn(async move {
                let sent = client.vput(there, meta, bytes).await;
                drop(place);
                sent
            });
        }
    }
    while let Some(sent) = sends.join_next().await {
        sent??;
    }
    Ok(())
}

/// Every file is fetched with its digest, which is checked, and gets its mode.
async fn get_tree(client: &Client, from: &str, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let mut fetches = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for directory in client.vlist(from).await? {
        let name = String::from_utf8(directory.name.as_bytes().to_vec())?;
        let (there, here) = (format!("{from}/{name}"), to.join(&name));
        fs::create_dir(&here)?;
        for entry in client.vlist(&there).await? {
            let name = String::from_utf8(entry.name.as_bytes().to_vec())?;
            let (client, there, here) = (client.clone(), format!("{there}/{name}"), here.join(name));
            let place = places.clone().acquire_owned().await?;
            fetches.spawn(async move {
                let got = client.vget(there, 1 << 20).await?;
                let mut file =
                    fs::OpenOptions::new().write(true).create_new(true).mode(got.meta.mode).open(here)?;
                std::io::Write::write_all(&mut file, &got.bytes)?;
                drop(place);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    }
    while let Some(fetched) = fetches.join_next().await {
        fetched??;
    }
    Ok(())
}
