//! Globs that callers write, within bounds that are checked before a library sees them: what a pattern costs grows with
//! its length and its nesting, and the library that compiles it gives up in ways of its own. Pure.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::path::Path;
use vocable_xmlrpc::excerpt;

/// The longest pattern, and all of one list together, bytes.
const MAX_LENGTH: usize = 1024;
const MAX_LENGTH_OF_ALL: usize = 64 * 1024;
/// How deep `{a,{b,c}}` may nest.
const MAX_NESTING: usize = 8;
/// Alternatives of one pattern, in all its braces together.
const MAX_ALTERNATIVES: usize = 256;
/// Patterns in one list.
const MAX_PATTERNS: usize = 1024;

/// A pattern that makes no sense, or more of it than is taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// One that cannot be used.
    #[error("{pattern} is no valid glob: {problem}")]
    Bad {
        /// The pattern, quoted and cut.
        pattern: String,
        /// Why not.
        problem: String,
    },
    /// Each might do, but not all of them.
    #[error(
        "at most {MAX_PATTERNS} patterns of {MAX_LENGTH_OF_ALL} bytes together are taken, got {count} of {bytes}"
    )]
    TooMany {
        /// How many they are.
        count: usize,
        /// How long they are together.
        bytes: usize,
    },
    /// The library refused them all together.
    #[error("the patterns are too much together: {0}")]
    TooMuch(String),
}

impl PatternError {
    fn bad(pattern: &str, problem: impl Into<String>) -> Self {
        Self::Bad { pattern: excerpt(pattern), problem: problem.into() }
    }

    /// What is wrong, without the pattern.
    pub fn problem(&self) -> String {
        match self {
            Self::Bad { problem, .. } => problem.clone(),
            other => other.to_string(),
        }
    }
}

/// Globs of which one has to fit.
#[derive(Clone, Debug, Default)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// Reads globs as they are used of names: `*` fits anything.
    ///
    /// # Errors
    /// [`PatternError`] for one that is no glob, too long, too deep or too rich in alternatives, and for too many.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Self, PatternError> {
        Self::build(patterns, false)
    }

    /// Reads globs as they are used of paths: `*` does not fit a slash.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_paths<T: AsRef<str>>(patterns: &[T]) -> Result<Self, PatternError> {
        Self::build(patterns, true)
    }

    fn build<T: AsRef<str>>(patterns: &[T], paths: bool) -> Result<Self, PatternError> {
        let bytes = patterns.iter().map(|pattern| pattern.as_ref().len()).sum();
        if patterns.len() > MAX_PATTERNS || bytes > MAX_LENGTH_OF_ALL {
            return Err(PatternError::TooMany { count: patterns.len(), bytes });
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            check(pattern)?;
            let glob = GlobBuilder::new(pattern).literal_separator(paths).build();
            set.add(glob.map_err(|error| PatternError::bad(pattern, error.kind().to_string()))?);
        }
        // Not `compile_matcher`, which panics where this fails.
        let built = set.build().map_err(|error| match patterns {
            [one] => PatternError::bad(one.as_ref(), error.kind().to_string()),
            _ => PatternError::TooMuch(error.kind().to_string()),
        });
        built.map(Self)
    }

    /// Whether one of them fits.
    pub fn fit(&self, text: impl AsRef<Path>) -> bool {
        self.0.is_match(text)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a pattern keeps to the bounds.
fn check(pattern: &str) -> Result<(), PatternError> {
    if pattern.len() > MAX_LENGTH {
        return Err(PatternError::bad(
            pattern,
            format!("it has {} bytes of {MAX_LENGTH} at most", pattern.len()),
        ));
    }
    let (mut depth, mut alternatives, mut escaped) = (0_usize, 0_usize, false);
    for character in pattern.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => (depth, alternatives) = (depth + 1, alternatives + 1),
            '}' => depth = depth.saturating_sub(1),
            ',' if depth > 0 => alternatives += 1,
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(PatternError::bad(pattern, format!("braces nest deeper than {MAX_NESTING}")));
        }
        if alternatives > MAX_ALTERNATIVES {
            return Err(PatternError::bad(
                pattern,
                format!("it has more than {MAX_ALTERNATIVES} alternatives"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(pattern: &str) -> String {
        Patterns::new(&[pattern]).unwrap_err().problem()
    }

    #[test]
    fn what_fits_one_of_them_fits() {
        let names = Patterns::new(&["vm[12]", "pi-{a,{b,c}}*"]).unwrap();
        for (name, fits) in [("vm1", true), ("vm3", false), ("pi-b7", true), ("pi-d", false)] {
            assert_eq!(names.fit(name), fits, "{name}");
        }
        assert!(Patterns::new(&["a*"]).unwrap().fit("a/b"));
        assert!(!Patterns::of_paths(&["a*"]).unwrap().fit("a/b"));
        let none: [&str; 0] = [];
        assert!(Patterns::new(&none).unwrap().is_empty());
    }

    /// 260 of them, compiled, ended the agent.
    #[test]
    fn nesting_length_and_number_are_bounded_before_the_library() {
        let nested = |depth| format!("{}a{}", "{".repeat(depth), "}".repeat(depth));
        assert!(Patterns::new(&[nested(8)]).is_ok());
        assert_eq!(refused(&nested(9)), "braces nest deeper than 8");
        assert_eq!(refused(&nested(260)), "braces nest deeper than 8");
        assert_eq!(refused(&"{".repeat(1024)), "braces nest deeper than 8");
        assert_eq!(refused(&"x".repeat(1025)), "it has 1025 bytes of 1024 at most");
        assert_eq!(refused(&format!("{{{}}}", ",a".repeat(300))), "it has more than 256 alternatives");
        assert!(refused("[").contains("unclosed"), "{}", refused("["));
        assert!(Patterns::new(&vec!["a*"; 1024]).is_ok());
        let text = Patterns::new(&vec!["a*"; 1025]).unwrap_err().to_string();
        assert_eq!(text, "at most 1024 patterns of 65536 bytes together are taken, got 1025 of 2050");
        assert!(Patterns::new(&vec!["x".repeat(1024); 65]).is_err());
        assert!(Patterns::new(&["\\{".repeat(20)]).is_ok(), "an escaped brace opens nothing");
    }

    proptest! {
        /// Whatever callers write: matcher or refusal, and a refusal is short.
        #[test]
        fn no_pattern_is_worse_than_a_refusal(
            patterns in prop::collection::vec("[{},\\[\\]!\\-*?/\\\\a-cä\u{0}]{0,80}", 0..8),
            name in "[a-c/]{0,8}",
        ) {
            for built in [Patterns::new(&patterns), Patterns::of_paths(&patterns)] {
                match built {
                    Ok(built) => { built.fit(&name); }
                    Err(error) => prop_assert!(error.to_string().len() < 600),
                }
            }
        }
    }
}
