//! What a word says about how it listens: at which end, and what bodies it takes. It stands in the schema of
//! its arguments, because the record that describes a word can never get another field.

use serde_json::Value;

use crate::contract::{Message, Role};

/// The keyword of the schema. Others do not mind it: unknown keywords are notes to a JSON Schema.
const KEYWORD: &str = "x-heard";

#[derive(Debug, Default)]
pub(crate) struct ListenRules {
    /// Where; none is at both ends.
    at: Option<Role>,
    bodies: Bodies,
}

#[derive(Debug, Default)]
enum Bodies {
    /// Bytes, whatever they look like.
    Bytes,
    /// Bytes beside a header of this name, else as without a word about it.
    BytesBeside(String),
    /// JSON, if they begin like it.
    #[default]
    Json,
}

impl ListenRules {
    /// What the schema of a word's arguments says. The error says what cannot be understood.
    pub(crate) fn of(parameters: &Value) -> Result<Self, String> {
        let Some(heard) = parameters.get(KEYWORD) else { return Ok(Self::default()) };
        let bad = |what: &str| Err(format!("{KEYWORD}: {what}"));
        let at = match heard.get("at") {
            None => None,
            Some(Value::String(at)) if at == "host" => Some(Role::Host),
            Some(Value::String(at)) if at == "guest" => Some(Role::Guest),
            Some(_) => return bad("at is neither \"host\" nor \"guest\""),
        };
        let bodies = match heard.get("bytes") {
            None | Some(Value::Bool(false)) => Bodies::Json,
            Some(Value::Bool(true)) => Bodies::Bytes,
            Some(Value::String(header)) => Bodies::BytesBeside(header.clone()),
            Some(_) => return bad("bytes is neither true nor the name of a header"),
        };
        Ok(Self { at, bodies })
    }

    /// Where it listens, if not here.
    pub(crate) fn elsewhere(&self, here: Role) -> Option<Role> {
        self.at.filter(|at| *at != here)
    }

    /// Whether the body of a message is bytes to it.
    pub(crate) fn is_bytes(&self, message: &Message) -> bool {
        match &self.bodies {
            Bodies::Bytes => true,
            Bodies::BytesBeside(header) => message.header(header).is_some(),
            Bodies::Json => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hearing(heard: Value) -> ListenRules {
        ListenRules::of(&json!({"type": "object", "x-heard": heard})).unwrap()
    }

    #[test]
    fn who_says_nothing_listens_everywhere_to_what_looks_like_json() {
        for hearing in
            [ListenRules::of(&json!({})).unwrap(), ListenRules::of(&json!(true)).unwrap(), hearing(json!({}))]
        {
            assert_eq!((hearing.elsewhere(Role::Host), hearing.elsewhere(Role::Guest)), (None, None));
            assert!(!hearing.is_bytes(&Message { headers: vec![], body: vec![] }));
        }
    }

    #[test]
    fn what_is_said_counts() {
        let hearing = hearing(json!({"at": "guest", "bytes": "part", "later": 1}));
        assert_eq!(hearing.elsewhere(Role::Host), Some(Role::Guest));
        assert_eq!(hearing.elsewhere(Role::Guest), None);
        let message = |headers| Message { headers, body: vec![] };
        assert!(hearing.is_bytes(&message(vec![("part".to_owned(), "out".to_owned())])));
        assert!(!hearing.is_bytes(&message(vec![("parts".to_owned(), "out".to_owned())])));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (bad, expected) in
            [(json!({"at": "hosts"}), "x-heard: at is neither"), (json!({"bytes": 1}), "x-heard: bytes is")]
        {
            let told = ListenRules::of(&json!({"x-heard": bad})).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
