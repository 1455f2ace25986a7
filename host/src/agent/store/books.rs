//! The database: its tables, and what is read from it.

use super::{Filter, Run, StoreError, digests, make_private, millis, moment, private_database};
use crate::agent::commands::{Command, Digests, Failure, Program, Progress, State};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocable_protocol::Part;

/// The statements that lead from each version of the database to the next.
pub(super) const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE guests (id TEXT PRIMARY KEY, token_sha256 BLOB NOT NULL, created INTEGER NOT NULL) STRICT;
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, target TEXT NOT NULL, single INTEGER NOT NULL, request TEXT NOT NULL,
        created INTEGER NOT NULL) STRICT;
    CREATE TABLE commands (
        id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, guest TEXT NOT NULL,
        program TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL, started INTEGER, ended INTEGER,
        out_bytes INTEGER NOT NULL DEFAULT 0, err_bytes INTEGER NOT NULL DEFAULT 0, results TEXT, failure TEXT) STRICT;
    CREATE INDEX commands_by_run ON commands (run);
    CREATE INDEX commands_by_age ON commands (created);
    CREATE INDEX commands_under_way ON commands (state) WHERE state IN ('queued', 'running');
",
    "
    ALTER TABLE commands ADD COLUMN expires INTEGER;
    ALTER TABLE commands ADD COLUMN deadline INTEGER;
    CREATE INDEX commands_by_end ON commands (ended) WHERE ended IS NOT NULL;
",
    // `commands` has what lists show, `details` the whole of what is larger, `digests` how far that of a stream is.
    "
    ALTER TABLE commands ADD COLUMN ended_life INTEGER;
    CREATE TABLE details (
        id TEXT PRIMARY KEY REFERENCES commands (id) ON DELETE CASCADE, program TEXT, results TEXT) STRICT;
    CREATE TABLE digests (
        id TEXT NOT NULL REFERENCES commands (id) ON DELETE CASCADE, part TEXT NOT NULL, bytes INTEGER NOT NULL,
        state BLOB NOT NULL, PRIMARY KEY (id, part)) STRICT;
    CREATE TABLE life (seconds INTEGER NOT NULL) STRICT;
    INSERT INTO life VALUES (0);
",
    "
    CREATE TABLE transfers (
        id TEXT PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL, ended INTEGER,
        report TEXT) STRICT;
    CREATE INDEX transfers_by_age ON transfers (created);
",
];

/// What [`command`] reads: as lists show it.
const LISTED: &str = "SELECT c.id, c.run, c.guest, c.program, c.state, c.created, c.started, c.ended, c.out_bytes, \
    c.err_bytes, c.results, c.failure, c.expires, c.deadline FROM commands c";
/// The same, with all there is.
const WHOLE: &str = "SELECT c.id, c.run, c.guest, coalesce(d.program, c.program), c.state, c.created, c.started, \
    c.ended, c.out_bytes, c.err_bytes, coalesce(d.results, c.results), c.failure, c.expires, c.deadline \
    FROM commands c LEFT JOIN details d ON d.id = c.id";

pub(super) struct Books {
    database: Connection,
    path: PathBuf,
}

