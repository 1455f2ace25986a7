//! What survives a restart of the host agent: the transfers, in a database of their own. Blocking work on a thread for it.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// Transfers that are over and still listed; older ones are forgotten.
const KEPT: u32 = 1000;

/// The statements that lead from each version of the database to the next.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE transfers (
        id TEXT PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER,
        outcome TEXT) STRICT;
    CREATE INDEX transfers_by_age ON transfers (created);
"];

/// Why the ledger did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The database refused.
    #[error("transfers: {0}")]
    Database(#[from] rusqlite::Error),
    /// It cannot be made, or not be kept from others.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer Vocable has written it.
    #[error("transfers.db has version {found}, and this program knows up to {known}; use a newer vocable")]
    Newer {
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// The agent is stopping.
    #[error("transfers: the agent is stopping")]
    Closed,
}

/// Which way.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// To the guest.
    Push,
    /// From the guest.
    Pull,
}

/// What is wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Spec {
    /// Which way.
    pub(crate) direction: Direction,
    /// Whom to or from.
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

/// How it stands with a transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Waits for its turn, or for its guest.
    Queued,
    /// Under way.
    Running,
    /// All was copied.
    Done,
    /// Something was not.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The name it has everywhere.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A transfer.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// Its id.
    pub(crate) id: String,
    /// What was wanted.
    pub(crate) spec: Spec,
    /// How it stands.
    pub(crate) state: State,
    /// When it was asked for.
    pub(crate) created: OffsetDateTime,
    /// When it was over.
    pub(crate) ended: Option<OffsetDateTime>,
    /// What came of it: JSON of [`super::Report`].
    pub(crate) report: super::Report,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Mutex<Connection>>);

impl Ledger {
    /// Opens or makes it in a folder. Only its owner can read it, whatever the umask and the folder's mode are.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join("transfers.db");
        make_private(&path).map_err(|source| LedgerError::File { path: path.clone(), source })?;
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What was promised is on the disk: an id is given once its transfer is written down.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let found = found as usize;
        if found > MIGRATIONS.len() {
            return Err(LedgerError::Newer { found, known: MIGRATIONS.len() });
        }
        for (version, migration) in MIGRATIONS.iter().enumerate().skip(found) {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.execute_batch(&format!("PRAGMA user_version = {}", version + 1))?;
            transaction.commit()?;
        }
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let connection = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            work(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(done.await.map_err(|_| LedgerError::Closed)??)
    }

    /// Writes a transfer down as it is now.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn write(&self, transfer: &Transfer) -> Result<(), LedgerError> {
        let it = transfer.clone();
        self.on_disk(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO transfers (id, spec, state, created, ended, outcome) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    it.id,
                    json(&it.spec),
                    it.state.as_str(),
                    it.created.unix_timestamp(),
                    it.ended.map(OffsetDateTime::unix_timestamp),
                    json(&it.report),
                ],
            )?;
            connection.execute(
                "DELETE FROM transfers WHERE ended IS NOT NULL AND id NOT IN \
                 (SELECT id FROM transfers ORDER BY created DESC, rowid DESC LIMIT ?1)",
                [KEPT],
            )?;
            Ok(())
        })
        .await
    }

    /// The transfer of that id.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn find(&self, id: &str) -> Result<Option<Transfer>, LedgerError> {
        let id = id.to_owned();
        self.on_disk(move |connection| {
            connection
                .query_row(
                    "SELECT id, spec, state, created, ended, outcome FROM transfers WHERE id = ?1",
                    [id],
                    read,
                )
                .optional()
        })
        .await
    }

    /// All transfers, newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn list(&self) -> Result<Vec<Transfer>, LedgerError> {
        self.on_disk(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, spec, state, created, ended, outcome FROM transfers ORDER BY created DESC, rowid DESC",
            )?;
            let rows = statement.query_map([], read)?;
            rows.collect()
        })
        .await
    }
}

/// Makes the database, which gives the files beside it the same mode, for its owner only. Its name is on the disk with it.
fn make_private(path: &Path) -> std::io::Result<()> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    opened.set_permissions(Permissions::from_mode(0o600))?;
    // What an older version has left there.
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        match std::fs::set_permissions(&beside, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// As JSON: structs of texts and numbers can always be written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read(row: &Row<'_>) -> Result<Transfer, rusqlite::Error> {
    let damaged = |column: usize, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    };
    let state: String = row.get(2)?;
    let time =
        |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let report: Option<String> = row.get(5)?;
    Ok(Transfer {
        id: row.get(0)?,
        spec: serde_json::from_str(&row.get::<_, String>(1)?).map_err(|error| damaged(1, error))?,
        state: State::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(State::Failed),
        created: time(row.get(3)?),
        ended: row.get::<_, Option<i64>>(4)?.map(time),
        report: report.and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(id: &str, state: State) -> Transfer {
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
        let created = OffsetDateTime::from_unix_timestamp(1_795_330_871).unwrap();
        let report = super::super::Report { bytes: 5, ..Default::default() };
        Transfer { id: id.into(), spec, state, created, ended: None, report }
    }

    #[tokio::test]
    async fn nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        // Of a version that left that to the umask.
        std::fs::write(folder.path().join("transfers.db"), "").unwrap();
        let open = Permissions::from_mode(0o644);
        std::fs::set_permissions(folder.path().join("transfers.db"), open).unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.write(&transfer("a", State::Queued)).await.unwrap();
        let modes = std::fs::read_dir(folder.path()).unwrap().map(|found| {
            let found = found.unwrap();
            (found.file_name(), found.metadata().unwrap().permissions().mode() & 0o7777)
        });
        let modes: Vec<_> = modes.collect();
        assert!(modes.len() > 1 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    }

    #[tokio::test]
    async fn transfers_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.write(&transfer("a", State::Running)).await.unwrap();
        ledger.write(&transfer("b", State::Queued)).await.unwrap();
        ledger.write(&transfer("a", State::Done)).await.unwrap();
        drop(ledger);
        let ledger = Ledger::open(folder.path()).unwrap();
        let found = ledger.find("a").await.unwrap().unwrap();
        assert_eq!((found.state, found.report.bytes), (State::Done, 5));
        assert_eq!(found.spec, transfer("a", State::Done).spec);
        assert_eq!(ledger.list().await.unwrap().len(), 2);
        assert!(ledger.find("c").await.unwrap().is_none());
    }
}
