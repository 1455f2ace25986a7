//! What happens in VirtualBox, as it happens: a thread of its own waits for VBoxSVC's events, so that nobody who asks
//! for something has to wait behind it.

use crate::calls;
use crate::com::Com;
use crate::error::Error;
use crate::model::{Event, SnapshotChange, State};
use crate::values;
use crate::xpcom::{Attached, In, Library, Object, Parcel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use tokio::sync::broadcast;

/// How long one wait for an event takes at most: so long does it take to stop.
const WAIT_MS: i32 = 500;

const WANTED: &[u32] = &[
    values::ON_DATA,
    values::ON_EXTRA,
    values::ON_PROPERTY,
    values::ON_REGISTERED,
    values::ON_SESSION,
    values::ON_SNAPSHOT_CHANGED,
    values::ON_SNAPSHOT_DELETED,
    values::ON_SNAPSHOT_RESTORED,
    values::ON_SNAPSHOT_TAKEN,
    values::ON_STATE,
];

/// The thread. It ends soon after this is dropped.
pub(crate) struct Listener {
    stop: Arc<AtomicBool>,
}

/// Is told once that the thread listens, so that nothing is missed from then on, or why it does not.
pub(crate) type Ready = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Is told once that VBoxSVC has gone.
pub(crate) type Lost = Box<dyn FnOnce() + Send>;

impl Listener {
    /// Starts the thread. It holds `alive` until it has ended. If it cannot be started `ready` is told so, too.
    pub(crate) fn start(
        com: &Com,
        events: broadcast::Sender<Event>,
        ready: Ready,
        lost: Lost,
        alive: Sender<()>,
    ) -> Result<Self, Error> {
        let source = match com.virtualbox().and_then(|root| root.get::<Object>(&calls::EVENT_SOURCE, &[])) {
            Ok(source) => source.parcel(),
            Err(error) => {
                let again = Error::Invalid { what: "VirtualBox's events", reason: error.to_string() };
                ready(Err(error));
                return Err(again);
            }
        };
        let (library, stop) = (com.library(), Arc::new(AtomicBool::new(false)));
        let listening = Listening { stop: Arc::clone(&stop), events };
        let thread = std::thread::Builder::new().name("virtualbox-events".to_owned());
        let started = thread.spawn(move || {
            listening.run(library, source, ready, lost);
            drop(alive);
        });
        started.map_err(|error| Error::Invalid { what: "a thread", reason: error.to_string() })?;
        Ok(Self { stop })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

struct Listening {
    stop: Arc<AtomicBool>,
    events: broadcast::Sender<Event>,
}

impl Listening {
    fn run(&self, library: &'static Library, source: Parcel, ready: Ready, lost: Lost) {
        let attached = match Attached::new(library) {
            Ok(attached) => attached,
            Err(error) => return ready(Err(error)),
        };
        let subscription = match Subscription::new(source.unpack(&attached)) {
            Ok(subscription) => subscription,
            Err(error) => return ready(Err(error)),
        };
        ready(Ok(()));
        let ended = self.listen(&subscription);
        // Before this thread is detached.
        drop(subscription);
        if let Err(error) = ended {
            tracing::warn!("VirtualBox's events have ended: {error}");
            lost();
        }
    }

    /// Tells every event until it is time to stop. The error is the end of VBoxSVC.
    fn listen(&self, subscription: &Subscription) -> Result<(), Error> {
        while !self.is_stopped() {
            let Some(event) = subscription.next()? else { continue };
            match read(&event) {
                Ok(Some(event)) => self.publish(event),
                Ok(None) => {}
                // What it was about may be gone already.
                Err(error) => tracing::debug!("an event of VirtualBox's is not understood: {error}"),
            }
            subscription.processed(&event)?;
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn publish(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}

/// A listener that VBoxSVC keeps events for. Given back when dropped.
struct Subscription {
    source: Object,
    listener: Object,
}

impl Subscription {
    fn new(source: Object) -> Result<Self, Error> {
        let listener: Object = source.get(&calls::CREATE_LISTENER, &[])?;
        let given = [In::Object(&listener), In::U32s(WANTED), In::Bool(false)];
        source.run(&calls::REGISTER_LISTENER, &given)?;
        Ok(Self { source, listener })
    }

    /// The next event, if there is one soon.
    fn next(&self) -> Result<Option<Object>, Error> {
        self.source.get(&calls::NEXT_EVENT, &[In::Object(&self.listener), In::I32(WAIT_MS)])
    }

    fn processed(&self, event: &Object) -> Result<(), Error> {
        self.source.run(&calls::EVENT_PROCESSED, &[In::Object(&self.listener), In::Object(event)])
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // VBoxSVC may be gone.
        let _ = self.source.run(&calls::UNREGISTER_LISTENER, &[In::Object(&self.listener)]);
    }
}

/// What an event says, if it says something to us.
fn read(event: &Object) -> Result<Option<Event>, Error> {
    let kind: u32 = event.get(&calls::EVENT_TYPE, &[])?;
    if kind == values::ON_EXTRA {
        return extra_data(event);
    }
    let Some(of_machine) = event.cast("IMachineEvent") else { return Ok(None) };
    let id: String = of_machine.get(&calls::EVENT_MACHINE, &[])?;
    let snapshot = |id, change| {
        let Some(event) = event.cast("ISnapshotEvent") else { return Ok(None) };
        let snapshot = event.get(&calls::EVENT_SNAPSHOT, &[])?;
        Ok(Some(Event::Snapshot { id, snapshot, change }))
    };
    match kind {
        values::ON_DATA => Ok(Some(Event::Changed { id })),
        values::ON_SESSION => Ok(Some(Event::Session { id })),
        values::ON_SNAPSHOT_CHANGED => snapshot(id, SnapshotChange::Changed),
        values::ON_SNAPSHOT_DELETED => snapshot(id, SnapshotChange::Deleted),
        values::ON_SNAPSHOT_RESTORED => snapshot(id, SnapshotChange::Restored),
        values::ON_SNAPSHOT_TAKEN => snapshot(id, SnapshotChange::Taken),
        values::ON_STATE => {
            let Some(event) = event.cast("IMachineStateChangedEvent") else { return Ok(None) };
            let state = State::from_number(event.get(&calls::EVENT_STATE, &[])?);
            Ok(Some(Event::State { id, state }))
        }
        values::ON_REGISTERED => {
            let Some(event) = event.cast("IMachineRegisteredEvent") else { return Ok(None) };
            Ok(Some(Event::Registered { id, registered: event.get(&calls::EVENT_REGISTERED, &[])? }))
        }
        values::ON_PROPERTY => {
            let Some(event) = event.cast("IGuestPropertyChangedEvent") else { return Ok(None) };
            let name = event.get(&calls::EVENT_PROPERTY, &[])?;
            let value = event.get(&calls::EVENT_PROPERTY_VALUE, &[])?;
            Ok(Some(Event::GuestProperty { id, name, value }))
        }
        _ => Ok(None),
    }
}

/// An event of its own kind: it has the machine's id, too, but is no event of a machine. Without an id it is about
/// VirtualBox itself.
fn extra_data(event: &Object) -> Result<Option<Event>, Error> {
    let Some(event) = event.cast("IExtraDataChangedEvent") else { return Ok(None) };
    let id: String = event.get(&calls::EVENT_EXTRA_MACHINE, &[])?;
    Ok(Some(id).filter(|id| !id.trim_matches(['0', '-']).is_empty()).map(|id| Event::Changed { id }))
}
