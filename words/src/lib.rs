//! The built-in words, as components ready to embed. An ordinary `cargo build` makes them; each folder
//! beside this one is a word, and adding one is adding a folder and a member of the workspace.

use vocable_runtime::BuiltIn;

/// Every built-in word, named after its folder (`run-cmd`; how the word is called on the bus is for the
/// word to say), in the order of the names.
pub const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn each_is_a_component_and_none_is_bulky() {
        assert!(!BUILT_IN.is_empty());
        for BuiltIn { name, component, .. } in BUILT_IN {
            assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0", "{name} is no component");
            assert!(component.len() < 200_000, "{name} has {} bytes", component.len());
        }
    }

    #[test]
    fn each_has_the_digest_that_is_told() {
        for BuiltIn { name, sha256, component } in BUILT_IN {
            assert_eq!(*sha256, hex::encode(Sha256::digest(component)), "{name}");
        }
    }
}