impl Books {
    /// Opens the database, makes it, or brings it up to date.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        make_private(folder)?;
        let path = folder.join("vocable.db");
        private_database(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let database = Connection::open(&path);
        let database = database.map_err(|source| StoreError::Database { path: path.clone(), source })?;
        let books = Self { database, path };
        let version = books.query(|database| {
            database.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
            )?;
            database.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
        })? as usize;
        let Some(missing) = MIGRATIONS.get(version..) else {
            return Err(StoreError::Newer { path: books.path, found: version, known: MIGRATIONS.len() });
        };
        for (n, migration) in missing.iter().enumerate() {
            let step = format!("BEGIN; {migration}; PRAGMA user_version = {}; COMMIT", version + n + 1);
            books.query(|database| database.execute_batch(&step))?;
        }
        Ok(books)
    }

    pub(super) fn read_only(&self) -> Result<(), StoreError> {
        self.query(|database| database.execute_batch("PRAGMA query_only = ON"))
    }

    fn refused(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }

    /// Does something in the database that is one statement, or only reads.
    pub(super) fn query<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        query(&self.database).map_err(|source| self.refused(source))
    }

    /// Does all of something in the database, or nothing.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let changed = self.database.transaction().and_then(|transaction| {
            let done = change(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        changed.map_err(|source| self.refused(source))
    }

    pub(super) fn run(&self, id: &str) -> Result<Option<Run>, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Run {
                id: row.get(0)?,
                target: row.get(1)?,
                single: row.get(2)?,
                request: row.get(3)?,
                created: moment(row.get(4)?),
            })
        };
        let statement = "SELECT id, target, single, request, created FROM runs WHERE id = ?1";
        self.query(|database| database.query_row(statement, [id], read).optional())
    }

    pub(super) fn command(&self, id: &str) -> Result<Option<Command>, StoreError> {
        self.select(WHOLE, "WHERE c.id = ?1", &[&id], Stored::valid)?.pop().transpose()
    }

    /// Those that are not over, whole. One that is damaged is left out, and in the log: the others go on.
    pub(super) fn under_way(&self) -> Result<Vec<Command>, StoreError> {
        let which = "WHERE c.state IN ('queued', 'running') ORDER BY c.created";
        let valid = |stored: Stored| stored.valid().map_err(|error| tracing::error!("{error}")).ok();
        Ok(self.select(WHOLE, which, &[], valid)?.into_iter().flatten().collect())
    }

    /// Commands of a run as lists show them, by guest, behind that one.
    pub(super) fn commands_of(
        &self,
        run: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Command>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let which = "WHERE c.run = ?1 AND c.guest > ?2 ORDER BY c.guest LIMIT ?3";
        self.listed(which, &[&run, &after, &most])
    }

    pub(super) fn ids_like(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        // Between the prefix and what comes behind all that begin so: an index finds them.
        let statement = "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || char(0x10ffff)
             UNION SELECT id FROM commands WHERE id >= ?1 AND id < ?1 || char(0x10ffff) ORDER BY id LIMIT 100";
        self.query(|database| {
            database.prepare_cached(statement)?.query_map([prefix], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<Command>, StoreError> {
        let state = filter.state.map(State::as_str);
        // Said in the statement, so that the index of those under way is used.
        let of_state = match filter.state {
            Some(_) => "c.state = ?2",
            None if filter.all => "?2 IS NULL",
            None => "?2 IS NULL AND c.state IN ('queued', 'running')",
        };
        let (created, id) = match &filter.after {
            Some(after) => (millis(after.created), after.id.as_str()),
            None => (i64::MAX, ""),
        };
        let since = filter.since.map_or(i64::MIN, millis);
        let which = format!(
            "WHERE (?1 IS NULL OR c.guest = ?1) AND {of_state} AND c.created >= ?3 AND c.created <= ?4
               AND (c.created < ?4 OR c.id > ?5)
             ORDER BY c.created DESC, c.id LIMIT ?6"
        );
        self.listed(&which, &[&filter.guest, &state, &since, &created, &id, &filter.limit])
    }

    fn listed(&self, which: &str, with: &[&dyn ToSql]) -> Result<Vec<Command>, StoreError> {
        // Row by row: of what was written before lists had columns of their own, one at a time is in memory.
        self.select(LISTED, which, with, Stored::listed)
    }

    fn select<T>(
        &self,
        what: &str,
        which: &str,
        with: &[&dyn ToSql],
        make: impl Fn(Stored) -> T,
    ) -> Result<Vec<T>, StoreError> {
        self.query(|database| {
            let mut query = database.prepare_cached(&format!("{what} {which}"))?;
            query.query_map(with, command)?.map(|row| row.map(&make)).collect()
        })
    }

    /// How far the digests of a command's output were when that was written down. One that cannot be read is made
    /// anew.
    pub(super) fn digests(&self, id: &str) -> Result<Digests, StoreError> {
        let mut digests = Digests::default();
        self.query(|database| {
            let mut query =
                database.prepare_cached("SELECT part, bytes, state FROM digests WHERE id = ?1")?;
            let mut rows = query.query([id])?;
            while let Some(row) = rows.next()? {
                let (part, bytes): (String, i64) = (row.get(0)?, row.get(1)?);
                if let Ok(part) = part.parse() {
                    let progress = digests::decoded(&row.get::<_, Vec<u8>>(2)?, bytes.cast_unsigned());
                    *digests.of_mut(part) = progress.unwrap_or_default();
                }
            }
            Ok(())
        })?;
        Ok(digests)
    }

    /// Writes down how far the digest of a stream is.
    pub(super) fn mark(&self, id: &str, part: Part, progress: &Progress) -> Result<(), StoreError> {
        // Nothing of a command that was forgotten meanwhile.
        let statement = "INSERT OR REPLACE INTO digests (id, part, bytes, state)
             SELECT id, ?2, ?3, ?4 FROM commands WHERE id = ?1";
        let with = params![id, part.as_str(), progress.bytes.cast_signed(), digests::encoded(progress)];
        self.query(|database| database.execute(statement, with)).map(drop)
    }
}

/// A row as it was read: the JSON in it is checked outside of SQLite's closures.
struct Stored {
    command: Command,
    state: String,
    program: String,
    results: Option<String>,
    failure: Option<String>,
}

impl Stored {
    /// As lists show it. One that is damaged is listed, too, with what is wrong with it.
    fn listed(self) -> Command {
        let state = self.state.parse().unwrap_or(State::Lost);
        let mut command = Command { state, ..self.command.clone() };
        match self.valid() {
            Ok(valid) => {
                command = valid;
                command.shorten();
            }
            Err(error) => {
                command.failure = Some(Failure::new("internal", error.to_string()));
            }
        }
        command
    }

    fn valid(self) -> Result<Command, StoreError> {
        let Self { command, state, program, results, failure } = self;
        let damaged = |reason: String| StoreError::Damaged { id: command.id.clone(), reason };
        let unreadable = |error: serde_json::Error| damaged(error.to_string());
        let state = state.parse().map_err(|_| damaged(format!("state \"{state}\"")))?;
        let program: Program = serde_json::from_str(&program).map_err(unreadable)?;
        let results = results.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?;
        let failure = failure.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?;
        Ok(Command { state, program: program.into(), results, failure, ..command })
    }
}

/// Reads the columns of [`LISTED`] or [`WHOLE`].
fn command(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    let command = Command {
        id: row.get(0)?,
        run: row.get(1)?,
        guest: row.get(2)?,
        program: Arc::default(),
        state: State::Queued,
        created: moment(row.get(5)?),
        expires: row.get::<_, Option<i64>>(12)?.map(moment),
        deadline: row.get::<_, Option<i64>>(13)?.map(moment),
        started: row.get::<_, Option<i64>>(6)?.map(moment),
        ended: row.get::<_, Option<i64>>(7)?.map(moment),
        out_bytes: row.get::<_, i64>(8)?.cast_unsigned(),
        err_bytes: row.get::<_, i64>(9)?.cast_unsigned(),
        input_taken: 0,
        paused: None,
        ending: false,
        results: None,
        failure: None,
    };
    Ok(Stored {
        command,
        program: row.get(3)?,
        state: row.get(4)?,
        results: row.get(10)?,
        failure: row.get(11)?,
    })
}
