//! The names of a struct's fields in the order of the type: serde's derived code knows it, schemas are sorted by name.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor, value::Error,
};
use serde::forward_to_deserialize_any;
use std::cell::Cell;

/// The names of the fields of the struct that `T` is, or is an array of; none if it is neither.
pub(crate) fn fields<T: DeserializeOwned>() -> Vec<&'static str> {
    let found = Cell::new(&[][..]);
    // It never succeeds: all that is wanted is what it asks for.
    let _ = T::deserialize(Probe(&found));
    found.get().to_vec()
}

/// Remembers which fields it is asked for.
#[derive(Clone, Copy)]
struct Probe<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing here"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.set(fields);
        Err(Error::custom("there is nothing here"))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Probe<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        seed.deserialize(*self).map(Some)
    }
}
