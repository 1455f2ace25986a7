//! What JSON Schemas say of a value, in the words of XML-RPC.

use serde_json::{Map, Value as Json};

/// The member of a schema that names the type over XML-RPC where it does not follow from the rest.
const XMLRPC_TYPE: &str = crate::types::XMLRPC_TYPE;

/// The type as XML-RPC's introspection names it.
pub fn xmlrpc_type(schema: &Json) -> &str {
    match named_type(schema) {
        Some("base64") => return "base64",
        Some(_) => return "string",
        None => {}
    }
    match json_type(schema) {
        Some("array") => "array",
        Some("boolean") => "boolean",
        Some("integer") => "int",
        Some("number") => "double",
        Some("object") => "struct",
        Some("string") if schema.get("format").is_some_and(|format| format == "date-time") => {
            "dateTime.iso8601"
        }
        Some("string") => "string",
        _ => "undef",
    }
}

/// The type for people: `array of string`.
pub fn spelled(schema: &Json) -> String {
    if let Some(named) = named_type(schema) {
        return named.to_owned();
    }
    match json_type(schema) {
        Some("array") => {
            format!("array of {}", schema.get("items").map_or_else(|| "any".to_owned(), spelled))
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(of @ Json::Object(_)) => format!("struct of {}", spelled(of)),
            _ => "struct".to_owned(),
        },
        Some(_) => xmlrpc_type(schema).trim_end_matches(".iso8601").to_owned(),
        None => "any".to_owned(),
    }
}

/// The one JSON type it has beside null, also where that is behind a choice.
pub fn json_type(schema: &Json) -> Option<&str> {
    match schema.get("type") {
        Some(Json::String(of)) => Some(of),
        Some(Json::Array(all)) => all.iter().filter_map(Json::as_str).find(|of| *of != "null"),
        _ if schema.get("const").is_some_and(Json::is_string) => Some("string"),
        _ => choices(schema).filter_map(json_type).find(|of| *of != "null"),
    }
}

/// The type over XML-RPC that does not follow from the rest, also where it may be left out.
fn named_type(schema: &Json) -> Option<&str> {
    let named = schema.get(XMLRPC_TYPE).and_then(Json::as_str);
    named.or_else(|| choices(schema).find_map(named_type))
}

fn choices(schema: &Json) -> impl Iterator<Item = &Json> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// The members of the struct it is, or is an array of.
pub fn members(schema: &Json) -> Option<&Map<String, Json>> {
    let schema = if json_type(schema) == Some("array") { schema.get("items")? } else { schema };
    if named_type(schema).is_some() {
        return None;
    }
    let of = |schema: &Json| schema.get("properties").is_some();
    let schema = if of(schema) { schema } else { choices(schema).find(|choice| of(choice))? };
    schema.get("properties")?.as_object()
}

/// Whether a member of the struct it is, or is an array of, is always there.
pub fn is_required(schema: &Json, name: &str) -> bool {
    let schema =
        if json_type(schema) == Some("array") { schema.get("items").unwrap_or(schema) } else { schema };
    let required = schema.get("required").and_then(Json::as_array);
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

/// What it means.
pub fn description(schema: &Json) -> String {
    schema.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ")
}

/// Takes null out of what something may be: an absent thing is an absent member.
pub(crate) fn remove_null(schema: &mut Map<String, Json>) {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|of| of != "null");
        if let [of] = types.as_slice() {
            let of = of.clone();
            schema.insert("type".to_owned(), of);
        }
    }
    if let Some(Json::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|of| of != "null"));
        if let [Json::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            only.into_iter().for_each(|(key, value)| {
                schema.entry(key).or_insert(value);
            });
        }
    }
}
