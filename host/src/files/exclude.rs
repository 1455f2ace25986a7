//! What is left out of a copy: globs, as for rsync. One without a slash fits a name wherever it is, one with a slash the
//! path below the top. Pure.

use super::path::TreePath;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::path::Path;

/// A pattern that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{pattern} is no valid glob: {problem}")]
pub struct BadPattern {
    pattern: String,
    problem: String,
}

/// The patterns of one copy.
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    names: GlobSet,
    paths: GlobSet,
}

impl Exclude {
    /// Reads patterns: `*.o`, `target`, `docs/*.html`.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn new(patterns: &[String]) -> Result<Self, BadPattern> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let bad = |pattern: &str, error: &globset::Error| BadPattern {
            pattern: vocable_xmlrpc::excerpt(pattern),
            problem: error.kind().to_string(),
        };
        for pattern in patterns {
            // A slash at the end only says that a folder is meant; one at the beginning that the top is.
            let text = pattern.trim_end_matches('/');
            let glob = GlobBuilder::new(text.trim_start_matches('/')).literal_separator(true).build();
            let glob = glob.map_err(|error| bad(pattern, &error))?;
            if text.contains('/') { &mut paths } else { &mut names }.add(glob);
        }
        let set = |builder: GlobSetBuilder| builder.build().map_err(|error| bad("", &error));
        Ok(Self { names: set(names)?, paths: set(paths)? })
    }

    /// Whether something is left out. What is in an excluded folder is not asked about, unless it is: then it is too.
    pub fn fits(&self, path: &TreePath) -> bool {
        if self.names.is_empty() && self.paths.is_empty() {
            return false;
        }
        let mut so_far = Path::new("").to_owned();
        path.names().any(|name| {
            so_far.push(name);
            self.names.is_match(Path::new(name)) || self.paths.is_match(&so_far)
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
