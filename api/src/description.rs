//! What a method is to whoever asks about it: its parameters and its reply as JSON Schemas, what it does, and whether that
//! changes anything. All of it follows from the method's type; XML-RPC's signatures and help, named parameters of JSON,
//! the OpenAPI document and `docs/api.md` follow from this.

use crate::Method;
use crate::fault::Fault;
use crate::fields::fields;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, transform::transform_subschemas};
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use vocable_xmlrpc::{Params, Value, excerpt};

pub mod document;
pub mod openapi;
pub mod schema;

/// A method, as everybody who asks about it sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodInfo {
    /// The whole name: `guest.list`.
    pub name: Cow<'static, str>,
    /// What it does, for people: whole sentences, of which the first can stand alone.
    pub help: Cow<'static, str>,
    /// What it takes: first what comes by position over XML-RPC, then the options.
    pub params: Vec<Param>,
    /// What it returns.
    pub returns: Returns,
    /// Whether it changes anything.
    pub changes: bool,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its JSON Schema, with what it means as `description`.
    pub schema: Json,
    /// Whether it has to be given.
    pub required: bool,
    /// Whether it has a place of its own over XML-RPC. The others are members of a struct of options.
    pub positional: bool,
}

/// What a method returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Returns {
    /// Its JSON Schema.
    pub schema: Json,
    /// What it means; empty where the members say it all.
    pub help: Cow<'static, str>,
    /// The names of the members of the struct it is, or is an array of, in the order of the type.
    pub order: Vec<Cow<'static, str>>,
}

impl MethodInfo {
    /// The description of a method that is a type.
    pub fn of<M: Method>() -> Self {
        let mut params = schema_of::<M>(true);
        let help = params.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ");
        let needed: Vec<String> = params.get("required").map(strings).unwrap_or_default();
        let mut properties = match params.get_mut("properties").map(Json::take) {
            Some(Json::Object(properties)) => properties,
            _ => Map::new(),
        };
        let names = fields::<M>();
        let options = names.iter().filter(|name| !M::POSITIONAL.contains(name));
        let ordered =
            M::POSITIONAL.iter().map(|name| (*name, true)).chain(options.map(|name| (*name, false)));
        let param = |(name, positional): (&'static str, bool)| Param {
            name: name.into(),
            schema: properties.remove(name).unwrap_or_default(),
            required: needed.iter().any(|needed| needed == name),
            positional,
        };
        Self {
            name: M::NAME.into(),
            help: help.into(),
            params: ordered.map(param).collect(),
            returns: Returns {
                schema: schema_of::<M::Reply>(false),
                help: M::RETURNS.into(),
                order: fields::<M::Reply>().into_iter().map(Cow::from).collect(),
            },
            changes: M::CHANGES,
        }
    }

    /// The ways to call it over XML-RPC, each an array of types: the result's first, then the parameters'. One for
    /// each number of parameters, the shortest first.
    pub fn signatures(&self) -> Vec<Vec<&str>> {
        let options = self.options().next().map(|_| "struct");
        let mut types: Vec<_> = self.positional().map(|param| schema::xmlrpc_type(&param.schema)).collect();
        types.extend(options);
        let least = self.params.iter().filter(|param| param.required).count();
        let with = |count: usize| {
            let types = types.iter().take(count).copied();
            std::iter::once(schema::xmlrpc_type(&self.returns.schema)).chain(types).collect()
        };
        (least..=types.len()).map(with).collect()
    }

    /// The parameters that come by name over XML-RPC too.
    pub fn options(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| !param.positional)
    }

    /// The parameters that come by position.
    pub fn positional(&self) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| param.positional)
    }

    /// The parameters of a call that names them.
    ///
    /// # Errors
    /// An `invalid-parameter` fault for a name that the method does not know. What is missing or of another type the
    /// method finds itself.
    pub fn named(&self, mut members: BTreeMap<String, Value>) -> Result<Params, Fault> {
        let mut values: Vec<_> = self.positional().map(|param| members.remove(&*param.name)).collect();
        let known: BTreeMap<_, _> =
            self.options().filter_map(|option| members.remove_entry(&*option.name)).collect();
        if let Some(unknown) = members.keys().next() {
            return Err(self.unknown(unknown));
        }
        if !known.is_empty() {
            values.push(Some(Value::Struct(known)));
        }
        Ok(Params::sparse(values))
    }

    /// Refuses a name that the method does not know.
    ///
    /// # Errors
    /// The same `invalid-parameter` fault as [`named`](Self::named).
    pub fn expect(&self, name: &str) -> Result<(), Fault> {
        if self.params.iter().any(|param| param.name == name) { Ok(()) } else { Err(self.unknown(name)) }
    }

    fn unknown(&self, name: &str) -> Fault {
        let all: Vec<_> = self.params.iter().map(|param| &*param.name).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        Fault::invalid(&self.name, &format!("unknown parameter {}; known: {all}", excerpt(name)))
    }
}

/// The JSON Schema of a type, without references. What is taken is closed, what is given may grow, and has no nulls.
fn schema_of<T: JsonSchema>(taken: bool) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    let mut tidy = Tidy { taken };
    schemars::transform::Transform::transform(&mut tidy, &mut schema);
    schema.to_value()
}

/// Takes out of schemas what says nothing to callers.
struct Tidy {
    taken: bool,
}

impl schemars::transform::Transform for Tidy {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        schema.remove("default");
        if schema.get("type").is_some_and(|of| of == "integer" || of == "number") {
            schema.remove("format");
        }
        let Self { taken } = *self;
        if let Some(object) = schema.as_object_mut() {
            if object.contains_key("properties")
                && (taken || object.get("additionalProperties") != Some(&Json::Bool(false)))
            {
                object.insert("additionalProperties".to_owned(), Json::Bool(!taken));
            }
            if !taken {
                schema::remove_null(object);
            }
        }
        transform_subschemas(self, schema);
    }
}

fn strings(array: &Json) -> Vec<String> {
    array.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}
