//! A real VirtualBox for the tests, in a root of its own under `target/peers/virtualbox`: see `tests/virtualbox`.

use crate::shell::{Run, print, root};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long the tests' machine may take to boot: two minutes when nothing else is going on.
const BOOT_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Makes the root, if it is not there. VirtualBox that cannot be had is no failure of this: the reason is noted where
/// the tests find it, and told in a line of its own.
pub(crate) fn install() -> Result<()> {
    let noted = folder().join("unavailable");
    if folder().join("root/usr/lib/virtualbox/VBoxXPCOMC.so").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder())?;
    let launcher = folder().join("launcher");
    let compile = Run::new("rustc").args(["--edition", "2024", "-O", "-o"]).arg(&launcher);
    compile.arg(tests().join("launcher.rs")).go()?;
    let made = Run::new("sh").arg(tests().join("root.sh")).arg(folder()).arg(&launcher).go();
    if let Err(error) = made {
        print(&format!("skipped: the tests with a real VirtualBox: it cannot be had: {error:#}"));
        return Ok(std::fs::write(noted, format!("{error:#}"))?);
    }
    match std::fs::remove_file(noted) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What the tests' machine was made from, beside it: when that changes, it is made anew.
const MADE_FROM: &str = "made-from";

/// All that the tests' machine is made from.
fn recipe() -> Result<Vec<u8>> {
    let files = ["guest.sh", "boot.sh", "init", "isolinux.cfg", "udhcpc", "power-button"];
    let read = |name| std::fs::read(tests().join(name)).context(name);
    Ok(files.map(read).into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The tests' Linux machine, while it boots beside everything else.
pub(crate) struct Boot {
    child: Child,
    recipe: Vec<u8>,
    latest: Instant,
}

/// Begins to boot the tests' machine, if there is a VirtualBox and no snapshot yet of a machine made like this.
pub(crate) fn boot() -> Result<Option<Boot>> {
    let recipe = recipe()?;
    let is_made = std::fs::read(folder().join("guest").join(MADE_FROM)).is_ok_and(|made| made == recipe);
    if !folder().join("root").exists() || is_made {
        return Ok(None);
    }
    print(
        "a machine boots in the background, for the stories of VirtualBox: target/peers/virtualbox/guest.log",
    );
    let log = File::create(log())?;
    let mut boot = Command::new("sh");
    boot.arg(tests().join("guest.sh")).arg(folder()).stdout(log.try_clone()?).stderr(log);
    let child = boot.spawn().context("sh")?;
    Ok(Some(Boot { child, recipe, latest: Instant::now() + BOOT_TIMEOUT }))
}

impl Boot {
    /// Waits until it has booted.
    pub(crate) fn wait(mut self) -> Result<()> {
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => {
                    return Ok(std::fs::write(folder().join("guest").join(MADE_FROM), &self.recipe)?);
                }
                Some(status) => bail!("the tests' machine did not boot: {status}\n{}", boot_log()),
                None if Instant::now() >= self.latest => {
                    bail!(
                        "the tests' machine did not boot within {} min\n{}",
                        BOOT_TIMEOUT.as_secs() / 60,
                        boot_log()
                    )
                }
                None => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // It may have ended; what it has started ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was said while it booted.
fn boot_log() -> String {
    std::fs::read_to_string(log()).unwrap_or_default()
}

fn log() -> PathBuf {
    folder().join("guest.log")
}

fn folder() -> PathBuf {
    root().join("target/peers/virtualbox")
}

fn tests() -> PathBuf {
    root().join("tests/virtualbox")
}
