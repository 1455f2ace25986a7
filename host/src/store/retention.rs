//! Forgetting commands that are over: which are old enough or too many, and everything there is of them.

use super::{Disk, StoreError, millis};
use rusqlite::params;
use std::fs;
use std::io;
use time::OffsetDateTime;

/// Commands forgotten in one go: others want the disk too.
const MOST_AT_ONCE: u32 = 1000;

/// The commands that ended before that moment, and the oldest of the others whose output is too much together.
pub(super) fn retired(
    disk: &Disk,
    before: OffsetDateTime,
    most_bytes: u64,
) -> Result<Vec<String>, StoreError> {
    let refused = disk.refused();
    let mut query = disk
        .database
        .prepare_cached(
            // The newest first: what all up to here have written together.
            "SELECT id FROM (
                 SELECT id, ended, sum(out_bytes + err_bytes) OVER (ORDER BY ended DESC, id) AS so_far
                 FROM commands WHERE ended IS NOT NULL)
             WHERE ended < ?1 OR so_far > ?2 ORDER BY ended LIMIT ?3",
        )
        .map_err(&refused)?;
    let most = i64::try_from(most_bytes).unwrap_or(i64::MAX);
    let rows =
        query.query_map(params![millis(before), most, MOST_AT_ONCE], |row| row.get(0)).map_err(&refused)?;
    rows.map(|row| row.map_err(&refused)).collect()
}

/// Forgets those that are over, and gives which those were.
pub(super) fn forget(disk: &mut Disk, ids: &[String]) -> Result<Vec<String>, StoreError> {
    let refused = disk.refused();
    let writing = disk.database.transaction().map_err(&refused)?;
    let mut forgotten = Vec::new();
    for id in ids {
        let gone = writing.execute("DELETE FROM commands WHERE id = ?1 AND ended IS NOT NULL", [id]);
        if gone.map_err(&refused)? > 0 {
            forgotten.push(id.clone());
        }
    }
    writing
        .execute(
            "DELETE FROM runs WHERE NOT EXISTS (SELECT 1 FROM commands WHERE commands.run = runs.id)",
            [],
        )
        .map_err(&refused)?;
    writing.commit().map_err(&refused)?;
    for id in &forgotten {
        remove_output(disk, id)?;
    }
    Ok(forgotten)
}

fn remove_output(disk: &mut Disk, id: &str) -> Result<(), StoreError> {
    if disk.open.as_ref().is_some_and(|(open, ..)| open == id) {
        disk.open = None;
    }
    let path = disk.folder.join("output").join(id);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::File { path, source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Filter, Run, Store, moment};
    use crate::commands::{Command, Part, Program, State};
    use bytes::Bytes;

    /// Three commands that ended one second after the other, with 100 octets each, and one that runs.
    async fn store(folder: &std::path::Path) -> Store {
        let store = Store::open(folder).unwrap();
        let at = |seconds: i64| moment(1_790_000_000_000 + seconds * 1000);
        for n in 0..4 {
            let id = format!("run{n}");
            let created = at(n);
            let run =
                Run { id: id.clone(), target: "vm1".into(), single: true, request: "{}".into(), created };
            let mut command = Command::new(&id, "vm1", Program::default(), created);
            store.add(run, vec![command.clone()]).await.unwrap();
            store.append(command.id.clone(), Part::Out, 0, Bytes::from(vec![b'x'; 100])).await.unwrap();
            if n < 3 {
                (command.state, command.ended, command.out_bytes) = (State::Done, Some(at(n)), 100);
                store.update(command).await.unwrap();
            }
        }
        store
    }

    async fn left(store: &Store) -> Vec<String> {
        let all = store.list(Filter { all: true, limit: 10, ..Filter::default() }).await.unwrap();
        all.into_iter().rev().map(|command| command.run).collect()
    }

    #[tokio::test]
    async fn what_is_old_is_forgotten_with_all_there_is_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let forgotten = store.retire(moment(1_790_000_001_500), u64::MAX).await.unwrap();
        assert_eq!(forgotten, ["run0.vm1", "run1.vm1"]);
        assert_eq!(left(&store).await, ["run2", "run3"]);
        assert_eq!(store.run("run0".into()).await.unwrap(), None);
        assert!(!folder.path().join("output/run0.vm1").exists());
        assert!(folder.path().join("output/run2.vm1").exists());
    }

    #[tokio::test]
    async fn of_too_much_output_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        assert!(store.retire(moment(0), 300).await.unwrap().is_empty());
        assert_eq!(store.retire(moment(0), 299).await.unwrap(), ["run0.vm1"]);
        assert_eq!(store.retire(moment(0), 0).await.unwrap(), ["run1.vm1", "run2.vm1"]);
        assert_eq!(left(&store).await, ["run3"], "what runs stays, whatever it has written");
    }

    #[tokio::test]
    async fn only_what_is_over_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let ids = ["run3.vm1", "run2.vm1", "nobody"].map(String::from).to_vec();
        assert_eq!(store.forget(ids).await.unwrap(), ["run2.vm1"]);
        assert_eq!(left(&store).await, ["run0", "run1", "run3"]);
    }
}
