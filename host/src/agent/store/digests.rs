//! Digests of output that is on disk: made step by step, and written down so that they can go on.

use super::StoreError;
use crate::agent::commands::Progress;
use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How much of a stream may come until it is written down how far its digest is.
pub(super) const MARK: u64 = 32 << 20;
/// Bytes read in one step: then another command has its turn.
const STEP: u64 = 8 << 20;
const AT_ONCE: usize = 256 << 10;

pub(super) fn encoded(progress: &Progress) -> Vec<u8> {
    progress.sha256.serialize().to_vec()
}

/// The digest that was written down; none if that cannot be.
pub(super) fn decoded(state: &[u8], bytes: u64) -> Option<Progress> {
    let state = SerializedState::<Sha256>::try_from(state).ok()?;
    Some(Progress { bytes, sha256: Sha256::deserialize(&state).ok()? })
}

/// Goes on with a digest for one step; gives whether the file has no more. A file that is shorter than what was
/// digested is not the one that was: its digest is made anew.
pub(super) fn step(path: &Path, from: Progress) -> Result<(Progress, bool), StoreError> {
    match read(path, from) {
        Ok(it) => Ok(it),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok((Progress::default(), true)),
        Err(source) => Err(StoreError::File { path: path.into(), source }),
    }
}

fn read(path: &Path, mut progress: Progress) -> io::Result<(Progress, bool)> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < progress.bytes {
        progress = Progress::default();
    }
    file.seek(SeekFrom::Start(progress.bytes))?;
    let mut from = file.take(STEP);
    let mut bytes = vec![0; AT_ONCE];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok((progress, from.limit() > 0)),
            length => progress.update(bytes.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest;

    #[test]
    fn a_digest_that_was_written_down_goes_on() {
        let mut progress = Progress::default();
        progress.update(&[7; 100]);
        let state = encoded(&progress);
        let mut read = decoded(&state, 100).unwrap();
        read.update(b"more");
        let whole = [[7; 100].as_slice(), b"more"].concat();
        assert_eq!(read.sha256.finalize(), Sha256::digest(&whole));
        assert!(decoded(&state[1..], 100).is_none());
        // What earlier agents have written has to be understood: eight words, a count of blocks, what is left over.
        assert_eq!(state.len(), 8 * 4 + 8 + 64);
        assert_eq!(hex::encode(&state[32..48]), "010000000000000024".to_owned() + &"07".repeat(7));
    }

    #[test]
    fn a_file_is_digested_from_where_it_was_left_and_anew_if_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let bytes: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut begun = Progress::default();
        begun.update(&bytes[..1000]);
        let (first, is_all) = step(&path, begun.clone()).unwrap();
        assert_eq!((first.bytes, is_all), (1000 + STEP, false));
        let (all, is_all) = step(&path, first).unwrap();
        assert_eq!((all.bytes, is_all), (10_000_000, true));
        assert_eq!(all.sha256.finalize(), Sha256::digest(&bytes));
        std::fs::write(&path, &bytes[..999]).unwrap();
        let (anew, is_all) = step(&path, begun).unwrap();
        assert_eq!((anew.bytes, is_all), (999, true));
        assert_eq!(anew.sha256.finalize(), Sha256::digest(&bytes[..999]));
        let (none, is_all) = step(&folder.path().join("err"), anew_of(&bytes)).unwrap();
        assert_eq!((none.bytes, is_all), (0, true));
    }

    fn anew_of(bytes: &[u8]) -> Progress {
        let mut progress = Progress::default();
        progress.update(bytes);
        progress
    }
}
