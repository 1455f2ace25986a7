//! Methods as an OpenAPI document: what JSON callers send and get, and how failures look.
//!
//! JSON takes parameters by name, options among them; gives a struct as it is and anything else as `{"result": …}`, so
//! that the top is always an object.

use super::{MethodInfo, schema};
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
            "schemas": {"Error": error()},
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
    let properties: Map<_, _> =
        method.params.iter().map(|param| (param.name.clone().into_owned(), param.schema.clone())).collect();
    let needed: Vec<_> =
        method.params.iter().filter(|param| param.required).map(|param| &param.name).collect();
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
                "description": if method.returns.help.is_empty() { "It was done." } else { &method.returns.help },
                "content": {"application/json": {"schema": result(method)}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}

fn result(method: &MethodInfo) -> Json {
    let schema = method.returns.schema.clone();
    match schema::json_type(&schema) {
        Some("object") => schema,
        _ => json!({"type": "object", "properties": {"result": schema}, "required": ["result"]}),
    }
}

fn error() -> Json {
    let codes: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.slug()).collect();
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
