//! Values that can be switched off with the word `"none"`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A `T`, or `"none"`. TOML has no null, and a missing key means the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrNone<T>(pub Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl<T: fmt::Display> Serialize for OrNone<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrNoneVisitor(PhantomData))
    }
}

struct OrNoneVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNoneVisitor<T> {
    type Value = OrNone<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or \"none\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OrNone<T>, E> {
        match text {
            "none" => Ok(OrNone(None)),
            text => T::deserialize(text.into_deserializer()).map(|value| OrNone(Some(value))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<OrNone<T>, E> {
        T::deserialize(number.into_deserializer()).map(|value| OrNone(Some(value)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<OrNone<T>, E> {
        T::deserialize(number.into_deserializer()).map(|value| OrNone(Some(value)))
    }
}
