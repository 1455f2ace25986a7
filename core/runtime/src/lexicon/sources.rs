//! Where components are found: in the agent, and in directories. Reads them; judges nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use vocable_protocol::sha256_hex;

use crate::engine::Content;
use crate::error::{LoadError, Problem, WordSource};

/// The largest component. Python words have 18 MB.
const MAX_COMPONENT: u64 = 64 << 20;

/// A word that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// What it is called among those of the program; its name on the bus is for the word to say.
    pub name: &'static str,
    /// The SHA-256 of the component, in hexadecimal. It is known beforehand so that the component itself is not even
    /// read where it has been compiled before: what a program reads of its own file stays in its memory.
    pub sha256: &'static str,
    /// The component, as a file in a directory of words would be.
    pub component: &'static [u8],
}

/// Everything that there is to load from.
#[derive(Clone)]
pub(crate) struct Sources {
    built_in: Vec<Content>,
    /// Later ones win over earlier ones, and all over what is built in.
    dirs: Vec<PathBuf>,
}

/// What was found, in layers: a word of a later layer takes the place of the same word in an earlier one.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) layers: Vec<Vec<Candidate>>,
    /// Directories that are there and cannot be read.
    pub(crate) problems: Vec<Problem>,
}

pub(crate) struct Candidate {
    pub(crate) source: WordSource,
    pub(crate) content: Result<Content, LoadError>,
}

impl Sources {
    pub(crate) fn new(built_in: &[BuiltIn], dirs: Vec<PathBuf>) -> Self {
        let content = |word: &BuiltIn| Content {
            sha256: word.sha256.to_owned(),
            bytes: Bytes::from_static(word.component),
            built_in: true,
        };
        Self { built_in: built_in.iter().map(content).collect(), dirs }
    }

    /// Reads them all. Takes its time: call it where blocking is fine.
    pub(crate) fn read(&self) -> Found {
        let built_in = self
            .built_in
            .iter()
            .map(|content| Candidate { source: WordSource::BuiltIn, content: Ok(content.clone()) });
        let mut found = Found { layers: vec![built_in.collect()], problems: Vec::new() };
        for dir in &self.dirs {
            match components(dir) {
                Ok(paths) => found.layers.push(paths.into_iter().filter_map(Candidate::read).collect()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found.problems.push(Problem {
                    origin: WordSource::File(dir.clone()),
                    error: LoadError::Unreadable(error.to_string()),
                }),
            }
        }
        found
    }
}

/// The `.wasm` files of a directory that are not hidden, in the order of their names.
fn components(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_component(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_component(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    path.extension().is_some_and(|extension| extension == "wasm") && !hidden
}

impl Candidate {
    /// Reads a file, if it is still there.
    fn read(path: PathBuf) -> Option<Self> {
        let content = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(LoadError::Unreadable(error.to_string())),
            Ok(content) if content.len() as u64 > MAX_COMPONENT => {
                Err(LoadError::TooLarge { limit: MAX_COMPONENT })
            }
            Ok(content) => {
                Ok(Content { sha256: sha256_hex(&content), bytes: content.into(), built_in: false })
            }
        };
        Some(Self { source: WordSource::File(path), content })
    }
}

/// Reads a file, or so much of it that it is seen to be too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device would block, or never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MAX_COMPONENT + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_the_order_of_names_and_the_rest_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", ".hidden.wasm", "README.md", "c.wasm.tmp"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::create_dir(dir.path().join("d.wasm")).unwrap();
        let missing = dir.path().join("missing");
        let found = Sources::new(
            &[BuiltIn { name: "x", sha256: "", component: b"x" }],
            vec![missing, dir.path().to_owned()],
        )
        .read();
        let names: Vec<Vec<_>> = found
            .layers
            .iter()
            .map(|layer| layer.iter().map(|candidate| candidate.source.to_string()).collect())
            .collect();
        let path = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(
            names,
            [vec!["built-in".to_owned()], vec![path("a.wasm"), path("b.wasm"), path("d.wasm")]]
        );
        assert!(found.problems.is_empty(), "a directory may come later");
        let last = found.layers[1][2].content.as_ref().err();
        assert_eq!(last, Some(&LoadError::Unreadable("not a file".into())));
    }

    #[test]
    fn a_directory_that_is_none_is_a_problem() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = Sources::new(&[], vec![file.path().to_owned()]).read();
        assert!(found.problems[0].to_string().contains("cannot be read"), "{:?}", found.problems);
    }
}
