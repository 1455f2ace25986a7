//! Other people's programs, if they are installed.

use crate::children::{Spent, cpu_of_children, time};
use crate::{Result, row, text};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A server of theirs, gone when it is dropped.
pub(crate) struct Real {
    child: Child,
    port: u16,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Real {
    /// The real Chirp server; `None` if it is not installed.
    pub(crate) fn start(folder: &Path, root: &Path) -> Result<Option<Self>> {
        if !have("chirp_server") {
            return Ok(None);
        }
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("transient"))?;
        fs::write(at("acl"), "address:* rwlda\n")?;
        let mut command = if rustix::process::geteuid().is_root() {
            // It refuses to be root.
            run("chown", &["-R", "65534:65534", &text(folder)])?;
            command("setpriv", &["--reuid", "65534", "--regid", "65534", "--clear-groups", "chirp_server"])
        } else {
            Command::new("chirp_server")
        };
        let port = free_port()?;
        command
            .arg("--root")
            .arg(root)
            .arg("--transient")
            .arg(at("transient"))
            .arg("--default-acl")
            .arg(at("acl"));
        command.args(["--interface", "127.0.0.1", "--advertise", "localhost", "--catalog-update", "1h"]);
        command.args(["--inherit-default-acl", "--auth", "address", "--port", &port.to_string()]);
        Self::spawn(command, port).map(Some)
    }

    fn rsync(folder: &Path, root: &Path) -> Result<Option<Self>> {
        if !have("rsync") {
            return Ok(None);
        }
        let (port, config) = (free_port()?, folder.join("rsyncd.conf"));
        let user = if rustix::process::geteuid().is_root() { "uid = 0\ngid = 0\n" } else { "" };
        let module = format!("use chroot = no\n{user}[root]\npath = {}\nread only = no\n", text(root));
        fs::write(&config, module)?;
        let mut command = command("rsync", &["--daemon", "--no-detach", "--address", "127.0.0.1"]);
        command.args(["--port", &port.to_string(), "--config"]).arg(config);
        Self::spawn(command, port).map(Some)
    }

    fn spawn(mut command: Command, port: u16) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let real = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(real.address()).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(format!("{command:?} did not start").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(real)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

pub(crate) fn big(folder: &Path, root: &Path, file: &Path, back: &Path, bytes: u64) -> Result<()> {
    let (from, to) = (text(file), text(back));
    if let Some(real) = Real::start(folder, root)? {
        let host = real.address().to_string();
        let put = command("chirp_put", &["-a", "address", &from, &host, "/f"]);
        row("chirp_put to chirp_server", bytes, time(put, Some(real.pid()))?);
        let get = command("chirp_get", &["-a", "address", &host, "/f", &to]);
        row("chirp_get from chirp_server", bytes, time(get, Some(real.pid()))?);
        fs::remove_file(root.join("f"))?;
    }
    if let Some(rsync) = Real::rsync(folder, root)? {
        let there = format!("rsync://127.0.0.1:{}/root/f", rsync.port);
        row(
            "rsync -W to its daemon",
            bytes,
            time(command("rsync", &["-W", &from, &there]), Some(rsync.pid()))?,
        );
        fs::remove_file(back).or_else(missing)?;
        row(
            "rsync -W from its daemon",
            bytes,
            time(command("rsync", &["-W", &there, &to]), Some(rsync.pid()))?,
        );
        fs::remove_file(root.join("f"))?;
    }
    let script = |port: u16| {
        (
            format!("nc -l 127.0.0.1 {port} > {}", text(&root.join("f"))),
            format!("nc -N 127.0.0.1 {port} < {from}"),
        )
    };
    pair("nc, both ends", bytes, script)
}

pub(crate) fn small(folder: &Path, root: &Path, tree: &Path, back: &Path, bytes: u64) -> Result<()> {
    let (from, to) = (text(tree), text(back));
    if let Some(rsync) = Real::rsync(folder, root)? {
        let there = format!("rsync://127.0.0.1:{}/root/r/", rsync.port);
        let put = command("rsync", &["-rW", &format!("{from}/"), &there]);
        row("rsync -rW to its daemon", bytes, time(put, Some(rsync.pid()))?);
        let get = command("rsync", &["-rW", &there, &format!("{to}/")]);
        row("rsync -rW from its daemon", bytes, time(get, Some(rsync.pid()))?);
        fs::remove_dir_all(back)?;
    }
    let there = root.join("tar");
    fs::create_dir(&there)?;
    let script = |port: u16| {
        (
            format!("nc -l 127.0.0.1 {port} | tar x -C {}", text(&there)),
            format!("tar c -C {from} . | nc -N 127.0.0.1 {port}"),
        )
    };
    pair("tar through nc, both ends", bytes, script)?;
    if let Some(real) = Real::start(folder, root)? {
        let host = real.address().to_string();
        let put = command("chirp_put", &["-a", "address", &from, &host, "/c"]);
        row("chirp_put to chirp_server", bytes, time(put, Some(real.pid()))?);
        let get = command("chirp_get", &["-a", "address", &host, "/c", &to]);
        row("chirp_get from chirp_server", bytes, time(get, Some(real.pid()))?);
    }
    Ok(())
}

/// A listener and who sends to it, as two lines of shell.
fn pair(what: &str, bytes: u64, script: impl Fn(u16) -> (String, String)) -> Result<()> {
    if !have("nc") {
        println!("nc is not installed");
        return Ok(());
    }
    let (listen, send) = script(free_port()?);
    let before = cpu_of_children()?;
    let mut listener = command("sh", &["-c", &listen]).stdin(Stdio::null()).spawn()?;
    // It takes one connection, which must not be wasted on asking whether it is there.
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    run("sh", &["-c", &send])?;
    listener.wait()?;
    let wall = begun.elapsed().as_secs_f64();
    row(what, bytes, Spent { wall, client: cpu_of_children()? - before, server: None });
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = command(program, arguments).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {arguments:?}: {status}").into()) }
}

fn missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
