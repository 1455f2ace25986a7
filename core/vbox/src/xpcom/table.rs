//! Opening the library: its table of C functions, and its type libraries.

use crate::error::Error;
use crate::shape::{Resolved, resolve};
use crate::typelib::TypeLibrary;
use crate::{calls, install, values};
use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The version of the table that is asked for: 4.1, as VirtualBox 6.1 to 7.2 have it.
const VERSION: u32 = 0x0004_0001;

/// The one function of the library that is looked up by name.
const ENTRY: &[u8] = b"VBoxGetCAPIFunctions\0";

/// The table of version 4: two numbers, then pointers to functions, then the version again. Those that are not used
/// here are only pointers.
#[repr(C)]
pub(super) struct Table {
    size: u32,
    version: u32,
    get_version: unsafe extern "C" fn() -> u32,
    get_api_version: unsafe extern "C" fn() -> u32,
    pub(super) client_initialize: unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> u32,
    pub(super) client_thread_initialize: unsafe extern "C" fn() -> u32,
    pub(super) client_thread_uninitialize: unsafe extern "C" fn() -> u32,
    pub(super) client_uninitialize: unsafe extern "C" fn(),
    com_initialize: *const c_void,
    com_uninitialize: *const c_void,
    pub(super) free_text: unsafe extern "C" fn(*mut u16),
    utf16_to_utf8: *const c_void,
    utf8_to_utf16: *const c_void,
    utf8_free: *const c_void,
    utf16_free: *const c_void,
    safe_array_create_vector: *const c_void,
    safe_array_out_param_alloc: *const c_void,
    safe_array_copy_in: *const c_void,
    safe_array_copy_out: *const c_void,
    safe_array_copy_out_interfaces: *const c_void,
    safe_array_destroy: *const c_void,
    pub(super) free_array: unsafe extern "C" fn(*mut c_void) -> u32,
    get_event_queue: *const c_void,
    pub(super) get_exception: unsafe extern "C" fn(*mut *mut c_void) -> u32,
    pub(super) clear_exception: unsafe extern "C" fn() -> u32,
    pub(super) process_event_queue: unsafe extern "C" fn(i64) -> c_int,
    pub(super) interrupt_event_queue: unsafe extern "C" fn() -> c_int,
    utf8_clear: *const c_void,
    utf16_clear: *const c_void,
    end_version: u32,
}

/// VirtualBox's library, for the rest of the process's life.
pub(crate) struct Library {
    pub(super) table: &'static Table,
    /// Where every call is.
    pub(crate) resolved: Resolved,
    /// The folder that it was loaded from.
    pub(crate) folder: PathBuf,
    /// Whether there is a client, whose event queue can be interrupted. Held while that is done, so that the queue does
    /// not go meanwhile.
    pub(super) has_client: Mutex<bool>,
}

// SAFETY: the table is constant once it is loaded, and its functions may be called from any thread, but for those that
// `Client` and `Attached` keep to theirs.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens VirtualBox's library in that folder and compares it with what this program is made for.
    pub(crate) fn open(folder: &Path) -> Result<&'static Self, Error> {
        if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
            return Err(Error::Platform);
        }
        // First what can be checked without running anything of it.
        let types = types(folder)?;
        let resolved = resolve(&types, calls::ALL, calls::ASKED_FOR, values::ALL)?;
        let table = load(&folder.join(install::LIBRARY))?;
        // VirtualBox keeps threads and state of its own as long as the process lives.
        Ok(Box::leak(Box::new(Self {
            table,
            resolved,
            folder: folder.to_owned(),
            has_client: Mutex::new(false),
        })))
    }
}

fn types(folder: &Path) -> Result<TypeLibrary, Error> {
    let mut types = TypeLibrary::default();
    for name in install::TYPE_LIBRARIES {
        let path = folder.join(name);
        let bytes = std::fs::read(&path)
            .map_err(|reason| Error::Library { path: path.clone(), reason: reason.to_string() })?;
        types.merge(TypeLibrary::parse(&bytes).map_err(|source| Error::TypeLibrary { path, source })?);
    }
    Ok(types)
}

/// Loads the library and takes its table.
fn load(path: &Path) -> Result<&'static Table, Error> {
    let failed = |reason: String| Error::Library { path: path.to_owned(), reason };
    // SAFETY: what runs when it is loaded is VirtualBox's, which the operator installed and pointed us to.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| failed(error.to_string()))?;
    // SAFETY: a function of that name has had this type since VirtualBox 4.
    let entry: libloading::Symbol<'_, unsafe extern "C" fn(u32) -> *const Table> =
        unsafe { library.get(ENTRY) }.map_err(|error| failed(error.to_string()))?;
    // SAFETY: as above; it gives null for a version that it does not have.
    let table = unsafe { entry(VERSION) };
    // SAFETY: a pointer that is not null is to its table, which is constant and starts with size and version; it stays,
    // because the library is never unloaded (below).
    let header = unsafe { table.cast::<[u32; 2]>().as_ref() };
    let reason = match header {
        None => "it does not have version 4.1 of its interface for C".to_owned(),
        Some([size, _]) if (*size as usize) < size_of::<Table>() => {
            format!("its table has {size} bytes only")
        }
        Some([_, version]) if version >> 16 != VERSION >> 16 => {
            format!("its interface for C is of version {version:#x}")
        }
        Some(_) => {
            std::mem::forget(library);
            // SAFETY: as above, and it is as large and of the version for which `Table` was written.
            return unsafe { table.as_ref() }.ok_or_else(|| failed("no table".to_owned()));
        }
    };
    Err(failed(reason))
}
