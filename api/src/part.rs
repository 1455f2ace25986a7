//! The two outputs of a command.

/// One of the two streams a command writes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// Standard error.
    Err,
    /// Standard output.
    Out,
}

impl Part {
    /// `out` or `err`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Out => "out",
        }
    }

    /// The part of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Err, Self::Out].into_iter().find(|part| part.as_str() == name)
    }
}
