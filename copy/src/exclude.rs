//! What is left out of a copy: globs, as for rsync. One without a slash fits a name wherever it is, one with a slash the
//! path below the top. Pure.

use crate::path::TreePath;
use std::path::Path;
use vocable_pattern::{PatternError, Patterns};

/// The patterns of one copy.
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    names: Patterns,
    paths: Patterns,
}

impl Exclude {
    /// Reads patterns: `*.o`, `target`, `docs/*.html`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        // A slash at the end only says that a folder is meant; one at the beginning that the top is.
        let (paths, names): (Vec<_>, Vec<_>) =
            patterns.iter().map(|pattern| pattern.trim_end_matches('/')).partition(|text| text.contains('/'));
        let paths: Vec<_> = paths.into_iter().map(|text| text.trim_start_matches('/')).collect();
        Ok(Self { names: Patterns::of_paths(&names)?, paths: Patterns::of_paths(&paths)? })
    }

    /// Whether something is left out. What is in an excluded folder is not asked about, unless it is: then it is too.
    pub fn fits(&self, path: &TreePath) -> bool {
        if self.names.is_empty() && self.paths.is_empty() {
            return false;
        }
        let mut so_far = Path::new("").to_owned();
        path.names().any(|name| {
            so_far.push(name);
            self.names.fit(Path::new(name)) || self.paths.fit(&so_far)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_out_everywhere_and_paths_where_they_are() {
        let exclude = Exclude::new(&["*.o", "target/", "/docs/*.html"].map(str::to_owned)).unwrap();
        for (path, out) in [
            ("a.o", true),
            ("x/y/a.o", true),
            ("a.oo", false),
            ("x/target", true),
            ("x/target/deep", true),
            ("docs/a.html", true),
            ("x/docs/a.html", false),
            ("docs/x/a.html", false),
            ("", false),
        ] {
            assert_eq!(exclude.fits(&TreePath::parse(path.as_bytes()).unwrap()), out, "{path}");
        }
        assert!(Exclude::new(&["[".to_owned()]).is_err());
    }
}
