//! What the tests share: a connection to the VirtualBox within the root, and a runtime to wait on.

use crate::root;
use std::future::Future;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use vocable_vbox::{Error, Event, Machine, NewMachine, Reporter, Settings, VirtualBox};

/// How long anything may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs a test within the root, on a runtime, with an open VirtualBox that is closed at the end.
pub(crate) fn with_virtualbox<F: Future<Output = ()>>(name: &str, test: impl FnOnce(VirtualBox) -> F) {
    root::inside(name, || {
        block_on(async {
            let virtualbox = open().await.unwrap();
            test(virtualbox.clone()).await;
            virtualbox.close().await;
        });
    });
}

/// Waits for a future, for [`TIMEOUT`] at most.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TIMEOUT, future).await.expect("it takes too long") })
}

/// Opens VirtualBox.
pub(crate) async fn open() -> Result<VirtualBox, Error> {
    VirtualBox::open(Settings { timeout: TIMEOUT, ..Settings::default() }).await
}

/// A machine with nothing in it.
pub(crate) async fn empty(virtualbox: &VirtualBox, name: &str) -> Machine {
    virtualbox.create(NewMachine::new(name), Reporter::none()).await.unwrap()
}

/// Waits for an event that is wanted, past others.
pub(crate) async fn wait_for(events: &mut Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    let next = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, next).await.expect("no such event")
}
