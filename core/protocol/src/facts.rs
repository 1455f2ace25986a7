//! What a guest says of itself when it joins: the facts of HELLO.

use crate::lenient::{lenient, lenient_number};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The facts that the agents know. A guest may tell more, which the host passes on. Whatever is short travels as text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Facts {
    /// The version of the guest agent.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How often it says that it is alive: seconds, as text.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub beacon: Option<String>,
    /// Changes with every boot of the machine.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// What the host may copy, and how.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesFact>,
    /// The commands of which the host has yet to hear something.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<String>>,
    /// The MAC address of the card that leads to the host.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// How many answers came that this process of the agent had not asked for.
    #[serde(deserialize_with = "lenient_number", skip_serializing_if = "Option::is_none")]
    pub unasked_answers: Option<u64>,
}

/// The fact `files`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct FilesFact {
    /// Where relative paths begin.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The TCP port, if the guest listens on one.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Facts {
    /// The name of [`Self::jobs`].
    pub const JOBS: &str = "jobs";

    /// What is known of these facts; what has the wrong type is as good as not there.
    pub fn of(facts: &Map<String, Value>) -> Self {
        Self::deserialize(facts).unwrap_or_default()
    }

    /// As the arguments of the word that tells them.
    pub fn into_members(self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_are_called_as_they_are_on_the_wire() {
        let facts = Facts {
            agent: Some("0.1.0".into()),
            beacon: Some("10".into()),
            boot_id: Some("b".into()),
            files: Some(FilesFact { home: Some("/".into()), port: None }),
            jobs: Some(vec!["a.vm1".into()]),
            mac: Some("08:00:27:0A:0B:0C".into()),
            unasked_answers: Some(3),
        };
        let members = json!({"agent": "0.1.0", "beacon": "10", "boot-id": "b", "files": {"home": "/"},
            "jobs": ["a.vm1"], "mac": "08:00:27:0A:0B:0C", "unasked-answers": 3});
        assert_eq!(Value::from(facts.clone().into_members()), members);
        assert_eq!(Facts::of(members.as_object().unwrap()), facts);
    }

    #[test]
    fn odd_facts_spoil_no_others() {
        let told = json!({"agent": 1, "mac": "m", "unasked-answers": "7", "files": {"home": "/", "port": 70_000},
            "jobs": {"omitted": "too much"}, "novel": []});
        let facts = Facts::of(told.as_object().unwrap());
        let files = Some(FilesFact { home: Some("/".into()), port: None });
        assert_eq!(
            facts,
            Facts { mac: Some("m".into()), unasked_answers: Some(7), files, ..Facts::default() }
        );
    }
}
