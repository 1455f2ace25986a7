//! VirtualBox's type libraries: whatever is in the file, it is read or refused, in bounded time and memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vocable_vbox::typelib::TypeLibrary;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(library) = TypeLibrary::parse(bytes) {
        for name in library.names() {
            let Some(interface) = library.interface(name) else { continue };
            for method in &interface.methods {
                let _ = library.method(name, &method.name);
            }
        }
    }
});
