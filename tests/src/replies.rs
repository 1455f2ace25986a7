//! Replies against the agent's own OpenAPI document. What a reply has and its type does not declare fails the story, and
//! so does a member of the wrong type, or one that is missing. Which declared members were ever seen is written to
//! `target/replies`, for the test that comes after all stories and asks for the rest.
//!
//! The document is open, so that callers live with newer agents; here its objects are closed. Objects with the same members
//! are one type, whatever method replies with them: a member of it has to be seen once.

use crate::files;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

/// Where the schema of a method's reply is.
const REPLY: &str = "/responses/200/content/application~1json/schema";

/// What today's document leaves open: members, or all members of a reply.
const UNDECLARED: [&str; 1] = ["guest.why.cause"];

/// What all stories of this process know of replies.
static KNOWN: Mutex<Option<Document>> = Mutex::new(None);

/// An OpenAPI document, and what was seen of it.
#[derive(Default)]
struct Document {
    operations: Map<String, Value>,
    schemas: Map<String, Value>,
    seen: BTreeSet<String>,
}

/// Looks at the reply of a method; `document` fetches the agent's OpenAPI document, if none is known that has the method.
///
/// # Panics
/// If it is not as the document says.
pub(crate) fn check(method: &str, reply: &Value, document: impl FnOnce() -> Value) {
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let known = known.get_or_insert_default();
    if !known.operations.contains_key(method) {
        let document = document();
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(folder().join("openapi.json"), document.to_string()).unwrap();
        known.add(&document);
    }
    let Some(schema) = known.reply(method) else { return };
    let mut found = Found::default();
    Walk { schemas: &known.schemas }.value(&schema, reply, method, &mut found);
    assert!(found.problems.is_empty(), "{}\n{reply:#}", found.problems.join("\n"));
    let new: Vec<_> = found.seen.into_iter().filter(|member| known.seen.insert(member.clone())).collect();
    if !new.is_empty() {
        let mut file = OpenOptions::new().create(true).append(true).open(folder().join("seen")).unwrap();
        // One write for each call: other processes write there, too.
        file.write_all((new.join("\n") + "\n").as_bytes()).unwrap();
    }
}

/// The members that are declared and were seen in no story since `target/replies` was removed, each by the first place
/// it has: `vm.list.cards.slot`.
///
/// # Panics
/// If no story was told since.
pub fn unseen() -> BTreeSet<String> {
    let read = |name| std::fs::read_to_string(folder().join(name)).unwrap_or_default();
    let mut document = Document::default();
    document.add(&serde_json::from_str(&read("openapi.json")).expect("replies of a whole run"));
    let (seen, mut declared) = (read("seen"), document.declared());
    seen.lines().for_each(|member| drop(declared.remove(member)));
    declared.into_values().collect()
}

fn folder() -> PathBuf {
    files::target().join("replies")
}

impl Document {
    fn add(&mut self, document: &Value) {
        let paths = document["paths"].as_object().unwrap();
        let methods = paths.iter().filter_map(|(path, item)| Some((path.strip_prefix("/api/")?, item)));
        self.operations.extend(methods.map(|(method, item)| (method.to_owned(), item["post"].clone())));
        self.schemas.clone_from(document["components"]["schemas"].as_object().unwrap());
    }

    /// The schema of what a method replies over XML-RPC: not wrapped into a struct.
    fn reply(&self, method: &str) -> Option<Value> {
        let schema = self.operations.get(method)?.pointer(REPLY)?;
        let properties = schema["properties"].as_object();
        let wrapped = properties.filter(|it| it.len() == 1).and_then(|it| it.get("result"));
        Some(wrapped.unwrap_or(schema).clone())
    }

    /// All members, by type and name; and a place where each is.
    fn declared(&self) -> BTreeMap<String, String> {
        let mut members = BTreeMap::new();
        for method in self.operations.keys() {
            if let Some(schema) = self.reply(method) {
                self.declare(&schema, method, &mut members);
            }
        }
        members
    }

    fn declare(&self, schema: &Value, place: &str, members: &mut BTreeMap<String, String>) {
        let schema = referred(&self.schemas, schema);
        let kind = kind(schema);
        for (name, schema) in properties(schema) {
            let member = format!("{place}.{name}");
            // A type that contains itself is declared once.
            if let Entry::Vacant(entry) = members.entry(format!("{kind}.{name}")) {
                entry.insert(member.clone());
                self.declare(schema, &member, members);
            }
        }
        let inner = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
        inner.chain(branches(schema)).for_each(|schema| self.declare(schema, place, members));
    }
}

/// What a walk through a reply comes upon.
#[derive(Default)]
struct Found {
    problems: Vec<String>,
    seen: BTreeSet<String>,
}

/// A walk through a reply beside its schema.
struct Walk<'a> {
    schemas: &'a Map<String, Value>,
}

impl Walk<'_> {
    fn value(&self, schema: &Value, value: &Value, place: &str, found: &mut Found) {
        let schema = referred(self.schemas, schema);
        if let Some(kinds) = schema.get("type")
            && !is_of(kinds, value)
        {
            found.problems.push(format!("{place}: {value} is not of the declared type {kinds}"));
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.contains(value)
        {
            found.problems.push(format!("{place}: {value} is none of {values:?}"));
        }
        self.one_of(&branches(schema).collect::<Vec<_>>(), value, place, found);
        match value {
            Value::Object(members) => self.members(schema, members, place, found),
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    items.iter().for_each(|item| self.value(schema, item, place, found));
                }
            }
            _ => {}
        }
    }

    fn one_of(&self, branches: &[&Value], value: &Value, place: &str, found: &mut Found) {
        let tried = branches.iter().map(|branch| {
            let mut tried = Found::default();
            self.value(branch, value, place, &mut tried);
            tried
        });
        let best = tried.min_by_key(|tried| tried.problems.len()).unwrap_or_default();
        found.problems.extend(best.problems);
        found.seen.extend(best.seen);
    }

    fn members(&self, schema: &Value, members: &Map<String, Value>, place: &str, found: &mut Found) {
        let (kind, declared): (_, BTreeMap<_, _>) = (kind(schema), properties(schema).collect());
        let others = schema.get("additionalProperties").filter(|schema| schema.is_object());
        for (name, value) in members {
            let member = format!("{place}.{name}");
            if let Some(schema) = declared.get(name) {
                self.value(schema, value, &member, found);
                found.seen.insert(format!("{kind}.{name}"));
            } else if let Some(schema) = others {
                self.value(schema, value, place, found);
            } else if !declared.is_empty() && !UNDECLARED.iter().any(|open| member.starts_with(open)) {
                found.problems.push(format!("{member} is not declared"));
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !members.contains_key(*name)) {
            found.problems.push(format!("{place}.{name} is declared to be always there and is missing"));
        }
    }
}

/// The schema, or the shared one that it refers to.
fn referred<'a>(schemas: &'a Map<String, Value>, schema: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// What an object is: its members.
fn kind(schema: &Value) -> String {
    properties(schema).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

/// The members of an object that have names.
fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// Whether it is of that type, or one of those types. Numbers of XML-RPC lose their type beyond 32 bits.
fn is_of(kinds: &Value, value: &Value) -> bool {
    let is_one = |kind: &Value| match kind.as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => true,
    };
    kinds.as_array().map_or_else(|| is_one(kinds), |kinds| kinds.iter().any(is_one))
}
