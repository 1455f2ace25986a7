//! What a running command uses, from `/proc`.

use serde::Serialize;

use super::processes::{self, Identity, Process, Snapshot};

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
    /// Bytes in memory; what processes share is counted for each of them.
    pub rss_bytes: u64,
    /// Bytes read from storage by processes that live, and the children they waited for; `None`
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
    /// The process table: exact for computing time, a moment's picture for the rest.
    Proc,
}

impl Usage {
    pub(super) fn of(snapshot: &Snapshot, supervisor: Identity) -> Self {
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
