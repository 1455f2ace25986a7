//! What is given to a method, as words for its registers and stack, and the memory that they point to.

use super::object::Object;
use crate::error::Error;
use crate::shape::{Call, Type};
use std::ffi::c_void;

pub(crate) enum In<'a> {
    Bool(bool),
    Bools(&'a [bool]),
    I32(i32),
    Object(&'a Object),
    Objects(&'a [Object]),
    Text(&'a str),
    Texts(&'a [&'a str]),
    U16(u16),
    U32(u32),
    U32s(&'a [u32]),
}

impl In<'_> {
    fn is(&self, expected: Type) -> bool {
        match (self, expected) {
            (Self::Bool(_), Type::Bool)
            | (Self::Bools(_), Type::Bools)
            | (Self::I32(_), Type::I32)
            | (Self::Text(_), Type::Text)
            | (Self::Texts(_), Type::Texts)
            | (Self::U16(_), Type::U16)
            | (Self::U32(_), Type::U32)
            | (Self::U32s(_), Type::U32s) => true,
            (Self::Object(object), Type::Object(interface)) => object.interface() == interface,
            (Self::Objects(objects), Type::Objects(interface)) => {
                objects.iter().all(|object| object.interface() == interface)
            }
            _ => false,
        }
    }
}

/// The words for a method, and what some of them point to.
pub(super) struct Arguments {
    pub(super) words: Vec<usize>,
    /// Never read again, but pointed to: moving a vector does not move its elements.
    texts: Vec<Vec<u16>>,
    lists: Vec<Vec<usize>>,
    numbers: Vec<Vec<u32>>,
}

impl Arguments {
    /// Lays out what is given, if it is what the call takes.
    pub(super) fn new(call: &'static Call, given: &[In<'_>]) -> Result<Self, Error> {
        let fits = given.len() == call.takes.len()
            && given.iter().zip(call.takes).all(|(given, expected)| given.is(*expected));
        if !fits {
            return Err(Error::Invalid {
                what: call.name,
                reason: "called with other parameters".to_owned(),
            });
        }
        let (texts, lists, numbers) = (Vec::new(), Vec::new(), Vec::new());
        let mut arguments = Self { words: Vec::new(), texts, lists, numbers };
        given.iter().try_for_each(|given| arguments.add(call, given))?;
        Ok(arguments)
    }

    fn add(&mut self, call: &'static Call, given: &In<'_>) -> Result<(), Error> {
        match given {
            In::Bool(value) => self.words.push(usize::from(*value)),
            // Sign-extended, as a register holds it.
            In::I32(value) => self.words.push(*value as isize as usize),
            In::U16(value) => self.words.push(usize::from(*value)),
            In::U32(value) => self.words.push(*value as usize),
            In::Object(object) => self.words.push(object.pointer() as usize),
            In::Text(text) => {
                let word = self.text(call, text)?;
                self.words.push(word);
            }
            In::Bools(values) => self.numbers(values.iter().map(|value| u32::from(*value)).collect()),
            In::U32s(values) => self.numbers(values.to_vec()),
            In::Objects(objects) => {
                self.list(objects.iter().map(|object| object.pointer() as usize).collect());
            }
            In::Texts(texts) => {
                let words = texts.iter().map(|text| self.text(call, text)).collect::<Result<_, _>>()?;
                self.list(words);
            }
        }
        Ok(())
    }

    fn text(&mut self, call: &'static Call, text: &str) -> Result<usize, Error> {
        if text.contains('\0') {
            return Err(Error::Invalid { what: call.name, reason: format!("{text:?} has a zero in it") });
        }
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let word = units.as_ptr() as usize;
        self.texts.push(units);
        Ok(word)
    }

    /// A length and a pointer, to 32-bit numbers.
    fn numbers(&mut self, values: Vec<u32>) {
        self.words.extend([values.len(), values.as_ptr() as usize]);
        self.numbers.push(values);
    }

    /// A length and a pointer, to pointers.
    fn list(&mut self, values: Vec<usize>) {
        self.words.extend([values.len(), values.as_ptr() as usize]);
        self.lists.push(values);
    }
}

/// A method of up to that many parameters, called through the table of an object.
///
/// # Safety
/// `this` is an object whose table has a method at `slot` that takes exactly `words` as its parameters, each as wide as
/// a register or extended to be, and returns a result code.
pub(super) unsafe fn invoke(this: *mut c_void, slot: usize, words: &[usize]) -> Option<u32> {
    // SAFETY: an object begins with a pointer to its table, which has that slot.
    let method = unsafe { *(*this.cast::<*const *const c_void>()).add(slot) };
    macro_rules! call {
        ($($word:ident)*) => {{
            // SAFETY: the caller promises that the method takes so many parameters. All are of the integer class, so
            // that the conventions of x86-64 and 64-bit ARM on Linux pass each as one register or stack slot.
            let method: unsafe extern "C" fn(*mut c_void $(, call!(@usize $word))*) -> u32 =
                unsafe { std::mem::transmute(method) };
            // SAFETY: as above.
            Some(unsafe { method(this $(, $word)*) })
        }};
        (@usize $word:ident) => { usize };
    }
    match *words {
        [] => call!(),
        [a] => call!(a),
        [a, b] => call!(a b),
        [a, b, c] => call!(a b c),
        [a, b, c, d] => call!(a b c d),
        [a, b, c, d, e] => call!(a b c d e),
        [a, b, c, d, e, f] => call!(a b c d e f),
        [a, b, c, d, e, f, g] => call!(a b c d e f g),
        [a, b, c, d, e, f, g, h] => call!(a b c d e f g h),
        [a, b, c, d, e, f, g, h, i] => call!(a b c d e f g h i),
        [a, b, c, d, e, f, g, h, i, j] => call!(a b c d e f g h i j),
        [a, b, c, d, e, f, g, h, i, j, k] => call!(a b c d e f g h i j k),
        // queryMetricsData has the most.
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] => {
            call!(a b c d e f g h i j k l m n o p q r s t)
        }
        _ => None,
    }
}
