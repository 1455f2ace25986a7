//! The files of words: what is below the folders that a word was granted, and nothing else. The same on both ends, so
//! no agent has to do it itself.

use crate::contract::Refusal;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, Metadata, OpenOptions, OpenOptionsExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// Bytes of one reading.
const MAX_READ: u32 = 1 << 20;
/// Entries of one folder; more are refused, not cut.
const MAX_ENTRIES: usize = 10_000;
/// Bytes that one call may write.
pub(crate) const MAX_WRITTEN: u64 = 64 << 20;

/// A folder that was granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether anything in it may be changed.
    pub write: bool,
}

/// The folders of a word, by the names under which it knows them.
pub type Folders = BTreeMap<String, Folder>;

impl Folder {
    /// Reads `ro:/path` or `rw:/path`.
    pub fn parse(text: &str) -> Option<Self> {
        let (mode, path) = text.split_once(':')?;
        let write = match mode {
            "ro" => false,
            "rw" => true,
            _ => return None,
        };
        path.starts_with('/').then(|| Self { path: path.into(), write })
    }
}

/// A path of a word: the folder that it is in, open, and the rest.
struct Place {
    dir: Dir,
    rest: String,
    shown: String,
}

fn place(folders: &Folders, path: &str, to_write: bool) -> Result<Place, Refusal> {
    let path = path.trim_end_matches('/');
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let Some(folder) = folders.get(name) else {
        let all: Vec<_> = folders.keys().map(String::as_str).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        return Err(Refusal::Denied(format!("files: no folder {} is granted; granted: {all}", short(name))));
    };
    if to_write && !folder.write {
        return Err(Refusal::Denied(format!("files: {name} is granted for reading only")));
    }
    let dir = Dir::open_ambient_dir(&folder.path, ambient_authority())
        .map_err(|error| Refusal::Failed(format!("files: {name}: {error}")))?;
    Ok(Place { dir, rest: rest.to_owned(), shown: short(path) })
}

impl Place {
    /// The path within the folder. The folder itself is not to be changed.
    fn inner(&self) -> Result<&str, Refusal> {
        if self.rest.is_empty() {
            return Err(Refusal::Denied(format!("files: {} itself is not the word's to change", self.shown)));
        }
        Ok(&self.rest)
    }

    fn or_itself(&self) -> &str {
        if self.rest.is_empty() { "." } else { &self.rest }
    }

    fn failed(&self, error: &io::Error) -> Refusal {
        Refusal::Failed(format!("files: {}: {error}", self.shown))
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).filter(|sign| !sign.is_control()).collect()
}

fn facts(metadata: &Metadata) -> Value {
    let kind = |of: FileType| match () {
        () if of.is_file() => "file",
        () if of.is_dir() => "dir",
        () => "other",
    };
    let mtime = metadata.modified().ok().and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok());
    json!({"type": kind(metadata.file_type()), "size": metadata.len(), "mtime": mtime.map(|time| time.as_secs_f64())})
}

/// Opens a file, and nothing that only looks like one: whoever opens a pipe waits for its other end.
fn regular(dir: &Dir, path: &str, how: &mut OpenOptions) -> io::Result<File> {
    let file = dir.open_with(path, how.custom_flags(nix::libc::O_NONBLOCK))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a file")) }
}

