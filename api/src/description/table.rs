//! Methods described by tables, as they were before they became types. Each family that is converted takes its part away.

use super::{MethodInfo, Param as Described, Returns};
use serde_json::{Map, Value as Json, json};
use std::borrow::Cow;

/// The name of the last parameter of most methods: a struct that may be left out.
const OPTIONS: &str = "options";

/// A parameter of a method, or a member of a struct.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it has to be given; of a result, whether it is always there.
    pub required: bool,
    /// What it means: lower case, no full stop, its unit and what holds without it.
    pub help: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Whatever there is.
    Any,
    /// An array of one kind.
    Array(&'static Self),
    /// A truth.
    Bool,
    /// Octets: base64. Text stands for its UTF-8.
    Bytes,
    /// A moment in UTC.
    DateTime,
    /// A number.
    Double,
    /// A whole number; beyond 32 bits it travels as a double.
    Int,
    /// A struct whose members have free names and one kind.
    Map(&'static Self),
    /// A text.
    String,
    /// A struct with these members; without any, a struct of whatever there is.
    Struct(&'static [Param]),
    /// An array of structs with these members.
    Structs(&'static [Param]),
    /// A text, or base64 where the octets are no text.
    Text,
}

impl Kind {
    /// The type as XML-RPC's introspection names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "undef",
            Self::Array(_) | Self::Structs(_) => "array",
            Self::Bool => "boolean",
            Self::Bytes => "base64",
            Self::DateTime => "dateTime.iso8601",
            Self::Double => "double",
            Self::Int => "int",
            Self::Map(_) | Self::Struct(_) => "struct",
            Self::String | Self::Text => "string",
        }
    }

    /// The members of the struct this is, or is an array of.
    pub const fn members(self) -> &'static [Param] {
        match self {
            Self::Struct(members) | Self::Structs(members) => members,
            _ => &[],
        }
    }
}

/// A parameter that has to be given, or a member that is always there.
pub const fn required(name: &'static str, kind: Kind, help: &'static str) -> Param {
    Param { name, kind, required: true, help }
}

/// A parameter that may be left out, or a member that may be absent.
pub const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Param {
    Param { name, kind, required: false, help }
}

/// The last parameter of a method: a struct of what may be said besides. Unknown members are refused.
pub const fn options(members: &'static [Param]) -> Param {
    Param { name: OPTIONS, kind: Kind::Struct(members), required: false, help: "what may be said besides" }
}

/// What a method gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gives {
    /// Its type.
    pub kind: Kind,
    /// What it means: lower case, no full stop; empty where the members say it all.
    pub help: &'static str,
}

impl Gives {
    /// A value.
    pub const fn value(kind: Kind, help: &'static str) -> Self {
        Self { kind, help }
    }

    /// A struct with these members, and perhaps more in a later version.
    pub const fn one(members: &'static [Param]) -> Self {
        Self { kind: Kind::Struct(members), help: "" }
    }

    /// An array of structs with these members.
    pub const fn list(members: &'static [Param]) -> Self {
        Self { kind: Kind::Structs(members), help: "" }
    }
}

/// The JSON Schema of a kind. What is taken is closed, what is given may grow.
pub fn schema(kind: Kind, taken: bool) -> Json {
    match kind {
        Kind::Any => json!({}),
        Kind::Array(of) => json!({"type": "array", "items": schema(*of, taken)}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Bytes => bytes("base64"),
        Kind::DateTime => json!({"type": "string", "format": "date-time"}),
        Kind::Double => json!({"type": "number"}),
        Kind::Int => json!({"type": "integer"}),
        Kind::Map(of) => json!({"type": "object", "additionalProperties": schema(*of, taken)}),
        Kind::String => json!({"type": "string"}),
        Kind::Struct(members) => object(members, taken),
        Kind::Structs(members) => json!({"type": "array", "items": object(members, taken)}),
        Kind::Text => bytes("string or base64"),
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

fn bytes(name: &str) -> Json {
    json!({
        "anyOf": [
            {"type": "object", "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"], "additionalProperties": false},
            {"type": "string"},
        ],
        "x-xmlrpc-type": name,
    })
}

/// The description of a method by its tables.
pub fn method(
    name: impl Into<Cow<'static, str>>,
    help: impl Into<Cow<'static, str>>,
    params: &'static [Param],
    gives: Gives,
    changes: bool,
    schemas: &[(&str, Json)],
) -> MethodInfo {
    let (positional, options) = match params {
        [rest @ .., last] if last.name == OPTIONS => (rest, last.kind.members()),
        all => (all, &[][..]),
    };
    let of = |param: &Param, positional| {
        let known = schemas.iter().find(|(name, _)| *name == param.name).map(|(_, schema)| schema.clone());
        let schema = known.unwrap_or_else(|| schema(param.kind, true));
        let required = positional && param.required;
        let schema = if required { schema } else { or_null(schema) };
        Described { name: param.name.into(), schema: described(schema, param.help), required, positional }
    };
    let places = positional.iter().map(|param| of(param, true));
    let order = gives.kind.members().iter().map(|member| member.name.into()).collect();
    MethodInfo {
        name: name.into(),
        help: help.into(),
        params: places.chain(options.iter().map(|param| of(param, false))).collect(),
        returns: Returns { schema: schema(gives.kind, false), help: gives.help.into(), order },
        changes,
    }
}
