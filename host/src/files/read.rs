//! A piece of a file of a guest, in one go.

use super::Files;
use bytes::Bytes;
use vocable_api::fault::{Fault, FaultKind};
use vocable_copy::tree::Kind;

/// A piece of a file.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The bytes; fewer than asked for at the end of the file only.
    pub(crate) data: Bytes,
    /// How long the whole file is.
    pub(crate) size: u64,
}

impl Files {
    /// Reads a piece of a guest's file.
    ///
    /// # Errors
    /// The guest is not there, nothing is at that path, or no file.
    pub(crate) async fn read(
        &self,
        guest: &str,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<Piece, Fault> {
        let path = self.remote(guest, path.as_bytes()).await?;
        let session = self.shared(guest).await?;
        let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
        let Kind::File(size) = found.kind else {
            return Err(Fault::new(FaultKind::FileFailed, format!("{} is no file", session.shown(&path))));
        };
        let length = length.min(size.saturating_sub(offset));
        if length == 0 {
            return Ok(Piece { data: Bytes::new(), size });
        }
        let handle = session.open(&path).await?;
        let read = session.client().pread(handle, length, offset).await;
        let closed = session.client().close(handle).await;
        let data = read.map_err(|error| session.fault(error, &path))?;
        closed.map_err(|error| session.fault(error, &path))?;
        Ok(Piece { data, size })
    }
}
