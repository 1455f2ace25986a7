//! What writes: the database and the output files; blocking.

use super::books::Books;
use super::life::{Life, Old};
use super::output::{Output, ToSync};
use super::room::Room;
use super::{Run, Space, StoreError, UNSYNCED, digests, json, make_private, millis};
use crate::agent::commands::{Active, Command, Digests};
use rusqlite::params;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use vocable_config::private;
use vocable_protocol::Part;

pub(super) struct Disk {
    pub(super) books: Books,
    pub(super) output: Output,
    life: Life,
    room: Room,
    /// The stream written last: most writes go on where the one before ended.
    open: Option<(String, Part, File)>,
    /// What was written to each stream.
    written: HashMap<(String, Part), Written>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    unsynced: u64,
    /// Since it was written down how far its digest is.
    unmarked: u64,
    /// Whether the names that lead to it are on the disk.
    is_named: bool,
}

/// What is old, by the clock and by the running time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) before: OffsetDateTime,
    pub(super) life: Old,
}

impl Disk {
    pub(super) fn open(folder: &Path, output: Output, keep_free: u64) -> Result<Self, StoreError> {
        let books = Books::open(folder)?;
        let read = |row: &rusqlite::Row<'_>| row.get(0);
        let seconds = books.query(|database| database.query_row("SELECT seconds FROM life", [], read))?;
        let life = Life::after(seconds, Instant::now());
        let room = Room::new(folder, keep_free);
        Ok(Self { books, output, life, room, open: None, written: HashMap::new() })
    }

