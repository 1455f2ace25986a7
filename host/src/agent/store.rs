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

use crate::agent::commands::{Active, Command, Digests, Progress, State};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use vocable_config::private;
use vocable_protocol::Part;

mod books;
mod digests;
mod disk;
mod error;
mod life;
mod output;
mod retention;
mod room;
#[cfg(test)]
mod tests;
mod transfers;
mod workers;

pub(crate) use error::StoreError;

use books::Books;
use disk::Disk;
use output::{Output, ToSync};
pub(crate) use transfers::{Report, Spec, Transfer};
use workers::{Lane, Worker};

/// One request to run something, on however many guests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// As it was given.
    pub(crate) target: String,
    /// Whether it was for one guest by name, and is answered in the singular.
    pub(crate) single: bool,
    /// All of the request, to recognise the same one.
    pub(crate) request: String,
    pub(crate) created: OffsetDateTime,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) guest: Option<String>,
    pub(crate) state: Option<State>,
    /// Also those that are over.
    pub(crate) all: bool,
    pub(crate) since: Option<OffsetDateTime>,
    /// Only those that come after this one in the list.
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) created: OffsetDateTime,
    pub(crate) id: String,
}

impl Cursor {
    pub(crate) fn behind(command: &Command) -> Self {
        Self { created: command.created, id: command.id.clone() }
    }
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct OutputChunk {
    pub(crate) bytes: Vec<u8>,
    /// Where they begin.
    pub(crate) offset: u64,
}

/// Handle of the threads that own the disk.
#[derive(Clone)]
pub(crate) struct Store {
    writing: Worker<Disk>,
    reading: Worker<Reader>,
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

/// Bytes of a stream that may be in memory only, although the guest was told that they are here. It keeps more than
/// that for the case that this machine stops.
pub(crate) const UNSYNCED: u64 = 4 << 20;

/// Files of so many commands are synced at a time.
const SYNCS: usize = 8;
/// Commands read or forgotten in one step: others want the disk too.
const STEP: usize = 64;

impl Store {
    /// Opens or makes the store in a folder, of which only its owner can read anything. Output and new commands leave
    /// `keep_free` bytes of the file system, but never more than a tenth of it.
    pub(crate) fn open(folder: &Path, keep_free: u64) -> Result<Self, StoreError> {
        let output = Output::open(folder)?;
        let disk = Disk::open(folder, output.clone(), keep_free)?;
        transfers::take_over(folder, &disk.books)?;
        let books = Books::open(folder)?;
        books.read_only()?;
        let reader = Reader { books, output: output.clone() };
        let refused = |source| StoreError::File { path: folder.into(), source };
        let writing = Worker::start("store", disk).map_err(refused)?;
        let reading = Worker::start("store-read", reader).map_err(refused)?;
        let (hashing, removing, syncing) = (Lane::new(1), Lane::new(2), Lane::new(SYNCS));
        Ok(Self { writing, reading, hashing, removing, syncing, output, folder: folder.into() })
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writing.run(job).await
    }

    async fn off_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reading.run(job).await
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
    /// forget what was acknowledged, but for the last [`UNSYNCED`] bytes. Output that the agent must take to tell an
    /// end may use what is kept free. Gives whether it is time to write down how far the digest is, with [`Self::mark`].
    pub(crate) async fn append(
        &self,
        id: String,
        part: Part,
        at: u64,
        bytes: bytes::Bytes,
        space: Space,
    ) -> Result<bool, StoreError> {
        let to_sync = self.on_disk(move |disk| disk.append(&id, part, at, &bytes, space)).await?;
        let Some((to_sync, mark)) = to_sync else { return Ok(false) };
        self.syncing.run(move || to_sync.sync()).await?;
        Ok(mark)
    }

    /// Writes down how far the digest of a stream is. All up to there has to be on the disk.
    pub(crate) async fn mark(&self, id: String, part: Part, progress: Progress) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.books.mark(&id, part, &progress)).await
    }

    /// Reads output: at most `most` bytes from `offset` on; fewer at the end.
    pub(crate) async fn read(
        &self,
        id: String,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<OutputChunk, StoreError> {
        self.off_disk(move |reader| reader.output.read(&id, part, offset, most)).await
    }

    pub(crate) async fn run(&self, id: String) -> Result<Option<Run>, StoreError> {
        self.on_disk(move |disk| disk.books.run(&id)).await
    }

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
    pub(crate) async fn prepared(&self, id: String) -> Result<Digests, StoreError> {
        let of = id.clone();
        let known = self.on_disk(move |disk| disk.digests(&of)).await?;
        let out = self.digested(&id, Part::Out, known.out).await?;
        let err = self.digested(&id, Part::Err, known.err).await?;
        Ok(Digests { out, err })
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
    /// there is more than so many bytes of them. By age none goes before the agent has run for so long since its end,
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

    pub(crate) async fn set_credential(
        &self,
        guest: String,
        token_sha256: [u8; 32],
    ) -> Result<(), StoreError> {
        self.on_disk(move |disk| disk.set_credential(&guest, &token_sha256)).await
    }

    pub(crate) async fn credentials(&self) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        self.on_disk(|disk| disk.credentials()).await
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

/// Makes the file of a database if it is missing, of which nobody else can read anything whatever mode the folder has:
/// SQLite gives its other files the mode of the first, and those that are there already get it here.
fn private_database(path: &Path) -> io::Result<()> {
    private().create(true).truncate(false).open(path)?;
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
