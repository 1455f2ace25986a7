//! Whoever listens where somebody else is expected: records what is sent to it, and answers as it was told.

use crate::TIMEOUT;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// What it answers to each piece of what a visitor sends.
type Answer = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// Listens until it is dropped.
pub struct Impostor {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    told: Mutex<Record>,
    changed: Condvar,
    /// What ends a piece.
    delimiter: &'static [u8],
    answer: Box<Answer>,
}

#[derive(Default)]
struct Record {
    bytes: Vec<u8>,
    visits: usize,
    open: Vec<TcpStream>,
    is_over: bool,
}

impl Impostor {
    /// Listens at that address; `answer` gets what visitors send up to each `delimiter`.
    pub fn at(
        address: SocketAddr,
        delimiter: &'static [u8],
        answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            changed: Condvar::new(),
            delimiter,
            answer: Box::new(answer),
        });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || shared.accepts(&listener)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was sent to it so far, by all visitors.
    pub fn received(&self) -> Vec<u8> {
        self.shared.told.lock().unwrap().bytes.clone()
    }

    /// Whether that was among it.
    pub fn knows(&self, secret: &str) -> bool {
        self.received().windows(secret.len()).any(|part| part == secret.as_bytes())
    }

    /// Waits until so many have come and gone again.
    pub fn was_visited(&self, times: usize) {
        let told = self.shared.told.lock().unwrap();
        let too_few = |told: &mut Record| told.visits < times;
        let (told, _) = self.shared.changed.wait_timeout_while(told, TIMEOUT, too_few).unwrap();
        let visits = told.visits;
        drop(told);
        assert!(visits >= times, "only {visits} visits");
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.shared.change(|told| {
            told.is_over = true;
            for visitor in &told.open {
                // It may have left.
                let _ = visitor.shutdown(Shutdown::Both);
            }
        });
        // Wakes the listener, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.told.lock().unwrap());
        self.changed.notify_all();
    }

    fn accepts(&self, listener: &TcpListener) {
        std::thread::scope(|scope| {
            while let Ok((visitor, _)) = listener.accept() {
                let mut told = self.told.lock().unwrap();
                if told.is_over {
                    return;
                }
                told.open.push(visitor.try_clone().unwrap());
                drop(told);
                scope.spawn(move || {
                    self.serves(visitor);
                    self.change(|told| told.visits += 1);
                });
            }
        });
    }

    fn serves(&self, mut visitor: TcpStream) {
        let (mut buffer, mut pending) = (vec![0; 64 * 1024], Vec::new());
        while let Ok(length @ 1..) = visitor.read(&mut buffer) {
            self.change(|told| told.bytes.extend(&buffer[..length]));
            pending.extend(&buffer[..length]);
            let ends =
                |pending: &[u8]| pending.windows(self.delimiter.len()).position(|it| it == self.delimiter);
            while let Some(at) = ends(&pending) {
                let piece: Vec<_> = pending.drain(..at + self.delimiter.len()).collect();
                if visitor.write_all(&(self.answer)(&piece)).is_err() {
                    return;
                }
            }
        }
    }
}
