//! Methods as an OpenAPI document: what JSON callers send and get, and how failures look.
//!
//! JSON takes parameters by name, options among them; gives a struct as it is and anything else as `{"result": …}`, so
//! that the top is always an object.

use super::{Kind, MethodInfo, Param};
use crate::fault::FaultKind;
use serde_json::{Map, Value as Json, json};

/// The document about these methods.
pub fn document(methods: &[MethodInfo]) -> Json {
    let paths: Map<_, _> = methods
        .iter()
        .map(|method| (format!("/api/{}", method.name), json!({"post": operation(method)})))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vocable host agent",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Runs commands, moves files and asks words on virtual machines and other guests. The same \
                methods as over XML-RPC. The list changes as words come and go.",
        },
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "any name, the token as password"},
            },
            "schemas": {"Bytes": bytes(), "Error": error()},
            "responses": {"Error": {
                "description": "It was refused or failed.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
        },
    })
}

fn operation(method: &MethodInfo) -> Json {
    let summary =
        method.help.split_inclusive(". ").next().unwrap_or_default().trim_end().trim_end_matches('.');
    let places = || method.positional().iter().map(|param| (param, param.required));
    let options = method.options().iter().map(|option| (option, false));
    let needed: Vec<_> = places().filter(|(_, required)| *required).map(|(param, _)| param.name).collect();
    let mut properties = Map::new();
    for (param, is_needed) in places().chain(options) {
        let schema = method.schemas.get(param.name).cloned().unwrap_or_else(|| schema(param.kind, true));
        let schema = if is_needed { schema } else { or_null(schema) };
        properties.insert(param.name.to_owned(), described(schema, param.help));
    }
    let mut body = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !needed.is_empty() {
        body["required"] = json!(needed);
    }
    json!({
        "operationId": method.name,
        "summary": summary,
        "description": method.help,
        "tags": [method.name.split('.').next().unwrap_or_default()],
        "requestBody": {"required": !needed.is_empty(), "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": if method.gives.help.is_empty() { "It was done." } else { method.gives.help },
                "content": {"application/json": {"schema": result(method)}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}

fn result(method: &MethodInfo) -> Json {
    let schema = schema(method.gives.kind, false);
    match method.gives.kind {
        Kind::Struct(_) | Kind::Map(_) => schema,
        _ => json!({"type": "object", "properties": {"result": schema}, "required": ["result"]}),
    }
}

/// The JSON Schema of a kind. What is taken is closed, what is given may grow.
fn schema(kind: Kind, taken: bool) -> Json {
    match kind {
        Kind::Any => json!({}),
        Kind::Array(of) => json!({"type": "array", "items": schema(*of, taken)}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Bytes => json!({"$ref": "#/components/schemas/Bytes"}),
        Kind::DateTime => json!({"type": "string", "format": "date-time"}),
        Kind::Double => json!({"type": "number"}),
        Kind::Int => json!({"type": "integer"}),
        Kind::Map(of) => json!({"type": "object", "additionalProperties": schema(*of, taken)}),
        Kind::String => json!({"type": "string"}),
        Kind::Struct(members) => object(members, taken),
        Kind::Structs(members) => json!({"type": "array", "items": object(members, taken)}),
        Kind::Text => json!({"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Bytes"}]}),
    }
}

fn object(members: &[Param], taken: bool) -> Json {
    let one = |member: &Param| {
        let schema = schema(member.kind, taken);
        let schema = if taken && !member.required { or_null(schema) } else { schema };
        (member.name.to_owned(), described(schema, member.help))
    };
    let properties: Map<_, _> = members.iter().map(one).collect();
    let needed: Vec<_> = members.iter().filter(|member| member.required).map(|member| member.name).collect();
    let mut object = json!({"type": "object"});
    if !members.is_empty() {
        object["properties"] = properties.into();
        object["additionalProperties"] = json!(!taken);
    }
    if !needed.is_empty() {
        object["required"] = json!(needed);
    }
    object
}

/// What may be left out may be null as well.
fn or_null(mut schema: Json) -> Json {
    let is_anything = schema.as_object().is_some_and(Map::is_empty);
    match schema.get_mut("type") {
        Some(Json::String(of)) => schema["type"] = json!([std::mem::take(of), "null"]),
        _ if is_anything => {}
        _ => schema = json!({"anyOf": [schema, {"type": "null"}]}),
    }
    schema
}

fn described(mut schema: Json, help: &str) -> Json {
    if let Some(members) = schema.as_object_mut().filter(|members| !members.contains_key("description")) {
        members.insert("description".to_owned(), help.into());
    }
    schema
}

fn bytes() -> Json {
    json!({
        "description": "Octets. Where they are taken, a text stands for its UTF-8.",
        "anyOf": [
            {"type": "object", "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"], "additionalProperties": false},
            {"type": "string"},
        ],
    })
}

fn error() -> Json {
    let codes: Vec<_> = FaultKind::ALL.into_iter().map(FaultKind::slug).collect();
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "fault", "message", "transient"],
            "properties": {
                "code": {"type": "string", "description": "what kind of failure", "examples": codes},
                "fault": {"type": "integer", "description": "the same as the number of XML-RPC"},
                "message": {"type": "string", "description": "one sentence for a person"},
                "transient": {"type": "boolean", "description": "whether the same request may succeed later"},
            },
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Gives, optional, options, required};
    use super::*;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    const PARAMS: &[Param] = &[
        required("path", Kind::String, "which"),
        options(&[optional("offset", Kind::Int, "where to begin")]),
    ];

    #[test]
    fn parameters_are_members_and_the_top_is_an_object() {
        let method = MethodInfo {
            name: Cow::Borrowed("file.get"),
            help: Cow::Borrowed("Gives a file. At most a MiB."),
            params: PARAMS,
            gives: Gives::value(Kind::Bytes, "the octets"),
            changes: false,
            schemas: BTreeMap::new(),
        };
        let document = document(&[method]);
        let operation = &document["paths"]["/api/file.get"]["post"];
        assert_eq!(operation["summary"], "Gives a file");
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["required"], json!(["path"]));
        assert_eq!(body["properties"]["offset"]["type"], json!(["integer", "null"]));
        let result = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(result["properties"]["result"]["$ref"], "#/components/schemas/Bytes");
    }
}
