//! Any bytes as the parameters of calls: refused with a short text that names the method, or read, and then what is written
//! of them is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vocable_api::Method;
use vocable_api::method::{read, write};
use vocable_api::{cmd, file, vm, word};
use vocable_xmlrpc::{Limits, Value, parse_call};

const LIMITS: Limits = Limits { max_bytes: 64 * 1024, max_depth: 8, max_values: 1000 };

fuzz_target!(|document: &[u8]| {
    let Ok(call) = parse_call(document, &LIMITS) else { return };
    check::<cmd::Run>(&call.params);
    check::<cmd::Wait>(&call.params);
    check::<file::Push>(&call.params);
    check::<vm::Create>(&call.params);
    check::<word::Ask>(&call.params);
});

fn check<M: Method>(params: &[Value]) {
    match read::<M>(params.to_vec().into()) {
        Ok(method) => {
            // Not all of it can be written by position: one that was left out may stand before another.
            if let Ok(written) = write(&method) {
                let again: M = read(written.clone().into()).expect("what was read can be read again");
                assert_eq!(write(&again).ok(), Some(written));
            }
        }
        Err(fault) => {
            let text = fault.to_string();
            assert!(text.contains(M::NAME) && text.chars().count() <= 2000, "{text}");
        }
    }
}
