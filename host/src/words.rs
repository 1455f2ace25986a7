//! The words of the host that come and go over the API: components in the agent's own folder of words, which is the last
//! one looked at.

use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use vocable_api::fault::{Fault, FaultKind};
use vocable_runtime::{Changes, Lexicon, WordInfo, WordSource, is_word_name};
use vocable_xmlrpc::excerpt;

/// The words that are installed over the API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InstalledWords {
    lexicon: Lexicon,
    /// Held while one is installed or removed: what is moved aside has to be one's own.
    folder: Arc<Mutex<PathBuf>>,
}

impl InstalledWords {
    pub(crate) fn new(lexicon: Lexicon, folder: PathBuf) -> Self {
        Self { lexicon, folder: Arc::new(Mutex::new(folder)) }
    }

    /// Installs a component as the word `name`, and tells whether it was not there before. The same component again
    /// changes nothing; what cannot be loaded leaves everything as it was.
    pub(crate) async fn install(
        &self,
        name: &str,
        component: Vec<u8>,
        replace: bool,
    ) -> Result<(WordInfo, bool), Fault> {
        let folder = self.folder.lock().await;
        let path = file(&folder, name)?;
        if let Some(word) = self.lexicon.word(name) {
            if word.sha256 == hex::encode(Sha256::digest(&component)) {
                return Ok((word, false));
            }
            if !replace {
                let text = format!("there is a word {name} {} ({}); replace it?", word.version, word.source);
                return Err(Fault::new(FaultKind::AlreadyExists, text));
            }
        }
        let before = exchange(&path, Some(component)).await?;
        let problem = match problem(&self.lexicon.reload_dirs().await, &path) {
            None => match self.lexicon.word(name) {
                Some(word) if is_from(&word.source, &path) => return Ok((word, true)),
                _ => format!("it does not call itself {name}"),
            },
            Some(problem) => problem,
        };
        exchange(&path, before).await?;
        self.lexicon.reload_dirs().await;
        Err(Fault::new(FaultKind::WordInvalid, format!("{name} was not installed: {problem}")))
    }

    /// Takes away a word that was installed here.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Fault> {
        let folder = self.folder.lock().await;
        let path = file(&folder, name)?;
        match self.lexicon.word(name) {
            None => Err(no_such_word(name)),
            Some(word) if is_from(&word.source, &path) => {
                exchange(&path, None).await?;
                self.lexicon.reload_dirs().await;
                Ok(())
            }
            Some(word) => {
                let text = format!("{name} was not installed over the API: it is {}", word.source);
                Err(Fault::new(FaultKind::WrongState, text))
            }
        }
    }
}

/// That the host has no word of that name.
pub(crate) fn no_such_word(name: &str) -> Fault {
    Fault::new(FaultKind::NoSuchWord, format!("the host has no word {}", excerpt(name)))
}

fn file(folder: &Path, name: &str) -> Result<PathBuf, Fault> {
    if !is_word_name(name) {
        let text = format!("{} is no name of a word", excerpt(name));
        return Err(Fault::new(FaultKind::InvalidParameter, text));
    }
    Ok(folder.join(format!("{name}.wasm")))
}

fn is_from(source: &WordSource, path: &Path) -> bool {
    matches!(source, WordSource::File(file)
        if file == path || std::path::absolute(path).is_ok_and(|path| *file == path))
}

fn problem(changes: &Changes, path: &Path) -> Option<String> {
    let found = changes.problems.iter().find(|problem| is_from(&problem.origin, path));
    found.map(|problem| problem.error.to_string())
}

/// Puts a file in the place of another, whole or not at all, or removes it; returns what was there.
async fn exchange(path: &Path, new: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Fault> {
    let to = path.to_owned();
    let done = tokio::task::spawn_blocking(move || exchange_now(&to, new)).await;
    done.map_err(io::Error::from).and_then(|result| result).map_err(|error| {
        Fault::new(FaultKind::Internal, format!("{} cannot be changed: {error}", path.display()))
    })
}

fn exchange_now(path: &Path, new: Option<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    let before = match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match new {
        Some(bytes) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, bytes)?;
            std::fs::rename(temporary, path)?;
        }
        None if before.is_some() => std::fs::remove_file(path)?,
        None => {}
    }
    Ok(before)
}
