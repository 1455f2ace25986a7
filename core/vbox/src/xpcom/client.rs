//! The connection of this process to VirtualBox, and which threads may use it.

use super::object::Object;
use super::table::Library;
use crate::error::{Code, Error};
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// Where everything begins.
const INTERFACE: &str = "IVirtualBoxClient";

/// The thread that VirtualBox was initialised on; it owns VirtualBox's event queue.
pub(crate) struct Client {
    /// Taken when it is dropped: it goes before VirtualBox does.
    object: Option<Object>,
    library: &'static Library,
}

/// How waiting for VirtualBox's events ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something was processed, the time is over, or somebody interrupted it.
    Working,
    /// The queue does not work.
    Broken,
}

impl Client {
    /// Initialises VirtualBox on this thread, which has to be the one that loaded the library. No other client may be
    /// there.
    pub(crate) fn new(library: &'static Library) -> Result<Self, Error> {
        const CALL: &str = "VirtualBox's initialisation";
        let id = library.resolved.id(INTERFACE).ok_or(Error::Null { call: INTERFACE })?;
        let id = CString::new(id.to_string())
            .map_err(|_| Error::Invalid { what: INTERFACE, reason: "its id has a zero".to_owned() })?;
        let mut pointer: *mut c_void = null_mut();
        // SAFETY: an id as text that ends with a zero, and where the result goes.
        let code = Code(unsafe { (library.table.client_initialize)(id.as_ptr(), &mut pointer) });
        if !code.is_success() {
            let text = "VirtualBox's programs or this user's settings of it cannot be used".to_owned();
            return Err(Error::Call { call: CALL, code, text });
        }
        // SAFETY: it gave us a reference to an object with the interface of that id, on this thread.
        let object = unsafe { Object::take(pointer, INTERFACE, library) };
        library.set_has_client(true);
        // Whatever follows fails, it is given back.
        let client = Self { object, library };
        client.object.is_some().then_some(client).ok_or(Error::Null { call: CALL })
    }

    pub(crate) fn object(&self) -> Result<&Object, Error> {
        self.object.as_ref().ok_or(Error::Closed)
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.library
    }

    /// Runs VirtualBox's event queue until something was processed, the time is over, or [`Library::wake`] is called.
    pub(crate) fn process_events(&self, most: Duration) -> Woken {
        let most = i64::try_from(most.as_millis()).unwrap_or(i64::MAX);
        // SAFETY: this is the thread that VirtualBox was initialised on: `Client` is neither Send nor Sync.
        match unsafe { (self.library.table.process_event_queue)(most) } {
            // Processed, interrupted (two of them), or the time is over.
            0..=3 => Woken::Working,
            _ => Woken::Broken,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.object.take());
        self.library.set_has_client(false);
        // SAFETY: nobody wakes this thread any more. Initialised on this thread, once for each time. The other objects
        // of this thread are gone, because they live in what `Client` outlives; those of other threads are, because they
        // have been joined.
        unsafe { (self.library.table.client_uninitialize)() };
    }
}

impl Library {
    /// Wakes the thread that runs the event queue, now or when it next waits. Any thread may; without a client there is
    /// nobody to wake.
    pub(crate) fn wake(&self) {
        let has_client = self.client_lock();
        if *has_client {
            // SAFETY: it takes nothing and may be called from every thread while there is a client, which does not end
            // before this lock is given back.
            unsafe { (self.table.interrupt_event_queue)() };
        }
    }

    fn set_has_client(&self, has_client: bool) {
        *self.client_lock() = has_client;
    }

    /// Nothing that holds it panics; should it, what it says is right all the same.
    fn client_lock(&self) -> MutexGuard<'_, bool> {
        self.has_client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A further thread that uses objects of VirtualBox.
pub(crate) struct Attached {
    library: &'static Library,
    /// Attached is this thread, and no other.
    _here: PhantomData<*const ()>,
}

impl Attached {
    pub(crate) fn new(library: &'static Library) -> Result<Self, Error> {
        // SAFETY: it takes nothing, and is for exactly this.
        let code = Code(unsafe { (library.table.client_thread_initialize)() });
        match code.is_success() {
            true => Ok(Self { library, _here: PhantomData }),
            false => Err(Error::Call {
                call: "VirtualBox's initialisation of a thread",
                code,
                text: "failed".to_owned(),
            }),
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: this thread was attached, once for each time.
        unsafe { (self.library.table.client_thread_uninitialize)() };
    }
}
