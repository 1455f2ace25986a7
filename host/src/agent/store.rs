//! What survives a restart of the host: commands and credentials in SQLite, output in one file a stream.
//!
//! ```text
//!  thread "store" ── writes: database, output, credentials      thread "store-read" ── lists, output
//!  tasks beside ──── sync, digests, removal of folders, in steps
//! ```
//!
//! One thread writes to the database and the files, another one reads; everybody else sends them closures and awaits
//! their results, so that no disk is waited for on the agent's task. What may take long is done on neither: others'
//! commands never wait for one's output. Nothing here decides anything: see [`crate::agent::commands`] for that.

use crate::agent::commands::{Active, Command, Progress, State};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use vocable_api::Part;

mod books;
mod digests;
mod disk;
mod life;
mod output;
mod retention;
mod room;
mod transfers;

use books::Books;
use disk::Disk;
use output::{Output, ToSync};
pub(crate) use transfers::{Report, Spec, Transfer};

/// Why something could not be kept or found again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
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
    /// The file system has less left than what is kept free for the agent itself.
    #[error(
        "{path}: {} MiB are free, and {} MiB are kept free for the agent itself; make room, or lower \
         commands.keep_free", free >> 20, keep >> 20
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What is free.
        free: u64,
        /// What is to stay free.
        keep: u64,
    },
    /// The thread has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether a disk without space is behind it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::File { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::NoRoom { .. } => true,
            _ => false,
        }
    }
}

/// One request to run something, on however many guests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// The handle.
    pub(crate) id: String,
    /// As it was given.
    pub(crate) target: String,
    /// Whether it was for one guest by name, and is answered in the singular.
    pub(crate) single: bool,
    /// All of the request, to recognise the same one.
    pub(crate) request: String,
    /// When.
    pub(crate) created: OffsetDateTime,
}

/// Which commands to list; newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only of that guest.
    pub(crate) guest: Option<String>,
    /// Only in that state.
    pub(crate) state: Option<State>,
    /// Also those that are over.
    pub(crate) all: bool,
    /// Only those asked for since then.
    pub(crate) since: Option<OffsetDateTime>,
    /// Only those that come after this one in the list.
    pub(crate) after: Option<Cursor>,
    /// At most so many.
    pub(crate) limit: u32,
}

/// A place in a list of commands.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// When the command before was asked for.
    pub(crate) created: OffsetDateTime,
    /// Its id.
    pub(crate) id: String,
}

impl Cursor {
    /// Behind that command.
    pub(crate) fn behind(command: &Command) -> Self {
        Self { created: command.created, id: command.id.clone() }
    }
}

/// A stretch of output.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stretch {
    /// The octets.
    pub(crate) octets: Vec<u8>,
    /// Where they begin.
    pub(crate) offset: u64,
}

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Handle of the threads that own the disk.
#[derive(Clone)]
pub(crate) struct Store {
    writing: mpsc::Sender<Job<Disk>>,
    reading: mpsc::Sender<Job<Reader>>,
    /// Steps of making digests, commands in turn.
    hashing: Lane,
    removing: Lane,
    syncing: Lane,
    output: Output,
    folder: Arc<Path>,
}

/// What reads, beside what writes.
struct Reader {
    books: Books,
    output: Output,
}

/// Octets of a stream that may be in memory only, although the guest was told that they are here. It keeps more than
/// that for the case that this machine stops.
pub(crate) const UNSYNCED: u64 = 4 << 20;

/// Jobs that may wait for the disk; who comes later waits at the door.
const WAITING: usize = 1024;
/// Files of so many commands are synced at a time.
const SYNCS: usize = 8;
/// Commands read or forgotten in one step: others want the disk too.
const STEP: usize = 64;

