//! What a running command uses: from its cgroup as far as that says it, the rest from `/proc`.

use serde::Serialize;

use super::cgroup::Books;
use super::processes::{self, Identity, Process, Snapshot};
use super::record::Supervisor;

/// What all processes of a command use together, now.  Computing time includes processes that
/// have ended and were waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// Seconds of computing, `user_s` and `system_s` together.
    pub cpu_s: f64,
    /// Seconds of computing in user mode.
    pub user_s: f64,
    /// Seconds of computing in the kernel.
    pub system_s: f64,
    /// Bytes in memory; what processes share is counted for each of them by the process table, once by a cgroup.
    pub rss_bytes: u64,
    /// Bytes read from storage by processes that live, and the children they waited for (by all, in a cgroup); `None`
    /// where the kernel keeps no such books.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage, counted in the same way.
    pub written_bytes: Option<u64>,
    /// How many processes there are.
    pub processes: usize,
    /// Where the figures are from.
    pub source: UsageSource,
}

/// Who keeps the books.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum UsageSource {
    /// The command's cgroup: exact for computing time and processes, and for memory and storage where these
    /// controllers are switched on; otherwise these two are those of the process table.
    Cgroup,
    /// The process table: exact for computing time, a moment's picture for the rest.
    Proc,
}

impl Usage {
    /// What the command of this supervisor uses; its cgroup, if it has one, knows better.
    pub(super) fn of(snapshot: &Snapshot, supervisor: &Supervisor) -> Self {
        let Supervisor { process, group } = supervisor;
        let usage = Self::by_processes(snapshot, *process);
        match group.as_ref().and_then(|group| Books::of(group, process.pid)) {
            Some(books) => usage.corrected(books),
            None => usage,
        }
    }

    fn corrected(self, books: Books) -> Self {
        let Books { user_s, system_s, memory_bytes, storage_bytes, processes } = books;
        Self {
            cpu_s: user_s + system_s,
            user_s,
            system_s,
            rss_bytes: memory_bytes.unwrap_or(self.rss_bytes),
            read_bytes: storage_bytes.map(|(read, _)| read).or(self.read_bytes),
            written_bytes: storage_bytes.map(|(_, written)| written).or(self.written_bytes),
            processes,
            source: UsageSource::Cgroup,
        }
    }

    fn by_processes(snapshot: &Snapshot, supervisor: Identity) -> Self {
        let tree = snapshot.descendants(supervisor.pid);
        let alive: Vec<&&Process> = tree.iter().filter(|process| !process.is_zombie()).collect();
        // The supervisor's own work is none of the command's, the children it took leave of are.
        let ended = snapshot.find(supervisor).map_or((0, 0), |own| (own.children_user, own.children_system));
        let user: u64 = tree.iter().map(|process| process.user + process.children_user).sum();
        let system: u64 = tree.iter().map(|process| process.system + process.children_system).sum();
        let (user_s, system_s) = (seconds(user + ended.0), seconds(system + ended.1));
        let storage: Vec<_> =
            alive.iter().filter_map(|process| processes::storage_bytes(process.pid)).collect();
        let storage_known = alive.is_empty() || !storage.is_empty();
        Self {
            cpu_s: user_s + system_s,
            user_s,
            system_s,
            rss_bytes: alive.iter().map(|process| process.resident_pages).sum::<u64>()
                * rustix::param::page_size() as u64,
            read_bytes: storage_known.then(|| storage.iter().map(|(read, _)| read).sum()),
            written_bytes: storage_known.then(|| storage.iter().map(|(_, written)| written).sum()),
            processes: alive.len(),
            source: UsageSource::Proc,
        }
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
