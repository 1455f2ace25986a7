//! The values of the API that are no plain Rust types: bytes, text that may be none, moments, and what others made.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};
use vocable_xmlrpc::Value;

/// The member of a schema that names the type over XML-RPC where it does not follow from the rest.
pub(crate) const XMLRPC_TYPE: &str = "x-xmlrpc-type";

/// Any value: what a guest, a word or a hypervisor made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Any(pub Value);

impl Default for Any {
    fn default() -> Self {
        Self(Value::Struct(std::collections::BTreeMap::new()))
    }
}

impl JsonSchema for Any {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// A struct of whatever there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnyStruct(pub std::collections::BTreeMap<String, Value>);

impl JsonSchema for AnyStruct {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyStruct".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// Bytes: base64 over XML-RPC, `{"b64": ...}` in JSON. Where they are taken, a text stands for its UTF-8.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Buffer).map(Self)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "object", "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                    "required": ["b64"], "additionalProperties": false},
                {"type": "string"},
            ],
            XMLRPC_TYPE: "base64",
        })
    }
}

/// Bytes that are mostly text: a string where they are UTF-8, else base64.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text(pub Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Buffer).map(Self)
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Bytes::json_schema(generator);
        schema.insert(XMLRPC_TYPE.to_owned(), "string or base64".into());
        schema
    }
}

/// Takes bytes, or a text for its UTF-8.
struct Buffer;

impl de::Visitor<'_> for Buffer {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("base64")
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }
}

/// A moment in UTC: dateTime over XML-RPC (whole seconds), RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DateTime(pub OffsetDateTime);

impl Default for DateTime {
    fn default() -> Self {
        Self(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for DateTime {
    fn from(moment: OffsetDateTime) -> Self {
        Self(moment)
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment = self.0.to_utc();
        let text = moment.format(&Rfc3339).unwrap_or_else(|_| moment.to_string());
        serializer.serialize_newtype_struct(vocable_xmlrpc::DATE_TIME, &text)
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl<'de> de::Visitor<'de> for Moment {
            type Value = DateTime;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a dateTime")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, text: D) -> Result<DateTime, D::Error> {
                let text = String::deserialize(text)?;
                UtcDateTime::parse(&text, &Rfc3339)
                    .map(|moment| DateTime(moment.into()))
                    .map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_newtype_struct(vocable_xmlrpc::DATE_TIME, Moment)
    }
}

impl JsonSchema for DateTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DateTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A moment in seconds since 1970, to the millisecond, for those who do not want to parse a date.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
#[schemars(inline)]
pub struct UnixTime(pub f64);

impl UnixTime {
    /// The moment; none for what is no year of the calendar.
    pub fn moment(self) -> Option<OffsetDateTime> {
        #[expect(clippy::cast_possible_truncation, reason = "times of this millennium")]
        let nanoseconds = (self.0 * 1000.0).round() as i128 * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()
    }
}

impl From<OffsetDateTime> for UnixTime {
    fn from(moment: OffsetDateTime) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact to the millisecond until the year 287,396")]
        let milliseconds = (moment.unix_timestamp_nanos() / 1_000_000) as f64;
        Self(milliseconds / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;
    use vocable_xmlrpc::{from_value, to_value};

    #[test]
    fn moments_are_dates_and_seconds() {
        let moment = datetime!(2026-11-22 9:00:01.25 UTC);
        let value = to_value(&DateTime(moment)).unwrap();
        assert!(matches!(value, Value::DateTime(_)));
        assert_eq!(from_value::<DateTime>(value).unwrap(), DateTime(moment));
        assert_eq!(UnixTime::from(moment), UnixTime(1_795_338_001.25));
        assert_eq!(UnixTime(1_795_338_001.25).moment(), Some(moment));
    }

    #[test]
    fn text_is_base64_where_it_is_none() {
        assert_eq!(to_value(&Text(b"ab".to_vec())).unwrap(), Value::from("ab"));
        assert_eq!(to_value(&Text(vec![255])).unwrap(), Value::Base64(vec![255]));
        assert_eq!(from_value::<Text>(Value::from("ab")).unwrap(), Text(b"ab".to_vec()));
        assert_eq!(from_value::<Bytes>(Value::from("ab")).unwrap(), Bytes(b"ab".to_vec()));
        assert_eq!(from_value::<Bytes>(Value::Int(1)).unwrap_err().to_string(), "expected base64, got int");
    }
}
