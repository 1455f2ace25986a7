//! The shape of JSON that others made. What a guest or a word tells is shown in lists beside what everybody else told,
//! so nesting, number of values, names and length are bounded here, once, where it is taken. What is too much is
//! replaced by a marker, `{"omitted": "why"}`, and the rest is kept: one odd value fails nothing.
//!
//! Pure. What is nested deeper than allowed is skipped without recursion, so text of any depth can be read.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};
use std::cell::Cell;
use std::fmt;

/// The member that stands for what was left out.
const OMITTED: &str = "omitted";
/// Bytes of a member's name.
const LONGEST_NAME: usize = 256;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) depth: usize,
    pub(crate) values: usize,
}

impl Bounds {
    /// Of what a guest tells at the end of a command, and when it joins.
    pub(crate) const TOLD: Self = Self { depth: 16, values: 20_000 };
    /// Of what is shown to callers, wherever it came from: XML-RPC readers take 64 levels and 250,000 values.
    pub(crate) const SHOWN: Self = Self { depth: 32, values: 100_000 };
}

/// Reads JSON within bounds.
///
/// # Errors
/// For text that is no JSON.
pub(crate) fn parse(text: &str, bounds: Bounds) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Shape::of(bounds, &Cell::new(bounds.values)).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub(crate) fn bounded(value: Value, bounds: Bounds) -> Value {
    // Reading from a value cannot fail: every kind of value is taken.
    Shape::of(bounds, &Cell::new(bounds.values))
        .deserialize(value)
        .unwrap_or_else(|_| omitted("it is no JSON"))
}

/// Members whose text is `limit` bytes at most: of too much the largest are replaced by markers, but for those that
/// have to stay.
pub(crate) fn fit(mut members: Map<String, Value>, limit: usize, stay: &[&str]) -> Map<String, Value> {
    let length = |name: &str, value: &Value| name.len() + value.to_string().len() + 4;
    let mut sizes: Vec<(usize, String)> =
        members.iter().map(|(name, value)| (length(name, value), name.clone())).collect();
    let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
    sizes.retain(|(_, name)| !stay.contains(&name.as_str()));
    sizes.sort_unstable();
    let (mut left_out, mut dropped) = (0, 0_usize);
    while total > limit
        && let Some((size, name)) = sizes.pop()
    {
        let marker = omitted(&format!("{size} bytes, more than fits"));
        let smaller = length(&name, &marker);
        if smaller < size {
            members.insert(name, marker);
            total = total - size + smaller;
        } else {
            // Many small ones: each goes without a marker of its own.
            members.remove(&name);
            (total, left_out, dropped) = (total - size, left_out + size, dropped + 1);
        }
    }
    if dropped > 0 {
        members.insert(OMITTED.to_owned(), format!("{dropped} members of {left_out} bytes").into());
    }
    members
}

/// Text of `limit` bytes at most; what is longer ends with an ellipsis.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// What stands for something that was left out.
pub(crate) fn omitted(why: &str) -> Value {
    json!({OMITTED: why})
}

/// Reads one value that may have so many levels, of so many values that are left.
#[derive(Clone, Copy)]
struct Shape<'a> {
    depth: usize,
    bounds: Bounds,
    left: &'a Cell<usize>,
}

impl<'a> Shape<'a> {
    const fn of(bounds: Bounds, left: &'a Cell<usize>) -> Self {
        Self { depth: bounds.depth, bounds, left }
    }

    fn inside(self) -> Self {
        Self { depth: self.depth.saturating_sub(1), ..self }
    }

