//! Reads a type out of the tree with serde: which node does not fit, and which nodes nobody asked for.
//!
//! A deserializer of our own because faults must name a node, which may stand in any file, and keep apart
//! what serde's text errors run together. It stops at the first fault, as serde does; `loading`
//! puts the default in that place and reads again.

use std::cell::RefCell;
use std::collections::btree_map;
use std::fmt::Display;
use std::slice;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::tree::{Node, Value};

/// Names of a struct's fields or an enum's variants.
pub(crate) type Names = &'static [&'static str];

/// What does not fit, and at which node: the innermost that is known, the root's path if none is.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind:?}")]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) kind: FaultKind,
}

#[derive(Debug)]
pub(crate) enum FaultKind {
    /// The type's own words.
    Custom(String),
    Missing(&'static str),
    /// A value of another type or out of range; what serde expected.
    Type(String),
    Variant(Names),
}

/// A key the type has no field for, and the fields it has beside it.
#[derive(Debug)]
pub(crate) struct Unknown {
    pub(crate) path: String,
    pub(crate) fields: Names,
}

/// Reads `T`, or finds the first node that does not fit it; the keys `T` did not ask for come along.
pub(crate) fn read<T: DeserializeOwned>(tree: &Node) -> (Result<T, Fault>, Vec<Unknown>) {
    let unknown = RefCell::default();
    let result = T::deserialize(Reader { node: tree, fields_beside: &[], unknown: &unknown });
    (result, unknown.into_inner())
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    /// Fields of the struct this node is a value in.
    fields_beside: Names,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'a> Reader<'a> {
    fn entries(self, entries: btree_map::Iter<'a, String, Node>, fields: Names) -> Entries<'a> {
        Entries { entries, value: None, fields, unknown: self.unknown }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), unknown: self.unknown }),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Datetime(datetime) => visitor.visit_string(datetime.to_string()),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::Integer(integer) => visitor.visit_i64(*integer),
            Value::String(text) => visitor.visit_str(text),
            Value::Table(table) => visitor.visit_map(self.entries(table.iter(), &[])),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: Names,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Table(table) => visitor.visit_map(self.entries(table.iter(), fields)),
            // Derived structs also read themselves from sequences, which no configuration means.
            _ => Err(Fault::at_root(FaultKind::Type("a map".to_owned()))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: Names,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Table(table) => {
                visitor.visit_enum(MapAccessDeserializer::new(self.entries(table.iter(), variants)))
            }
            _ => Err(Fault::at_root(FaultKind::Variant(variants))),
        }
    }

    /// TOML has no null: a key that is there has a value.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let unknown = Unknown { path: self.node.path.clone(), fields: self.fields_beside };
        self.unknown.borrow_mut().push(unknown);
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier
    }
}

struct Entries<'a> {
    entries: btree_map::Iter<'a, String, Node>,
    /// The value whose key was read last.
    value: Option<&'a Node>,
    fields: Names,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some(node);
        let key: StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.within(node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let node = self.value.take().ok_or_else(|| Fault::custom("a value was read before its key"))?;
        let reader = Reader { node, fields_beside: self.fields, unknown: self.unknown };
        seed.deserialize(reader).map_err(|fault| fault.within(node))
    }
}

struct Items<'a> {
    items: slice::Iter<'a, Node>,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let reader = Reader { node, fields_beside: &[], unknown: self.unknown };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.within(node))
    }
}

impl Fault {
    fn at_root(kind: FaultKind) -> Self {
        Self { path: String::new(), kind }
    }

    /// Names the node, unless one inside it was named already.
    fn within(mut self, node: &Node) -> Self {
        if self.path.is_empty() {
            self.path.clone_from(&node.path);
        }
        self
    }
}

impl Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::at_root(FaultKind::Custom(message.to_string()))
    }

    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::at_root(FaultKind::Type(expected.to_string()))
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::at_root(FaultKind::Type(expected.to_string()))
    }

    fn unknown_variant(_variant: &str, expected: Names) -> Self {
        Self::at_root(FaultKind::Variant(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at_root(FaultKind::Missing(field))
    }
}
