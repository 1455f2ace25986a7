//! Where the store's work is done: on threads that own the disk, and beside them.

use super::StoreError;
use std::sync::Arc;
use std::{io, thread};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// A thread that owns something, and does with it what others ask.
pub(super) struct Worker<D>(mpsc::Sender<Job<D>>);

type Job<D> = Box<dyn FnOnce(&mut D) + Send>;

/// Jobs that may wait for the disk; who comes later waits at the door.
const WAITING: usize = 1024;

impl<D> Clone for Worker<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Send + 'static> Worker<D> {
    /// It ends when nobody can ask any more.
    pub(super) fn start(name: &str, mut owned: D) -> io::Result<Self> {
        let (jobs, mut asked) = mpsc::channel::<Job<D>>(WAITING);
        let work = move || {
            while let Some(job) = asked.blocking_recv() {
                job(&mut owned);
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self(jobs))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut D) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job<D> = Box::new(move |owned| {
            // Nobody may be waiting any more; the job was done all the same.
            let _ = reply.send(job(owned));
        });
        self.0.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// Slow work beside the threads that own the disk, so much of it at a time; who comes first is served first.
#[derive(Clone)]
pub(super) struct Lane(Arc<Semaphore>);

impl Lane {
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }
}
