//! What a method gives: the places that it writes to, and the values that become of them.

use super::object::Object;
use super::table::Library;
use super::text::Owned;
use crate::error::Error;
use crate::shape::{Call, Type};
use std::ffi::c_void;

/// The longest array that is taken. A longer one is a sign that something is not what it seems.
const LONGEST: u32 = 64 << 20;

/// Something from a method. An object that is missing is `None`.
#[derive(Debug)]
pub(crate) enum Out {
    Bool(bool),
    Bytes(Vec<u8>),
    I32(i32),
    I32s(Vec<i32>),
    I64(i64),
    Object(Option<Object>),
    Objects(Vec<Option<Object>>),
    Text(String),
    Texts(Vec<String>),
    U32(u32),
    U32s(Vec<u32>),
}

/// Room for what a method gives: one word each, two for an array (its length, and where it is).
pub(super) struct Places {
    // On the heap, so that the places stay where they are.
    words: Vec<u64>,
}

impl Places {
    pub(super) fn new(call: &'static Call) -> Self {
        Self { words: vec![0; call.gives.iter().map(|one| width(*one)).sum()] }
    }

    pub(super) fn pointers(&mut self) -> Vec<usize> {
        let first = self.words.as_mut_ptr();
        // The pointers are used by the method through these numbers: their provenance is exposed.
        (0..self.words.len()).map(|index| first.wrapping_add(index).expose_provenance()).collect()
    }

    /// Takes over all that a method gave.
    ///
    /// # Safety
    /// The method succeeded, had [`Self::pointers`] as its last parameters, and is the one that `call` describes.
    pub(super) unsafe fn take(
        self,
        call: &'static Call,
        library: &'static Library,
    ) -> Result<Vec<Out>, Error> {
        let mut words = self.words.into_iter();
        let mut next = || words.next().unwrap_or_default();
        // All are taken over before one of them can fail: what is dropped is freed.
        let taken: Vec<_> = call
            .gives
            .iter()
            .map(|one| {
                let first = next();
                let second = if width(*one) == 2 { next() } else { 0 };
                // SAFETY: the method wrote a value of that type there, and gave it to us.
                unsafe { take(call, *one, first, second, library) }
            })
            .collect();
        taken.into_iter().collect()
    }
}

fn width(of: Type) -> usize {
    match of {
        Type::Bools | Type::Bytes | Type::I32s | Type::Objects(_) | Type::Texts | Type::U32s => 2,
        _ => 1,
    }
}

/// # Safety
/// The words are what a method wrote as a value of that type, which belongs to the caller.
unsafe fn take(
    call: &'static Call,
    what: Type,
    first: u64,
    second: u64,
    library: &'static Library,
) -> Result<Out, Error> {
    // Little-endian, so what is narrower than the word is its lower part.
    let array = Array { length: first as u32, pointer: pointer(second), library };
    let null = Error::Null { call: call.name };
    Ok(match what {
        Type::Bool => Out::Bool(first as u32 != 0),
        Type::I32 => Out::I32(first as u32 as i32),
        Type::I64 => Out::I64(first as i64),
        Type::U16 => Out::U32(u32::from(first as u16)),
        Type::U32 => Out::U32(first as u32),
        Type::Text => {
            // SAFETY: the method gave us a text, or null.
            let text = unsafe { Owned::take(pointer(first).cast(), library) };
            Out::Text(text.ok_or(null)?.read())
        }
        Type::Object(interface) => {
            // SAFETY: the method gave us a reference to an object with that interface, or null.
            Out::Object(unsafe { Object::take(pointer(first), interface, library) })
        }
        // SAFETY: for all of these, the method gave us an array with elements of that type.
        Type::Bytes => Out::Bytes(unsafe { array.elements(call)? }),
        // SAFETY: as above.
        Type::I32s => Out::I32s(unsafe { array.elements(call)? }),
        // SAFETY: as above.
        Type::U32s | Type::Bools => Out::U32s(unsafe { array.elements(call)? }),
        Type::Texts => {
            // SAFETY: as above; and each text belongs to us, too.
            let texts = unsafe { array.elements::<*mut u16>(call)? };
            // SAFETY: as above.
            let texts: Vec<_> = texts.into_iter().map(|text| unsafe { Owned::take(text, library) }).collect();
            Out::Texts(texts.iter().flatten().map(Owned::read).collect())
        }
        Type::Objects(interface) => {
            // SAFETY: as above; and so does each reference.
            let objects = unsafe { array.elements::<*mut c_void>(call)? };
            // SAFETY: as above.
            let take = |object| unsafe { Object::take(object, interface, library) };
            Out::Objects(objects.into_iter().map(take).collect())
        }
    })
}

fn pointer(word: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(word as usize)
}

/// An array that VirtualBox allocated. Freed when dropped; its elements are not.
struct Array {
    length: u32,
    pointer: *mut c_void,
    library: &'static Library,
}

impl Array {
    /// # Safety
    /// It is an array of so many elements of that type.
    unsafe fn elements<T: Copy>(&self, call: &'static Call) -> Result<Vec<T>, Error> {
        if self.length == 0 {
            return Ok(Vec::new());
        }
        if self.pointer.is_null() {
            return Err(Error::Null { call: call.name });
        }
        if self.length > LONGEST {
            let reason = format!("it gave {} elements", self.length);
            return Err(Error::Invalid { what: call.name, reason });
        }
        // SAFETY: not null, and so long, as the caller promises; aligned as VirtualBox's allocator aligns for any type.
        Ok(unsafe { std::slice::from_raw_parts(self.pointer.cast::<T>(), self.length as usize) }.to_vec())
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // A value that is no array has no second word.
        if !self.pointer.is_null() {
            // SAFETY: it was given to us to free with this function, and is freed once.
            unsafe { (self.library.table.free_array)(self.pointer) };
        }
    }
}

/// What a single value of a method can be turned into.
pub(crate) trait FromOut: Sized {
    /// The value, if it is of that type.
    fn from_out(out: Out, call: &'static Call) -> Result<Self, Error>;
}

macro_rules! from_out {
    ($($variant:ident $type:ty),* $(,)?) => {
        $(impl FromOut for $type {
            fn from_out(out: Out, call: &'static Call) -> Result<Self, Error> {
                match out {
                    Out::$variant(value) => Ok(value),
                    other => Err(unexpected(call, &other)),
                }
            }
        })*
    };
}

from_out! {
    Bool bool,
    Bytes Vec<u8>,
    I32 i32,
    I32s Vec<i32>,
    I64 i64,
    Object Option<Object>,
    Text String,
    Texts Vec<String>,
    U32 u32,
    U32s Vec<u32>,
}

impl FromOut for Object {
    fn from_out(out: Out, call: &'static Call) -> Result<Self, Error> {
        Option::from_out(out, call)?.ok_or(Error::Null { call: call.name })
    }
}

impl FromOut for Vec<Object> {
    /// Elements that are missing are left out.
    fn from_out(out: Out, call: &'static Call) -> Result<Self, Error> {
        match out {
            Out::Objects(objects) => Ok(objects.into_iter().flatten().collect()),
            other => Err(unexpected(call, &other)),
        }
    }
}

fn unexpected(call: &'static Call, out: &Out) -> Error {
    Error::Invalid { what: call.name, reason: format!("its result is used as another type: {out:?}") }
}
