//! Texts: UTF-16 that ends with a zero, in VirtualBox's memory or in ours.

use super::table::Library;
use std::ptr::NonNull;

/// A text that VirtualBox allocated. Freed when dropped.
pub(super) struct Owned {
    pointer: NonNull<u16>,
    library: &'static Library,
}

impl Owned {
    /// Takes over a text that a method gave; nothing if that gave null.
    ///
    /// # Safety
    /// The pointer is null, or such a text that nobody else will free.
    pub(super) unsafe fn take(pointer: *mut u16, library: &'static Library) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, library })
    }

    /// The text; what is not valid UTF-16 is replaced.
    pub(super) fn read(&self) -> String {
        let mut length = 0;
        // SAFETY: the text ends with a zero, and no further unit is read than that.
        while unsafe { self.pointer.add(length).read() } != 0 {
            length += 1;
        }
        // SAFETY: so many units were just read, and nobody writes to them while `self` is borrowed.
        String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), length) })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it was given to us to free with this function, and is freed once.
        unsafe { (self.library.table.free_text)(self.pointer.as_ptr()) };
    }
}
