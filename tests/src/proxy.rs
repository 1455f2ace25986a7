//! A network between guest and host that can be cut in the middle of anything, or stall, or lead elsewhere.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How it behaves.
struct State {
    /// Where connections lead.
    to: SocketAddr,
    /// Whether everything stands still.
    stalled: bool,
    /// How long everything takes from one end to the other.
    delay: Duration,
    /// After so many bytes more from the guest the connection is cut, in the middle of whatever that is.
    fuse: Option<usize>,
    /// Connections cut by the fuse so far.
    cuts: usize,
    /// Every connection: the guest's end, the host's end.
    open: Vec<(TcpStream, TcpStream)>,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Forwards connections until it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// One that leads there.
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            to,
            stalled: false,
            delay: Duration::ZERO,
            fuse: None,
            cuts: 0,
            open: Vec::new(),
            closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        thread::spawn({
            let shared = shared.clone();
            move || shared.accept(&listener)
        });
        Self { shared, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections elsewhere.
    pub fn leads_to(&self, to: SocketAddr) {
        self.shared.change(|state| state.to = to);
    }

    /// Cuts what is connected now.
    pub fn cuts(&self) {
        self.shared.change(State::cut);
    }

    /// Cuts the connection after so many bytes more from the guest.
    pub fn cuts_after(&self, bytes: usize) {
        self.shared.change(|state| state.fuse = Some(bytes));
    }

    /// Waits until the fuse has burnt so many times.
    pub fn was_cut(&self, times: usize) {
        let mut state = self.shared.state.lock().unwrap();
        let deadline = std::time::Instant::now() + crate::TIMEOUT;
        while state.cuts < times {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "the guest has not sent enough for the connection to be cut");
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Lets everything through so much later.
    pub fn delays(&self, by: Duration) {
        self.shared.change(|state| state.delay = by);
    }

    /// Lets nothing through, and cuts nothing either.
    pub fn stalls(&self) {
        self.shared.change(|state| state.stalled = true);
    }

    /// Lets everything through again.
    pub fn flows(&self) {
        self.shared.change(|state| state.stalled = false);
    }

    /// The guest's end hears that nothing more will come, and could still speak.
    pub fn half_closes(&self) {
        self.shared.change(|state| {
            for (guest, _) in &state.open {
                // It may be closed already.
                let _ = guest.shutdown(Shutdown::Write);
            }
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.closed = true;
            state.cut();
        });
        // Wakes the listener, so that it sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn cut(&mut self) {
        for (guest, host) in self.open.drain(..) {
            for stream in [guest, host] {
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((guest, _)) = listener.accept() {
            let mut state = self.state.lock().unwrap();
            if state.closed {
                return;
            }
            // While nobody listens there, the guest is turned away.
            let Ok(host) = TcpStream::connect(state.to) else { continue };
            state.open.push((guest.try_clone().unwrap(), host.try_clone().unwrap()));
            let ends = [(&guest, &host, true), (&host, &guest, false)];
            for (from, to, of_guest) in ends {
                let (from, to, shared) = (from.try_clone().unwrap(), to.try_clone().unwrap(), self.clone());
                thread::spawn(move || shared.forward(from, to, of_guest));
            }
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream, of_guest: bool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let length = self.allowed(length, of_guest);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
            if of_guest {
                self.burn(length);
            }
        }
        // It may be closed already.
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits until something may pass; how much of it.
    fn allowed(&self, length: usize, of_guest: bool) -> usize {
        let mut state = self.state.lock().unwrap();
        while state.stalled && !state.closed {
            state = self.changed.wait(state).unwrap();
        }
        let delay = state.delay;
        if !delay.is_zero() {
            // Time has to pass: that is what a slow network is.
            drop(state);
            thread::sleep(delay);
            state = self.state.lock().unwrap();
        }
        state.fuse.filter(|_| of_guest).map_or(length, |fuse| fuse.min(length))
    }

    fn burn(&self, length: usize) {
        self.change(|state| {
            let Some(fuse) = state.fuse else { return };
            state.fuse = Some(fuse - length.min(fuse)).filter(|left| *left > 0);
            if state.fuse.is_none() {
                state.cuts += 1;
                state.cut();
            }
        });
    }
}
