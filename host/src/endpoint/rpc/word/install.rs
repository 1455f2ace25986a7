//! Words that come and go over the API: components in the agent's own folder of words, the last one looked at.

use crate::endpoint::rpc::Context;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use vocable_api::fault::{Fault, FaultKind};
use vocable_runtime::{Changes, WordInfo, WordSource, is_word_name};
use vocable_xmlrpc::excerpt;

/// What came of an installation.
pub(super) struct Installed {
    /// The word as it is now.
    pub(super) word: WordInfo,
    /// Whether it was not there before.
    pub(super) changed: bool,
}

/// Installs a component as the word `name`. The same component again changes nothing; what cannot be loaded leaves
/// everything as it was.
pub(super) async fn install(
    context: &Context,
    name: &str,
    component: Vec<u8>,
    replace: bool,
) -> Result<Installed, Fault> {
    let path = place(context, name)?;
    // One at a time: what is moved aside has to be one's own.
    let _alone = context.installing.lock().await;
    if let Some(word) = context.lexicon.word(name) {
        if word.sha256 == hex(&Sha256::digest(&component)) {
            return Ok(Installed { word, changed: false });
        }
        if !replace {
            let text = format!("there is a word {name} {} ({}); replace it?", word.version, word.source);
            return Err(Fault::new(FaultKind::AlreadyExists, text));
        }
    }
    let before = exchange(&path, Some(component)).await?;
    let problem = match problem(&context.lexicon.reload_dirs().await, &path) {
        None => match context.lexicon.word(name) {
            Some(word) if is_from(&word, &path) => return Ok(Installed { word, changed: true }),
            _ => format!("it does not call itself {name}"),
        },
        Some(problem) => problem,
    };
    exchange(&path, before).await?;
    context.lexicon.reload_dirs().await;
    Err(Fault::new(FaultKind::WordInvalid, format!("{name} was not installed: {problem}")))
}

/// Takes away a word that was installed here.
pub(super) async fn remove(context: &Context, name: &str) -> Result<(), Fault> {
    let path = place(context, name)?;
    let _alone = context.installing.lock().await;
    match context.lexicon.word(name) {
        None => Err(Fault::new(FaultKind::NoSuchWord, format!("the host has no word {}", excerpt(name)))),
        Some(word) if is_from(&word, &path) => {
            exchange(&path, None).await?;
            context.lexicon.reload_dirs().await;
            Ok(())
        }
        Some(word) => {
            let text = format!("{name} was not installed over the API: it is {}", word.source);
            Err(Fault::new(FaultKind::WrongState, text))
        }
    }
}

fn place(context: &Context, name: &str) -> Result<PathBuf, Fault> {
    if !is_word_name(name) {
        let text = format!("{} is no name of a word", excerpt(name));
        return Err(Fault::new(FaultKind::InvalidParameter, text));
    }
    Ok(context.installed_words.join(format!("{name}.wasm")))
}

fn is_from(word: &WordInfo, path: &Path) -> bool {
    matches!(&word.source, WordSource::File(file) if same(file, path))
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || std::path::absolute(other).is_ok_and(|other| one == other)
}

fn problem(changes: &Changes, path: &Path) -> Option<String> {
    let ours = |origin: &WordSource| matches!(origin, WordSource::File(file) if same(file, path));
    changes.problems.iter().find(|problem| ours(&problem.origin)).map(|problem| problem.error.to_string())
}

/// Puts a file in the place of another, whole or not at all, or removes it; gives what was there.
async fn exchange(path: &Path, new: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Fault> {
    let to = path.to_owned();
    let done = tokio::task::spawn_blocking(move || exchange_now(&to, new)).await;
    let failed = |error: String| {
        Fault::new(FaultKind::Internal, format!("{} cannot be changed: {error}", path.display()))
    };
    match done {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn exchange_now(path: &Path, new: Option<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    let before = match std::fs::read(path) {
        Ok(octets) => Some(octets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match new {
        Some(octets) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, octets)?;
            std::fs::rename(temporary, path)?;
        }
        None if before.is_some() => std::fs::remove_file(path)?,
        None => {}
    }
    Ok(before)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}
