//! Who is attached to which command: several may watch it, one writes, the next one when that goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The commands somebody is attached to.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<String, Weak<Row>>>>);

/// Those who are attached to one command.
#[derive(Debug)]
struct Row {
    pen: Arc<Semaphore>,
    taken: watch::Sender<usize>,
}

/// One of them, as long as it is held.
#[derive(Debug)]
pub(super) struct Seat {
    row: Arc<Row>,
}

impl Seats {
    /// A place before that command.
    pub(super) fn take(&self, command: &str) -> Seat {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Commands nobody looks at any more are forgotten here: so there are never many.
        rows.retain(|_, row| row.strong_count() > 0);
        let row = rows.get(command).and_then(Weak::upgrade).unwrap_or_else(|| {
            let row = Arc::new(Row { pen: Arc::new(Semaphore::new(1)), taken: watch::Sender::new(0) });
            rows.insert(command.to_owned(), Arc::downgrade(&row));
            row
        });
        row.taken.send_modify(|taken| *taken += 1);
        Seat { row }
    }
}

impl Seat {
    /// Waits for its turn to write; it lasts as long as what this gives is held.
    pub(super) fn pen(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let pen = self.row.pen.clone();
        async move { pen.acquire_owned().await.ok() }
    }

    /// Whether somebody writes now.
    pub(super) fn is_written(&self) -> bool {
        self.row.pen.available_permits() == 0
    }

    /// Gets up; gives what tells whether somebody else sits there, or nothing if somebody does.
    pub(super) fn leave(self) -> Option<Empty> {
        let row = self.row.clone();
        drop(self);
        let is_empty = *row.taken.borrow() == 0;
        is_empty.then(|| Empty { taken: row.taken.subscribe(), _row: row })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.row.taken.send_modify(|taken| *taken -= 1);
    }
}

/// A command to which nobody is attached any more.
#[derive(Debug)]
pub(super) struct Empty {
    taken: watch::Receiver<usize>,
    /// So that whoever comes takes a seat in this row and not in a new one.
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
        let seats = Seats::default();
        let (one, other, elsewhere) = (seats.take("a"), seats.take("a"), seats.take("b"));
        assert!(!other.is_written());
        let pen = one.pen().now_or_never().flatten().unwrap();
        assert!(other.is_written() && !elsewhere.is_written());
        assert!(elsewhere.pen().now_or_never().is_some());
        let mut waiting = Box::pin(other.pen());
        assert!((&mut waiting).now_or_never().is_none());
        drop(pen);
        assert!(waiting.now_or_never().flatten().is_some());
    }

    #[test]
    fn only_the_last_one_leaves_it_empty_until_somebody_comes() {
        let seats = Seats::default();
        let (one, other) = (seats.take("a"), seats.take("a"));
        assert!(one.leave().is_none());
        let empty = other.leave().unwrap();
        let mut until = Box::pin(empty.until_taken());
        assert!((&mut until).now_or_never().is_none());
        let _elsewhere = seats.take("b");
        assert!((&mut until).now_or_never().is_none());
        let _again = seats.take("a");
        assert!(until.now_or_never().is_some());
    }

    #[test]
    fn commands_that_nobody_looks_at_are_forgotten() {
        let seats = Seats::default();
        for number in 0..100 {
            drop(seats.take(&number.to_string()));
        }
        assert_eq!(seats.0.lock().unwrap().len(), 1);
    }
}
