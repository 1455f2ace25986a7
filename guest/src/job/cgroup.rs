//! A control group (version 2, the kernel's `cgroup-v2.rst`) of its own for each command, where one may be made: the
//! kernel then keeps the books of all its processes, those that detached themselves included.
//!
//! A supervisor enters the group and starts the program, which is born in it: no process of the command is ever
//! outside, and what it takes of memory is put down to the group from the beginning.
//!
//! To move a process can take a grace period of the kernel, some milliseconds in which nobody on the whole machine starts
//! another one.  So a supervisor enters its group only while it waits for a command and nothing else is asked for, and
//! goes back only when the command has lived for a while: commands in quick succession have no groups.
//!
//! Groups are made below the agent's own group where that was delegated to it (systemd: `Delegate=yes`), next to it
//! where it was given a group for itself alone (`DelegateSubgroup=`, which leaves the delegated group without
//! processes, as the kernel wants it before controllers are switched on), and at the top where nobody divides a
//! machine into groups.  Anything else belongs to somebody else.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::sys::signal::{self, Signal};
use nix::unistd::{AccessFlags, Pid, access, geteuid};
use vocable_protocol::sha256_hex;

use super::processes::Identity;

/// What is of use for a command's figures; computing time and the processes need none.
const CONTROLLERS: [&str; 2] = ["memory", "io"];

/// Groups that a command makes in its own are looked into, so deep.
const MAX_DEPTH: usize = 8;

/// The group in which those of the commands are made.
#[derive(Debug)]
pub(crate) struct Parent {
    folder: PathBuf,
    /// What the names of all groups of this agent begin with, so that two agents do not meet.
    prefix: String,
}

impl Parent {
    /// The group that the agent with this folder of jobs may divide, if there is one.
    pub(crate) fn find(jobs: &Path) -> Option<Self> {
        let own = own()?;
        let (folder, delegated) = divisible(&own)?;
        if delegated {
            switch_on(&folder);
        }
        let agent: String = sha256_hex(jobs.as_os_str().as_encoded_bytes()).chars().take(8).collect();
        let parent = Self { folder, prefix: format!("vocable-{agent}-") };
        tracing::debug!(folder = %parent.folder.display(), "each command gets a cgroup of its own");
        Some(parent)
    }

    /// What the path of each group begins with; the rest is the supervisor's.
    pub(crate) fn path_prefix(&self) -> PathBuf {
        self.folder.join(&self.prefix)
    }

    /// Removes groups in which nobody is any more, of commands that outlived their supervisors.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&self.prefix)) {
                remove(&entry.path());
            }
        }
    }
}

/// The group of a command, as its supervisor has it.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    /// Where the supervisor was before, as long as it is inside.
    before: Option<PathBuf>,
}

