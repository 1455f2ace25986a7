//! The files of output: one folder a command, one file a stream. What is forgotten is moved aside first, which is done
//! at once, and removed later, which may take long.

use super::{OutputChunk, StoreError, make_private};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vocable_protocol::Part;

/// Where what is forgotten waits to be removed; no command is called so.
const FORGOTTEN: &str = ".forgotten";

#[derive(Clone, Debug)]
pub(super) struct Output {
    folder: Arc<Path>,
    /// Names what is moved aside.
    next: Arc<AtomicU64>,
}

/// What has to be on disk before anybody is told that it is here.
#[derive(Debug)]
pub(super) struct ToSync {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl ToSync {
    pub(super) const fn of(files: Vec<PathBuf>, folders: Vec<PathBuf>) -> Self {
        Self { files, folders }
    }

    /// The contents first, then the names that lead to them.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        for path in &self.files {
            synced(path, File::sync_data)?;
        }
        for path in &self.folders {
            synced(path, File::sync_all)?;
        }
        Ok(())
    }
}

fn synced(path: &Path, sync: fn(&File) -> io::Result<()>) -> Result<(), StoreError> {
    match File::open(path).and_then(|file| sync(&file)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::File { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

impl Output {
    /// Output below that folder, which only its owner can read.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("output");
        make_private(&path.join(FORGOTTEN))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .map_err(|source| StoreError::File { path: path.clone(), source })?;
        // Names of an earlier agent's may still be there.
        let nanos = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
        let next = Arc::new(AtomicU64::new(u64::try_from(nanos).unwrap_or(0)));
        Ok(Self { folder: path.into(), next })
    }

    pub(super) fn command(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    pub(super) fn stream(&self, id: &str, part: Part) -> PathBuf {
        self.command(id).join(part.as_str())
    }

    /// What has to be synced of a command, files and the names that lead to them, if it has written anything.
    pub(super) fn to_sync(&self, id: &str) -> Option<ToSync> {
        let files: Vec<_> = [Part::Out, Part::Err]
            .map(|part| self.stream(id, part))
            .into_iter()
            .filter(|path| path.exists())
            .collect();
        (!files.is_empty()).then(|| ToSync::of(files, self.names(id)))
    }

    /// The folders that name a command's files.
    pub(super) fn names(&self, id: &str) -> Vec<PathBuf> {
        vec![self.command(id), self.folder.to_path_buf()]
    }

    pub(super) fn length(&self, id: &str, part: Part) -> Result<u64, StoreError> {
        let path = self.stream(id, part);
        match fs::metadata(&path) {
            Ok(it) => Ok(it.len()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    pub(super) fn read(
        &self,
        id: &str,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<OutputChunk, StoreError> {
        let path = self.stream(id, part);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(most as u64).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        match read() {
            Ok(bytes) => Ok(OutputChunk { bytes, offset }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                Ok(OutputChunk { bytes: Vec::new(), offset })
            }
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    /// Moves a command's output aside, if there is any; gives where to.
    pub(super) fn set_aside(&self, id: &str) -> Result<Option<PathBuf>, StoreError> {
        let (path, aside) = (self.command(id), self.aside());
        match fs::rename(&path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    fn aside(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(FORGOTTEN).join(number.to_string())
    }

    /// Names of all commands that have a folder.
    pub(super) fn commands(&self) -> Result<Vec<String>, StoreError> {
        let names = names_in(&self.folder)?;
        Ok(names.into_iter().filter(|name| name != FORGOTTEN).collect())
    }

    /// What is aside by now.
    pub(super) fn set_aside_before(&self) -> Result<Vec<PathBuf>, StoreError> {
        let aside = self.folder.join(FORGOTTEN);
        Ok(names_in(&aside)?.into_iter().map(|name| aside.join(name)).collect())
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let read = || {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    read().map_err(|source| StoreError::File { path: folder.into(), source })
}

/// Removes folders that were moved aside; those that are gone already, too.
pub(super) fn remove(folders: &[PathBuf]) -> Result<(), StoreError> {
    for path in folders {
        match fs::remove_dir_all(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: path.clone(), source });
            }
            _ => {}
        }
    }
    Ok(())
}
