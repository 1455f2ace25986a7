//! From a guest to here. What it sends is hostile: see [`crate::arrival`].

use crate::arrival::Arrival;
use crate::exclude::Exclude;
use crate::listing::Listing;
use crate::local::LocalTree;
use crate::outcome::{Failed, Outcome};
use crate::path::{TreePath, split_parent};
use crate::plan::{self, Options, Plan, Task, Wanted};
use crate::push::renamed;
use crate::remote::{Copied, CopyError, Depth, Remote, Settings, cut, list};
use crate::tree::{Entry, Item};
use crate::writer::{Full, Policy};
use cap_std::fs::Dir;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that the files of one request take in memory.
const REQUEST: usize = 4 << 20;

/// What is copied, and what becomes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What<'a> {
    /// A folder with its own mode and time.
    Folder,
    /// Only what is in the folder: `dir/.`
    Contents,
    /// A file, which is called so here.
    File(&'a OsStr),
}

/// Copies what is at a path into the folder that `open` gives, which is not asked for one before it is known what there
/// is to copy; `shown` is what that folder is called in messages.
///
/// # Errors
/// [`CopyError`] if nothing was copied; what failed later is part of the outcome.
pub fn pull<R: Remote>(
    remote: &R,
    path: &[u8],
    what: What<'_>,
    open: impl FnOnce() -> Result<Dir, CopyError<R::Error>>,
    shown: &Path,
    settings: &Settings,
) -> Result<Copied, CopyError<R::Error>> {
    let (folder, called, here) = if let What::File(name) = what {
        let (folder, called) = split_parent(path).ok_or_else(|| CopyError::Nameless(remote.shown(path)))?;
        // Only a listing tells the time to the nanosecond.
        let listed = list(remote, folder, Depth::Children, &Exclude::default())?;
        let found = listed.iter().flat_map(Listing::entries).filter(|entry| entry.path == called);
        let here = renamed(remote, path, found, &TreePath::top().join(name.as_bytes())?)?;
        (folder, Some(called), here)
    } else {
        let here = list(remote, path, Depth::Tree, &settings.exclude)?.unwrap_or_else(plan::nothing);
        (path, None, if what == What::Contents { here.without_top() } else { here })
    };
    let is_file = called.is_some();
    let top = open()?;
    let tree = top.try_clone().map_err(|source| CopyError::Write { path: shown.to_owned(), source })?;
    let tree = LocalTree::of(tree, shown);
    let there = if is_file { tree.flat()? } else { tree.list(&|path| settings.exclude.fits(path))? };
    let options = Options { resume: settings.resume, delete: settings.delete && !is_file };
    let plan = plan::plan(here.into(), there, options);
    remote.progress().planned(&plan);
    let policy = Policy { preserve: settings.preserve };
    let mut arrival = Arrival::new(&plan, top, policy, called.clone());
    let mut wanted = wanted(&plan, called.as_ref()).peekable();
    let mut ended = Ok(());
    while wanted.peek().is_some() && ended.is_ok() {
        let mut room = REQUEST;
        let fits = |next: &Wanted| {
            let fits = room > 0;
            room = room.saturating_sub(next.entry.path.as_bytes().len() + size_of::<Wanted>());
            fits
        };
        let request = std::iter::from_fn({
            let (wanted, mut fits) = (&mut wanted, fits);
            move || wanted.next_if(&mut fits)
        });
        let items = remote.get(folder, request.collect()).map_err(CopyError::Remote)?;
        ended = take(remote, items, &mut arrival);
    }
    let ended = ended.and_then(|()| arrival.complete().map_err(full)).err();
    Ok(Copied::of(&plan, Outcome { ended, ..arrival.finish() }))
}

/// The files that have to be sent, as they are called there.
fn wanted<'a>(plan: &'a Plan, called: Option<&'a TreePath>) -> impl Iterator<Item = Wanted> + 'a {
    plan.making().filter_map(move |task| match task {
        Task::Send { from, entry, offset } => {
            let path = called.cloned().unwrap_or(from);
            Some(Wanted { entry: Entry { path, ..entry }, offset })
        }
        _ => None,
    })
}

/// Takes what is sent for one request.
fn take<R: Remote>(
    remote: &R,
    items: impl Iterator<Item = Item>,
    arrival: &mut Arrival<'_>,
) -> Result<(), Failed> {
    for item in items {
        match &item {
            Item::Bytes(bytes) => remote.progress().advanced(bytes.len() as u64, 0),
            Item::End(Some(_)) => remote.progress().advanced(0, 1),
            Item::Done => return Ok(()),
            Item::Failed { path, code, message } if path.is_top() => {
                return Err(Failed { path: String::new(), code: code.clone(), message: message.clone() });
            }
            _ => {}
        }
        arrival.take(item).map_err(full)?;
    }
    Err(cut())
}

fn full(full: Full) -> Failed {
    Failed { code: "no-space".to_owned(), message: full.to_string(), path: full.path }
}
