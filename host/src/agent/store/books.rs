//! The database: its tables, and what is read from it.

use super::{Filter, Run, StoreError, digests, make_private, millis, moment, private_database};
use crate::agent::commands::{Command, Digests, Failure, Program, Progress, State};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vocable_api::Part;

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

/// A connection to the database.
pub(super) struct Books {
    pub(super) database: Connection,
    path: PathBuf,
}

impl Books {
    /// Opens the database, makes it, or brings it up to date.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        make_private(folder)?;
        let path = folder.join("vocable.db");
        private_database(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        let refused = |source| StoreError::Database { path: path.clone(), source };
        let database = Connection::open(&path).map_err(refused)?;
        database
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            .map_err(refused)?;
        let version: usize = database
            .query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))
            .map_err(refused)? as usize;
        let Some(missing) = MIGRATIONS.get(version..) else {
            return Err(StoreError::Newer { path, found: version, known: MIGRATIONS.len() });
        };
        for (n, migration) in missing.iter().enumerate() {
            let step = format!("BEGIN; {migration}; PRAGMA user_version = {}; COMMIT", version + n + 1);
            database.execute_batch(&step).map_err(refused)?;
        }
        Ok(Self { database, path })
    }

    /// Nothing is written by this connection.
    pub(super) fn read_only(&self) -> Result<(), StoreError> {
        self.database.execute_batch("PRAGMA query_only = ON").map_err(self.refused())
    }

    pub(super) fn refused(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.path.clone();
        move |source| StoreError::Database { path: path.clone(), source }
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
        self.database
            .query_row("SELECT id, target, single, request, created FROM runs WHERE id = ?1", [id], read)
            .optional()
            .map_err(self.refused())
    }

    /// The command of that id, whole.
    pub(super) fn command(&self, id: &str) -> Result<Option<Command>, StoreError> {
        let found = self.select(WHOLE, "WHERE c.id = ?1", &[&id])?.pop();
        found.map(Stored::valid).transpose()
    }

    /// Those that are not over, whole. One that is damaged is left out, and in the log: the others go on.
    pub(super) fn under_way(&self) -> Result<Vec<Command>, StoreError> {
        let found = self.select(WHOLE, "WHERE c.state IN ('queued', 'running') ORDER BY c.created", &[])?;
        let valid = |stored: Stored| match stored.valid() {
            Ok(command) => Some(command),
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
        Ok(found.into_iter().filter_map(valid).collect())
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
        let refused = self.refused();
        let mut query = self
            .database
            .prepare_cached(
                // Between the prefix and what comes behind all that begin so: an index finds them.
                "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || char(0x10ffff)
                 UNION SELECT id FROM commands WHERE id >= ?1 AND id < ?1 || char(0x10ffff) ORDER BY id LIMIT 100",
            )
            .map_err(&refused)?;
        let rows = query.query_map([prefix], |row| row.get(0)).map_err(&refused)?;
        rows.map(|row| row.map_err(&refused)).collect()
    }

    /// Commands as lists show them, newest first.
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

    fn listed(&self, which: &str, with: &[&dyn rusqlite::ToSql]) -> Result<Vec<Command>, StoreError> {
        // Row by row: of what was written before lists had columns of their own, one at a time is in memory.
        let refused = self.refused();
        let mut query = self.database.prepare_cached(&format!("{LISTED} {which}")).map_err(&refused)?;
        let rows = query.query_map(with, command).map_err(&refused)?;
        rows.map(|row| Ok(row.map_err(&refused)?.listed())).collect()
    }

    fn select(
        &self,
        what: &str,
        which: &str,
        with: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Stored>, StoreError> {
        let refused = self.refused();
        let mut query = self.database.prepare_cached(&format!("{what} {which}")).map_err(&refused)?;
        let rows = query.query_map(with, command).map_err(&refused)?;
        rows.map(|row| row.map_err(&refused)).collect()
    }

    /// How far the digests of a command's output were when that was written down. One that cannot be read is made
    /// anew.
    pub(super) fn digests(&self, id: &str) -> Result<Digests, StoreError> {
        let refused = self.refused();
        let mut query = self
            .database
            .prepare_cached("SELECT part, bytes, state FROM digests WHERE id = ?1")
            .map_err(&refused)?;
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, Vec<u8>>(2)?))
        };
        let mut digests = Digests::default();
        for row in query.query_map([id], read).map_err(&refused)? {
            let (part, bytes, state) = row.map_err(&refused)?;
            let progress = digests::decoded(&state, bytes).unwrap_or_default();
            match part.parse::<Part>().ok() {
                Some(Part::Err) => digests.err = progress,
                Some(Part::Out) => digests.out = progress,
                None => {}
            }
        }
        Ok(digests)
    }

    /// Writes down how far the digest of a stream is.
    pub(super) fn mark(&self, id: &str, part: Part, progress: &Progress) -> Result<(), StoreError> {
        let marked = self.database.execute(
            // Nothing of a command that was forgotten meanwhile.
            "INSERT OR REPLACE INTO digests (id, part, bytes, state)
             SELECT id, ?2, ?3, ?4 FROM commands WHERE id = ?1",
            params![id, part.as_str(), progress.bytes.cast_signed(), digests::encoded(progress)],
        );
        marked.map(drop).map_err(self.refused())
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
        let state = State::from_name(&self.state).unwrap_or(State::Lost);
        let mut command = Command { state, ..self.command.clone() };
        match self.valid() {
            Ok(valid) => {
                command = valid;
                command.shorten();
            }
            Err(error) => {
                command.failure = Some(Failure { code: "internal".into(), message: error.to_string() });
            }
        }
        command
    }

    fn valid(self) -> Result<Command, StoreError> {
        let id = self.command.id.clone();
        let damaged = |reason: String| StoreError::Damaged { id: id.clone(), reason };
        let state =
            State::from_name(&self.state).ok_or_else(|| damaged(format!("state \"{}\"", self.state)))?;
        let program: Program = serde_json::from_str(&self.program).map_err(|e| damaged(e.to_string()))?;
        let results = self.results.map(|text| serde_json::from_str(&text)).transpose();
        let failure: Result<Option<Failure>, _> =
            self.failure.map(|text| serde_json::from_str(&text)).transpose();
        let results = results.map_err(|e| damaged(e.to_string()))?;
        let failure = failure.map_err(|e| damaged(e.to_string()))?;
        Ok(Command { state, program: program.into(), results, failure, ..self.command })
    }
}

/// Reads the columns of [`COLUMNS`].
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
