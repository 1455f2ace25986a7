//! Files there and back: our server and client beside the real `chirp_server`, `chirp_put` and `chirp_get`, an rsync
//! daemon, plain `nc`, and `tar` through `nc`, in the same run.
//!
//! Everything is in memory (/dev/shm); every server and every client is a process of its own, so that CPU time can be
//! told apart. Programs that aren't installed are left out, and that is said. `chirp -- small 1000` and `chirp -- big
//! 256` take other sizes (files, MiB); `chirp -- stat` only the latency.

#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "chirp/children.rs"]
mod children;
#[path = "chirp/peers.rs"]
mod peers;

use children::{Ours, Spent};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["child", ref rest @ ..] => children::run(rest),
        ["stat"] => stat(),
        ["big", size] => big(size.parse()?),
        ["small", count] => small(count.parse()?),
        _ => stat().and_then(|()| big(1024)).and_then(|()| small(10_000)),
    }
}

/// Where everything is: in memory, and gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = Path::new("/dev/shm").join(format!("vocable-bench-{}", std::process::id()));
        fs::create_dir_all(path.join("root"))?;
        Ok(Self(path))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn head(what: &str) {
    println!("\n{what:<34} {:>9} {:>9} {:>12} {:>12}", "wall s", "MB/s", "client CPU s", "server CPU s");
}

fn row(what: &str, bytes: u64, spent: Spent) {
    let rate = bytes as f64 / spent.wall / 1e6;
    let server = spent.server.map_or("–".into(), |server| format!("{server:.2}"));
    println!("{what:<34} {:>9.2} {rate:>9.0} {:>12.2} {server:>12}", spent.wall, spent.client);
}

/// One question after the other, asked of both by the same few lines.
fn stat() -> Result<()> {
    let folder = Folder::new()?;
    fs::write(folder.at("root/f"), "hello")?;
    println!("{:<34} {:>9} {:>9} {:>9} {:>16}", "stat", "p10 µs", "p50 µs", "p90 µs", "server CPU µs");
    let ours = Ours::start(&folder.at("root"))?;
    let one = ask("ours", ours.address, ours.pid())?;
    drop(ours);
    match peers::Real::start(&folder.0, &folder.at("root"))? {
        Some(real) => {
            let two = ask("chirp_server", real.address(), real.pid())?;
            println!("ours is {:.0} times as fast, at {:.0} times less CPU", two.0 / one.0, two.1 / one.1);
        }
        None => println!("chirp_server is not installed"),
    }
    Ok(())
}

/// The median and the CPU time of one.
fn ask(who: &str, address: SocketAddr, server: u32) -> Result<(f64, f64)> {
    const ASKED: usize = 3000;
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    stream.write_all(b"address\n")?;
    let mut line = String::new();
    for _ in 0..5 {
        answers.read_line(&mut line)?;
    }
    let mut times = Vec::new();
    let before = children::cpu_of_all(server)?;
    for _ in 0..ASKED {
        let begun = Instant::now();
        stream.write_all(b"stat /f\n")?;
        answers.read_line(&mut line)?;
        answers.read_line(&mut line)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        line.clear();
    }
    let cpu = (children::cpu_of_all(server)? - before) * 1e6 / ASKED as f64;
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(ASKED * part / 10).copied().unwrap_or_default();
    println!("{who:<34} {:>9.0} {:>9.0} {:>9.0} {cpu:>16.1}", at(1), at(5), at(9));
    Ok((at(5), cpu))
}

/// One file.
fn big(mebibytes: u64) -> Result<()> {
    let folder = Folder::new()?;
    let (file, back, root) = (folder.at("file"), folder.at("back"), folder.at("root"));
    noise(&file, mebibytes << 20)?;
    let bytes = mebibytes << 20;
    head(&format!("one file of {mebibytes} MiB"));
    let there = root.join("f");
    {
        let ours = Ours::start(&root)?;
        row("ours, put", bytes, ours.client(&["put", &text(&file), "/f"])?);
        row("ours, get", bytes, ours.client(&["get", "/f", &text(&back)])?);
        same(&file, &back)?;
        row("ours, put with SHA-256 and times", bytes, ours.client(&["vput", &text(&file), "/f"])?);
        row("ours, get with SHA-256 and times", bytes, ours.client(&["vget", "/f", &text(&back)])?);
        same(&file, &back)?;
        if peers::have("chirp_put") {
            let host = ours.address.to_string();
            let put = peers::command("chirp_put", &["-a", "address", &text(&file), &host, "/f"]);
            row("chirp_put to ours", bytes, children::time(put, Some(ours.pid()))?);
        }
    }
    fs::remove_file(&there)?;
    peers::big(&folder.0, &root, &file, &back, bytes)
}

/// Many files.
fn small(count: usize) -> Result<()> {
    let folder = Folder::new()?;
    let (tree, back, root) = (folder.at("tree"), folder.at("back"), folder.at("root"));
    for directory in 0..count.div_ceil(100) {
        let directory_path = tree.join(format!("d{directory}"));
        fs::create_dir_all(&directory_path)?;
        for file in 0..100.min(count - 100 * directory) {
            noise(&directory_path.join(format!("f{file}")), 4096)?;
        }
    }
    let bytes = 4096 * count as u64;
    head(&format!("{count} files of 4 KiB"));
    {
        let ours = Ours::start(&root)?;
        row("ours, put", bytes, ours.client(&["put-tree", &text(&tree), "/t"])?);
        row("ours, get", bytes, ours.client(&["get-tree", "/t", &text(&back)])?);
        let counted =
            fs::read_dir(&back)?.filter_map(|entry| fs::read_dir(entry.ok()?.path()).ok()).flatten().count();
        if counted != count {
            return Err(format!("{counted} of {count} files came back").into());
        }
    }
    fs::remove_dir_all(root.join("t"))?;
    fs::remove_dir_all(&back)?;
    peers::small(&folder.0, &root, &tree, &back, bytes)
}

/// Bytes that nobody can compress.
fn noise(path: &Path, len: u64) -> Result<()> {
    let mut random = fs::File::open("/dev/urandom")?;
    let mut block = vec![0; usize::try_from(len)?.min(1 << 20)];
    random.read_exact(&mut block)?;
    let mut file = fs::File::create(path)?;
    let mut left = len;
    while left > 0 {
        let most = block.len().min(usize::try_from(left)?);
        file.write_all(block.get(..most).unwrap_or_default())?;
        left -= most as u64;
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> Result<()> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Err("what came back is not what was sent".into());
    }
    Ok(fs::remove_file(other)?)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
