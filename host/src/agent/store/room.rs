//! How much of the file system is left for output: some of it is kept free, so that the agent itself can go on working
//! and tell the ends of commands when it is nearly full.

use super::StoreError;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    keep: u64,
}

impl Room {
    pub(super) fn new(folder: &Path, keep: u64) -> Self {
        Self { folder: folder.to_owned(), keep }
    }

    /// Whether so many bytes more leave what is to be kept free: of a small file system, a tenth at most.
    pub(super) fn check(&self, more: usize) -> Result<(), StoreError> {
        if self.keep == 0 {
            return Ok(());
        }
        let asked = rustix::fs::statvfs(&self.folder);
        let told =
            asked.map_err(|error| StoreError::File { path: self.folder.clone(), source: error.into() })?;
        let (free, all) =
            (told.f_bavail.saturating_mul(told.f_frsize), told.f_blocks.saturating_mul(told.f_frsize));
        match short_of(free, all, self.keep, more as u64) {
            Some(keep) => Err(StoreError::NoRoom { path: self.folder.clone(), free, keep }),
            None => Ok(()),
        }
    }
}

/// How much is to stay free, if so many bytes more would leave less.
fn short_of(free: u64, all: u64, keep: u64, more: u64) -> Option<u64> {
    let keep = keep.min(all / 10);
    (free < keep.saturating_add(more)).then_some(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_is_kept_free_and_of_a_small_disk_a_tenth() {
        assert_eq!(short_of(5000, 100_000, 1000, 4000), None);
        assert_eq!(short_of(5000, 100_000, 1000, 4001), Some(1000));
        assert_eq!(short_of(200, 1000, 1 << 30, 50), None);
        assert_eq!(short_of(149, 1000, 1 << 30, 50), Some(100));
    }

    #[test]
    fn nothing_fits_into_a_full_file_system_unless_nothing_is_kept_free() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Room::new(folder.path(), 1).check(usize::MAX).unwrap_err();
        assert!(refused.is_full(), "{refused}");
        Room::new(folder.path(), 0).check(usize::MAX).unwrap();
    }
}
