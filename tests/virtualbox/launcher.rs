//! Runs a machine of VirtualBox's without its kernel module: in place of `VBoxHeadless`, in the throw-away root of the
//! tests only. VirtualBox's own program, which is setuid, insists on the module; its library has a mode without, in
//! which the machine's instructions are translated in an ordinary process. Never for users: what it asks for here is
//! internal to VirtualBox.
//!
//! Compiled by itself (`rustc launcher.rs`), because it is no part of the project's programs.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::process::exit;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    static environ: *const *const c_char;
}

const NOW_AND_FOR_ALL: c_int = 0x102;
/// Of the run-time library: try the kernel module; do without it, and with the translator.
const FLAGS: c_uint = (1 << 17) | ((4 | 8) << 18);

type Init = unsafe extern "C" fn(c_int, *mut *mut *mut c_char, c_uint) -> c_int;
type Main = unsafe extern "C" fn(c_int, *mut *mut c_char, *const *const c_char) -> c_int;

fn main() {
    let arguments: Vec<CString> =
        std::env::args().map(|argument| CString::new(argument).expect("no zero in an argument")).collect();
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    let (count, mut list) = (arguments.len() as c_int, pointers.as_mut_ptr());
    let init = symbol("/usr/lib/virtualbox/VBoxRT.so", "RTR3InitExe");
    // SAFETY: the function has this type in VirtualBox 7; the list ends with a null and lives as long as the program.
    let result = unsafe { std::mem::transmute::<*mut c_void, Init>(init)(count, &mut list, FLAGS) };
    if result < 0 {
        eprintln!("VirtualBox's run-time library refuses: {result}");
        exit(93);
    }
    let run = symbol("/usr/lib/virtualbox/VBoxHeadless.so", "TrustedMain");
    // SAFETY: as above.
    exit(unsafe { std::mem::transmute::<*mut c_void, Main>(run)(count, list, environ) });
}

fn symbol(library: &str, name: &str) -> *mut c_void {
    let [file, symbol] = [library, name].map(|text| CString::new(text).expect("no zero"));
    // SAFETY: both texts end with a zero.
    let found = unsafe { dlsym(dlopen(file.as_ptr(), NOW_AND_FOR_ALL), symbol.as_ptr()) };
    if found.is_null() {
        eprintln!("{library} has no {name}");
        exit(94);
    }
    found
}