/// What is there, as JSON; none if nothing is.
pub(crate) fn stat(folders: &Folders, path: &str) -> Result<Option<String>, Refusal> {
    let place = place(folders, path, false)?;
    match place.dir.metadata(place.or_itself()) {
        Ok(metadata) => Ok(Some(facts(&metadata).to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(place.failed(&error)),
    }
}

/// What is in a folder, as JSON.
pub(crate) fn entries(folders: &Folders, path: &str) -> Result<String, Refusal> {
    if path.is_empty() {
        let all: Vec<_> = folders
            .iter()
            .map(|(name, it)| json!({"name": name, "type": "dir", "write": it.write}))
            .collect();
        return Ok(Value::from(all).to_string());
    }
    let place = place(folders, path, false)?;
    let mut found = BTreeMap::new();
    for entry in place.dir.read_dir(place.or_itself()).map_err(|error| place.failed(&error))? {
        let entry = entry.map_err(|error| place.failed(&error))?;
        // What has gone in between is not there; what is no text cannot be named by a word.
        let (Ok(metadata), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else { continue };
        if found.len() >= MAX_ENTRIES {
            let text = format!("files: {} has more than {MAX_ENTRIES} entries", place.shown);
            return Err(Refusal::Failed(text));
        }
        let mut facts = facts(&metadata);
        facts["name"] = name.as_str().into();
        found.insert(name, facts);
    }
    Ok(found.into_values().collect::<Value>().to_string())
}

pub(crate) fn read(folders: &Folders, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Refusal> {
    let place = place(folders, path, false)?;
    let read = || {
        let mut file = regular(&place.dir, place.or_itself(), OpenOptions::new().read(true))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(max.min(MAX_READ).into()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| place.failed(&error))
}

/// Puts bytes into a file, which is made if need be.
pub(crate) fn write(folders: &Folders, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
    let place = place(folders, path, true)?;
    let inner = place.inner()?;
    let write = || {
        let mut file = regular(&place.dir, inner, OpenOptions::new().write(true).create(true))?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    };
    write().map_err(|error: io::Error| place.failed(&error))
}

/// Gives something another name.
pub(crate) fn rename(folders: &Folders, path: &str, to: &str) -> Result<(), Refusal> {
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    if first(path) != first(to) {
        return Err(Refusal::Invalid("files: rename: both have to be in the same granted folder".to_owned()));
    }
    let (old, new) = (place(folders, path, true)?, place(folders, to, true)?);
    let renamed = old.dir.rename(old.inner()?, &new.dir, new.inner()?);
    renamed.map_err(|error| old.failed(&error))
}

pub(crate) fn make_folder(folders: &Folders, path: &str) -> Result<(), Refusal> {
    let place = place(folders, path, true)?;
    let inner = place.inner()?;
    match place.dir.create_dir(inner) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.dir.is_dir(inner) => Ok(()),
        done => done.map_err(|error| place.failed(&error)),
    }
}

/// Removes a file or an empty folder.
pub(crate) fn remove(folders: &Folders, path: &str) -> Result<(), Refusal> {
    let place = place(folders, path, true)?;
    let inner = place.inner()?;
    let is_dir = place.dir.symlink_metadata(inner).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_dir { place.dir.remove_dir(inner) } else { place.dir.remove_file(inner) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|error| place.failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// `in` for reading, `out` for both; beside them a file that nobody granted.
    fn bed() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["in", "out"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(folder.path().join("in/numbers"), "0123456789").unwrap();
        let of = |mode: &str, name: &str| {
            Folder::parse(&format!("{mode}:{}", folder.path().join(name).display())).unwrap()
        };
        let folders = [("in".to_owned(), of("ro", "in")), ("out".to_owned(), of("rw", "out"))].into();
        (folder, folders)
    }

    fn denied<T: std::fmt::Debug>(told: Result<T, Refusal>) -> bool {
        matches!(told.unwrap_err(), Refusal::Denied(_))
    }

    #[test]
    fn files_are_read_written_moved_and_removed() {
        let (_folder, folders) = bed();
        assert_eq!(read(&folders, "in/numbers", 3, 4).unwrap(), b"3456");
        assert_eq!(read(&folders, "in/numbers", 10, 4).unwrap(), b"");
        make_folder(&folders, "out/a").unwrap();
        make_folder(&folders, "out/a").unwrap();
        write(&folders, "out/a/part", 2, b"cd").unwrap();
        write(&folders, "out/a/part", 0, b"ab").unwrap();
        rename(&folders, "out/a/part", "out/whole").unwrap();
        assert_eq!(read(&folders, "out/whole", 0, 99).unwrap(), b"abcd");
        let whole: Value = serde_json::from_str(&stat(&folders, "out/whole").unwrap().unwrap()).unwrap();
        assert_eq!((&whole["type"], &whole["size"]), (&json!("file"), &json!(4)));
        let all: Value = serde_json::from_str(&entries(&folders, "out").unwrap()).unwrap();
        assert_eq!((&all[0]["name"], &all[1]["name"], &all[2]), (&json!("a"), &json!("whole"), &Value::Null));
        let granted: Value = serde_json::from_str(&entries(&folders, "").unwrap()).unwrap();
        assert_eq!(granted[0], json!({"name": "in", "type": "dir", "write": false}));
        for path in ["out/a", "out/whole", "out/whole"] {
            remove(&folders, path).unwrap();
            assert_eq!(stat(&folders, path).unwrap(), None);
        }
    }

    #[test]
    fn what_was_not_granted_is_denied() {
        let (_folder, folders) = bed();
        assert!(denied(read(&folders, "etc/passwd", 0, 9)) && denied(stat(&folders, "/etc")));
        assert!(denied(write(&folders, "in/new", 0, b"x")) && denied(remove(&folders, "in/numbers")));
        assert!(denied(remove(&folders, "out")) && denied(make_folder(&folders, "out/")));
        assert!(matches!(rename(&folders, "in/numbers", "out/numbers"), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn nothing_outside_is_reached() {
        let (folder, folders) = bed();
        symlink("../secret", folder.path().join("out/link")).unwrap();
        symlink("/etc", folder.path().join("out/etc")).unwrap();
        for path in ["out/../secret", "out/link", "out/etc/passwd", "out//etc/passwd", "in/./../secret"] {
            assert!(matches!(read(&folders, path, 0, 9), Err(Refusal::Failed(_))), "{path}");
        }
        assert!(write(&folders, "out/link", 0, b"x").is_err());
        assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"secret");
        // The link goes, not what it leads to.
        remove(&folders, "out/link").unwrap();
        assert!(folder.path().join("secret").exists());
    }

    #[test]
    fn what_is_no_file_is_refused_and_nobody_waits_for_it() {
        let (folder, folders) = bed();
        nix::unistd::mkfifo(&folder.path().join("out/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&folders, "out/pipe", 0, 9).is_err() && write(&folders, "out/pipe", 0, b"x").is_err());
        assert!(read(&folders, "out", 0, 9).is_err());
    }

    proptest! {
        #[test]
        fn no_path_leads_out(parts in proptest::collection::vec("\\.\\.|\\.|secret|a|", 0..6)) {
            let (folder, folders) = bed();
            let path = format!("out/{}", parts.join("/"));
            let _ = write(&folders, &path, 0, b"changed");
            let _ = remove(&folders, &path);
            prop_assert_eq!(fs::read(folder.path().join("secret")).unwrap(), b"secret");
        }
    }
}
