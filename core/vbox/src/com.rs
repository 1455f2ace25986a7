//! VirtualBox's objects on the one thread that owns them: the root object, machines, and sessions that lock them.

use crate::calls;
use crate::error::{Code, Error};
use crate::model::State;
use crate::values;
use crate::xpcom::{Client, In, Library, Object, Woken};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// What the thread owns while one VBoxSVC lasts.
pub(crate) struct Com {
    virtualbox: RefCell<Option<Object>>,
    lost: Cell<bool>,
    // Last, so that it outlives the objects.
    client: Client,
}

impl Com {
    /// Initialises VirtualBox on this thread.
    pub(crate) fn new(library: &'static Library) -> Result<Self, Error> {
        Ok(Self { virtualbox: RefCell::new(None), lost: Cell::new(false), client: Client::new(library)? })
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.client.library()
    }

    /// See [`Client::process_events`].
    pub(crate) fn process_events(&self, most: Duration) -> Woken {
        self.client.process_events(most)
    }

    /// The root object. Starts VBoxSVC if it does not run.
    pub(crate) fn virtualbox(&self) -> Result<Object, Error> {
        if let Some(known) = self.virtualbox.borrow().as_ref() {
            return Ok(known.clone());
        }
        let found: Object = self.client.object()?.get(&calls::CLIENT_VIRTUALBOX, &[])?;
        *self.virtualbox.borrow_mut() = Some(found.clone());
        Ok(found)
    }

    /// VBoxSVC has gone. A client never finds another one: it has to be made anew.
    pub(crate) fn mark_lost(&self) {
        self.lost.set(true);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// A registered machine, by name or UUID.
    pub(crate) fn find(&self, which: &str) -> Result<Object, Error> {
        self.virtualbox()?.get(&calls::FIND_MACHINE, &[In::Text(which)])
    }

    /// Locks a machine, so that its settings can be changed or its console be used.
    pub(crate) fn lock(&self, machine: &Object, kind: Lock) -> Result<Session, Error> {
        let session = self.session()?;
        machine.run(&calls::LOCK, &[In::Object(&session), In::U32(kind as u32)])?;
        Ok(Session { object: session })
    }

    /// A session that is not locked.
    pub(crate) fn session(&self) -> Result<Object, Error> {
        self.client.object()?.get(&calls::CLIENT_SESSION, &[])
    }
}

/// How a machine is locked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lock {
    /// Together with the process that runs it.
    Shared = values::SHARED as isize,
    /// Alone: it may not run.
    Write = values::WRITE as isize,
}

/// A locked machine. Unlocked when dropped.
pub(crate) struct Session {
    object: Object,
}

impl Session {
    /// A session in which a machine was started.
    pub(crate) fn started(object: Object) -> Self {
        Self { object }
    }

    /// The machine, changeable.
    pub(crate) fn machine(&self) -> Result<Object, Error> {
        self.object.get(&calls::SESSION_MACHINE, &[])
    }

    /// The console of the machine, which has one while it runs.
    pub(crate) fn console(&self) -> Result<Object, Error> {
        let console: Option<Object> = self.object.get(&calls::SESSION_CONSOLE, &[])?;
        match console {
            Some(console) => Ok(console),
            None => Err(not_running(&self.machine()?)),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A machine that has ended has unlocked it already.
        if let Err(error) = self.object.run(&calls::UNLOCK, &[]) {
            tracing::trace!("a session was over already: {error}");
        }
    }
}

/// The error for what needs a machine that runs.
fn not_running(machine: &Object) -> Error {
    let name: String = machine.get(&calls::MACHINE_NAME, &[]).unwrap_or_default();
    let state = machine.get(&calls::STATE, &[]).map(State::from_number);
    let state = state.map_or_else(|_| "unknown".to_owned(), |state| state.to_string());
    let text = format!("the machine '{name}' is not running (state: {state})");
    Error::Call { call: "ISession.console", code: Code::INVALID_VM_STATE, text }
}
