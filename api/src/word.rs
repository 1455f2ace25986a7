//! `word.*`: which words there are, and asking them.

use crate::fault::Failure;
use crate::method::methods;
use crate::{Any, AnyStruct, Bytes};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use vocable_xmlrpc::Value;

/// Says a word to guests and collects their answers. A word that is not installed here is said with its arguments as
/// they are; a guest that does not know it either says which words it knows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Ask {
    /// Target: a guest, a glob, @group or a comma-separated list of them
    pub target: String,
    /// Name of the word
    pub word: String,
    /// Arguments of the word
    #[serde(default)]
    pub args: Arguments,
    /// Seconds the guests have to answer; more than 20 are 20 [default: 10]
    pub timeout_s: Option<f64>,
}

/// A guest's answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Answer {
    /// Who was asked
    pub guest: String,
    /// Whether it answered without an error
    pub ok: bool,
    /// What it answered; absent if nothing
    pub answer: Option<Any>,
    /// Why it did not
    pub error: Option<Failure>,
}

/// Returns all about a word of the host.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Info {
    /// Name of the word
    pub word: String,
}

/// Lists the words of the host.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct List {}

/// A word of the host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Word {
    /// Its name
    pub word: String,
    /// Its version
    pub version: String,
    /// What it says of itself
    pub summary: String,
    /// built-in, or its file
    pub source: String,
    /// Version of the contract it is written against
    pub contract: String,
    /// Digest of the component, hexadecimal
    pub sha256: String,
    /// Interfaces it imports
    pub imports: Vec<String>,
    /// Interfaces it may use
    pub grants: Vec<String>,
    /// Events on which it is said
    pub binds: Vec<String>,
    /// JSON Schema of its arguments
    pub parameters: Any,
    /// JSON Schema of its answer
    pub reply: Any,
    /// Number of calls
    pub calls: u64,
    /// Number of calls that trapped
    pub traps: u64,
    /// ready, retrying or quarantined
    pub state: State,
    /// Why it is not ready
    pub reason: Option<String>,
}

/// Whether a word can be called.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It can
    #[default]
    Ready,
    /// It failed, and is called again soon
    Retrying,
    /// It kept failing, and is not called for a while
    Quarantined,
}

/// Installs a component as a word of the host. What cannot be loaded leaves everything as it was. The same component
/// again changes nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Install {
    /// Name the component gives itself
    pub word: String,
    /// The component (.wasm)
    pub component: Bytes,
    /// Replace a word that is there [default: false]
    #[serde(default)]
    pub replace: bool,
}

/// A word that was installed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Installed {
    /// Its name
    pub word: String,
    /// Its version
    pub version: String,
    /// Digest of the component, hexadecimal
    pub sha256: String,
    /// Whether it was not there before
    pub changed: bool,
}

/// Reads the folders of words again, whether or not they are watched.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Reload {}

/// What came of reading the folders of words.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Reloaded {
    /// What is different now
    pub changes: Vec<String>,
    /// What cannot be loaded
    pub problems: Vec<String>,
}

/// Removes a word that word.install has installed. What it replaced is back.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Remove {
    /// Name of the word
    pub word: String,
}

/// That a word was removed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Removed {
    /// true
    pub changed: bool,
}

/// Says a word of the host to guests and waits for no answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Say {
    /// Target: a guest, a glob, @group or a comma-separated list of them
    pub target: String,
    /// Name of the word
    pub word: String,
    /// Arguments of the word
    #[serde(default)]
    pub args: Arguments,
}

/// Whether a word was said to a guest.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Said {
    /// To whom
    pub guest: String,
    /// Whether it was said
    pub ok: bool,
    /// Why it was not
    pub error: Option<Failure>,
}

/// What a word is given: a struct, of most words; what else its author takes is not ours to refuse.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Arguments(pub Value);

impl Default for Arguments {
    fn default() -> Self {
        Self(Value::Struct(BTreeMap::new()))
    }
}

impl From<AnyStruct> for Arguments {
    fn from(members: AnyStruct) -> Self {
        Self(Value::Struct(members.0))
    }
}

impl JsonSchema for Arguments {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Arguments".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        AnyStruct::json_schema(generator)
    }
}

methods! {
    Ask => "word.ask"(target, word, args) -> Vec<Answer>: "", changes;
    Info => "word.info"(word) -> Word: "", reads;
    Install => "word.install"(word, component) -> Installed: "", changes;
    List => "word.list"() -> Vec<Word>: "", reads;
    Reload => "word.reload"() -> Reloaded: "", changes;
    Remove => "word.remove"(word) -> Removed: "", changes;
    Say => "word.say"(target, word, args) -> Vec<Said>: "", changes;
}
