//! Serves a directory to whoever is on this machine: `serve DIRECTORY [PORT]`. Prints where.
//!
//! For measuring and for trying the real clients; `vocable-guest` is the server that people use.
#![allow(clippy::print_stdout, reason = "it is a program")]

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::error::Error;
use tokio::net::TcpListener;
use vocable_chirp::server::{Config, Limits, Logins, Root, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let root = Root::new("/", Dir::open_ambient_dir(&directory, ambient_authority())?).shown_as(directory);
    let logins = Logins { addresses: vec!["127.0.0.1".parse()?], ..Logins::default() };
    let limits = Limits { keep_free: 0, ..Limits::default() };
    let server = Server::new(Config { roots: vec![root], logins, limits, ..Config::default() })?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("{}", listener.local_addr()?);
    server.run(listener, async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}
