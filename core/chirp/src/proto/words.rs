//! The words of a line, one after the other.

use super::escape;

/// Takes words off a line: separated by blanks and tabs, however many.
pub(super) struct Words<'a> {
    rest: &'a [u8],
    /// Whether a backslash takes the meaning off the byte after it: so Condor's clients write blanks.
    backslash: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a [u8], backslash: bool) -> Self {
        Self { rest: line, backslash }
    }

    pub(super) fn is_condor(&self) -> bool {
        self.backslash
    }

    /// The next one, as it stands in the line.
    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_at(self.end());
        self.rest = rest;
        Some(word)
    }

    fn end(&self) -> usize {
        let mut skip = false;
        let end = self.rest.iter().position(|&byte| {
            let escaped = std::mem::take(&mut skip);
            skip = self.backslash && !escaped && byte == b'\\';
            !escaped && matches!(byte, b' ' | b'\t')
        });
        end.unwrap_or(self.rest.len())
    }

    /// The next one as the bytes of a path.
    pub(super) fn path(&mut self) -> Option<Vec<u8>> {
        let word = self.word()?;
        if !self.backslash {
            return escape::decode(word).ok();
        }
        let mut path = Vec::with_capacity(word.len());
        let mut bytes = word.iter();
        while let Some(&byte) = bytes.next() {
            path.push(if byte == b'\\' { *bytes.next()? } else { byte });
        }
        (!path.iter().any(|byte| matches!(byte, 0 | b'\n'))).then_some(path)
    }

    /// The next one as a number.
    pub(super) fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.word().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.parse().ok())
    }
}