impl Group {
    /// Makes a group and enters it.  One that cannot be entered is not left behind.
    pub(crate) fn enter(path_prefix: &OsStr) -> io::Result<Self> {
        let before =
            own().ok_or_else(|| io::Error::other("this process is in no cgroup that can be seen"))?;
        let Identity { pid, born } = Identity::own()?;
        let mut folder = path_prefix.to_owned();
        folder.push(format!("{pid}-{born}"));
        let folder = PathBuf::from(folder);
        fs::create_dir(&folder)?;
        move_here(&folder).inspect_err(|_| remove(&folder))?;
        Ok(Self { folder, before: Some(before.folder) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the supervisor has yet to go back.
    pub(crate) fn is_inside(&self) -> bool {
        self.before.is_some()
    }

    /// Goes back to where the supervisor was before.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        let Some(before) = self.before.take() else { return Ok(()) };
        move_here(&before).map_err(|cause| {
            let (folder, before) = (self.folder.display(), before.display());
            io::Error::new(cause.kind(), format!("cannot go back from cgroup {folder} to {before}: {cause}"))
        })
    }

    /// Removes the group, unless the command left processes in the background.  If the supervisor is still inside, this
    /// is left to whoever sees its end.
    pub(crate) fn end(self) {
        if !self.is_inside() {
            remove(&self.folder);
        }
    }
}

/// Removes a group with those that the command made in it, unless somebody is in one of them: the command itself, or
/// processes that it left in the background.
pub(crate) fn remove(group: &Path) {
    if processes(group).is_empty() {
        remove_empty(group);
    }
}

fn remove_empty(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    let _ = fs::remove_dir(group);
}

/// Kills whoever is in the group and in those below it; `false` if there was nobody.
pub(crate) fn kill(group: &Path) -> bool {
    let members = processes(group);
    // Kernels before 5.14 do not do it for the whole group.
    if !members.is_empty() && fs::write(group.join("cgroup.kill"), "1").is_err() {
        for pid in &members {
            let _ = signal::kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
    }
    !members.is_empty()
}

/// What a group says of all the processes in it and below it; a figure whose controller is not switched on is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Books {
    /// Seconds.
    pub(crate) user_s: f64,
    /// Seconds.
    pub(crate) system_s: f64,
    /// Bytes of memory that belong to no file, and of files as far as they are mapped; what processes share is counted
    /// once, and what is kept of files that nobody has mapped is not counted.
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes read from and written to storage.
    pub(crate) storage_bytes: Option<(u64, u64)>,
    pub(crate) processes: usize,
}

impl Books {
    /// The books of the group of a command; `None` where there is no such group.  The supervisor is no process of the
    /// command, also when it is inside; the little it computed and the few pages it touched there count.
    pub(crate) fn of(group: &Path, supervisor: i32) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(group.join(name)).ok();
        let (user_s, system_s) = computing(&read("cpu.stat")?)?;
        Some(Self {
            user_s,
            system_s,
            memory_bytes: read("memory.stat").as_deref().and_then(memory),
            storage_bytes: read("io.stat").as_deref().map(storage),
            processes: processes(group).into_iter().filter(|pid| *pid != supervisor).count(),
        })
    }
}

/// The numbers of the processes in a group and in those below it.
fn processes(group: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    let mut groups = vec![(group.to_owned(), 0)];
    while let Some((group, depth)) = groups.pop() {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        let below = fs::read_dir(&group).into_iter().flatten().flatten().filter(|_| depth < MAX_DEPTH);
        let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        groups.extend(folders.map(|entry| (entry.path(), depth + 1)));
    }
    found
}

/// Seconds in user mode and in the kernel, of `cpu.stat`.
fn computing(text: &str) -> Option<(f64, f64)> {
    let seconds = |name| Some(value(text, name)? as f64 / 1e6);
    Some((seconds("user_usec")?, seconds("system_usec")?))
}

/// Bytes, of `memory.stat`.
fn memory(text: &str) -> Option<u64> {
    value(text, "anon")?.checked_add(value(text, "file_mapped")?)
}

fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Bytes read and written, of `io.stat`: a line for each device, none as long as nothing was moved.
fn storage(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let fields = text.split_ascii_whitespace().filter_map(|field| field.strip_prefix(name)?.parse().ok());
        fields.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

struct Own {
    folder: PathBuf,
    /// Whether it is the highest one that can be seen.
    top: bool,
}

/// The calling process's own.
fn own() -> Option<Own> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    locate(&mounts, &groups)
}

/// Finds the folder of a group from `/proc/PID/mountinfo` (proc_pid_mountinfo(5)) and `/proc/PID/cgroup`
/// (cgroups(7)).
fn locate(mounts: &str, groups: &str) -> Option<Own> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if kind.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        // A group outside of what is mounted is seen as a way up.
        let below = Path::new(path).strip_prefix(root).ok()?;
        let top = below.as_os_str().is_empty();
        let inside = below.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| Own { folder: Path::new(at).join(below), top })
    })
}

/// The group that may be divided, and whether it was delegated; see the head of this file.
fn divisible(own: &Own) -> Option<(PathBuf, bool)> {
    let parent = own.folder.parent().filter(|_| !own.top);
    let delegated = parent.filter(|parent| is_delegated(parent)).map(Path::to_owned);
    let delegated = delegated.or_else(|| is_delegated(&own.folder).then(|| own.folder.clone()));
    match delegated {
        Some(folder) => Some((folder, true)),
        None if own.top && is_writable(&own.folder) => Some((own.folder.clone(), false)),
        None => None,
    }
}

/// Whether a manager left this group to whoever is in it: it says so (systemd does, in an attribute), or gave it away.
fn is_delegated(group: &Path) -> bool {
    let says = |name: &str| {
        let mut value = [0; 1];
        rustix::fs::getxattr(group, name, &mut value).is_ok_and(|length| length == 1 && value == *b"1")
    };
    let given_away = || !geteuid().is_root() && is_writable(group);
    says("user.delegate") || says("trusted.delegate") || given_away()
}

/// Whether groups can be made in it and processes moved through it.
fn is_writable(group: &Path) -> bool {
    let writable = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    writable(group) && writable(&group.join("cgroup.procs"))
}

