//! Building and reading what a word handles: descriptions, messages, programs. The types themselves
//! are the contract's.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Answer, Description, Message, Program, Refusal, Role};

/// What a schema says about how the word listens.
const HEARD: &str = "x-heard";

impl Description {
    /// A word that is bound to no event, and whose arguments and answers may be anything.
    pub fn new(name: &str, summary: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            version: version.to_owned(),
            on: Vec::new(),
            parameters: "{}".to_owned(),
            reply: "{}".to_owned(),
        }
    }

    /// Say this word on an event too. `word.wit` lists the events and their facts.
    #[must_use]
    pub fn on(mut self, event: &str) -> Self {
        self.on.push(event.to_owned());
        self
    }

    /// The JSON Schema of the arguments of `say`.
    #[must_use]
    pub fn parameters(mut self, schema: &Value) -> Self {
        let heard = self.schema().remove(HEARD);
        self.parameters = schema.to_string();
        match heard {
            Some(heard) => self.with_heard(heard),
            None => self,
        }
    }

    /// It listens at this end only: the other refuses what is sent there without asking it.
    #[must_use]
    pub fn listens_on(self, role: Role) -> Self {
        let at = match role {
            Role::Guest => "guest",
            Role::Host => "host",
        };
        self.heard("at", at.into())
    }

    /// The bodies that it hears are any bytes, and are not held to the bounds of JSON even if they look like it.
    #[must_use]
    pub fn hears_bytes(self) -> Self {
        self.heard("bytes", true.into())
    }

    /// The bodies that it hears are any bytes where there is a header of this name.
    #[must_use]
    pub fn hears_bytes_beside(self, header: &str) -> Self {
        self.heard("bytes", header.into())
    }

    /// Says something about how it listens, in the schema of its arguments: see `word.wit`.
    fn heard(self, name: &str, value: Value) -> Self {
        let mut heard = match self.schema().remove(HEARD) {
            Some(Value::Object(heard)) => heard,
            _ => Map::new(),
        };
        heard.insert(name.to_owned(), value);
        self.with_heard(heard.into())
    }

    fn with_heard(mut self, heard: Value) -> Self {
        let mut schema = self.schema();
        schema.insert(HEARD.to_owned(), heard);
        self.parameters = Value::from(schema).to_string();
        self
    }

    /// The schema of its arguments; one that is no object says nothing.
    fn schema(&self) -> Map<String, Value> {
        serde_json::from_str(&self.parameters).unwrap_or_default()
    }

    /// The JSON Schema of what `listen` answers.
    #[must_use]
    pub fn reply(mut self, schema: &Value) -> Self {
        self.reply = schema.to_string();
        self
    }
}

impl Message {
    /// A message that is the word alone.
    pub fn new() -> Self {
        Self { headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header whose value is a string as it is, anything else as JSON; for null adds none.
    #[must_use]
    pub fn with_value(self, name: &str, value: &Value) -> Self {
        match value {
            Value::Null => self,
            Value::String(text) => self.with_header(name, text),
            other => self.with_header(name, &other.to_string()),
        }
    }

    /// Makes a JSON text the body.
    #[must_use]
    pub fn with_json(self, body: &Value) -> Self {
        self.with_bytes(body.to_string().into_bytes())
    }

    /// Makes a text the body.
    #[must_use]
    pub fn with_text(self, body: &str) -> Self {
        self.with_bytes(body.as_bytes().to_vec())
    }

    /// Makes any bytes the body.
    #[must_use]
    pub fn with_bytes(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// The first header of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The header, or a refusal that says which is missing.
    pub fn need(&self, name: &str) -> Answer<&str> {
        self.get(name).ok_or_else(|| Refusal::Invalid(format!("the message has no header {name}")))
    }

    /// The header read as JSON; the default where there is none.
    pub fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Answer<T> {
        let Some(text) = self.get(name) else { return Ok(T::default()) };
        serde_json::from_str(text).map_err(|e| Refusal::Invalid(format!("header {name}: {e}")))
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Answer<T> {
        serde_json::from_slice(&self.body).map_err(|e| Refusal::Invalid(format!("body: {e}")))
    }

    /// The body read as text.
    pub fn text(&self) -> Answer<&str> {
        std::str::from_utf8(&self.body).map_err(|e| Refusal::Invalid(format!("body: {e}")))
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// A program and its arguments, in the agent's environment and directory.
    pub fn new(cmd: &str, args: &[&str]) -> Self {
        Self {
            cmd: cmd.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            path: None,
            options: Vec::new(),
        }
    }
}

/// Arguments that are not what they should be are the caller's mistake.
impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_header_is_text_as_it_is_and_anything_else_as_json() {
        let message = Message::new()
            .with_value("cmd", &json!("/bin/true"))
            .with_value("args", &json!(["-a", 1]))
            .with_value("path", &Value::Null);
        assert_eq!(
            message.headers,
            [("cmd".into(), "/bin/true".into()), ("args".into(), "[\"-a\",1]".into())]
        );
        assert_eq!(message.read::<Vec<Value>>("args"), Ok(vec![json!("-a"), json!(1)]));
        assert_eq!(message.read::<Vec<Value>>("env"), Ok(vec![]));
    }

    #[test]
    fn how_a_word_listens_stands_in_the_schema_of_its_arguments() {
        let expected = json!({"type": "object", "x-heard": {"at": "host", "bytes": "part"}});
        let schema = json!({"type": "object"});
        let described = || Description::new("X", "Says", "1.0.0");
        for description in [
            described().listens_on(Role::Host).hears_bytes_beside("part").parameters(&schema),
            described().parameters(&schema).hears_bytes_beside("part").listens_on(Role::Host),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&description.parameters).unwrap(), expected);
        }
        assert_eq!(described().hears_bytes().parameters, r#"{"x-heard":{"bytes":true}}"#);
    }

    #[test]
    fn of_repeated_headers_the_first_counts() {
        assert_eq!(Message::new().with_header("id", "1").with_header("id", "2").need("id"), Ok("1"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let message = Message::new().with_header("args", "[").with_bytes(vec![0xff]);
        let refused = |answer: Refusal| match answer {
            Refusal::Invalid(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(message.need("id").unwrap_err()), "the message has no header id");
        assert!(refused(message.read::<Vec<String>>("args").unwrap_err()).starts_with("header args: EOF"));
        assert!(refused(message.json::<Value>().unwrap_err()).starts_with("body: expected value"));
        assert!(refused(message.text().unwrap_err()).starts_with("body: invalid utf-8"));
    }
}
