//! Processes as `/proc` shows them: who descends from whom, what they use, how to signal them.
//! A snapshot is out of date at once; whoever ends a tree looks again until nobody is left.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that keeps its identity though numbers are used again: the number, and when the
/// process was born, in clock ticks since the machine's start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pub(crate) born: u64,
}

impl Identity {
    /// Of the calling process.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = Pid::this().as_raw();
        Ok(Self { pid, born: Process::read(pid)?.born })
    }
}

/// One line of the process table.  Times are in clock ticks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) state: char,
    pub(crate) user: u64,
    pub(crate) system: u64,
    /// Of the children it has waited for, and theirs.
    pub(crate) children_user: u64,
    pub(crate) children_system: u64,
    pub(crate) born: u64,
    pub(crate) resident_pages: u64,
}

impl Process {
    fn read(pid: i32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&stat).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is malformed"))
        })
    }

    /// Reads `/proc/PID/stat` (proc_pid_stat(5)).  The name in parentheses may hold anything,
    /// parentheses and newlines included, so the fields are counted from the last `)`.
    fn parse(stat: &[u8]) -> Option<Self> {
        let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?;
        let rest = std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Field 3 of the manual, the state, is the first one here.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let id = |field: usize| fields.get(field - 3)?.parse::<i32>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            state: fields.first()?.chars().next()?,
            parent: id(4)?,
            session: id(6)?,
            user: number(14)?,
            system: number(15)?,
            children_user: number(16)?,
            children_system: number(17)?,
            born: number(22)?,
            resident_pages: number(24)?,
        })
    }

    pub(crate) fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Sends the signal; `false` if the process is gone, or not ours to signal.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        !self.is_zombie() && signal::kill(Pid::from_raw(self.pid), signal).is_ok()
    }
}

pub(crate) struct Snapshot(HashMap<i32, Process>);

impl Snapshot {
    pub(crate) fn take() -> io::Result<Self> {
        let mut processes = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Who has ended since the directory was read is not there.
            if let Ok(process) = Process::read(pid) {
                processes.insert(pid, process);
            }
        }
        Ok(Self(processes))
    }

    #[cfg(test)]
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.0.keys().copied()
    }

    /// The process, if the one that has the number now is the one that is meant.
    pub(crate) fn find(&self, identity: Identity) -> Option<&Process> {
        self.0.get(&identity.pid).filter(|process| process.born == identity.born)
    }

    /// Children, grandchildren and so on, parents before children; not `ancestor` itself.
    pub(crate) fn descendants(&self, ancestor: i32) -> Vec<&Process> {
        let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
        for process in self.0.values() {
            children.entry(process.parent).or_default().push(process);
        }
        let mut found = children.remove(&ancestor).unwrap_or_default();
        let mut next = 0;
        while let Some(process) = found.get(next) {
            // Removed, so that no contradiction between two reads can make this a circle.
            let grandchildren = children.remove(&process.pid).unwrap_or_default();
            found.extend(grandchildren);
            next += 1;
        }
        found
    }

    /// What is left of a session whose leader was `leader`, with everything that descends from it.
    /// Nothing, if the number now belongs to a stranger: the kernel does not give it away while
    /// anybody is in the session.
    pub(crate) fn remains_of_session(&self, leader: Identity) -> Vec<&Process> {
        if self.0.get(&leader.pid).is_some_and(|process| process.born != leader.born) {
            return Vec::new();
        }
        let mut found: BTreeMap<i32, &Process> = BTreeMap::new();
        let members =
            self.0.values().filter(|process| process.session == leader.pid && process.pid != leader.pid);
        for member in members {
            found.insert(member.pid, member);
            found.extend(self.descendants(member.pid).into_iter().map(|process| (process.pid, process)));
        }
        found.into_values().collect()
    }
}

/// Signals everything that descends from `ancestor`, and says how many processes that were.
pub(crate) fn signal_descendants(ancestor: i32, signal: Signal) -> io::Result<usize> {
    let snapshot = Snapshot::take()?;
    Ok(snapshot.descendants(ancestor).into_iter().filter(|process| process.signal(signal)).count())
}

/// Bytes a process (with the children it waited for) moved from and to storage; `None` where the
/// kernel keeps no such books or does not show them to us.
pub(crate) fn storage_bytes(pid: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
    Some((value("read_bytes:")?, value("write_bytes:")?))
}

/// Differs after every start of the machine.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Process {
        Process {
            pid,
            parent,
            session,
            state: 'S',
            user: 0,
            system: 0,
            children_user: 0,
            children_system: 0,
            born: u64::from(pid.unsigned_abs()),
            resident_pages: 0,
        }
    }

    fn snapshot(processes: &[Process]) -> Snapshot {
        Snapshot(processes.iter().map(|process| (process.pid, process.clone())).collect())
    }

    fn pids(processes: Vec<&Process>) -> Vec<i32> {
        let mut pids: Vec<_> = processes.into_iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = b"42 (a) S 1 \xff(b) c) R 7 42 42 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 99 4096 5 0";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'R'));
        assert_eq!((process.user, process.system), (11, 12));
        assert_eq!((process.children_user, process.children_system), (13, 14));
        assert_eq!((process.born, process.resident_pages), (99, 5));
    }

    #[test]
    fn this_process_is_found_where_its_parent_says() {
        let me = Identity::own().unwrap();
        let snapshot = Snapshot::take().unwrap();
        let found = snapshot.find(me).unwrap();
        assert!(pids(snapshot.descendants(found.parent)).contains(&me.pid));
        assert!(snapshot.find(Identity { born: me.born + 1, ..me }).is_none());
    }

    #[test]
    fn descendants_are_found_over_generations_and_circles_do_not_hang() {
        let snapshot = snapshot(&[
            process(2, 1, 2),
            process(3, 2, 2),
            process(4, 3, 4),
            process(5, 1, 5),
            process(7, 7, 7),
        ]);
        assert_eq!(pids(snapshot.descendants(2)), [3, 4]);
        assert_eq!(pids(snapshot.descendants(7)), [7]);
    }

    #[test]
    fn a_session_outlives_its_leader_but_not_the_number_s_next_owner() {
        let members = [process(3, 1, 2), process(4, 3, 4), process(5, 1, 5)];
        let leader = Identity { pid: 2, born: 2 };
        assert_eq!(pids(snapshot(&members).remains_of_session(leader)), [3, 4]);
        let mut reused = members.to_vec();
        reused.push(Process { born: 77, ..process(2, 1, 2) });
        assert!(snapshot(&reused).remains_of_session(leader).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(stat in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Process::parse(&stat);
        }
    }
}
