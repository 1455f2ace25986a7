//! Who is attached to which command: several may watch it, one writes, the next one when that goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The commands somebody is attached to.
#[derive(Clone, Debug, Default)]
pub(super) struct Attachments(Arc<Mutex<HashMap<String, Weak<Row>>>>);

/// Those who are attached to one command.
#[derive(Debug)]
struct Row {
    writing: Arc<Semaphore>,
    taken: watch::Sender<usize>,
}

/// One of them, as long as it is held.
#[derive(Debug)]
pub(super) struct Slot {
    row: Arc<Row>,
}

impl Attachments {
    /// One more who is attached to that command.
    pub(super) fn take(&self, command: &str) -> Slot {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Commands nobody looks at any more are forgotten here: so there are never many.
        rows.retain(|_, row| row.strong_count() > 0);
        let row = rows.get(command).and_then(Weak::upgrade).unwrap_or_else(|| {
            let row = Arc::new(Row { writing: Arc::new(Semaphore::new(1)), taken: watch::Sender::new(0) });
            rows.insert(command.to_owned(), Arc::downgrade(&row));
            row
        });
        row.taken.send_modify(|taken| *taken += 1);
        Slot { row }
    }
}

impl Slot {
    /// Waits for its turn to write; it lasts as long as what this gives is held.
    pub(super) fn write_lock(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let writing = self.row.writing.clone();
        async move { writing.acquire_owned().await.ok() }
    }

    /// Whether somebody writes now.
    pub(super) fn is_written(&self) -> bool {
        self.row.writing.available_permits() == 0
    }

    /// Detaches; returns what tells whether somebody else attaches, or nothing if somebody is attached.
    pub(super) fn leave(self) -> Option<Empty> {
        let row = self.row.clone();
        drop(self);
        let is_empty = *row.taken.borrow() == 0;
        is_empty.then(|| Empty { taken: row.taken.subscribe(), _row: row })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.row.taken.send_modify(|taken| *taken -= 1);
    }
}

/// A command to which nobody is attached any more.
#[derive(Debug)]
pub(super) struct Empty {
    taken: watch::Receiver<usize>,
    /// So that whoever comes takes a slot in this row and not in a new one.
    _row: Arc<Row>,
}

impl Empty {
    /// Waits until somebody comes.
    pub(super) async fn until_taken(mut self) {
        // The row is held here, so the sender is there.
        let _ = self.taken.wait_for(|taken| *taken > 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn one_writes_and_the_next_one_when_that_goes() {
        let attachments = Attachments::default();
        let (one, other, elsewhere) = (attachments.take("a"), attachments.take("a"), attachments.take("b"));
        assert!(!other.is_written());
        let lock = one.write_lock().now_or_never().flatten().unwrap();
        assert!(other.is_written() && !elsewhere.is_written());
        assert!(elsewhere.write_lock().now_or_never().is_some());
        let mut waiting = Box::pin(other.write_lock());
        assert!((&mut waiting).now_or_never().is_none());
        drop(lock);
        assert!(waiting.now_or_never().flatten().is_some());
    }

    #[test]
    fn only_the_last_one_leaves_it_empty_until_somebody_comes() {
        let attachments = Attachments::default();
        let (one, other) = (attachments.take("a"), attachments.take("a"));
        assert!(one.leave().is_none());
        let empty = other.leave().unwrap();
        let mut until = Box::pin(empty.until_taken());
        assert!((&mut until).now_or_never().is_none());
        let _elsewhere = attachments.take("b");
        assert!((&mut until).now_or_never().is_none());
        let _again = attachments.take("a");
        assert!(until.now_or_never().is_some());
    }

    #[test]
    fn commands_that_nobody_looks_at_are_forgotten() {
        let attachments = Attachments::default();
        for number in 0..100 {
            drop(attachments.take(&number.to_string()));
        }
        assert_eq!(attachments.0.lock().unwrap().len(), 1);
    }
}