/// Switches on what groups below are to keep books of.  What is not there, or cannot be switched on because somebody
/// is in the group, stays off.
fn switch_on(group: &Path) {
    for controller in CONTROLLERS {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn move_here(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), Pid::this().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOUNTS: &str = "22 1 0:20 / /proc rw - proc proc rw\n\
        31 22 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn located(mounts: &str, groups: &str) -> Option<(String, bool)> {
        locate(mounts, groups).map(|own| (own.folder.to_str().unwrap().to_owned(), own.top))
    }

    #[test]
    fn the_own_group_is_found_wherever_it_is_mounted() {
        let service = "0::/system.slice/vocable-guest.service\n";
        let found = located(MOUNTS, service).unwrap();
        assert_eq!(found, ("/sys/fs/cgroup/system.slice/vocable-guest.service".to_owned(), false));
        assert_eq!(located(MOUNTS, "0::/\n").unwrap(), ("/sys/fs/cgroup/".to_owned(), true));
        // Beside version 1, and with a part of the tree only.
        let both = "30 1 0:9 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    41 31 0:38 /a /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/x\n0::/a/b\n";
        assert_eq!(located(both, groups).unwrap(), ("/sys/fs/cgroup/unified/b".to_owned(), false));
        for nothing in ["4:memory:/x\n", "0::/b\n", "0::/../a\n", "0::/a/../..\n", ""] {
            assert_eq!(located(both, nothing), None, "{nothing:?}");
        }
        assert_eq!(located("22 1 0:20 / /proc rw - proc proc rw\n", service), None);
    }

    #[test]
    fn books_are_read_as_the_kernel_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Books::of(dir.path(), 11), None);
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("cpu.stat", "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnr_periods 0\n");
        write("cgroup.procs", "11\n12\n13\n");
        let without_controllers = Books { user_s: 2.5, system_s: 1.0, processes: 2, ..Books::default() };
        assert_eq!(Books::of(dir.path(), 11), Some(without_controllers));

        write("memory.stat", "anon 4096\nfile 99999999\nkernel 5\nanon_thp 7\nfile_mapped 8192\n");
        write(
            "io.stat",
            "8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:1 rbytes=1 wbytes=3 rios=1\n",
        );
        fs::create_dir(dir.path().join("below")).unwrap();
        write("below/cgroup.procs", "14\n");
        let with_them = Books {
            memory_bytes: Some(12_288),
            storage_bytes: Some((101, 23)),
            processes: 3,
            ..without_controllers
        };
        assert_eq!(Books::of(dir.path(), 11), Some(with_them));
        write("io.stat", "");
        assert_eq!(Books::of(dir.path(), 11).unwrap().storage_bytes, Some((0, 0)));
    }

    #[test]
    fn only_what_nobody_else_manages_is_divided() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("service");
        fs::create_dir(&group).unwrap();
        for folder in [dir.path(), &group] {
            fs::write(folder.join("cgroup.procs"), "").unwrap();
        }
        let own = |folder: &Path, top| Own { folder: folder.to_owned(), top };
        assert_eq!(divisible(&own(dir.path(), true)).map(|(folder, _)| folder).as_deref(), Some(dir.path()));
        if geteuid().is_root() {
            assert_eq!(divisible(&own(&group, false)), None, "the rights of root are no delegation");
        }
        let mark = |folder: &Path| {
            rustix::fs::setxattr(folder, "user.delegate", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        };
        mark(&group);
        assert_eq!(divisible(&own(&group, false)), Some((group.clone(), true)));
        let subgroup = group.join("agent");
        fs::create_dir(&subgroup).unwrap();
        assert_eq!(divisible(&own(&subgroup, false)), Some((group, true)));
    }

    #[test]
    fn where_the_kernel_does_not_kill_a_group_its_members_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut member = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(dir.path().join("cgroup.procs"), member.id().to_string()).unwrap();
        // Nothing can be written there.
        fs::create_dir(dir.path().join("cgroup.kill")).unwrap();
        assert!(kill(dir.path()));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&member.wait().unwrap()), Some(9));
        fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        assert!(!kill(dir.path()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "\\PC{0,80}|((rbytes=|anon |user_usec |0::/|- cgroup2 )[0-9/. ]{0,25}\n?){0,6}",
        ) {
            let _ = (computing(&text), memory(&text), storage(&text), locate(&text, &text), locate(MOUNTS, &text));
        }
    }
}