impl Store {
    /// Opens or makes the store in a folder, of which only its owner can read anything. Output and new commands leave
    /// `keep_free` bytes of the file system, but never more than a tenth of it.
    pub(crate) fn open(folder: &Path, keep_free: u64) -> Result<Self, StoreError> {
        let output = Output::open(folder)?;
        let mut disk = Disk::open(folder, output.clone(), keep_free)?;
        transfers::take_over(folder, &disk.books)?;
        let books = Books::open(folder)?;
        books.read_only()?;
        let mut reader = Reader { books, output: output.clone() };
        let (writing, mut to_write) = mpsc::channel::<Job<Disk>>(WAITING);
        let (reading, mut to_read) = mpsc::channel::<Job<Reader>>(WAITING);
        let refused = |source| StoreError::File { path: folder.into(), source };
        let write = move || {
            while let Some(job) = to_write.blocking_recv() {
                job(&mut disk);
            }
        };
        let read = move || {
            while let Some(job) = to_read.blocking_recv() {
                job(&mut reader);
            }
        };
        thread::Builder::new().name("store".into()).spawn(write).map_err(refused)?;
        thread::Builder::new().name("store-read".into()).spawn(read).map_err(refused)?;
        let (hashing, removing, syncing) = (Lane::new(1), Lane::new(2), Lane::new(SYNCS));
        Ok(Self { writing, reading, hashing, removing, syncing, output, folder: folder.into() })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        done_by(&self.writing, job).await
    }

