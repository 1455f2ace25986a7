//! What somebody wants to have run.

use crate::options::OptionName;
use base64::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to run. The fields are those of the word that carries it, and of the host's books.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Program {
    /// A path, or a name to be looked for in the command's `PATH`; no shell reads it.
    pub cmd: String,
    /// The arguments, without the program's own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Added to the environment that every command of the guest gets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The working directory; a relative one starts at the guest's configured home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// See [`Options`](crate::Options). The guest refuses what it does not know.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// In the host's books: whether this is the beginning only, for lists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
}

impl Program {
    /// Sets an option to a value as it is written.
    pub fn set(&mut self, option: OptionName, value: impl Into<String>) {
        self.options.insert(option.as_str().to_owned(), value.into());
    }

    /// Gives it all of its standard input.
    pub fn set_stdin(&mut self, bytes: &[u8]) {
        self.set(OptionName::Stdin, BASE64_STANDARD.encode(bytes));
    }

    /// An option as it is written.
    pub fn option(&self, option: OptionName) -> Option<&str> {
        self.options.get(option.as_str()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_said_is_written_down() {
        let mut program = Program { cmd: "ls".into(), ..Program::default() };
        let bare = json!({"cmd": "ls", "args": [], "env": {}, "options": {}});
        assert_eq!(serde_json::to_value(&program).unwrap(), bare);
        program.set(OptionName::OnDisconnect, "kill");
        assert_eq!(program.option(OptionName::OnDisconnect), Some("kill"));
        assert_eq!(serde_json::to_value(&program).unwrap()["options"], json!({"on-disconnect": "kill"}));
        assert_eq!(serde_json::from_value::<Program>(json!({"cmd": "ls"})).unwrap().cmd, "ls");
    }
}
