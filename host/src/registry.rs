//! What a method is, in one table: its parameters by name and type, what it gives, what it does, and whether that
//! changes anything. XML-RPC signatures and help, named parameters of JSON, the OpenAPI document and `docs/api.md`
//! are all made of it. Not here: what methods do ([`crate::rpc`]), and how they are called ([`crate::http`]).
//!
//! The types are those of XML-RPC, said a little more precisely: what an array is of, which members a struct has.

use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use vocable_xmlrpc::{Fault, Params, Value, excerpt, invalid_parameter};

pub mod document;
pub mod openapi;

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

/// A method, as everybody who asks about it sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodInfo {
    /// The whole name: `guest.list`.
    pub name: Cow<'static, str>,
    /// What it does, for people: whole sentences, of which the first can stand alone.
    pub help: Cow<'static, str>,
    /// What it takes, in the order of XML-RPC.
    pub params: &'static [Param],
    /// What it gives.
    pub gives: Gives,
    /// Whether it changes anything.
    pub changes: bool,
    /// JSON Schemas of parameters about which more is known than their kind: of a word, its arguments.
    pub schemas: BTreeMap<&'static str, Json>,
}

impl MethodInfo {
    /// The ways to call it over XML-RPC, each an array of types: the result's first, then the parameters'. One for
    /// each number of parameters, the shortest first.
    pub fn signatures(&self) -> Vec<Vec<&'static str>> {
        let least = self.params.iter().take_while(|param| param.required).count();
        let with = |count: usize| {
            let types = self.params.iter().take(count).map(|param| param.kind.name());
            std::iter::once(self.gives.kind.name()).chain(types).collect()
        };
        (least..=self.params.len()).map(with).collect()
    }

    /// The options struct, if it has one: its members are parameters of their own where parameters have names.
    pub fn options(&self) -> &'static [Param] {
        match self.params.last() {
            Some(last) if last.name == OPTIONS => last.kind.members(),
            _ => &[],
        }
    }

    /// The parameters that come by position, without the options.
    pub fn positional(&self) -> &'static [Param] {
        match self.params {
            [rest @ .., last] if last.name == OPTIONS => rest,
            all => all,
        }
    }

    /// The parameters of a call that names them.
    ///
    /// # Errors
    /// An `invalid-parameter` fault for a name that the method does not know. What is missing or of another type the
    /// method finds itself.
    pub fn named(&self, mut members: BTreeMap<String, Value>) -> Result<Params, Fault> {
        let mut values: Vec<_> = self.positional().iter().map(|param| members.remove(param.name)).collect();
        let known: BTreeMap<_, _> =
            self.options().iter().filter_map(|option| members.remove_entry(option.name)).collect();
        if let Some(unknown) = members.keys().next() {
            return Err(self.unknown(unknown));
        }
        if !known.is_empty() {
            values.push(Some(Value::Struct(known)));
        }
        Ok(Params::sparse(self.name.clone(), values))
    }

    /// Refuses a name that the method does not know.
    ///
    /// # Errors
    /// The same `invalid-parameter` fault as [`named`](Self::named).
    pub fn expect(&self, name: &str) -> Result<(), Fault> {
        let mut all = self.positional().iter().chain(self.options());
        if all.any(|param| param.name == name) { Ok(()) } else { Err(self.unknown(name)) }
    }

    fn unknown(&self, name: &str) -> Fault {
        let all: Vec<_> = self.positional().iter().chain(self.options()).map(|param| param.name).collect();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        invalid_parameter(&self.name, &format!("unknown parameter {}; known: {all}", excerpt(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: MethodInfo = MethodInfo {
        name: Cow::Borrowed("cmd.run"),
        help: Cow::Borrowed("Runs a program."),
        params: &[
            required("target", Kind::String, "whom"),
            optional("args", Kind::Array(&Kind::String), "its arguments"),
            options(&[optional("timeout_s", Kind::Double, "seconds")]),
        ],
        gives: Gives::value(Kind::String, "the id"),
        changes: true,
        schemas: BTreeMap::new(),
    };

    fn named(members: impl Into<Value>) -> Result<Params, Fault> {
        let Value::Struct(members) = members.into() else { panic!("a struct") };
        RUN.named(members)
    }

    #[test]
    fn there_is_a_signature_for_each_number_of_parameters() {
        let wanted = [
            vec!["string", "string"],
            vec!["string", "string", "array"],
            vec!["string", "string", "array", "struct"],
        ];
        assert_eq!(RUN.signatures(), wanted);
    }

    #[test]
    fn names_find_their_places_and_options_stand_beside_them() {
        let mut params = named([("timeout_s", Value::Int(5)), ("target", Value::from("vm1"))]).unwrap();
        assert_eq!(params.required::<String>("target").unwrap(), "vm1");
        assert_eq!(params.optional::<Vec<String>>("args").unwrap(), None);
        assert_eq!(params.options().unwrap().take::<f64>("timeout_s").unwrap(), Some(5.0));
    }

    #[test]
    fn what_is_missing_is_named_by_the_method() {
        let fault =
            named([("args", Value::from(Vec::new()))]).unwrap().required::<String>("target").unwrap_err();
        assert_eq!(fault.text(), "invalid-parameter: cmd.run: parameter 1 \"target\" is missing");
    }

    #[test]
    fn unknown_names_are_refused_with_those_that_are_known() {
        let fault = named([("tiemout_s", Value::Int(5))]).unwrap_err();
        assert_eq!(
            fault.text(),
            "invalid-parameter: cmd.run: unknown parameter \"tiemout_s\"; known: target, args, timeout_s"
        );
    }
}
