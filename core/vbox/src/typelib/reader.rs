//! Big-endian numbers and texts out of a slice that may end anywhere.

use super::TypeLibraryError;

/// The longest name; the longest of VirtualBox has 70 bytes.
const LONGEST: usize = 512;

/// A place in the file.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn u8(&mut self) -> Result<u8, TypeLibraryError> {
        self.take::<1>().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, TypeLibraryError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, TypeLibraryError> {
        self.take().map(u32::from_be_bytes)
    }

    /// The next bytes, as many as the array has.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], TypeLibraryError> {
        let truncated = TypeLibraryError::Truncated { at: self.at };
        let end = self.at.checked_add(N).ok_or_else(|| truncated.clone())?;
        let taken = self.bytes.get(self.at..end).and_then(|taken| taken.try_into().ok());
        self.at = end;
        taken.ok_or(truncated)
    }

    /// The text that begins here and ends with a zero.
    pub(super) fn name(&self) -> Result<String, TypeLibraryError> {
        let truncated = TypeLibraryError::Truncated { at: self.bytes.len() };
        let rest = self.bytes.get(self.at..).ok_or_else(|| truncated.clone())?;
        let end = rest.iter().take(LONGEST).position(|byte| *byte == 0);
        let name = match end {
            Some(end) => rest.get(..end).unwrap_or_default(),
            None if rest.len() < LONGEST => return Err(truncated),
            None => return Err(TypeLibraryError::Invalid { at: self.at, what: "a name without an end" }),
        };
        let text = std::str::from_utf8(name).ok().filter(|text| text.is_ascii());
        text.map(str::to_owned)
            .ok_or(TypeLibraryError::Invalid { at: self.at, what: "a name that is not ASCII" })
    }
}
