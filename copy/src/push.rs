//! From here to a guest.

use crate::exclude::Exclude;
use crate::listing::{Limits, Listing};
use crate::local::{LocalError, LocalTree, Reader};
use crate::outcome::Outcome;
use crate::path::{TreePath, split_parent};
use crate::plan::{self, Options, Refusal, Task};
use crate::remote::{Copied, CopyError, Depth, Remote, Settings, list};
use crate::tree::{Entry, Kind};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// Something to copy, listed once however many guests it goes to.
#[derive(Debug)]
pub struct Source {
    name: OsString,
    tree: LocalTree,
    entries: Arc<Listing>,
    /// Only what is in the folder: `dir/.`
    contents: bool,
}

impl Source {
    /// Lists what is called so in that folder; nothing if there is nothing.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn read(parent: LocalTree, name: &OsStr, exclude: &Exclude) -> Result<Option<Self>, LocalError> {
        let Some(found) = parent.one(name)? else { return Ok(None) };
        let (tree, entries) = if found.kind == Kind::Dir {
            let tree = parent.folder(name)?;
            let entries = tree.list(&|path| exclude.fits(path))?;
            (tree, entries)
        } else {
            let entries = parent.listing_of([found])?;
            (parent, entries)
        };
        Ok(Some(Self { name: name.to_owned(), tree, entries: Arc::new(entries), contents: false }))
    }

    /// Of a folder only what is in it.
    #[must_use]
    pub fn contents(self) -> Self {
        Self { contents: self.is_folder(), ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.entries.has_top()
    }

    /// Whether only what is in the folder is meant.
    pub const fn is_contents(&self) -> bool {
        self.contents
    }

    /// Whether it is neither a file nor a folder.
    pub fn is_special(&self) -> bool {
        self.entries.entries().next().is_some_and(|entry| matches!(entry.kind, Kind::Other | Kind::Link(_)))
    }
}

/// Copies to exactly that path.
///
/// # Errors
/// [`CopyError`] if nothing was copied; what failed later is part of the outcome.
pub fn push<R: Remote>(
    remote: &R,
    source: &Source,
    destination: &[u8],
    settings: &Settings,
) -> Result<Copied, CopyError<R::Error>> {
    let (folder, here, there) = if source.is_folder() {
        let there = folder_there(remote, destination, &settings.exclude)?;
        // A folder that is there keeps its own mode and time if only what is in it is copied.
        let here = match &there {
            Some(_) if source.contents => Arc::new((*source.entries).clone().without_top()),
            _ => Arc::clone(&source.entries),
        };
        (destination, here, there.unwrap_or_else(plan::nothing))
    } else {
        let parts = split_parent(destination);
        let (folder, name) = parts.ok_or_else(|| CopyError::Nameless(remote.shown(destination)))?;
        let there = list(remote, folder, Depth::Children, &Exclude::default())?;
        let there = there.ok_or_else(|| CopyError::Missing(remote.shown(folder)))?;
        let here = renamed(remote, destination, source.entries.entries(), &name)?;
        (folder, Arc::new(here), there)
    };
    let options = Options { resume: settings.resume, delete: settings.delete && source.is_folder() };
    let plan = plan::plan(here, there, options);
    remote.progress().planned(&plan);
    let mut outcome = Outcome::default();
    let mut send = |tasks: &mut dyn Iterator<Item = Task>| {
        let mut items = Reader::new(&source.tree, tasks);
        if !source.is_folder() {
            items = items.called(&source.name);
        }
        let mut items = items.peekable();
        if items.peek().is_some() {
            outcome.add(remote.put(folder, &mut items).map_err(CopyError::Remote)?);
        }
        Ok::<_, CopyError<R::Error>>((outcome.is_whole(), outcome.ended.is_some()))
    };
    if plan.replaces() {
        let (is_whole, mut has_ended) = send(&mut plan.making())?;
        if is_whole {
            has_ended = send(&mut plan.replacing())?.1;
        }
        if !has_ended {
            send(&mut plan.finishing())?;
        }
    } else {
        send(&mut plan.making().chain(plan.finishing()))?;
    }
    outcome.add_unplanned(&plan);
    Ok(Copied::of(&plan, outcome))
}

/// What is in the folder that a folder is copied to, if there is one.
fn folder_there<R: Remote>(
    remote: &R,
    path: &[u8],
    exclude: &Exclude,
) -> Result<Option<Listing>, CopyError<R::Error>> {
    let stat = |path| remote.stat(path).map_err(CopyError::Remote);
    match stat(path)? {
        Some(Kind::Dir) => list(remote, path, Depth::Tree, exclude),
        Some(_) => Err(CopyError::Occupied(Refusal::OntoOther, remote.shown(path))),
        None => match split_parent(path) {
            // One that is missing is told at once, and not with everything that would be in it.
            Some((parent, _)) if stat(parent)?.is_none() => Err(CopyError::Missing(remote.shown(parent))),
            _ => Ok(None),
        },
    }
}

/// One file under the name that it has at its destination.
pub(crate) fn renamed<R: Remote>(
    remote: &R,
    path: &[u8],
    entries: impl Iterator<Item = Entry>,
    name: &TreePath,
) -> Result<Listing, CopyError<R::Error>> {
    let entries = entries.map(|entry| Entry { path: name.clone(), ..entry });
    Listing::of(entries, Limits::LOCAL).map_err(|error| CopyError::Large(remote.shown(path), error))
}