    pub(super) fn add(&mut self, run: &Run, commands: &[Command]) -> Result<(), StoreError> {
        self.room.check(run.request.len())?;
        for command in commands {
            // Of a command that was forgotten when the agent was stopped; its id may be used again.
            self.output.set_aside(&command.id)?;
        }
        let life = self.life.seconds(Instant::now());
        self.books.write(|database| {
            database.execute(
                "INSERT INTO runs (id, target, single, request, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![run.id, run.target, run.single, run.request, millis(run.created)],
            )?;
            for command in commands {
                let mut listed = command.clone();
                listed.shorten();
                database.execute(
                    "INSERT INTO commands
                         (id, run, guest, program, state, created, expires, deadline, ended, failure, ended_life)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    params![
                        command.id,
                        command.run,
                        command.guest,
                        json(&*listed.program),
                        command.state.as_str(),
                        millis(command.created),
                        command.expires.map(millis),
                        command.deadline.map(millis),
                        command.ended.map(millis),
                        listed.failure.as_ref().map(json),
                        command.ended.map(|_| life),
                    ],
                )?;
                if !Arc::ptr_eq(&listed.program, &command.program) {
                    database.execute(
                        "INSERT INTO details (id, program) VALUES (?1, ?2)",
                        params![command.id, json(&*command.program)],
                    )?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn update(&mut self, command: &Command) -> Result<(), StoreError> {
        let mut listed = command.clone();
        listed.shorten();
        let life = command.ended.map(|_| self.life.seconds(Instant::now()));
        self.books.write(|database| {
            let changed = database
                .prepare_cached(
                    "UPDATE commands SET state = ?2, started = ?3, ended = ?4, out_bytes = ?5, err_bytes = ?6,
                        results = ?7, failure = ?8, ended_life = ?9
                     WHERE id = ?1 AND (ended IS NULL OR ?4 IS NOT NULL)",
                )?
                .execute(params![
                    command.id,
                    command.state.as_str(),
                    command.started.map(millis),
                    command.ended.map(millis),
                    // SQLite has no unsigned integers; a stream of 2^63 bytes does not exist.
                    command.out_bytes.cast_signed(),
                    command.err_bytes.cast_signed(),
                    listed.results.as_ref().map(json),
                    listed.failure.as_ref().map(json),
                    life,
                ])?;
            if changed == 0 || command.results.is_none() {
                return Ok(());
            }
            if listed.results != command.results {
                database.execute(
                    "INSERT INTO details (id, results) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET results = excluded.results",
                    params![command.id, command.results.as_ref().map(json)],
                )?;
            }
            // Its true end: nothing more comes that a digest would go on with.
            database.prepare_cached("DELETE FROM digests WHERE id = ?1")?.execute([&command.id])?;
            Ok(())
        })
    }

    /// Gives what is to be synced if it is time for that, and whether it is time to write down how far the digest is.
    pub(super) fn append(
        &mut self,
        id: &str,
        part: Part,
        at: u64,
        bytes: &[u8],
        space: Space,
    ) -> Result<Option<(ToSync, bool)>, StoreError> {
        if space == Space::Usual {
            self.room.check(bytes.len())?;
        }
        let path = self.output.stream(id, part);
        let refused = |source| StoreError::File { path: path.clone(), source };
        let file = match self.open.take() {
            Some((last_id, last_part, file)) if last_id == id && last_part == part => file,
            _ => {
                make_private(&self.output.command(id))?;
                private().create(true).truncate(false).open(&path).map_err(refused)?
            }
        };
        file.write_all_at(bytes, at).map_err(refused)?;
        self.open = Some((id.to_owned(), part, file));
        let written = self.written.entry((id.to_owned(), part)).or_insert(Written {
            unsynced: 0,
            unmarked: 0,
            is_named: false,
        });
        written.unsynced += bytes.len() as u64;
        written.unmarked += bytes.len() as u64;
        if written.unsynced < UNSYNCED {
            return Ok(None);
        }
        let mark = written.unmarked >= digests::MARK;
        let folders = if written.is_named { Vec::new() } else { self.output.names(id) };
        *written = Written { unsynced: 0, unmarked: if mark { 0 } else { written.unmarked }, is_named: true };
        Ok(Some((ToSync::of(vec![path], folders), mark)))
    }

    /// Nothing more is written to a command's streams; gives what is to be synced then.
    pub(super) fn close_output(&mut self, id: &str) -> Option<ToSync> {
        self.let_go(id);
        self.output.to_sync(id)
    }

    pub(super) fn let_go(&mut self, id: &str) {
        if self.open.as_ref().is_some_and(|(open, ..)| open == id) {
            self.open = None;
        }
        for part in [Part::Out, Part::Err] {
            self.written.remove(&(id.to_owned(), part));
        }
    }

    /// The lengths in the database may be behind the files: those of the files count.
    pub(super) fn resume(&self, mut command: Command) -> Result<Active, StoreError> {
        let known = self.books.digests(&command.id)?;
        command.out_bytes = self.output.length(&command.id, Part::Out)?;
        command.err_bytes = self.output.length(&command.id, Part::Err)?;
        let is_all = known.out.bytes == command.out_bytes && known.err.bytes == command.err_bytes;
        Ok(Active::resumed(command, is_all.then_some(known)))
    }

    /// What is old by now if it is to be kept for so long.
    pub(super) fn age(&self, before: OffsetDateTime, keep: Duration) -> Result<Age, StoreError> {
        let now = Instant::now();
        let lived = self.life.seconds(now);
        self.books.query(|database| database.execute("UPDATE life SET seconds = ?1", [lived]))?;
        Ok(Age { before, life: self.life.old(keep, now) })
    }

    pub(super) fn digests(&self, id: &str) -> Result<Digests, StoreError> {
        self.books.digests(id)
    }

    pub(super) fn set_credential(&self, guest: &str, token_sha256: &[u8; 32]) -> Result<(), StoreError> {
        let statement = "INSERT INTO guests (id, token_sha256, created) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET token_sha256 = excluded.token_sha256";
        let with = params![guest, token_sha256, millis(OffsetDateTime::now_utc())];
        self.books.query(|database| database.execute(statement, with)).map(drop)
    }

    pub(super) fn credentials(&self) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        self.books.query(|database| {
            let mut query = database.prepare("SELECT id, token_sha256 FROM guests")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }
}
