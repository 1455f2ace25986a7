//! What a running command uses: from its cgroup as far as that says it, the rest from `/proc`.

use crate::job::cgroup::Books;
use crate::job::processes::{self, Identity, Process, Snapshot};
use crate::job::record::Supervisor;
use vocable_protocol::{Usage, UsageSource};

/// What the command of this supervisor uses; its cgroup, if it has one, knows better.
pub(super) fn measure(snapshot: &Snapshot, supervisor: &Supervisor) -> Usage {
    let Supervisor { process, group } = supervisor;
    let usage = by_processes(snapshot, *process);
    match group.as_ref().and_then(|group| Books::of(group, process.pid)) {
        Some(books) => corrected(usage, books),
        None => usage,
    }
}

fn corrected(usage: Usage, books: Books) -> Usage {
    let Books { user_s, system_s, memory_bytes, storage_bytes, processes } = books;
    Usage {
        cpu_s: user_s + system_s,
        user_s,
        system_s,
        rss_bytes: memory_bytes.unwrap_or(usage.rss_bytes),
        read_bytes: storage_bytes.map(|(read, _)| read).or(usage.read_bytes),
        written_bytes: storage_bytes.map(|(_, written)| written).or(usage.written_bytes),
        processes,
        source: UsageSource::Cgroup,
    }
}

fn by_processes(snapshot: &Snapshot, supervisor: Identity) -> Usage {
    let tree = snapshot.descendants(supervisor.pid);
    let alive: Vec<&&Process> = tree.iter().filter(|process| !process.is_zombie()).collect();
    // The supervisor's own work is none of the command's, the children it took leave of are.
    let ended = snapshot.find(supervisor).map_or((0, 0), |own| (own.children_user, own.children_system));
    let user: u64 = tree.iter().map(|process| process.user + process.children_user).sum();
    let system: u64 = tree.iter().map(|process| process.system + process.children_system).sum();
    let (user_s, system_s) = (seconds(user + ended.0), seconds(system + ended.1));
    let storage: Vec<_> = alive.iter().filter_map(|process| processes::storage_bytes(process.pid)).collect();
    let storage_known = alive.is_empty() || !storage.is_empty();
    Usage {
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

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}