    async fn off_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        done_by(&self.reading, job).await
    }

    /// Writes a run and all its commands, or nothing.
    pub(crate) async fn add(&self, run: Run, commands: Vec<Command>) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.add(&run, &commands)).await
    }

    /// Writes what has become of a command. Once its end is written, only another end takes its place: what is
    /// written late does not bring a command back to life.
    pub(crate) async fn update(&self, command: Command) -> Result<(), StoreError> {
        if command.state.is_over() {
            // The output has to be on disk before the guest is told that it may forget it.
            let id = command.id.clone();
            if let Some(to_sync) = self.on_disk(move |disk| Ok(disk.close_output(&id))).await? {
                self.syncing.run(move || to_sync.sync()).await?;
            }
        }
        self.on_disk(move |disk| disk.update(&command)).await
    }

    /// Writes that a command is over although its guest may tell more of it, and how far the digests of its output
    /// are, so that it can be taken up again without reading all of that.
    pub(crate) async fn give_up(&self, active: Active) -> Result<(), StoreError> {
        let id = active.command.id.clone();
        let digests = active.digests().cloned();
        self.update(active.command).await?;
        let Some(digests) = digests else { return Ok(()) };
        for part in [Part::Out, Part::Err] {
            if digests.of(part).bytes > 0 {
                self.mark(id.clone(), part, digests.of(part).clone()).await?;
            }
        }
        Ok(())
    }

    /// Writes output at a place. Every few mebibytes it comes back only when all so far is on the disk: a guest may
    /// forget what was acknowledged, but for the last [`UNSYNCED`] octets. Output that the agent must take to tell an
    /// end may use what is kept free. Gives whether it is time to write down how far the digest is, with [`Self::mark`].
    pub(crate) async fn append(
        &self,
        id: String,
        part: Part,
        at: u64,
        octets: bytes::Bytes,
        space: Space,
    ) -> Result<bool, StoreError> {
        let to_sync = self.on_disk(move |disk| disk.append(&id, part, at, &octets, space)).await?;
        let Some((to_sync, mark)) = to_sync else { return Ok(false) };
        self.syncing.run(move || to_sync.sync()).await?;
        Ok(mark)
    }

    /// Writes down how far the digest of a stream is. All up to there has to be on the disk.
    pub(crate) async fn mark(&self, id: String, part: Part, progress: Progress) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.books.mark(&id, part, &progress)).await
    }

    /// Reads output: at most `most` octets from `offset` on; fewer at the end.
    pub(crate) async fn read(
        &self,
        id: String,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<Stretch, StoreError> {
        self.off_disk(move |reader| reader.output.read(&id, part, offset, most)).await
    }

    /// The run of that handle.
    pub(crate) async fn run(&self, id: String) -> Result<Option<Run>, StoreError> {
        self.on_disk(move |disk| disk.books.run(&id)).await
    }

    /// The command of that id.
    pub(crate) async fn command(&self, id: String) -> Result<Option<Command>, StoreError> {
        self.on_disk(move |disk| disk.books.command(&id)).await
    }

    /// The commands of a run, by guest, as lists show them.
    pub(crate) async fn commands_of(&self, run: String) -> Result<Vec<Command>, StoreError> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let (of, from) = (run.clone(), after);
            let some = self.off_disk(move |reader| reader.books.commands_of(&of, &from, STEP)).await?;
            let is_last = some.len() < STEP;
            after = some.last().map(|last| last.guest.clone()).unwrap_or_default();
            all.extend(some);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The ids of runs and commands that begin so; at most a hundred, which is enough to know whether it is unique.
    pub(crate) async fn ids_like(&self, prefix: String) -> Result<Vec<String>, StoreError> {
        self.off_disk(move |reader| reader.books.ids_like(&prefix)).await
    }

    /// Commands, newest first, as lists show them.
    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Command>, StoreError> {
        let (mut all, mut after) = (Vec::new(), filter.after.clone());
        let most = filter.limit as usize;
        loop {
            let step = STEP.min(most - all.len());
            let page = Filter { limit: u32::try_from(step).unwrap_or(u32::MAX), after, ..filter.clone() };
            let some = self.off_disk(move |reader| reader.books.list(&page)).await?;
            let is_last = some.len() < step;
            after = some.last().map(Cursor::behind);
            all.extend(some);
            if is_last || all.len() >= most {
                return Ok(all);
            }
        }
    }

    /// The commands that were not over when the host stopped. Those whose output has to be read to know its digest
    /// are not ready: see [`Self::prepared`].
    pub(crate) async fn under_way(&self) -> Result<Vec<Active>, StoreError> {
        self.on_disk(|disk| {
            let found = disk.books.under_way()?;
            found.into_iter().map(|command| disk.resume(command)).collect()
        })
        .await
    }

    /// A command as it stands, to hear more of it; it may not be ready.
    pub(crate) async fn resumed(&self, id: String) -> Result<Option<Active>, StoreError> {
        self.on_disk(move |disk| {
            let found = disk.books.command(&id)?;
            found.map(|command| disk.resume(command)).transpose()
        })
        .await
    }

    /// Makes the digests of what is on disk of a command of which nothing is written meanwhile: from where they were
    /// written down last, in steps beside everything else, commands in turn.
    pub(crate) async fn prepared(&self, id: String) -> Result<crate::agent::commands::Digests, StoreError> {
        let of = id.clone();
        let known = self.on_disk(move |disk| disk.digests(&of)).await?;
        let out = self.digested(&id, Part::Out, known.out).await?;
        let err = self.digested(&id, Part::Err, known.err).await?;
        Ok(crate::agent::commands::Digests { out, err })
    }

    async fn digested(&self, id: &str, part: Part, from: Progress) -> Result<Progress, StoreError> {
        let (path, begun) = (self.output.stream(id, part), from.bytes);
        let mut progress = from;
        loop {
            let (file, before) = (path.clone(), progress);
            let (next, is_all) = self.hashing.run(move || digests::step(&file, before)).await?;
            progress = next;
            if is_all {
                break;
            }
        }
        // It may have begun anew.
        if progress.bytes.saturating_sub(begun) >= digests::MARK {
            let to_sync = ToSync::of(vec![path], Vec::new());
            self.syncing.run(move || to_sync.sync()).await?;
            self.mark(id.to_owned(), part, progress.clone()).await?;
        }
        Ok(progress)
    }

    /// Forgets commands that are over, with their output, and runs of which nothing is left. Gives which.
    pub(crate) async fn forget(&self, ids: Vec<String>) -> Result<Vec<String>, StoreError> {
        let mut forgotten = Vec::new();
        for some in ids.chunks(STEP) {
            let some = some.to_vec();
            let (gone, folders) = self.on_disk(move |disk| retention::forget(disk, &some)).await?;
            forgotten.extend(gone);
            self.removing.run(move || output::remove(&folders)).await?;
        }
        Ok(forgotten)
    }

    /// Forgets the oldest commands that are over: those that ended before that moment, and of the others as many as
    /// there is more than so many octets of them. By age none goes before the agent has run for so long since its end,
    /// whatever the clock says; of those that ended before its start, for a day at least. Gives which.
    pub(crate) async fn retire(
        &self,
        before: OffsetDateTime,
        keep: Duration,
        most_bytes: u64,
    ) -> Result<Vec<String>, StoreError> {
        let age = self.on_disk(move |disk| disk.age(before, keep)).await?;
        let folder = Arc::clone(&self.folder);
        // All that is over is looked at: with a connection of its own, so that no reader waits for that.
        let look = move || retention::retired(&Books::open(&folder)?, age, most_bytes);
        let ids = self.removing.run(look).await?;
        self.forget(ids).await
    }

    /// Removes what an earlier agent left behind when it was stopped in the middle: folders of commands that nobody
    /// knows.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let output = self.output.clone();
        let names = self.removing.run(move || output.commands()).await?;
        for some in names.chunks(STEP) {
            let some = some.to_vec();
            self.on_disk(move |disk| retention::set_aside_unknown(disk, &some)).await?;
        }
        let output = self.output.clone();
        self.removing.run(move || output::remove(&output.set_aside_before()?)).await
    }

    /// Remembers the digest of a guest's token.
    pub(crate) async fn set_credential(
        &self,
        guest: String,
        token_sha256: [u8; 32],
    ) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.set_credential(&guest, &token_sha256)).await
    }

    /// The digests of all guests' tokens.
    pub(crate) async fn credentials(&self) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        self.on_disk(Disk::credentials).await
    }
}