    /// Counts one more value; false if there may be no more.
    fn count(self) -> bool {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    fn too_deep(self) -> Value {
        omitted(&format!("nested deeper than {}", self.bounds.depth))
    }

    fn too_many(self) -> Value {
        omitted(&format!("more than {} values", self.bounds.values))
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        if self.depth > 0 {
            while self.left.get() > 0 {
                let Some(item) = from.next_element_seed(self.inside())? else { return Ok(items.into()) };
                self.count();
                items.push(item);
            }
        }
        let mut skipped = false;
        while from.next_element::<IgnoredAny>()?.is_some() {
            skipped = true;
        }
        match skipped {
            false => {}
            true if self.depth == 0 => return Ok(self.too_deep()),
            true => items.push(self.too_many()),
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        if self.depth > 0 {
            while self.left.get() > 0 {
                let Some(name) = from.next_key::<String>()? else { return Ok(members.into()) };
                self.count();
                let value = from.next_value_seed(self.inside())?;
                let name = plain_name(name, &members);
                members.insert(name, value);
            }
        }
        let mut skipped = false;
        while from.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            skipped = true;
        }
        match skipped {
            false => Ok(members.into()),
            true if self.depth == 0 => Ok(self.too_deep()),
            true => {
                members.insert(OMITTED.to_owned(), format!("more than {} values", self.bounds.values).into());
                Ok(members.into())
            }
        }
    }
}

/// A member's name as every document can carry it: what it cannot is escaped, and what is too long shortened. A name
/// that had to be changed takes no other's place.
fn plain_name(name: String, others: &Map<String, Value>) -> String {
    let carried = |c: char| {
        !(c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}'))
    };
    if name.len() <= LONGEST_NAME && name.chars().all(carried) {
        return name;
    }
    let escaped = name.chars().take(LONGEST_NAME).fold(String::new(), |mut text, c| {
        if carried(c) {
            text.push(c);
        } else {
            text.extend(c.escape_unicode());
        }
        text
    });
    let mut plain = shortened(&escaped, LONGEST_NAME);
    while others.contains_key(&plain) {
        plain.push('~');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Bounds = Bounds { depth: 2, values: 5 };

    fn read(text: &str) -> Value {
        parse(text, SMALL).unwrap()
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn what_is_too_deep_is_marked_and_the_rest_is_kept() {
        assert_eq!(
            read(r#"{"a": {"b": [1]}, "c": {"d": []}, "e": 2}"#),
            json!({"a": {"b": {"omitted": "nested deeper than 2"}}, "c": {"d": []}, "e": 2})
        );
        let deep = format!("{{\"deep\": {}1{}, \"rc\": 0}}", "[".repeat(200_000), "]".repeat(200_000));
        let value = parse(&deep, Bounds::TOLD).unwrap();
        assert_eq!(value["rc"], 0);
        assert!(value.to_string().contains("nested deeper than 16"), "{value}");
    }

    #[test]
    fn values_are_counted() {
        assert_eq!(read("[1,2,3,4,5]"), json!([1, 2, 3, 4, 5]));
        assert_eq!(read("[1,2,3,4,5,6]"), json!([1, 2, 3, 4, 5, {"omitted": "more than 5 values"}]));
        let many = read(r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}"#);
        assert_eq!(many, json!({"a":1,"b":2,"c":3,"d":4,"e":5,"omitted":"more than 5 values"}));
    }

    #[test]
    fn names_are_what_xml_can_carry() {
        let value = read("{\"a\\u0001\": 1, \"a\\\\u{1}\": 2, \"ä\\uffff\": 3}");
        let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["a\\u{1}", "ä\\u{ffff}"]);
        let long = format!("{{\"{}\": 1}}", "x".repeat(1000));
        assert_eq!(read(&long).as_object().unwrap().keys().next().unwrap().len(), LONGEST_NAME);
    }

    #[test]
    fn the_largest_members_go_first_and_some_stay() {
        let members = json!({"rc": "x".repeat(50), "big": "y".repeat(500), "small": 1});
        let fitted = fit(members.as_object().unwrap().clone(), 200, &["rc"]);
        assert_eq!(
            Value::from(fitted),
            json!({"rc": "x".repeat(50), "small": 1,
            "big": {"omitted": "509 bytes, more than fits"}})
        );
        let many: Map<_, _> = (0..1000).map(|n| (format!("m{n}"), json!(n))).collect();
        let fitted = fit(many, 500, &[]);
        assert!(Value::from(fitted.clone()).to_string().len() < 600);
        assert!(fitted["omitted"].as_str().unwrap().contains("members of"));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 6), "äöü");
        assert_eq!(shortened("äöüx", 6), "ä…");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect()))
            ]
        })
    }

    proptest! {
        /// Whatever it was, it is no deeper than allowed afterwards, and can be written as XML-RPC.
        #[test]
        fn anything_becomes_something_that_can_be_shown(value in any_json(), levels in 1usize..5) {
            let bounds = Bounds { depth: levels, values: 40 };
            let read = parse(&value.to_string(), bounds).unwrap();
            prop_assert!(depth(&read) <= levels + 1, "the marker is one level more");
            prop_assert_eq!(&bounded(read.clone(), Bounds::SHOWN), &read);
            let shown = crate::endpoint::rpc::json_value(value.clone());
            prop_assert!(vocable_xmlrpc::write_response(&Ok(shown)).is_ok());
        }
    }
}
