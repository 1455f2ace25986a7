//! Notices that directories of words change, and has the lexicon look at them. Sleeps until the system
//! tells; looks when things have been quiet for a moment; lets half-written files be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::{Events, Lexicon, LexiconEvent};

/// How long it has to be quiet before a look.
const SETTLE_TIME: Duration = Duration::from_millis(50);
/// After that it is looked at even if it is not quiet.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// How long a file that is not sound must have been left alone to be called broken.
const UNFINISHED_TIME: Duration = Duration::from_secs(1);

/// Watches as long as it lives.
#[derive(Debug)]
pub struct Watching {
    _task: AbortOnDropHandle<()>,
}

impl Lexicon {
    /// Keeps the lexicon current from now on, as long as the guard lives; and tells what happens.
    pub fn watch(&self) -> (Events, Watching) {
        let events = self.events();
        let task = tokio::spawn(keep_current(self.clone()));
        (events, Watching { _task: AbortOnDropHandle::new(task) })
    }
}

async fn keep_current(lexicon: Lexicon) {
    let changed = Arc::new(Notify::new());
    let mut watcher = match DirWatcher::open(lexicon.dirs(), changed.clone()) {
        Ok(watcher) => watcher,
        Err(error) => return lexicon.publish(LexiconEvent::Unwatched { reason: error.to_string() }),
    };
    loop {
        if let Err(error) = watcher.follow(lexicon.dirs()) {
            lexicon.publish(LexiconEvent::Unwatched { reason: error.to_string() });
        }
        // The first time too: something may have changed before the watching began.
        let unsettled = lexicon.reload_settled().await;
        if unsettled && timeout(UNFINISHED_TIME, changed.notified()).await.is_err() {
            lexicon.reload_dirs().await;
            changed.notified().await;
        } else if !unsettled {
            changed.notified().await;
        }
        quiet(&changed).await;
    }
}

/// Waits until nothing has happened for a moment.
async fn quiet(changed: &Notify) {
    let deadline = Instant::now() + MAX_DELAY;
    while Instant::now() < deadline
        && timeout_at(Instant::now() + SETTLE_TIME, changed.notified()).await.is_ok()
    {}
}

struct DirWatcher {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl DirWatcher {
    fn open(dirs: &[PathBuf], changed: Arc<Notify>) -> notify::Result<Self> {
        let dirs = dirs.to_vec();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost: better to look once too often.
            if event.map_or(true, |event| is_relevant(&event, &dirs)) {
                changed.notify_one();
            }
        })?;
        Ok(Self { watcher, watched: BTreeSet::new() })
    }

    /// Watches the directories, and above those the ones in which they are or may appear. Always anew:
    /// what is there under a name may be another directory than before.
    fn follow(&mut self, dirs: &[PathBuf]) -> notify::Result<()> {
        for place in std::mem::take(&mut self.watched) {
            // It may be gone, and the watch with it.
            let _ = self.watcher.unwatch(&place);
        }
        for place in dirs.iter().flat_map(|dir| watched(dir)) {
            if self.watched.insert(place.to_owned()) {
                self.watcher.watch(place, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(())
    }
}

/// The directory if it is there, and the nearest one above it that is.
fn watched(dir: &Path) -> impl Iterator<Item = &Path> {
    let itself = dir.is_dir().then_some(dir);
    let above = dir.ancestors().skip(1).find(|path| path.is_dir());
    itself.into_iter().chain(above)
}

/// Whether an event can make a difference: to something in a directory of words, or to the way there.
/// Reading does not, or every look would cause the next.
fn is_relevant(event: &notify::Event, dirs: &[PathBuf]) -> bool {
    let reads =
        matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
    let near = |path: &PathBuf| dirs.iter().any(|dir| path.starts_with(dir) || dir.starts_with(path));
    !reads && (event.need_rescan() || event.paths.iter().any(near))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Event};

    use super::*;

    #[test]
    fn only_what_happens_to_words_or_on_the_way_to_them_matters() {
        let dirs = [PathBuf::from("/var/lib/vocable/words.d")];
        let created = |path: &str| Event::new(EventKind::Create(CreateKind::Any)).add_path(path.into());
        assert!(is_relevant(&created("/var/lib/vocable/words.d/df.wasm"), &dirs));
        assert!(is_relevant(&created("/var/lib/vocable"), &dirs));
        assert!(!is_relevant(&created("/var/lib/other"), &dirs));
        let closed =
            |mode| Event::new(EventKind::Access(AccessKind::Close(mode))).add_path(dirs[0].join("df.wasm"));
        assert!(is_relevant(&closed(AccessMode::Write), &dirs));
        assert!(!is_relevant(&closed(AccessMode::Read), &dirs));
    }
}
