//! From a value to whatever can be deserialized.

use std::{collections::btree_map, vec};

use ::serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::StringDeserializer,
    },
    forward_to_deserialize_any,
};
use time::UtcDateTime;

use super::{DATE_TIME, Step, ValueError};
use crate::{FromValue, Mismatch, Value, json::rfc3339};

/// The value as a `T`.
///
/// # Errors
/// [`ValueError`] if it is none, with the place.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(value)
}

/// Numbers and texts.
macro_rules! scalars {
    ($($method:ident($type:ty) => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(<$type>::from_value(self)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Array(items) => visitor.visit_seq(Items { items: items.into_iter(), number: 0 }),
            Self::Base64(bytes) => visitor.visit_byte_buf(bytes),
            Self::Bool(truth) => visitor.visit_bool(truth),
            Self::DateTime(time) => visitor.visit_string(rfc3339(time)),
            Self::Double(number) => visitor.visit_f64(number),
            Self::Int(number) => visitor.visit_i32(number),
            Self::String(text) => visitor.visit_string(text),
            Self::Struct(members) => visitor.visit_map(Members { members: members.into_iter(), value: None }),
        }
    }

    scalars! {
        deserialize_bool(bool) => visit_bool;
        deserialize_u8(u16) => visit_u16;
        deserialize_u16(u16) => visit_u16;
        deserialize_u32(u32) => visit_u32;
        deserialize_u64(u64) => visit_u64;
        deserialize_i8(i32) => visit_i32;
        deserialize_i16(i32) => visit_i32;
        deserialize_i32(i32) => visit_i32;
        deserialize_i64(i64) => visit_i64;
        deserialize_f32(f64) => visit_f64;
        deserialize_f64(f64) => visit_f64;
        deserialize_char(String) => visit_string;
        deserialize_str(String) => visit_string;
        deserialize_string(String) => visit_string;
        deserialize_identifier(String) => visit_string;
        deserialize_bytes(Vec<u8>) => visit_byte_buf;
        deserialize_byte_buf(Vec<u8>) => visit_byte_buf;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        // An absent thing is an absent member, so what is there is something.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if name == DATE_TIME {
            let text = rfc3339(UtcDateTime::from_value(self)?);
            return visitor.visit_newtype_struct(IntoDeserializer::<ValueError>::into_deserializer(text));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Array(_) => self.deserialize_any(visitor),
            other => Err(Mismatch::of("an array", &other).into()),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Struct(_) => self.deserialize_any(visitor),
            other => Err(Mismatch::of("a struct", &other).into()),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    /// A variant without content is its name, one with content a struct whose one member has its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Self::Struct(members) if members.len() == 1 => {
                visitor.visit_enum(::serde::de::value::MapAccessDeserializer::new(Members {
                    members: members.into_iter(),
                    value: None,
                }))
            }
            other => visitor.visit_enum(Variant(String::from_value(other)?.into_deserializer())),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { unit unit_struct }
}

impl<'de> IntoDeserializer<'de, ValueError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The name of a variant without content.
struct Variant(StringDeserializer<ValueError>);

impl<'de> EnumAccess<'de> for Variant {
    type Error = ValueError;
    type Variant = <StringDeserializer<ValueError> as EnumAccess<'de>>::Variant;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), ValueError> {
        self.0.variant_seed(seed)
    }
}

struct Items {
    items: vec::IntoIter<Value>,
    number: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ValueError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ValueError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        self.number += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.within(Step::Item(self.number)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Members {
    members: btree_map::IntoIter<String, Value>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = ValueError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ValueError> {
        self.value = self.members.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        seed.deserialize(IntoDeserializer::<ValueError>::into_deserializer(name.as_str())).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ValueError> {
        let Some((name, value)) = self.value.take() else {
            return Err(::serde::de::Error::custom("a value was asked for before its name"));
        };
        seed.deserialize(value).map_err(|error| error.within(Step::Member(name)))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

/// Takes whatever there is.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Base64(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Base64(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = std::collections::BTreeMap::new();
        while let Some((name, value)) = access.next_entry()? {
            members.insert(name, value);
        }
        Ok(Value::Struct(members))
    }
}
