//! From whatever can be serialized to a value. What is None is absent: left out of structs, refused elsewhere.

use std::{collections::BTreeMap, fmt::Display};

use ::serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use time::UtcDateTime;

use super::{DATE_TIME, Step, ValueError};
use crate::{FromValue as _, Value, json::rfc3339};

/// Whatever it is as a value.
///
/// # Errors
/// [`ValueError`] for None where there has to be something, and for maps whose keys are no texts.
pub fn to_value<T: Serialize + ?Sized>(of: &T) -> Result<Value, ValueError> {
    required(of)
}

fn required<T: Serialize + ?Sized>(of: &T) -> Result<Value, ValueError> {
    of.serialize(ToValue)?.ok_or_else(|| ValueError::custom("there is no null"))
}

/// Gives None for what is absent.
struct ToValue;

fn some(value: impl Into<Value>) -> Result<Option<Value>, ValueError> {
    Ok(Some(value.into()))
}

/// A variant with content: a struct whose one member has its name.
fn variant(name: &str, content: Value) -> Result<Option<Value>, ValueError> {
    some([(name, content)])
}

impl Serializer for ToValue {
    type Ok = Option<Value>;
    type Error = ValueError;
    type SerializeSeq = ArrayOf;
    type SerializeTuple = ArrayOf;
    type SerializeTupleStruct = ArrayOf;
    type SerializeTupleVariant = ArrayOf;
    type SerializeMap = StructOf;
    type SerializeStruct = StructOf;
    type SerializeStructVariant = StructOf;

    fn serialize_bool(self, truth: bool) -> Result<Self::Ok, ValueError> {
        some(truth)
    }

    fn serialize_i8(self, number: i8) -> Result<Self::Ok, ValueError> {
        some(i32::from(number))
    }

    fn serialize_i16(self, number: i16) -> Result<Self::Ok, ValueError> {
        some(i32::from(number))
    }

    fn serialize_i32(self, number: i32) -> Result<Self::Ok, ValueError> {
        some(number)
    }

    fn serialize_i64(self, number: i64) -> Result<Self::Ok, ValueError> {
        some(number)
    }

    fn serialize_u8(self, number: u8) -> Result<Self::Ok, ValueError> {
        some(u32::from(number))
    }

    fn serialize_u16(self, number: u16) -> Result<Self::Ok, ValueError> {
        some(u32::from(number))
    }

    fn serialize_u32(self, number: u32) -> Result<Self::Ok, ValueError> {
        some(number)
    }

    fn serialize_u64(self, number: u64) -> Result<Self::Ok, ValueError> {
        some(number)
    }

    fn serialize_f32(self, number: f32) -> Result<Self::Ok, ValueError> {
        some(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<Self::Ok, ValueError> {
        some(number)
    }

    fn serialize_char(self, character: char) -> Result<Self::Ok, ValueError> {
        some(character.to_string())
    }

    fn serialize_str(self, text: &str) -> Result<Self::Ok, ValueError> {
        some(text)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Self::Ok, ValueError> {
        some(Value::Base64(bytes.to_vec()))
    }

    fn serialize_none(self) -> Result<Self::Ok, ValueError> {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, of: &T) -> Result<Self::Ok, ValueError> {
        of.serialize(self)
    }

    fn serialize_unit(self) -> Result<Self::Ok, ValueError> {
        Ok(None)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Self::Ok, ValueError> {
        Ok(None)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<Self::Ok, ValueError> {
        some(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        of: &T,
    ) -> Result<Self::Ok, ValueError> {
        let value = of.serialize(self)?;
        match value {
            Some(text) if name == DATE_TIME => some(UtcDateTime::from_value(text)?),
            other => Ok(other),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        of: &T,
    ) -> Result<Self::Ok, ValueError> {
        variant(name, required(of)?)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ArrayOf, ValueError> {
        Ok(ArrayOf { items: Vec::with_capacity(length.unwrap_or(0)), variant: None })
    }

    fn serialize_tuple(self, length: usize) -> Result<ArrayOf, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<ArrayOf, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<ArrayOf, ValueError> {
        Ok(ArrayOf { items: Vec::new(), variant: Some(name) })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<StructOf, ValueError> {
        Ok(StructOf::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<StructOf, ValueError> {
        Ok(StructOf::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<StructOf, ValueError> {
        Ok(StructOf { variant: Some(name), ..StructOf::default() })
    }

    fn collect_str<T: Display + ?Sized>(self, text: &T) -> Result<Self::Ok, ValueError> {
        some(text.to_string())
    }
}

pub(super) struct ArrayOf {
    items: Vec<Value>,
    variant: Option<&'static str>,
}

impl ArrayOf {
    fn item<T: Serialize + ?Sized>(&mut self, of: &T) -> Result<(), ValueError> {
        let item = required(of).map_err(|error| error.within(Step::Item(self.items.len() + 1)))?;
        self.items.push(item);
        Ok(())
    }

    fn whole(self) -> Result<Option<Value>, ValueError> {
        let items = Value::Array(self.items);
        match self.variant {
            Some(name) => variant(name, items),
            None => Ok(Some(items)),
        }
    }
}

#[derive(Default)]
pub(super) struct StructOf {
    members: BTreeMap<String, Value>,
    key: String,
    variant: Option<&'static str>,
}

impl StructOf {
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, of: &T) -> Result<(), ValueError> {
        let value = of.serialize(ToValue).map_err(|error| error.within(Step::Member(name.to_owned())))?;
        self.members.extend(value.map(|value| (name.to_owned(), value)));
        Ok(())
    }

    fn whole(self) -> Result<Option<Value>, ValueError> {
        let members = Value::Struct(self.members);
        match self.variant {
            Some(name) => variant(name, members),
            None => Ok(Some(members)),
        }
    }
}

macro_rules! arrays {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for ArrayOf {
            type Ok = Option<Value>;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, of: &T) -> Result<(), ValueError> {
                self.item(of)
            }

            fn end(self) -> Result<Self::Ok, ValueError> {
                self.whole()
            }
        }
    )*};
}

arrays! {
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($trait:ident),*) => {$(
        impl $trait for StructOf {
            type Ok = Option<Value>;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                of: &T,
            ) -> Result<(), ValueError> {
                self.member(name, of)
            }

            fn end(self) -> Result<Self::Ok, ValueError> {
                self.whole()
            }
        }
    )*};
}

structs! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for StructOf {
    type Ok = Option<Value>;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = match required(key)? {
            Value::String(text) => text,
            _ => return Err(ValueError::custom("the names of a struct's members are texts")),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, of: &T) -> Result<(), ValueError> {
        let name = std::mem::take(&mut self.key);
        self.member(&name, of)
    }

    fn end(self) -> Result<Self::Ok, ValueError> {
        self.whole()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Array(items) => items.serialize(serializer),
            Self::Base64(bytes) => serializer.serialize_bytes(bytes),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::DateTime(time) => serializer.serialize_newtype_struct(DATE_TIME, &rfc3339(*time)),
            Self::Double(number) => serializer.serialize_f64(*number),
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Struct(members) => members.serialize(serializer),
        }
    }
}
