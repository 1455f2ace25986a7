//! Mounts and networks of a story's own: what a machine does that tests cannot do to the machine they run on. Only root
//! may have them; what the calling thread starts from then on lives in them too.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether a story can be told here; if not, it is skipped, which no build server may do.
pub fn can(condition: bool, reason: &str) -> bool {
    if !condition {
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Not by println!, which the test harness keeps to itself.
        let mut shown = std::io::stdout();
        writeln!(shown, "skipped: {reason}").unwrap();
    }
    condition
}

/// Gives the calling thread mounts of its own; false if the story has to be skipped.
pub fn own_mounts() -> bool {
    let separate = unshare(CloneFlags::CLONE_NEWNS).is_ok() && {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).is_ok()
    };
    can(separate, "mounts of one's own need root")
}

/// Mounts a file system of that size over a folder, which is made if it is missing.
pub fn mount_small(folder: &Path, size: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let options = format!("size={size},mode=700");
    mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// Leaves no room in such a file system but for what is in it; [`resize`] makes room again.
pub fn fill_up(folder: &Path) {
    let stat = nix::sys::statvfs::statvfs(folder).unwrap();
    let used = (stat.blocks() - stat.blocks_free()) * stat.fragment_size();
    // Somebody may write meanwhile: then there is a little more in it.
    let sizes = (0..64).map(|more| used + more * 16 * 1024);
    let options = sizes.map(|size| format!("size={size}"));
    let fits = |options: &String| {
        mount(None::<&str>, folder, None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str())).is_ok()
    };
    assert!(options.into_iter().any(|options| fits(&options)), "{} cannot be filled up", folder.display());
}

/// Changes the size of such a file system.
pub fn resize(folder: &Path, size: &str) {
    let options = format!("size={size}");
    mount(None::<&str>, folder, None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str())).unwrap();
}

/// Takes such a file system away, whoever still uses it.
pub fn unmount(folder: &Path) {
    umount2(folder, MntFlags::MNT_DETACH).unwrap();
}

/// Shows the content of one file at the place of another.
pub fn show_instead(file: &Path, of: &Path) {
    mount(Some(file), of, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

/// The library that makes programs believe another time (package `faketime`).
pub fn false_clock() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let found = folders.map(|it| it.path().join("faketime/libfaketime.so.1")).find(|it| it.exists());
    can(found.is_some(), "there is no libfaketime (package faketime); cargo xtask test --peers installs it");
    found
}

/// Two networks with a link between them that can be taken down: `here`, where the calling thread is from now on, and
/// `there`.
pub struct Link {
    here: String,
    there: String,
}

/// The address of `here`.
pub const HERE: &str = "10.77.61.1";
const THERE: &str = "10.77.61.2";

impl Link {
    /// None if the story has to be skipped.
    pub fn make() -> Option<Self> {
        let is_there = Command::new("ip").arg("-V").output().is_ok();
        let link = Self {
            here: format!("vocable-here-{}", std::process::id()),
            there: format!("vocable-there-{}", std::process::id()),
        };
        let possible = is_there && nix::unistd::geteuid().is_root() && {
            let made = ip(&["netns", "add", &link.here]);
            made.status.success()
        };
        if !can(possible, "networks of one's own need root and ip (package iproute2)") {
            return None;
        }
        link.connect();
        let network = File::open(format!("/var/run/netns/{}", link.here)).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        Some(link)
    }

    fn connect(&self) {
        let (here, there) = (self.here.as_str(), self.there.as_str());
        done(&["netns", "add", there]);
        done(&[
            "-n", here, "link", "add", "veth-v", "type", "veth", "peer", "name", "veth-v", "netns", there,
        ]);
        for (network, address) in [(here, HERE), (there, THERE)] {
            done(&["-n", network, "address", "add", &format!("{address}/24"), "dev", "veth-v"]);
            done(&["-n", network, "link", "set", "lo", "up"]);
            done(&["-n", network, "link", "set", "veth-v", "up"]);
        }
    }

    /// The words that start a program there.
    pub fn there(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.there]
    }

    /// Takes the link down.
    pub fn goes_down(&self) {
        done(&["-n", &self.here, "link", "set", "veth-v", "down"]);
    }

    /// Takes the link up again.
    pub fn comes_up(&self) {
        done(&["-n", &self.here, "link", "set", "veth-v", "up"]);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for network in [&self.here, &self.there] {
            // It may not have been made.
            let _ = ip(&["netns", "delete", network]);
        }
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().unwrap()
}

fn done(arguments: &[&str]) {
    let output = ip(arguments);
    assert!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
