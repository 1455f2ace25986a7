//! Copies that the agent makes by itself, as they are written down.

use super::books::Books;
use super::{STEP, Store, StoreError, json, millis, moment, private_database};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::Path;
use time::OffsetDateTime;
use vocable_api::file::{Direction, TransferState};
use vocable_copy::Outcome;

/// Transfers that are over and still listed; older ones are forgotten.
const KEPT: u32 = 1000;

/// Where an earlier agent kept them.
const OWN_DATABASE: &str = "transfers.db";

/// What is wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Spec {
    pub(crate) direction: Direction,
    pub(crate) guest: String,
    /// The path on this host.
    pub(crate) local: String,
    /// The path on the guest.
    pub(crate) remote: String,
    /// What to leave out.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Remove at the destination what is not in the source.
    #[serde(default)]
    pub(crate) delete: bool,
    /// Go on with what is there already.
    pub(crate) resume: bool,
    /// Take over set-user-id bits and links that lead out of the tree.
    #[serde(default)]
    pub(crate) preserve: bool,
}

/// How far a transfer has come, and what came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct Report {
    /// Files that are whole at their destination.
    pub(crate) files: u64,
    /// Bytes that were sent.
    pub(crate) bytes: u64,
    /// Files to be sent; those that were there already don't count.
    pub(crate) total_files: u64,
    /// Bytes to be sent.
    pub(crate) total_bytes: u64,
    /// Files that were there already.
    pub(crate) skipped: u64,
    /// Bytes that were there already, of begun files.
    pub(crate) resumed_from: u64,
    /// What failed.
    pub(crate) outcome: Outcome,
    /// Why it is over, if not because it is done: slug and text.
    pub(crate) error: Option<(String, String)>,
}

/// A transfer.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: String,
    pub(crate) spec: Spec,
    pub(crate) state: TransferState,
    /// When it was asked for.
    pub(crate) created: OffsetDateTime,
    /// When it was over.
    pub(crate) ended: Option<OffsetDateTime>,
    pub(crate) report: Report,
}

