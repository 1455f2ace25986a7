//! `GUEST:PATH` or a file of this machine: the first `:` divides, unless a `/` stands before it, as for scp.

use std::path::PathBuf;

/// One side of a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Here.
    Local(String),
    /// There.
    Remote {
        /// Whom.
        target: String,
        /// Which path of theirs.
        path: String,
    },
}

impl Place {
    /// What somebody typed.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((target, path)) if !target.is_empty() && !target.contains('/') => {
                Self::Remote { target: target.to_owned(), path: path.to_owned() }
            }
            _ => Self::Local(text.to_owned()),
        }
    }

    /// The path, if it is here.
    pub(super) fn local(&self) -> Option<PathBuf> {
        match self {
            Self::Local(path) => Some(PathBuf::from(path)),
            Self::Remote { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_divides_unless_a_slash_stands_before_it() {
        let remote =
            |target: &str, path: &str| Place::Remote { target: target.to_owned(), path: path.to_owned() };
        assert_eq!(Place::parse("vm1:/a:b"), remote("vm1", "/a:b"));
        assert_eq!(Place::parse("vm1,@lab:"), remote("vm1,@lab", ""));
        for local in ["./a:b", "/a:b", "a", ":x"] {
            assert_eq!(Place::parse(local), Place::Local(local.to_owned()));
        }
    }
}
