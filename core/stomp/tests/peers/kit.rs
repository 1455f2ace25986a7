//! What is installed, stall_timeout, and other people's programs: they end with the test.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Longer than anything takes that works.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a test waits for comes, or the test fails.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(TIMEOUT, what).await.expect("waited for in vain")
}

/// Whether a peer is there; if not, the test has to end, and it fails where everything has to be there.
pub(super) fn installed(package: &str, sign: &str) -> bool {
    if Path::new(sign).exists() {
        return true;
    }
    let reason = format!("{package} is not installed; cargo xtask test --peers installs it");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    // Not by println!, which the test harness keeps to itself.
    writeln!(std::io::stdout(), "skipped: {reason}").unwrap();
    false
}

/// Runs a script to its end and gives what it printed. It has to be content with what it saw.
pub(super) async fn run(interpreter: &str, script: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut command = Command::new(interpreter);
    command.arg(folder.join(script)).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon(command.output()).await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?}: {}\n{out}\n{err}", output.status);
    out
}
