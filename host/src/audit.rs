//! Who changed what: one JSON line for each call that changes something, in a file of bounded size.
//!
//! ```text
//! {"time":"2026-11-22T09:01:44.120Z","caller":"token","peer":"127.0.0.1","what":"cmd.run","about":{"target":"vm1","cmd":"make"},"outcome":"ok","ms":4}
//! ```
//! A line is written when the call is over, with its outcome: `ok`, the slug of its fault, or `abandoned` if the caller
//! went away. When the file is full it is renamed to `NAME.1`, in place of the one before: of the oldest lines only
//! those of one full file are kept.

use serde_json::{Map, Value as Json, json};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;
use time::UtcDateTime;
use time::macros::format_description;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vocable_config::private;
use vocable_protocol::excerpt;

/// Lines that may wait to be written; then calls wait.
const WAITING: usize = 1024;
const BATCH: usize = 256;
/// The outcome of a call whose caller did not wait for it.
const ABANDONED: &str = "abandoned";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// By what it was let in: `token`, or the user the kernel names.
    pub(crate) login: String,
    /// From where.
    pub(crate) peer: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Option<mpsc::Sender<String>>);

impl Audit {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Lines go to the end of a file that only its owner may read, made if missing, of at most `most` bytes. The task
    /// that writes them ends when all clones of the audit are gone and everything is written.
    ///
    /// # Errors
    /// The operating system's, if the file cannot be opened for writing.
    pub(crate) fn to_file(path: &Path, most: u64) -> io::Result<(Self, JoinHandle<()>)> {
        let mut log = Log::open(path.to_owned(), most)?;
        let (lines, mut waiting) = mpsc::channel::<String>(WAITING);
        let writing = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while waiting.recv_many(&mut batch, BATCH).await > 0 {
                let lines = std::mem::take(&mut batch).concat();
                let written = tokio::task::spawn_blocking(move || (log.write(&lines), log)).await;
                let Ok((result, back)) = written else { return };
                log = back;
                if let Err(error) = result {
                    tracing::error!(file = %log.path.display(), %error, "audit lines could not be written");
                }
            }
        });
        Ok((Self(Some(lines)), writing))
    }

    /// A line about something that begins now. `about` names what it is done to, cut to 80 characters each.
    pub(crate) fn begin<'a>(
        &self,
        caller: &Caller,
        what: &str,
        about: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Entry {
        let line = self.0.as_ref().map(|_| Line {
            caller: caller.clone(),
            what: what.to_owned(),
            about: about.into_iter().map(|(name, text)| (name.to_owned(), short(text).into())).collect(),
            begun: Instant::now(),
        });
        Entry { audit: self.clone(), line }
    }
}

/// Something under way, of which a line will tell.
#[derive(Debug)]
#[must_use = "a line that is dropped says that the call was abandoned"]
pub(crate) struct Entry {
    audit: Audit,
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    caller: Caller,
    what: String,
    about: Map<String, Json>,
    begun: Instant,
}

impl Entry {
    /// It is over: `ok`, or the slug of what went wrong. Waits while the disk is behind.
    pub(crate) async fn end(mut self, outcome: &str) {
        if let (Some(line), Audit(Some(lines))) = (self.line.take(), &self.audit) {
            // Nobody to write it any more: the agent has stopped.
            let _ = lines.send(line.text(outcome)).await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let (Some(line), Audit(Some(lines))) = (self.line.take(), &self.audit)
            && let Err(error) = lines.try_send(line.text(ABANDONED))
        {
            tracing::error!(what = line.what, "an audit line is lost: {error}");
        }
    }
}

impl Line {
    fn text(&self, outcome: &str) -> String {
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let time = UtcDateTime::now().format(form).unwrap_or_default();
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Self { caller: Caller { login, peer }, what, about, .. } = self;
        let line = json!({"time": time, "caller": login, "peer": peer, "what": what, "about": about,
            "outcome": outcome, "ms": ms});
        format!("{line}\n")
    }
}

/// Without the quotes that an excerpt has in messages.
fn short(text: &str) -> String {
    let quoted = excerpt(text);
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

/// The file.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
}

impl Log {
    fn open(path: PathBuf, most: u64) -> io::Result<Self> {
        let file = private().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, most })
    }

    fn write(&mut self, lines: &str) -> io::Result<()> {
        if self.size > 0 && self.size.saturating_add(lines.len() as u64) > self.most {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            fs::rename(&self.path, older)?;
            *self = Self::open(self.path.clone(), self.most)?;
        }
        self.file.write_all(lines.as_bytes())?;
        self.size += lines.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller { login: "token".to_owned(), peer: "127.0.0.1".to_owned() }
    }

    fn lines(path: &Path) -> Vec<Json> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn what_was_done_and_what_was_abandoned_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (audit, writing) = Audit::to_file(&path, 1 << 20).unwrap();
        audit.begin(&caller(), "cmd.run", [("target", "vm1"), ("cmd", "sh\n\"x\"")]).end("ok").await;
        drop(audit.begin(&caller(), "word.DF", [("target", &*"x".repeat(1000))]));
        drop(audit);
        writing.await.unwrap();
        let lines = lines(&path);
        assert_eq!((&lines[0]["what"], &lines[0]["outcome"]), (&json!("cmd.run"), &json!("ok")));
        assert_eq!((&lines[0]["caller"], &lines[0]["peer"]), (&json!("token"), &json!("127.0.0.1")));
        assert_eq!(lines[0]["about"]["target"], "vm1");
        assert_eq!(lines[1]["outcome"], "abandoned");
        assert!(lines[1]["about"]["target"].as_str().unwrap().chars().count() <= 81);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn the_file_is_bounded_and_one_older_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for n in 0..30 {
            // A task of its own each time, so that every line is a batch of its own.
            let (audit, writing) = Audit::to_file(&path, 1000).unwrap();
            audit.begin(&caller(), &format!("n{n}"), []).end("ok").await;
            drop(audit);
            writing.await.unwrap();
        }
        let (now, before) = (lines(&path), lines(&folder.path().join("audit.jsonl.1")));
        assert_eq!(now.last().unwrap()["what"], "n29");
        let total = now.len() + before.len();
        assert_eq!(before[0]["what"], format!("n{}", 30 - total), "no line between is missing");
        assert!(fs::metadata(&path).unwrap().len() <= 1000);
    }

    #[tokio::test]
    async fn without_a_file_nothing_is_kept() {
        Audit::none().begin(&caller(), "cmd.run", []).end("ok").await;
    }
}
