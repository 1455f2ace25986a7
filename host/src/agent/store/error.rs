//! What can go wrong in the store.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("database {path}: {source}")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("database {path} has version {found}, and this program knows up to {known}; use a newer vocable")]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error("command {id}: what is stored cannot be read: {reason}")]
    Damaged { id: String, reason: String },
    /// The file system has less left than what is kept free for the agent itself.
    #[error(
        "{path}: {} MiB are free, and {} MiB are kept free for the agent itself; make room, or lower \
         commands.keep_free", free >> 20, keep >> 20
    )]
    NoRoom { path: PathBuf, free: u64, keep: u64 },
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
