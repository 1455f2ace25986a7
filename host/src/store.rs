//! What survives a restart of the host: commands and credentials in SQLite, output in one file a stream.
//!
//! One thread owns the database and the files; everybody else sends it closures and awaits their results, so that no
//! disk is waited for on the agent's task. Nothing here decides anything: see [`crate::commands`] for that.

use crate::commands::{Active, Command, Failure, Part, Program, State};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use time::OffsetDateTime;

mod retention;

use tokio::sync::{mpsc, oneshot};

/// Why something could not be kept or found again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("database {path}: {source}")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A file or folder refused.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A newer Vocable has written this database.
    #[error("database {path} has version {found}, and this program knows up to {known}; use a newer vocable")]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// What is written makes no sense.
    #[error("command {id}: what is stored cannot be read: {reason}")]
    Damaged {
        /// The command.
        id: String,
        /// Why.
        reason: String,
    },
    /// The thread has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether a disk without space is behind it.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::File { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// The statements that lead from each version of the database to the next.
const MIGRATIONS: [&str; 2] = [
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
];

const COLUMNS: &str = "id, run, guest, program, state, created, started, ended, out_bytes, err_bytes, results, failure, \
    expires, deadline";

/// One request to run something, on however many guests.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The handle.
    pub id: String,
    /// As it was given.
    pub target: String,
    /// Whether it was for one guest by name, and is answered in the singular.
    pub single: bool,
    /// All of the request, to recognise the same one.
    pub request: String,
    /// When.
    pub created: OffsetDateTime,
}

/// Which commands to list; newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of that guest.
    pub guest: Option<String>,
    /// Only in that state.
    pub state: Option<State>,
    /// Also those that are over.
    pub all: bool,
    /// Only those asked for since then.
    pub since: Option<OffsetDateTime>,
    /// At most so many.
    pub limit: u32,
}

/// A stretch of output.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stretch {
    /// The octets.
    pub octets: Vec<u8>,
    /// Where they begin.
    pub offset: u64,
}

type Job = Box<dyn FnOnce(&mut Disk) + Send>;

/// Handle of the thread that owns the disk.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

/// Octets of a stream that may be in memory only, although the guest was told that they are here. It keeps more than
/// that for the case that this machine stops.
pub const UNSYNCED: u64 = 4 << 20;

/// Jobs that may wait for the disk; who comes later waits at the door.
const WAITING: usize = 1024;

impl Store {
    /// Opens or makes the store in a folder, which only its owner can read.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut disk = Disk::open(folder)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let serve = move || {
            while let Some(job) = waiting.blocking_recv() {
                job(&mut disk);
            }
        };
        let named = thread::Builder::new().name("store".into());
        named.spawn(serve).map_err(|source| StoreError::File { path: folder.into(), source })?;
        Ok(Self { jobs })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |disk| {
            // Nobody may be waiting any more; the job was done all the same.
            let _ = tell.send(job(disk));
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes a run and all its commands, or nothing.
    pub async fn add(&self, run: Run, commands: Vec<Command>) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.add(&run, &commands)).await
    }

    /// Writes what has become of a command. Once its end is written, only another end takes its place: what is
    /// written late does not bring a command back to life.
    pub async fn update(&self, command: Command) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.update(&command)).await
    }

    /// Writes output at a place. Every few mebibytes it comes back only when all so far is on the disk: a guest may
    /// forget what was acknowledged, but for the last [`UNSYNCED`] octets.
    pub async fn append(
        &self,
        id: String,
        part: Part,
        at: u64,
        octets: bytes::Bytes,
    ) -> Result<(), StoreError> {
        let to_sync = self.on_disk(move |disk| disk.append(&id, part, at, &octets)).await?;
        let Some((path, file)) = to_sync else { return Ok(()) };
        // Beside the thread that owns the disk: others' commands do not wait for this one's output.
        let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
        synced
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|source| StoreError::File { path, source })
    }

    /// Reads output: at most `most` octets from `offset` on; fewer at the end.
    pub async fn read(
        &self,
        id: String,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<Stretch, StoreError> {
        self.on_disk(move |disk| disk.read(&id, part, offset, most)).await
    }

    /// The run of that handle.
    pub async fn run(&self, id: String) -> Result<Option<Run>, StoreError> {
        self.on_disk(move |disk| disk.run(&id)).await
    }

    /// The command of that id.
    pub async fn command(&self, id: String) -> Result<Option<Command>, StoreError> {
        self.on_disk(move |disk| Ok(disk.select("WHERE id = ?1", &[&id])?.pop())).await
    }

    /// The commands of a run, by guest.
    pub async fn commands_of(&self, run: String) -> Result<Vec<Command>, StoreError> {
        self.on_disk(move |disk| disk.select("WHERE run = ?1 ORDER BY guest", &[&run])).await
    }

    /// The ids of runs and commands that begin so; at most two, which is enough to know whether it is unique.
    pub async fn ids_like(&self, prefix: String) -> Result<Vec<String>, StoreError> {
        self.on_disk(move |disk| disk.ids_like(&prefix)).await
    }

    /// Commands, newest first.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Command>, StoreError> {
        self.on_disk(move |disk| disk.list(&filter)).await
    }

    /// The commands that were not over when the host stopped, with the digests of what is on disk.
    pub async fn under_way(&self) -> Result<Vec<Active>, StoreError> {
        self.on_disk(Disk::under_way).await
    }

    /// A command as it stands, with the digests of what is on disk, to hear more of it.
    pub async fn resumed(&self, id: String) -> Result<Option<Active>, StoreError> {
        self.on_disk(move |disk| {
            let found = disk.select("WHERE id = ?1", &[&id])?.pop();
            found.map(|command| disk.resume(command)).transpose()
        })
        .await
    }

    /// Forgets commands that are over, with their output, and runs of which nothing is left. Gives which.
    pub async fn forget(&self, ids: Vec<String>) -> Result<Vec<String>, StoreError> {
        self.on_disk(move |disk| retention::forget(disk, &ids)).await
    }

    /// Forgets the oldest commands that are over: those that ended before, and of the others as many as there is more
    /// output than so many octets. Gives which.
    pub async fn retire(&self, before: OffsetDateTime, most_bytes: u64) -> Result<Vec<String>, StoreError> {
        self.on_disk(move |disk| {
            let ids = retention::retired(disk, before, most_bytes)?;
            retention::forget(disk, &ids)
        })
        .await
    }

    /// Remembers the digest of a guest's token.
    pub async fn set_credential(&self, guest: String, token_sha256: [u8; 32]) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.set_credential(&guest, &token_sha256)).await
    }

    /// The digests of all guests' tokens.
    pub async fn credentials(&self) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        self.on_disk(Disk::credentials).await
    }
}

