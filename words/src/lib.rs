//! The built-in words, as components ready to embed. An ordinary `cargo build` makes them; each folder
//! beside this one is a word, and adding one is adding a folder and a member of the workspace.

/// A word that comes with the agents.
#[derive(Clone, Copy)]
pub struct BuiltIn {
    /// The name of its folder: `run-cmd`. How the word is called on the bus is for the word to say.
    pub name: &'static str,
    /// The component, as a file of that name in a `words.d` directory would be.
    pub component: &'static [u8],
}

/// Every built-in word, in the order of the names.
pub const BUILT_IN: &[BuiltIn] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_component_and_none_is_bulky() {
        assert!(!BUILT_IN.is_empty());
        for word in BUILT_IN {
            assert_eq!(word.component[..8], *b"\0asm\x0d\0\x01\0", "{} is no component", word.name);
            assert!(word.component.len() < 200_000, "{} has {} bytes", word.name, word.component.len());
        }
    }
}
