//! What a word can ask of its agent: the interfaces of `word.wit` as modules of functions. In a
//! component they are the imports; natively, in unit tests, they go to a
//! [`FakeAgent`](crate::testing::FakeAgent). JSON is text here, as in the contract.

/// Defines an interface: each function calls the generated import, or away from Wasm the fake agent.
/// Only functions that are used become imports of the component.
macro_rules! interface {
    (
        $(#[$about:meta])*
        $interface:ident { $( $(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $answer:ty)?; )* }
    ) => {
        $(#[$about])*
        pub mod $interface {
            #[allow(unused_imports, reason = "not every interface needs every type")]
            use crate::{Answer, Output, Program, Role};
            #[cfg(not(target_arch = "wasm32"))]
            #[allow(unused_imports, reason = "not every interface has a function with arguments")]
            use crate::testing::Shown as _;

            $(
                $(#[$doc])*
                pub fn $name($($arg: $type),*) $(-> $answer)? {
                    #[cfg(target_arch = "wasm32")]
                    {
                        crate::bindings::vocable::word::$interface::$name($($arg),*)
                    }
                    #[cfg(not(target_arch = "wasm32"))]
                    {
                        let function = concat!(stringify!($interface), ".", stringify!($name));
                        crate::testing::called(function, vec![$($arg.shown()),*])
                    }
                }
            )*

            #[cfg(test)]
            pub(super) const FUNCTIONS: &[(&str, &str)] = &[$((stringify!($interface), stringify!($name))),*];
        }
    };
}

interface! {
    /// Everywhere, always granted: lines for the agent's log, marked with the word.
    log {
        /// For the author of the word.
        fn debug(text: &str);
        /// What an operator wants to know on a good day.
        fn info(text: &str);
        /// Odd, but the word goes on.
        fn warn(text: &str);
        /// The word cannot do what it is for.
        fn error(text: &str);
    }
}

interface! {
    /// Everywhere, always granted: where am I, and who speaks?
    about {
        /// Which end this is.
        fn my_role() -> Role;
        /// The name under which this agent is known on the bus.
        fn my_id() -> String;
        /// The address under which this agent can be reached; empty if it does not know.
        fn my_ip() -> String;
        /// Who sent the message being listened to, as the broker vouches for it; none while saying.
        fn sender() -> Option<String>;
        /// Every word known here, with its version, in the order of their names.
        fn words() -> Vec<(String, String)>;
    }
}

interface! {
    /// Everywhere, always granted: the word's own state, which no other word can reach. Bounded; what
    /// does not fit is denied. Values are JSON text.
    store {
        /// What was last set under the key; none if nothing was.
        fn get(key: &str) -> Answer<Option<String>>;
        /// Remembers a value, in place of an earlier one.
        fn set(key: &str, value: &str) -> Answer<()>;
        /// Forgets a value. Forgetting what is not there is fine.
        fn remove(key: &str) -> Answer<()>;
    }
}

interface! {
    /// Everywhere: say another word.
    speech {
        /// Lets `word` say something with `args` (JSON text) as its arguments, and sends that to the
        /// agent `to`. Gives the id of the message. There is a bound per call; beyond it, denied.
        fn say(word: &str, to: &str, args: &str) -> Answer<String>;
    }
}

interface! {
    /// On guests: run a program and read all it writes.
    process {
        /// Waits until the program has ended. More output than the agent is willing to hold is
        /// refused, never cut.
        fn run(program: &Program) -> Answer<Output>;
    }
}

interface! {
    /// On guests: commands that outlive the message, the connection and the agent.
    jobs {
        /// Starts a command. An id already known starts nothing, and is no refusal.
        fn start(cmd_id: &str, program: &Program) -> Answer<()>;
        /// Sends a signal to the whole command, children included.
        fn signal(cmd_id: &str, number: i32) -> Answer<()>;
        /// What the command has used so far, as the JSON text of an object.
        fn usage(cmd_id: &str) -> Answer<String>;
        /// What the command has written to `part` (`out` or `err`) from byte `offset` on, `max` bytes
        /// at most. Empty at the end of what there is so far.
        fn read(cmd_id: &str, part: &str, offset: u64, max: u32) -> Answer<Vec<u8>>;
        /// Ends the command: the signal to all of it, after the grace (its own, if none is given)
        /// SIGKILL to what is left. Gives the number of processes there were.
        fn cancel(cmd_id: &str, number: i32, grace_ms: Option<u32>) -> Answer<u32>;
        /// Standard input that belongs at `offset`, and whether it ends there. Gives the JSON text of an
        /// object: the `offset` up to which the agent has it now, and what the command has `taken`.
        fn input(cmd_id: &str, offset: u64, bytes: &[u8], end: bool) -> Answer<String>;
        /// The new size of the command's terminal.
        fn resize(cmd_id: &str, rows: u16, columns: u16) -> Answer<()>;
    }
}

interface! {
    /// On hosts: the guests. Only the guest being listened to can join, be alive or leave.
    roster {
        /// A guest is on the bus. `facts` is the JSON text of an object.
        fn joined(id: &str, ip: &str, facts: &str) -> Answer<()>;
        /// A guest has given a sign of life.
        fn alive(id: &str) -> Answer<()>;
        /// A guest is going, and says why.
        fn left(id: &str, reason: &str) -> Answer<()>;
        /// What the roster knows of a guest, as the JSON text of an object.
        fn look_up(id: &str) -> Answer<String>;
    }
}

interface! {
    /// On hosts: the books of commands. Only the guest a command was given to can tell about it.
    commands {
        /// A piece of what a command has written to `part` (`out` or `err`), and where it belongs.
        fn output(cmd_id: &str, part: &str, offset: u64, bytes: &[u8]) -> Answer<()>;
        /// A command is over. `results` is the JSON text of an object.
        fn finished(cmd_id: &str, results: &str) -> Answer<()>;
        /// A command has read its standard input up to there.
        fn input_taken(cmd_id: &str, offset: u64) -> Answer<()>;
    }
}

interface! {
    /// Everywhere: files below the folders that were granted to the word. A path begins with the name of one of them.
    files {
        /// What is there, as the JSON text of an object: `type`, `size`, `mtime`. None if nothing is.
        fn stat(path: &str) -> Answer<Option<String>>;
        /// What is in a folder, as the JSON text of an array of such objects with `name`; of the empty path, the
        /// folders that were granted.
        fn entries(path: &str) -> Answer<String>;
        /// Bytes of a file from `offset` on, `max` at most. Empty at its end.
        fn read(path: &str, offset: u64, max: u32) -> Answer<Vec<u8>>;
        /// Bytes that belong at `offset` of a file, which is made if it is not there.
        fn write(path: &str, offset: u64, bytes: &[u8]) -> Answer<()>;
        /// Gives a file or folder another name within the same granted folder, whole at once.
        fn rename(path: &str, to: &str) -> Answer<()>;
        /// Makes a folder. That it is there already is fine.
        fn make_folder(path: &str) -> Answer<()>;
        /// Removes a file, or a folder that is empty. That it is not there is fine.
        fn remove(path: &str) -> Answer<()>;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_function_of_the_contract_is_here_and_no_other() {
        let mut wit = wit_parser::Resolve::default();
        wit.push_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("word.wit")).unwrap();
        let named = |interface: &wit_parser::Interface, function: &String| {
            (interface.name.clone().unwrap(), function.replace('-', "_"))
        };
        let contract: BTreeSet<_> = wit
            .interfaces
            .iter()
            .flat_map(|(_, interface)| {
                interface.functions.keys().map(move |function| named(interface, function))
            })
            .filter(|(interface, _)| interface != "word")
            .collect();
        let modules = [
            log::FUNCTIONS,
            about::FUNCTIONS,
            store::FUNCTIONS,
            speech::FUNCTIONS,
            process::FUNCTIONS,
            jobs::FUNCTIONS,
            roster::FUNCTIONS,
            commands::FUNCTIONS,
            files::FUNCTIONS,
        ];
        let here = modules.concat().into_iter().map(|(i, f)| (i.to_owned(), f.to_owned())).collect();
        assert_eq!(contract, here);
    }
}
