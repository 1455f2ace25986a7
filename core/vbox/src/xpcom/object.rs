//! Objects of VirtualBox.

use super::arguments::{Arguments, In, invoke};
use super::client::Attached;
use super::results::{FromOut, Out, Places};
use super::table::Library;
use crate::calls;
use crate::error::{Code, Error};
use crate::shape::Call;
use crate::typelib::InterfaceId;
use std::ffi::c_void;
use std::fmt;
use std::ptr::{NonNull, null_mut};

/// Slots of the root of all interfaces.
const QUERY_INTERFACE: usize = 0;
const ADD_REF: usize = 1;
const RELEASE: usize = 2;

/// How many causes of an error are told, the innermost last.
const CAUSES: usize = 8;

/// The interface whose pointer is the identity of an object.
const ROOT: &str = "nsISupports";

/// One reference to an object, given back when dropped. It stays on its thread.
pub(crate) struct Object {
    pointer: NonNull<c_void>,
    interface: &'static str,
    library: &'static Library,
}

impl Object {
    /// Takes over a reference that VirtualBox gave; nothing if it gave null.
    ///
    /// # Safety
    /// The pointer is null, or to an object with that interface, with a reference that nobody else will give back; and
    /// this thread is attached to VirtualBox for as long as the object lives.
    pub(super) unsafe fn take(
        pointer: *mut c_void,
        interface: &'static str,
        library: &'static Library,
    ) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, interface, library })
    }

    /// The interface that it is used by.
    pub(crate) fn interface(&self) -> &'static str {
        self.interface
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer.as_ptr()
    }

    /// Whether this VirtualBox has that call, in that shape.
    pub(crate) fn has(&self, call: &'static Call) -> bool {
        self.library.resolved.has(call)
    }

    /// Calls a method; gives what it gives. An error has VirtualBox's own text.
    pub(crate) fn call(&self, call: &'static Call, given: &[In<'_>]) -> Result<Vec<Out>, Error> {
        if self.interface != call.interface {
            let reason = format!("called on {}", self.interface);
            return Err(Error::Invalid { what: call.name, reason });
        }
        let slot = self.library.resolved.slot(call)?;
        let mut arguments = Arguments::new(call, given)?;
        let mut places = Places::new(call);
        arguments.words.extend(places.pointers());
        // SAFETY: the object has this interface; its type library has at this slot a method with exactly the
        // parameters of `call`, which `arguments` and `places` follow. Both outlive the call.
        let result = unsafe { invoke(self.pointer(), slot, &arguments.words) };
        let too_many = || Error::Invalid { what: call.name, reason: "too many parameters".to_owned() };
        let code = Code(result.ok_or_else(too_many)?);
        drop(arguments);
        match code.is_success() {
            // SAFETY: it succeeded, with those places.
            true => unsafe { places.take(call, self.library) },
            false => Err(failure(self.library, call, code)),
        }
    }

    /// Calls a method that gives one thing.
    pub(crate) fn get<T: FromOut>(&self, call: &'static Call, given: &[In<'_>]) -> Result<T, Error> {
        let first = self.call(call, given)?.into_iter().next();
        T::from_out(first.ok_or(Error::Null { call: call.name })?, call)
    }

    /// Calls a method that gives nothing.
    pub(crate) fn run(&self, call: &'static Call, given: &[In<'_>]) -> Result<(), Error> {
        self.call(call, given).map(drop)
    }

    /// The same object by another interface, if it has that.
    pub(crate) fn cast(&self, interface: &'static str) -> Option<Self> {
        let id = self.library.resolved.id(interface)?;
        let mut cast: *mut c_void = null_mut();
        let words = [(&raw const id as usize), (&raw mut cast).expose_provenance()];
        // SAFETY: every object has this method at this slot: a pointer to an id, a pointer to where the result goes.
        let result = unsafe { invoke(self.pointer(), QUERY_INTERFACE, &words) };
        let found = result.is_some_and(|code| Code(code).is_success());
        let cast = if found { cast } else { null_mut() };
        // SAFETY: on success it is a reference of our own to the object by that interface.
        unsafe { Self::take(cast, interface, self.library) }
    }

    /// The object as one of no particular interface.
    pub(crate) fn identity(&self, call: &'static Call) -> Result<Self, Error> {
        let text = "the object has no identity".to_owned();
        self.cast(ROOT).ok_or(Error::Call { call: call.name, code: Code::NO_INTERFACE, text })
    }

    /// Another reference, for another thread.
    pub(crate) fn parcel(&self) -> Parcel {
        Parcel(self.clone())
    }

    fn count(&self, slot: usize) {
        // SAFETY: every object has AddRef and Release at their slots, without parameters; what they return is unused.
        let _ = unsafe { invoke(self.pointer(), slot, &[]) };
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        self.count(ADD_REF);
        Self { ..*self }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.count(RELEASE);
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.interface)
    }
}

/// A reference on its way to another thread.
pub(crate) struct Parcel(Object);

// SAFETY: XPCOM has no apartments. Counting references is atomic in all of VirtualBox's objects, and those of VBoxSVC
// are proxies made for any thread; only a thread that is attached gets the object out.
unsafe impl Send for Parcel {}

impl Parcel {
    /// The object, for a thread that is attached to VirtualBox and outlives it.
    pub(crate) fn unpack(self, _attached: &Attached) -> Object {
        self.0
    }
}

/// What VirtualBox says of a failed call.
fn failure(library: &'static Library, call: &'static Call, code: Code) -> Error {
    // The text is VBoxSVC's, too: it is gone with it.
    if matches!(code, Code::CALL_FAILED | Code::ABORT) {
        return Error::Gone { call: call.name, code };
    }
    let text = exception(library).map(|error| error_text(&error)).filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| match code {
        Code::ACCESS_DENIED => "access denied; VirtualBox gives no reason".to_owned(),
        _ => "VirtualBox gives no reason".to_owned(),
    });
    Error::Call { call: call.name, code, text }
}

/// The error that the last call on this thread left behind.
fn exception(library: &'static Library) -> Option<Object> {
    let mut pointer: *mut c_void = null_mut();
    // SAFETY: the function takes a pointer to where the result goes.
    let code = unsafe { (library.table.get_exception)(&mut pointer) };
    let pointer = if Code(code).is_success() { pointer } else { null_mut() };
    // SAFETY: it gave us a reference to an object, which like all has the root's interface; or null.
    let error = unsafe { Object::take(pointer, ROOT, library) };
    // SAFETY: it takes nothing.
    unsafe { (library.table.clear_exception)() };
    error?.cast("IVirtualBoxErrorInfo")
}

/// The text of an error and of its causes.
pub(crate) fn error_text(error: &Object) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error.clone());
    while let Some(error) = next.take().filter(|_| texts.len() < CAUSES) {
        let text: String = error.get(&calls::ERROR_TEXT, &[]).unwrap_or_default();
        // One line: VirtualBox breaks lines in the middle of its sentences.
        texts.push(text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned());
        next = error.get(&calls::ERROR_NEXT, &[]).ok().flatten();
    }
    texts.retain(|text| !text.is_empty());
    texts.dedup();
    texts.join(": ")
}

/// An id has to be laid out as XPCOM has it.
const _: () = assert!(size_of::<InterfaceId>() == 16);
