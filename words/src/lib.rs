//! The built-in words, as components ready to embed. An ordinary `cargo build` makes them; each folder
//! beside this one is a word, and adding one is adding a folder and a member of the workspace.

/// Every built-in word: the name of its folder (`run-cmd`; how the word is called on the bus is for the
/// word to say) and the component, as a file in a `words.d` directory would be. In the order of the names.
pub const BUILT_IN: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_component_and_none_is_bulky() {
        assert!(!BUILT_IN.is_empty());
        for (name, component) in BUILT_IN {
            assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0", "{name} is no component");
            assert!(component.len() < 200_000, "{name} has {} bytes", component.len());
        }
    }
}
