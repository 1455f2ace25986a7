//! Compiled words on disk, so that an agent is ready at once, and beside them what was found when they were examined.
//! The one module with `unsafe`: what is read from here is run, so the folder has to be ours alone, and the file the
//! one that was written.
//!
//! A file is named after what it was made of and what is in it:
//! `<SHA-256 of the component>-<engine>-<SHA-256 of the file>.cwasm` (code) or `….<version>.json` (findings). It is
//! written under another name and renamed, so half a file is never found, and one that has changed since is not used.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use vocable_protocol::sha256_hex;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::component::Findings;

/// Bytes of compiled words that are kept; beyond, those longest unused go. Six words from Rust take 2 MB,
/// one from JavaScript 33 MB.
const MAX_CACHE: u64 = 256 << 20;

/// How the names of compiled components end.
const CODE: &str = ".cwasm";
/// How the names of findings end. Another version of us may check otherwise, and give words other functions.
const FINDINGS: &str = concat!(".", env!("CARGO_PKG_VERSION"), ".json");

pub(crate) struct Cache {
    folder: PathBuf,
    /// What compiled code depends on beside its source: wasmtime's version and settings, the processor.
    engine: String,
}

impl Cache {
    /// Opens the folder, and makes it if it is not there. `engine` tells engines apart that cannot run each other's
    /// code. The error says why it cannot be trusted.
    pub(crate) fn open(folder: &Path, engine: String) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("not a directory"));
        }
        require_ours(&metadata)?;
        Ok(Self { folder: folder.to_owned(), engine })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// The compiled component, if it is here and as it was written.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        self.read(sha256, CODE, |_, path| trusted(engine, path).map_err(io::Error::other))
    }

    pub(crate) fn store(&self, sha256: &str, code: io::Result<Vec<u8>>) {
        let _ = self.keep(sha256, CODE, code); // it has told why not
    }

    /// What was found of a component, by this version of us and with an engine like this.
    pub(crate) fn findings(&self, sha256: &str) -> Option<Findings> {
        self.read(sha256, FINDINGS, |file, _| {
            file.rewind()?;
            serde_json::from_reader(io::BufReader::new(file)).map_err(io::Error::other)
        })
    }

    /// Keeps what was found of a component. Whether it is kept.
    pub(crate) fn keep_findings(&self, sha256: &str, findings: &Findings) -> bool {
        self.keep(sha256, FINDINGS, serde_json::to_vec(findings).map_err(io::Error::other))
    }

    /// Reads the file of that kind about a component, if it is here and as it was written.
    fn read<T>(
        &self,
        sha256: &str,
        kind: &str,
        read: impl FnOnce(&mut File, &Path) -> io::Result<T>,
    ) -> Option<T> {
        let prefix = self.prefix(sha256);
        let is_it = |name: &str| name.starts_with(&prefix) && name.ends_with(kind);
        let path = self
            .files()
            .ok()?
            .into_iter()
            .map(|file| file.path)
            .find(|path| path.file_name().is_some_and(|name| is_it(&name.to_string_lossy())))?;
        let unchanged = unchanged(&path, &prefix, kind);
        match unchanged.and_then(|mut file| Ok((read(&mut file, &path)?, file))) {
            Ok((content, file)) => {
                let _ = file.set_modified(SystemTime::now());
                Some(content)
            }
            Err(reason) => {
                tracing::warn!("a compiled word is made anew: {}: {reason}", path.display());
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps something about a component. Not being able to is no misfortune: it is made again next time.
    fn keep(&self, sha256: &str, kind: &str, content: io::Result<Vec<u8>>) -> bool {
        let stored = content.and_then(|content| self.write(sha256, kind, &content));
        let kept = stored.and_then(|()| self.trim(MAX_CACHE));
        if let Err(reason) = &kept {
            tracing::warn!("a compiled word is not kept: {}: {reason}", self.folder.display());
        }
        kept.is_ok()
    }

    fn prefix(&self, sha256: &str) -> String {
        format!("{sha256}-{}-", self.engine)
    }

    fn write(&self, sha256: &str, kind: &str, content: &[u8]) -> io::Result<()> {
        let name = format!("{}{}", self.prefix(sha256), sha256_hex(content));
        let unfinished = self.folder.join(format!("{name}.{}-{}.new", process::id(), next_number()));
        let mut file = File::create(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(format!("{name}{kind}")))
    }

    /// Removes files until no more than `kept` bytes are left, the longest unused first.
    fn trim(&self, kept: u64) -> io::Result<()> {
        let mut files = self.files()?;
        files.sort_by_key(|file| file.used);
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        for file in files {
            if total <= kept {
                break;
            }
            fs::remove_file(&file.path)?;
            total = total.saturating_sub(file.bytes);
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another agent of the same user may remove what it has just seen.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                files.push(Kept { path: entry.path(), bytes: metadata.len(), used: metadata.modified()? });
            }
        }
        Ok(files)
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    /// The time of modification, set anew whenever the file is read.
    used: SystemTime,
}

/// Opens a file after making sure that it is ours and unchanged.
fn unchanged(path: &Path, prefix: &str, kind: &str) -> io::Result<File> {
    let mut file = File::open(path)?;
    require_ours(&fs::symlink_metadata(path)?)?;
    let expected = format!("{prefix}{}{kind}", hex::encode(digest(&mut file)?));
    if path.file_name().is_none_or(|name| name.to_string_lossy() != expected) {
        return Err(io::Error::other("it has changed since it was written"));
    }
    Ok(file)
}

/// The SHA-256 of a file, without having it in memory.
fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut block = [0; 16 << 10];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(digest.finalize().into()),
            read => digest.update(block.get(..read).unwrap_or_default()),
        }
    }
}

/// Loads compiled code that could not be kept.
#[cfg(target_os = "linux")]
pub(crate) fn from_memory(engine: &Engine, code: &[u8]) -> io::Result<Component> {
    use std::os::fd::AsRawFd;

    // A file of this process alone, which is gone when nothing of it is mapped any more.
    let mut file =
        File::from(nix::sys::memfd::memfd_create(c"word", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?);
    file.write_all(code)?;
    trusted(engine, Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))).map_err(io::Error::other)
}

/// Elsewhere there is no file without a folder.
#[cfg(not(target_os = "linux"))]
pub(crate) fn from_memory(_: &Engine, _: &[u8]) -> io::Result<Component> {
    Err(io::Error::other("what was compiled cannot be kept"))
}

#[allow(unsafe_code, reason = "wasmtime cannot know where compiled code comes from; the caller does")]
fn trusted(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is what wasmtime compiled for engines like this one. It and its folder belong to this
    // user, nobody else can write to them, and its digest is in the name under which this user stored it; from
    // then on it is removed or replaced, and never written to, so what is mapped stays as it is. Who can forge
    // or change that is this user, and needs no forgery. Or it is a file in memory that this process has just
    // written and nobody else has.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Sets files apart that this process writes at the same time.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whether nobody but this user (and root, who may do anything) can write there.
fn require_ours(metadata: &Metadata) -> io::Result<()> {
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write to it; chmod go-w would help"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn beyond_its_size_the_longest_unused_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().to_owned(), engine: "e".to_owned() };
        for (age, name) in ["new", "middle", "old"].into_iter().enumerate() {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(1000 * age as u64);
            File::open(path).unwrap().set_modified(used).unwrap();
        }
        cache.trim(200).unwrap();
        let mut left: Vec<_> = cache.files().unwrap().into_iter().map(|file| file.path).collect();
        left.sort();
        assert_eq!(left, [folder.path().join("middle"), folder.path().join("new")]);
    }
}
