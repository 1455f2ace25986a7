//! What is installed, timeout, and other people's programs: they end with the test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longer than anything takes that works.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often the real server is started until it is there.
const TRIES: u32 = 3;

/// What a test waits for comes, or the test fails.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what).await.expect("waited for in vain")
}

/// Whether the real programs are there; if not, the test has to end, and it fails where everything has to be there.
pub(crate) fn real_programs() -> bool {
    installed("coop-computing-tools", Path::new("/usr/bin/chirp_server"))
}

/// The Python that htchirp is installed for, if it is.
pub(crate) fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/chirp");
    installed("htchirp", &venv.join("bin/condor_htchirp")).then(|| venv.join("bin/python"))
}

fn installed(package: &str, sign: &Path) -> bool {
    if sign.exists() {
        return true;
    }
    let reason = format!("{package} is not installed; cargo xtask test --peers installs it");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    // Not by println!, which the test harness keeps to itself.
    writeln!(std::io::stdout(), "skipped: {reason}").unwrap();
    false
}

/// Runs one of the real clients to its end: what it said, if it was content.
pub(crate) async fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon(command.output()).await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    Err(format!("{}\n{out}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// The real server, with a root of its own, where everybody on this machine may do everything.
pub(crate) struct RealServer {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    _child: Child,
}

impl RealServer {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("root")).unwrap();
        std::fs::create_dir(at("transient")).unwrap();
        std::fs::write(at("acl"), "address:* rwlda\nunix:* rwlda\nticket:* rwlda\n").unwrap();
        let mut command = if rustix::process::geteuid().is_root() {
            // It refuses to be root.
            for path in [folder.path().to_owned(), at("root"), at("transient"), at("acl")] {
                std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
            }
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "chirp_server"]);
            command
        } else {
            Command::new("chirp_server")
        };
        command.arg("--root").arg(at("root")).arg("--transient").arg(at("transient"));
        command.args([
            "--interface",
            "127.0.0.1",
            "--port",
            "0",
            "--advertise",
            "localhost",
            "--catalog-update",
            "1h",
        ]);
        command
            .arg("--port-file")
            .arg(at("port"))
            .arg("--default-acl")
            .arg(at("acl"))
            .arg("--inherit-default-acl");
        command.args(["--auth", "address", "--auth", "unix", "--auth", "ticket"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        // Now and then it does not come up among many others: then it is started once more, and what it said is told.
        for _ in 0..TRIES {
            command.stderr(std::fs::File::create(at("log")).unwrap());
            let mut child = command.spawn().unwrap();
            let ready = async {
                loop {
                    let text = std::fs::read_to_string(at("port")).unwrap_or_default();
                    let port: Option<u16> = text.trim().parse().ok();
                    if let Some(port) = port
                        && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                    {
                        return port;
                    }
                    // It tells nobody when it is ready.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let why = tokio::select! {
                ended = child.wait() => format!("{ended:?}"),
                port = tokio::time::timeout(TIMEOUT / TRIES, ready) => match port {
                    Ok(port) => return Self { port, folder, _child: child },
                    Err(_) => "it is not ready".to_owned(),
                },
            };
            let port = std::fs::read_to_string(at("port"));
            let log = std::fs::read_to_string(at("log"));
            eprintln!("chirp_server: {why}, port file {port:?}, log {log:?}");
            child.kill().await.unwrap();
            let _ = std::fs::remove_file(at("port"));
        }
        panic!("chirp_server does not come up");
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

/// A tree with what is hard to move: names, empty files, links, depth, modes.
pub(crate) fn hard_tree(at: &Path) {
    use std::fs::{create_dir_all, write};
    let deep = (0..30).fold(at.join("deep"), |path, level| path.join(format!("level {level}")));
    create_dir_all(&deep).unwrap();
    write(deep.join("bottom"), "down here").unwrap();
    for name in hard_names() {
        write(at.join(&name), name.as_bytes()).unwrap();
    }
    write(at.join("empty"), "").unwrap();
    write(at.join("big"), vec![b'x'; 3_000_000]).unwrap();
}

/// Names that real clients can send.
pub(crate) fn hard_names() -> Vec<String> {
    [
        "with space",
        "100%",
        "%41",
        "-rf",
        "--",
        "quote\"'",
        "back\\slash",
        "<angle>",
        "{brace}",
        "~tilde",
        "a;b&c|d",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["x".repeat(255)])
    .collect()
}

/// Both have the same names, of the same kinds, with the same content.
pub(crate) fn same(one: &Path, other: &Path) {
    let list = |path: &Path| {
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        // Of the real server's own.
        let mut names: Vec<_> = names.filter(|name| !name.to_string_lossy().starts_with(".__")).collect();
        names.sort();
        names
    };
    assert_eq!(list(one), list(other), "{} and {}", one.display(), other.display());
    for name in list(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_symlink() {
            assert_eq!(std::fs::read_link(&one).unwrap(), std::fs::read_link(&other).unwrap());
        } else if one.is_dir() {
            same(&one, &other);
        } else {
            assert!(std::fs::read(&one).unwrap() == std::fs::read(&other).unwrap(), "{}", one.display());
        }
    }
}