/// The database and the output files; blocking.
struct Disk {
    folder: PathBuf,
    database: Connection,
    /// The stream written last: most writes go on where the one before ended.
    open: Option<(String, Part, File)>,
    /// Octets written to each stream since it was last synced.
    unsynced: HashMap<(String, Part), u64>,
}

impl Disk {
    fn open(folder: &Path) -> Result<Self, StoreError> {
        make_private(&folder.join("output"))?;
        let path = folder.join("vocable.db");
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
        Ok(Self { folder: folder.to_owned(), database, open: None, unsynced: HashMap::new() })
    }

    fn refused(&self) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let path = self.folder.join("vocable.db");
        move |source| StoreError::Database { path: path.clone(), source }
    }

    fn add(&mut self, run: &Run, commands: &[Command]) -> Result<(), StoreError> {
        let refused = self.refused();
        let writing = self.database.transaction().map_err(&refused)?;
        writing
            .execute(
                "INSERT INTO runs (id, target, single, request, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![run.id, run.target, run.single, run.request, millis(run.created)],
            )
            .map_err(&refused)?;
        for command in commands {
            writing
                .execute(
                    "INSERT INTO commands (id, run, guest, program, state, created, expires, deadline)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        command.id,
                        command.run,
                        command.guest,
                        json(&command.program),
                        command.state.as_str(),
                        millis(command.created),
                        command.expires.map(millis),
                        command.deadline.map(millis)
                    ],
                )
                .map_err(&refused)?;
        }
        writing.commit().map_err(&refused)
    }

    fn update(&mut self, command: &Command) -> Result<(), StoreError> {
        if command.state.is_over() {
            // The output has to be on disk before the guest is told that it may forget it.
            self.close_output(&command.id)?;
        }
        let changed = self.database.execute(
            "UPDATE commands SET state = ?2, started = ?3, ended = ?4, out_bytes = ?5, err_bytes = ?6,
                results = ?7, failure = ?8 WHERE id = ?1 AND (ended IS NULL OR ?4 IS NOT NULL)",
            params![
                command.id,
                command.state.as_str(),
                command.started.map(millis),
                command.ended.map(millis),
                // SQLite has no unsigned integers; a stream of 2^63 octets does not exist.
                command.out_bytes.cast_signed(),
                command.err_bytes.cast_signed(),
                command.results.as_ref().map(json),
                command.failure.as_ref().map(json),
            ],
        );
        changed.map(drop).map_err(self.refused())
    }

    fn stream(&self, id: &str, part: Part) -> PathBuf {
        self.folder.join("output").join(id).join(part.as_str())
    }

    /// Gives the file if it is time to sync it.
    fn append(
        &mut self,
        id: &str,
        part: Part,
        at: u64,
        octets: &[u8],
    ) -> Result<Option<(PathBuf, File)>, StoreError> {
        let path = self.stream(id, part);
        let refused = |source| StoreError::File { path: path.clone(), source };
        let file = match self.open.take() {
            Some((last_id, last_part, file)) if last_id == id && last_part == part => file,
            _ => {
                make_private(path.parent().unwrap_or(&self.folder))?;
                OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(refused)?
            }
        };
        file.write_all_at(octets, at).map_err(refused)?;
        let unsynced = self.unsynced.entry((id.to_owned(), part)).or_default();
        *unsynced += octets.len() as u64;
        let mut to_sync = None;
        if *unsynced >= UNSYNCED {
            *unsynced = 0;
            to_sync = Some((path.clone(), file.try_clone().map_err(refused)?));
        }
        self.open = Some((id.to_owned(), part, file));
        Ok(to_sync)
    }

    fn close_output(&mut self, id: &str) -> Result<(), StoreError> {
        if self.open.as_ref().is_some_and(|(open, ..)| open == id) {
            self.open = None;
        }
        for part in [Part::Out, Part::Err] {
            self.unsynced.remove(&(id.to_owned(), part));
            let path = self.stream(id, part);
            match File::open(&path).and_then(|file| file.sync_data()) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::File { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, id: &str, part: Part, offset: u64, most: usize) -> Result<Stretch, StoreError> {
        let path = self.stream(id, part);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut octets = Vec::new();
            file.take(most as u64).read_to_end(&mut octets)?;
            Ok::<_, io::Error>(octets)
        };
        match read() {
            Ok(octets) => Ok(Stretch { octets, offset }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Stretch { octets: Vec::new(), offset })
            }
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    fn run(&self, id: &str) -> Result<Option<Run>, StoreError> {
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

    fn select(&self, which: &str, with: &[&dyn rusqlite::ToSql]) -> Result<Vec<Command>, StoreError> {
        let refused = self.refused();
        let mut query = self
            .database
            .prepare_cached(&format!("SELECT {COLUMNS} FROM commands {which}"))
            .map_err(&refused)?;
        let rows = query.query_map(with, command).map_err(&refused)?;
        rows.map(|row| row.map_err(&refused)?.valid()).collect()
    }

    fn ids_like(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let refused = self.refused();
        let mut query = self
            .database
            .prepare_cached(
                "SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1
                 UNION SELECT id FROM commands WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT 100",
            )
            .map_err(&refused)?;
        let rows = query.query_map([prefix], |row| row.get(0)).map_err(&refused)?;
        rows.map(|row| row.map_err(&refused)).collect()
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Command>, StoreError> {
        let state = filter.state.map(State::as_str);
        self.select(
            "WHERE (?1 IS NULL OR guest = ?1) AND (?2 IS NULL OR state = ?2)
               AND (?3 OR ?2 IS NOT NULL OR state IN ('queued', 'running'))
               AND (?5 IS NULL OR created >= ?5)
             ORDER BY created DESC, id LIMIT ?4",
            &[&filter.guest, &state, &filter.all, &filter.limit, &filter.since.map(millis)],
        )
    }

    fn under_way(&mut self) -> Result<Vec<Active>, StoreError> {
        let found = self.select("WHERE state IN ('queued', 'running') ORDER BY created", &[])?;
        found.into_iter().map(|command| self.resume(command)).collect()
    }

    /// The lengths in the database may be behind the files: those of the files count.
    fn resume(&self, mut command: Command) -> Result<Active, StoreError> {
        let (out, out_bytes) = self.digest(&command.id, Part::Out)?;
        let (err, err_bytes) = self.digest(&command.id, Part::Err)?;
        (command.out_bytes, command.err_bytes) = (out_bytes, err_bytes);
        Ok(Active::resumed(command, out, err))
    }

    fn digest(&self, id: &str, part: Part) -> Result<(Sha256, u64), StoreError> {
        const AT_ONCE: usize = 1 << 20;
        let (mut digest, mut length) = (Sha256::new(), 0);
        loop {
            let stretch = self.read(id, part, length, AT_ONCE)?;
            if stretch.octets.is_empty() {
                return Ok((digest, length));
            }
            digest.update(&stretch.octets);
            length += stretch.octets.len() as u64;
        }
    }

    fn set_credential(&mut self, guest: &str, token_sha256: &[u8; 32]) -> Result<(), StoreError> {
        let set = self.database.execute(
            "INSERT INTO guests (id, token_sha256, created) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET token_sha256 = excluded.token_sha256",
            params![guest, token_sha256, millis(OffsetDateTime::now_utc())],
        );
        set.map(drop).map_err(self.refused())
    }

    fn credentials(&mut self) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        let refused = self.refused();
        let mut query = self.database.prepare("SELECT id, token_sha256 FROM guests").map_err(&refused)?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&refused)?;
        rows.collect::<Result<_, _>>().map_err(&refused)
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
        Ok(Command { state, program, results, failure, ..self.command })
    }
}

/// Reads the columns of [`COLUMNS`].
fn command(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    let command = Command {
        id: row.get(0)?,
        run: row.get(1)?,
        guest: row.get(2)?,
        program: Program::default(),
        state: State::Queued,
        created: moment(row.get(5)?),
        expires: row.get::<_, Option<i64>>(12)?.map(moment),
        deadline: row.get::<_, Option<i64>>(13)?.map(moment),
        started: row.get::<_, Option<i64>>(6)?.map(moment),
        ended: row.get::<_, Option<i64>>(7)?.map(moment),
        out_bytes: row.get::<_, i64>(8)?.cast_unsigned(),
        err_bytes: row.get::<_, i64>(9)?.cast_unsigned(),
        input_taken: 0,
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

fn millis(at: OffsetDateTime) -> i64 {
    // Milliseconds since 1970 leave an i64 in the year 292 million.
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn moment(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn json(value: &impl serde::Serialize) -> String {
    // Maps with text keys always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

/// Makes a folder and those above it, for its owner alone.
fn make_private(folder: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::File { path: folder.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let created = moment(1_790_000_000_123);
        Run { id: "k7mq2x".into(), target: "vm1,vm2".into(), single: false, request: "{}".into(), created }
    }

    fn commands() -> Vec<Command> {
        let program = Program { cmd: "true".into(), ..Program::default() };
        ["vm1", "vm2"].map(|guest| Command::new("k7mq2x", guest, program.clone(), run().created)).into()
    }

    #[tokio::test]
    async fn a_run_is_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.add(run(), commands()).await.unwrap();
        store.append("k7mq2x.vm1".into(), Part::Out, 0, "hello ".into()).await.unwrap();
        store.append("k7mq2x.vm1".into(), Part::Out, 6, "world".into()).await.unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.run("k7mq2x".into()).await.unwrap(), Some(run()));
        let mut under_way = store.under_way().await.unwrap();
        assert_eq!(under_way.len(), 2);
        let first = under_way.remove(0);
        assert_eq!((first.command.id.as_str(), first.command.out_bytes), ("k7mq2x.vm1", 11));
        let told = serde_json::json!({"out_bytes": 11, "out_sha256": crate::commands::hex(&Sha256::digest("hello world"))});
        first.complete(Part::Out, told.as_object().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn output_is_read_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.append("a.b".into(), Part::Err, 0, "0123456789".into()).await.unwrap();
        let read =
            async |offset, most| store.read("a.b".into(), Part::Err, offset, most).await.unwrap().octets;
        assert_eq!(read(3, 4).await, b"3456");
        assert_eq!(read(8, 100).await, b"89");
        assert_eq!(read(50, 1).await, b"");
        assert_eq!(store.read("a.b".into(), Part::Out, 0, 9).await.unwrap().octets, b"");
    }

    #[tokio::test]
    async fn the_end_of_a_command_is_written_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.add(run(), commands()).await.unwrap();
        let mut ended = commands().remove(0);
        ended.state = State::Failed;
        ended.failure = Some(Failure { code: "not-found".into(), message: "no program".into() });
        ended.ended = Some(moment(1_790_000_000_500));
        store.update(ended.clone()).await.unwrap();
        assert_eq!(store.command("k7mq2x.vm1".into()).await.unwrap(), Some(ended));
        let under_way = store.list(Filter { limit: 10, ..Filter::default() }).await.unwrap();
        assert_eq!(under_way.iter().map(|c| c.guest.as_str()).collect::<Vec<_>>(), ["vm2"]);
        assert_eq!(store.list(Filter { limit: 10, all: true, ..Filter::default() }).await.unwrap().len(), 2);
        assert_eq!(store.ids_like("k7mq2x.".into()).await.unwrap(), ["k7mq2x.vm1", "k7mq2x.vm2"]);
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Disk::open(folder.path()).unwrap());
        let database = Connection::open(folder.path().join("vocable.db")).unwrap();
        database.execute_batch("PRAGMA user_version = 99").unwrap();
        let refused = Disk::open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("has version 99"), "{refused}");
    }
}