/// Of which space output may be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Space {
    /// What is kept free, too: without it an end could not be told.
    Reserve,
    /// What is not kept free.
    Usual,
}

async fn done_by<D: 'static, T: Send + 'static>(
    thread: &mpsc::Sender<Job<D>>,
    job: impl FnOnce(&mut D) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (tell, told) = oneshot::channel();
    let job: Job<D> = Box::new(move |disk| {
        // Nobody may be waiting any more; the job was done all the same.
        let _ = tell.send(job(disk));
    });
    thread.send(job).await.map_err(|_| StoreError::Closed)?;
    told.await.map_err(|_| StoreError::Closed)?
}

/// Slow work beside the threads that own the disk, so much of it at a time; who comes first is served first.
#[derive(Clone)]
struct Lane(Arc<Semaphore>);

impl Lane {
    fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }
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

/// Opens a database of which nobody else can read anything, whatever mode the folder has: SQLite gives its other files
/// the mode of the first.
fn private_database(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::set_permissions(PathBuf::from(name), fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::commands::{Failure, Program};
    use rusqlite::Connection;
    use sha2::{Digest, Sha256};
    use std::os::unix::fs::MetadataExt;

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
        let store = Store::open(folder.path(), 0).unwrap();
        store.add(run(), commands()).await.unwrap();
        store.append("k7mq2x.vm1".into(), Part::Out, 0, "hello ".into(), Space::Usual).await.unwrap();
        store.append("k7mq2x.vm1".into(), Part::Out, 6, "world".into(), Space::Usual).await.unwrap();
        drop(store);
        let store = Store::open(folder.path(), 0).unwrap();
        assert_eq!(store.run("k7mq2x".into()).await.unwrap(), Some(run()));
        let mut under_way = store.under_way().await.unwrap();
        assert_eq!(under_way.len(), 2);
        let mut first = under_way.remove(0);
        assert_eq!((first.command.id.as_str(), first.command.out_bytes), ("k7mq2x.vm1", 11));
        assert!(!first.is_ready(), "nothing is read at the start");
        assert!(under_way.remove(0).is_ready(), "there is nothing to read");
        first.ready(store.prepared("k7mq2x.vm1".into()).await.unwrap());
        let told =
            serde_json::json!({"out_bytes": 11, "out_sha256": vocable_protocol::sha256_hex("hello world")});
        first
            .complete(Part::Out, &vocable_protocol::ReportedResults::of(told.as_object().unwrap().clone()))
            .unwrap();
    }

    fn given_up(mut active: Active) -> Active {
        let failure = Failure { code: "guest-lost".into(), message: "gone".into() };
        active.failed(State::Lost, failure, moment(1_790_000_000_500));
        active
    }

    /// Writes output as the agent does.
    async fn write(store: &Store, active: &mut Active, octets: Vec<u8>) {
        let id = active.command.id.clone();
        let at = active.command.out_bytes;
        let mark =
            store.append(id.clone(), Part::Out, at, octets.clone().into(), Space::Usual).await.unwrap();
        active.received(Part::Out, &octets);
        if mark {
            store.mark(id, Part::Out, active.digests().unwrap().out.clone()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_command_that_was_given_up_is_taken_up_without_reading_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        store.add(run(), commands()).await.unwrap();
        let mut active = Active::new(commands().remove(0));
        write(&store, &mut active, b"hello world".to_vec()).await;
        store.give_up(given_up(active)).await.unwrap();
        // Were it read, it would have another digest.
        fs::write(folder.path().join("output/k7mq2x.vm1/out"), "HELLO WORLD").unwrap();
        let resumed = store.resumed("k7mq2x.vm1".into()).await.unwrap().unwrap();
        assert!(resumed.is_ready() && resumed.command.is_given_up());
        let told =
            serde_json::json!({"out_bytes": 11, "out_sha256": vocable_protocol::sha256_hex("hello world")});
        resumed
            .complete(Part::Out, &vocable_protocol::ReportedResults::of(told.as_object().unwrap().clone()))
            .unwrap();
        // What is shorter than what was digested is read anew.
        fs::write(folder.path().join("output/k7mq2x.vm1/out"), "hello").unwrap();
        assert!(!store.resumed("k7mq2x.vm1".into()).await.unwrap().unwrap().is_ready());
        let digests = store.prepared("k7mq2x.vm1".into()).await.unwrap();
        assert_eq!((digests.out.bytes, digests.err.bytes), (5, 0));
        assert_eq!(digests.out.sha256.finalize(), Sha256::digest("hello"));
    }

    #[tokio::test]
    async fn after_a_restart_only_what_came_after_the_last_mark_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        store.add(run(), commands()).await.unwrap();
        let mut active = Active::new(commands().remove(0));
        let piece = vec![7; 1 << 20];
        for _ in 0..35 {
            write(&store, &mut active, piece.clone()).await;
        }
        drop(store);
        let store = Store::open(folder.path(), 0).unwrap();
        let known = store.on_disk(|disk| disk.digests("k7mq2x.vm1")).await.unwrap();
        assert_eq!(known.out.bytes, digests::MARK);
        let made = store.prepared("k7mq2x.vm1".into()).await.unwrap();
        assert_eq!(made.out.bytes, 35 << 20);
        assert_eq!(made.out.sha256.finalize(), active.digests().unwrap().out.sha256.clone().finalize());
        // Once it has ended truly, no more is needed.
        let mut ended = active.command;
        (ended.state, ended.ended) = (State::Done, Some(moment(1_790_000_000_500)));
        ended.results = serde_json::json!({"finished": true}).as_object().cloned();
        store.update(ended).await.unwrap();
        let known = store.on_disk(|disk| disk.digests("k7mq2x.vm1")).await.unwrap();
        assert_eq!(known.out.bytes, 0);
    }

    #[tokio::test]
    async fn output_is_read_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        store.append("a.b".into(), Part::Err, 0, "0123456789".into(), Space::Usual).await.unwrap();
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
        let store = Store::open(folder.path(), 0).unwrap();
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

    fn numbered(n: usize, program: Program) -> (Run, Vec<Command>) {
        let id = format!("r{n:03}");
        let created = moment(1_790_000_000_000 + i64::try_from(n / 3).unwrap());
        let command = Command::new(&id, "vm1", program, created);
        (Run { id, created, ..run() }, vec![command])
    }

    #[tokio::test]
    async fn a_list_is_read_page_by_page() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        for n in 0..150 {
            let (run, commands) = numbered(n, Program::default());
            store.add(run, commands).await.unwrap();
        }
        let whole = store.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap();
        assert_eq!(whole.len(), 150);
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(Filter { limit: 40, after, ..Filter::default() }).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(Cursor::behind(last));
            pages.extend(page);
        }
        assert_eq!(pages, whole);
        assert_eq!(store.list(Filter { limit: 7, ..Filter::default() }).await.unwrap(), whole[..7]);
        assert_eq!(store.ids_like("r00".into()).await.unwrap().len(), 20);
        assert!(store.ids_like("r9".into()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn lists_show_the_beginning_of_what_is_large_and_a_command_has_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        let large = Program { cmd: "sh".into(), args: vec!["x".repeat(100_000)], ..Program::default() };
        for n in 0..30 {
            let (run, commands) = numbered(n, large.clone());
            store.add(run, commands.clone()).await.unwrap();
            let mut command = commands[0].clone();
            (command.state, command.ended) = (State::Done, Some(command.created));
            let nested: Vec<serde_json::Value> = vec![serde_json::json!([[1], [2]]); 70_000];
            let results =
                serde_json::json!({"finished": true, "exitCodeOrSignal": 0, "resources": {"odd": nested}});
            command.results = results.as_object().cloned();
            store.update(command).await.unwrap();
        }
        let before = resident_kib();
        let listed = store.list(Filter { all: true, limit: 1000, ..Filter::default() }).await.unwrap();
        let reports: Vec<_> = listed.iter().map(crate::endpoint::rpc::report).collect();
        let xml = vocable_xmlrpc::write_response(&Ok(reports.into())).unwrap();
        println!(
            "list of 30 x 0.7 MiB: {} bytes of XML, {} KiB more resident",
            xml.len(),
            resident_kib() - before
        );
        assert!(xml.len() < 30 * 10_000, "{}", xml.len());
        assert!(
            listed.iter().all(|it| it.program.shortened && it.results.as_ref().unwrap()["finished"] == true)
        );
        let one = store.command(listed[0].id.clone()).await.unwrap().unwrap();
        assert_eq!(one.program.args[0].len(), 100_000);
        assert_eq!(one.results.unwrap()["resources"]["odd"].as_array().unwrap().len(), 70_000);
    }

    fn resident_kib() -> i64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[tokio::test]
    async fn one_odd_row_of_an_earlier_agent_fails_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        for n in 0..3 {
            let (run, commands) = numbered(n, Program::default());
            store.add(run, commands).await.unwrap();
        }
        let deep = format!(
            "{{\"finished\": true, \"resources\": {}1{}, \"x\": 1}}",
            "[".repeat(100),
            "]".repeat(100)
        );
        let name = "{\"finished\": true, \"resources\": {\"a\\u0001\": 1}}";
        let odd = "UPDATE commands SET state = 'done', ended = 1, results = ?2 WHERE id = ?1";
        let database = Connection::open(folder.path().join("vocable.db")).unwrap();
        for (id, results) in [("r000.vm1", deep.as_str()), ("r001.vm1", name), ("r002.vm1", "{")] {
            database.execute(odd, [id, results]).unwrap();
        }
        let listed = store.list(Filter { all: true, limit: 10, ..Filter::default() }).await.unwrap();
        let reports: Vec<_> = listed.iter().map(crate::endpoint::rpc::report).collect();
        let xml = String::from_utf8(vocable_xmlrpc::write_response(&Ok(reports.into())).unwrap()).unwrap();
        for told in ["nested deeper than 8", "a\\u{1}", "what is stored cannot be read"] {
            assert!(xml.contains(told), "{told}: {xml}");
        }
        let whole = store.command("r000.vm1".into()).await.unwrap().unwrap();
        vocable_xmlrpc::write_response(&Ok(crate::endpoint::rpc::report(&whole))).unwrap();
    }

    #[tokio::test]
    async fn nobody_else_can_read_it_whatever_the_mode_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().mode() & 0o777;
        let open_to_all = |path: &str, mode| {
            fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        // An earlier agent was less careful.
        fs::write(folder.path().join("vocable.db"), "").unwrap();
        fs::create_dir(folder.path().join("output")).unwrap();
        for (path, mode) in [("", 0o777), ("vocable.db", 0o644), ("output", 0o755)] {
            open_to_all(path, mode);
        }
        let store = Store::open(folder.path(), 0).unwrap();
        store.add(run(), commands()).await.unwrap();
        store.append("k7mq2x.vm1".into(), Part::Out, 0, "secret".into(), Space::Usual).await.unwrap();
        for path in ["vocable.db", "vocable.db-wal", "vocable.db-shm", "output/k7mq2x.vm1/out"] {
            assert_eq!(mode(path), 0o600, "{path}");
        }
        for path in ["output", "output/k7mq2x.vm1"] {
            assert_eq!(mode(path), 0o700, "{path}");
        }
    }

    #[tokio::test]
    async fn a_database_of_an_earlier_agent_is_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join("vocable.db")).unwrap();
        database.execute_batch(books::MIGRATIONS[0]).unwrap();
        database.execute_batch(books::MIGRATIONS[1]).unwrap();
        database
            .execute_batch(
                "PRAGMA user_version = 2;
                 INSERT INTO runs VALUES ('k7mq2x', 'vm1', 1, '{}', 1);
                 INSERT INTO commands (id, run, guest, program, state, created)
                 VALUES ('k7mq2x.vm1', 'k7mq2x', 'vm1', '{\"cmd\": \"true\"}', 'running', 1);",
            )
            .unwrap();
        let store = Store::open(folder.path(), 0).unwrap();
        let mut under_way = store.under_way().await.unwrap();
        let mut ended = under_way.remove(0).command;
        assert_eq!(ended.program.cmd, "true");
        (ended.state, ended.ended) = (State::Done, Some(moment(2)));
        store.update(ended).await.unwrap();
        assert_eq!(store.retire(moment(3), Duration::ZERO, 0).await.unwrap(), ["k7mq2x.vm1"]);
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Books::open(folder.path()).unwrap());
        let database = Connection::open(folder.path().join("vocable.db")).unwrap();
        database.execute_batch("PRAGMA user_version = 99").unwrap();
        let refused = Books::open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("has version 99"), "{refused}");
    }
}