impl Store {
    /// Writes a transfer down as it is now. Of those that are over the oldest are forgotten.
    pub(crate) async fn write_transfer(&self, transfer: &Transfer) -> Result<(), StoreError> {
        let Transfer { id, spec, state, created, ended, report } = transfer.clone();
        let (spec, report, state) = (json(&spec), json(&report), state.to_string());
        self.on_disk(move |disk| {
            disk.books.write(|database| {
                let write = "INSERT INTO transfers (id, spec, state, created, ended, report)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET state = ?3, ended = ?5, report = ?6";
                let row = params![id, spec, state, millis(created), ended.map(millis), report];
                database.execute(write, row)?;
                if ended.is_some() {
                    let forget = "DELETE FROM transfers WHERE ended IS NOT NULL AND rowid NOT IN
                         (SELECT rowid FROM transfers ORDER BY created DESC, rowid DESC LIMIT ?1)";
                    database.execute(forget, [KEPT])?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The transfer of that id.
    pub(crate) async fn transfer(&self, id: String) -> Result<Option<Transfer>, StoreError> {
        self.off_disk(move |reader| {
            let query = "SELECT id, spec, state, created, ended, report FROM transfers WHERE id = ?1";
            reader.books.query(|database| database.query_row(query, [id], read).optional())
        })
        .await
    }

    /// All transfers, newest first. One that is damaged is left out, and in the log.
    pub(crate) async fn transfers(&self) -> Result<Vec<Transfer>, StoreError> {
        let (mut all, mut after) = (Vec::new(), (i64::MAX, i64::MAX));
        loop {
            let some = self.off_disk(move |reader| page(&reader.books, after)).await?;
            let is_last = some.len() < STEP;
            for (key, found) in some {
                after = key;
                match found {
                    Ok(transfer) => all.push(transfer),
                    Err(error) => tracing::error!("a transfer cannot be read: {error}"),
                }
            }
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// When a transfer was asked for, and its number: what lists are in the order of.
type Key = (i64, i64);

/// A transfer, or why it cannot be read.
type Found = (Key, Result<Transfer, rusqlite::Error>);

/// The newest of those before that key.
fn page(books: &Books, (created, number): Key) -> Result<Vec<Found>, StoreError> {
    let query = "SELECT id, spec, state, created, ended, report, rowid FROM transfers
         WHERE (created, rowid) < (?1, ?2) ORDER BY created DESC, rowid DESC LIMIT ?3";
    let most = i64::try_from(STEP).unwrap_or(i64::MAX);
    books.query(|database| {
        let mut query = database.prepare_cached(query)?;
        let rows = query
            .query_map(params![created, number, most], |row| Ok(((row.get(3)?, row.get(6)?), read(row))))?;
        rows.collect()
    })
}

fn read(row: &Row<'_>) -> Result<Transfer, rusqlite::Error> {
    let damaged = |column: usize, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    let report: Option<String> = row.get(5)?;
    Ok(Transfer {
        id: row.get(0)?,
        spec: serde_json::from_str(&row.get::<_, String>(1)?).map_err(|error| damaged(1, error))?,
        state: row.get::<_, String>(2)?.parse().unwrap_or(TransferState::Failed),
        created: moment(row.get(3)?),
        ended: row.get::<_, Option<i64>>(4)?.map(moment),
        report: report.and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default(),
    })
}

/// Takes over the transfers of an earlier agent, which kept them in a database of their own, in seconds.
pub(super) fn take_over(folder: &Path, books: &Books) -> Result<(), StoreError> {
    let old = folder.join(OWN_DATABASE);
    let failed = |source| StoreError::File { path: old.clone(), source };
    if !old.exists() {
        return Ok(());
    }
    private_database(&old).map_err(failed)?;
    let taken = books.query(|database| {
        database.execute("ATTACH ?1 AS old", [&*old.to_string_lossy()])?;
        // One that was made and never used has no table.
        let is_there = "SELECT count(*) FROM old.sqlite_schema WHERE name = 'transfers'";
        let is_there = database.query_row(is_there, [], |row| row.get::<_, bool>(0))?;
        let take =
            "INSERT OR IGNORE INTO transfers SELECT id, spec, state, created * 1000, ended * 1000, outcome
             FROM old.transfers ORDER BY created, rowid";
        let taken = if is_there { database.execute(take, []) } else { Ok(0) };
        database.execute("DETACH old", [])?;
        taken
    })?;
    tracing::info!("{taken} transfers are taken over from {}", old.display());
    for suffix in ["", "-wal", "-shm"] {
        let mut name = old.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn transfer(id: &str, state: TransferState) -> Transfer {
        let spec = Spec {
            direction: Direction::Push,
            guest: "vm1".into(),
            local: "/srv/x".into(),
            remote: "/inbox/x".into(),
            exclude: vec!["*.o".into()],
            delete: false,
            resume: true,
            preserve: false,
        };
        let ended = state.is_over().then(|| moment(1_795_330_872_500));
        let report = Report { bytes: 5, ..Default::default() };
        Transfer { id: id.into(), spec, state, created: moment(1_795_330_871_000), ended, report }
    }

    #[tokio::test]
    async fn transfers_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        store.write_transfer(&transfer("a", TransferState::Running)).await.unwrap();
        store.write_transfer(&transfer("b", TransferState::Queued)).await.unwrap();
        store.write_transfer(&transfer("a", TransferState::Done)).await.unwrap();
        drop(store);
        let store = Store::open(folder.path(), 0).unwrap();
        let found = store.transfer("a".into()).await.unwrap().unwrap();
        assert_eq!((found.state, found.report.bytes), (TransferState::Done, 5));
        let written = transfer("a", TransferState::Done);
        assert_eq!((found.spec, found.ended), (written.spec, written.ended));
        let ids = |all: Vec<Transfer>| all.into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(store.transfers().await.unwrap()), ["b", "a"]);
        assert!(store.transfer("c".into()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_oldest_that_are_over_are_forgotten_and_all_others_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        let numbered = |n: usize, state| {
            let created = moment(1_795_330_871_000 + i64::try_from(n).unwrap());
            Transfer { created, ..transfer(&format!("t{n}"), state) }
        };
        store.write_transfer(&numbered(0, TransferState::Running)).await.unwrap();
        for n in 1..1005 {
            store.write_transfer(&numbered(n, TransferState::Done)).await.unwrap();
        }
        let all = store.transfers().await.unwrap();
        assert_eq!((all.len(), all[0].id.as_str(), all[1000].id.as_str()), (1001, "t1004", "t0"));
    }

    #[tokio::test]
    async fn transfers_of_an_earlier_agent_are_taken_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("transfers.db");
        let database = Connection::open(&old).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA user_version = 1;
                 CREATE TABLE transfers (
                     id TEXT PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,
                     ended INTEGER, outcome TEXT) STRICT;",
            )
            .unwrap();
        for (id, state) in [("a", "running"), ("b", "done")] {
            let it = transfer(id, state.parse().unwrap());
            let insert = "INSERT INTO transfers VALUES (?1, ?2, ?3, 1795330871, ?4, ?5)";
            let ended = it.ended.map(|_| 1_795_330_872);
            database.execute(insert, params![id, json(&it.spec), state, ended, json(&it.report)]).unwrap();
        }
        // Killed: what is in its log has not been moved.
        std::mem::forget(database);
        let store = Store::open(folder.path(), 0).unwrap();
        let all = store.transfers().await.unwrap();
        let found = all.iter().map(|it| (it.id.as_str(), it.state, it.report.bytes)).collect::<Vec<_>>();
        assert_eq!(found, [("b", TransferState::Done, 5), ("a", TransferState::Running, 5)]);
        assert_eq!(all[0].created, moment(1_795_330_871_000));
        assert_eq!(all[0].ended, Some(moment(1_795_330_872_000)));
        let left = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with("transfers")));
        drop(store);
        // One that was made and never used.
        fs::write(&old, "").unwrap();
        assert_eq!(Store::open(folder.path(), 0).unwrap().transfers().await.unwrap().len(), 2);
        assert!(!old.exists());
    }
}
