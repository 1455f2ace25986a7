//! How much JSON a text holds, told before anything is made of it. Bytes in, verdict out: nothing is allocated, nothing
//! recurses, and every byte is looked at twice at most.
//!
//! A text of one mebibyte can be half a million values or nested as deeply: what reads it takes a hundred times its memory,
//! or all of its stack. Whatever comes from outside passes here first. What is accepted is JSON to `serde_json`, too, and
//! within the bounds everything that is JSON to `serde_json` is accepted.

/// What a JSON text may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JsonBounds {
    /// Bytes of the text.
    pub bytes: usize,
    /// Arrays and objects within each other; more than [`JsonBounds::DEEPEST`] is no more than that.
    pub depth: u32,
    /// Values and member names together.
    pub nodes: usize,
}

impl JsonBounds {
    /// So deep `serde_json` reads.
    pub const DEEPEST: u32 = 127;

    /// For what agents tell each other. It is shown within lists of its like, so it is not as deep as those may be.
    pub const MESSAGE: Self = Self { bytes: 8 << 20, depth: 48, nodes: 100_000 };

    /// As [`MESSAGE`](Self::MESSAGE), for somebody who has so many bytes of memory to read it. What reads JSON into a tree
    /// takes up to 500 bytes a node, beside the text and a copy of it.
    pub fn for_memory(memory: usize) -> Self {
        Self { bytes: memory / 8, nodes: memory / 640, ..Self::MESSAGE }
    }
}

/// Why a text is not taken.
#[allow(missing_docs, reason = "their messages say it; the fuzz target has this file in private")]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    #[error("is nested more than {limit} deep")]
    Deep { limit: u32 },
    #[error("has {bytes} bytes; the limit is {limit}")]
    Large { bytes: usize, limit: usize },
    #[error("has more than {limit} values and names")]
    Many { limit: usize },
    #[error("has a member name with a control character, before byte {at}")]
    Name { at: usize },
    #[error("is not JSON: expected {expected} at byte {at}")]
    Syntax { at: usize, expected: &'static str },
}

impl JsonError {
    /// The kind, as it goes over the bus in the header `refusal`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Deep { .. } | Self::Large { .. } | Self::Many { .. } => "too-large",
            Self::Name { .. } => "invalid",
            Self::Syntax { .. } => "not-json",
        }
    }
}

/// Whether a text is JSON within bounds, its member names free of control characters and of what XML has no way to write.
/// Gives the number of values and names.
pub fn check_json(text: &[u8], bounds: &JsonBounds) -> Result<usize, JsonError> {
    if text.len() > bounds.bytes {
        return Err(JsonError::Large { bytes: text.len(), limit: bounds.bytes });
    }
    let valid = str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    let text_of_it = text.get(..valid).unwrap_or(text);
    let counted = Scanner { text: text_of_it, at: 0, nodes: 0, open: Open::default(), bounds }.document();
    match counted {
        // Whoever reads it comes so far, too; what is beyond the bounds before that is beyond them.
        Ok(_) | Err(JsonError::Syntax { .. }) if valid < text.len() => {
            Err(JsonError::Syntax { at: valid, expected: "UTF-8" })
        }
        other => other,
    }
}

struct Scanner<'a> {
    /// UTF-8.
    text: &'a [u8],
    at: usize,
    nodes: usize,
    open: Open,
    bounds: &'a JsonBounds,
}

/// The arrays and objects that have begun and not ended.
#[derive(Default)]
struct Open {
    depth: u32,
    /// One bit each, the innermost last: whether it is an object.
    objects: u128,
}

/// Digits of a number beyond which it may be too large for an `f64`.
const LONG_NUMBER: usize = 300;

impl Scanner<'_> {
    fn document(mut self) -> Result<usize, JsonError> {
        loop {
            // Wherever this begins anew, a value comes next.
            self.node()?;
            if self.begin_value()? {
                continue;
            }
            while self.open.depth > 0 {
                if self.next_member()? {
                    break;
                }
            }
            if self.open.depth == 0 {
                self.skip_blanks();
                return if self.at == self.text.len() {
                    Ok(self.nodes)
                } else {
                    self.expected("nothing more")
                };
            }
        }
    }

    /// Reads a value, or the beginning of one that is not empty: whether another value comes next.
    fn begin_value(&mut self) -> Result<bool, JsonError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => {
                self.begin(true)?;
                if self.ends_with(b'}') {
                    return Ok(false);
                }
                self.name()?;
                return Ok(true);
            }
            Some(b'[') => {
                self.begin(false)?;
                return Ok(!self.ends_with(b']'));
            }
            Some(b'"') => self.string().map(|_| ())?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            Some(b't') => self.literal(b"true")?,
            _ => return self.expected("a value"),
        }
        Ok(false)
    }

    /// Reads on within the innermost array or object: whether another value comes next, or it has ended.
    fn next_member(&mut self) -> Result<bool, JsonError> {
        let object = self.open.objects & 1 == 1;
        if self.ends_with(if object { b'}' } else { b']' }) {
            return Ok(false);
        }
        if self.peek() != Some(b',') {
            return self.expected(if object { "a comma or a brace" } else { "a comma or a bracket" });
        }
        self.at += 1;
        if object {
            self.name()?;
        }
        Ok(true)
    }

    fn begin(&mut self, object: bool) -> Result<(), JsonError> {
        let limit = self.bounds.depth.min(JsonBounds::DEEPEST);
        if self.open.depth >= limit {
            return Err(JsonError::Deep { limit });
        }
        self.at += 1;
        self.open.depth += 1;
        self.open.objects = self.open.objects << 1 | u128::from(object);
        Ok(())
    }

    /// Ends the innermost array or object, if that is what comes next.
    fn ends_with(&mut self, end: u8) -> bool {
        self.skip_blanks();
        let ends = self.peek() == Some(end);
        if ends {
            self.at += 1;
            self.open.depth -= 1;
            self.open.objects >>= 1;
        }
        ends
    }

    /// The name of a member, and the colon after it.
    fn name(&mut self) -> Result<(), JsonError> {
        self.node()?;
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return self.expected("a name in quotes");
        }
        let printable = self.string()?;
        if !printable {
            return Err(JsonError::Name { at: self.at });
        }
        self.skip_blanks();
        self.take(b':', "a colon")
    }

    /// A string: whether all of it can be shown.
    fn string(&mut self) -> Result<bool, JsonError> {
        self.at += 1;
        let mut printable = true;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    printable &= is_printable(self.escaped()?);
                    continue;
                }
                None | Some(0..0x20) => return self.expected("the end of a string"),
                // Of two bytes: U+0080 to U+009F. Of three: U+FFFE and U+FFFF.
                Some(0x7f) => printable = false,
                Some(0xc2) if matches!(self.ahead(1), Some(0x80..=0x9f)) => printable = false,
                Some(0xef) if self.ahead(1) == Some(0xbf) && self.ahead(2) >= Some(0xbe) => printable = false,
                Some(_) => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(printable)
    }

    /// What stands for a character, after the backslash.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let plain = match self.peek() {
            Some(b'u') => return self.escaped_unicode(),
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b' | b'f' | b'n' | b'r' | b't') => '\n',
            _ => return self.expected("an escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// A character of Unicode by its number, or by two if the first is half of one.
    fn escaped_unicode(&mut self) -> Result<char, JsonError> {
        let mut code = self.hexadecimal()?;
        if (0xd800..0xdc00).contains(&code) {
            self.take(b'\\', "the second half of a character")?;
            let low = self.hexadecimal()?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.expected("the second half of a character");
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.expected("a whole character"),
        }
    }

    /// `u` and four digits.
    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        self.take(b'u', "an escape")?;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.expected("a hexadecimal digit");
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.text.get(begin..self.at).unwrap_or_default();
        // Only what reads numbers can tell which are too large for it.
        let may_be_large = exponent || number.len() > LONG_NUMBER;
        if may_be_large && serde_json::from_slice::<f64>(number).is_err() {
            return self.expected("a smaller number");
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > begin { Ok(()) } else { self.expected("a digit") }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), JsonError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(literal)) {
            return self.expected("a value");
        }
        self.at += literal.len();
        Ok(())
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return self.expected(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// One more value or name.
    fn node(&mut self) -> Result<(), JsonError> {
        self.nodes += 1;
        let limit = self.bounds.nodes;
        if self.nodes > limit { Err(JsonError::Many { limit }) } else { Ok(()) }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.ahead(0)
    }

    fn ahead(&self, bytes: usize) -> Option<u8> {
        self.text.get(self.at + bytes).copied()
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, JsonError> {
        Err(JsonError::Syntax { at: self.at, expected })
    }
}

/// Neither a control character nor one that XML cannot write.
pub(crate) fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const BOUNDS: JsonBounds = JsonBounds { bytes: 1 << 20, depth: JsonBounds::DEEPEST, nodes: 1 << 20 };

    fn check(text: &str) -> Result<(), JsonError> {
        check_json(text.as_bytes(), &BOUNDS).map(drop)
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn json_is_told_from_what_is_not() {
        let good = [
            "0",
            "-0",
            " null ",
            "true",
            "false",
            "\"\"",
            "[]",
            "{}",
            "[ ]",
            "{ }",
            "1.5e-3",
            "-1E+2",
            "[1, 2]",
            r#"{"a": {"b": [1, "x", null]}, "c": {}}"#,
            r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#,
            "\r\n[\t]\n",
            r#"{"": 0}"#,
            "\"\u{7f}\u{85}\u{ffff}\"",
            "1e308",
            "1e-999",
        ];
        let bad = [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e+",
            "tru",
            "nul",
            "[",
            "]",
            "[1",
            "[1,]",
            "[1 2]",
            "[1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1]",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "1 2",
            "[] x",
            "NaN",
            "1e999",
            "\u{feff}1",
            "'a'",
        ];
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
        for text in bad {
            assert!(matches!(check(text), Err(JsonError::Syntax { .. })), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        }
        assert_eq!(check_json(b"\"\xff\"", &BOUNDS), Err(JsonError::Syntax { at: 1, expected: "UTF-8" }));
    }

    #[test]
    fn what_is_too_much_is_told_with_the_bound() {
        let bounds = JsonBounds { bytes: 1000, depth: 3, nodes: 5 };
        let check = |text: &str| check_json(text.as_bytes(), &bounds).map(drop);
        assert_eq!(check(&nested(3)), Ok(()));
        assert_eq!(check(&nested(4)), Err(JsonError::Deep { limit: 3 }));
        assert_eq!(check(r#"{"a":{"b":0}}"#), Ok(()), "three values and two names");
        assert_eq!(check(r#"{"a":{"b":[0]}}"#), Err(JsonError::Many { limit: 5 }));
        assert_eq!(check(&" ".repeat(1001)), Err(JsonError::Large { bytes: 1001, limit: 1000 }));
        assert_eq!(
            check(&"[".repeat(1000)),
            Err(JsonError::Deep { limit: 3 }),
            "whatever would have followed"
        );
    }

    #[test]
    fn depth_is_never_more_than_what_reads_it_can_take() {
        let endless = JsonBounds { depth: u32::MAX, ..BOUNDS };
        let check = |text: &str| check_json(text.as_bytes(), &endless).map(drop);
        assert_eq!(check(&nested(127)), Ok(()));
        assert!(serde_json::from_str::<Value>(&nested(127)).is_ok());
        assert_eq!(check(&nested(128)), Err(JsonError::Deep { limit: 127 }));
        assert!(serde_json::from_str::<Value>(&nested(128)).is_err());
    }

    #[test]
    fn names_are_free_of_what_cannot_be_shown() {
        let odd = ["\u{7f}", "\u{85}", "\u{ffff}", r"\u0001", r"\n", r"\u0085", r"\ufffe"];
        for name in odd {
            let text = format!(r#"[{{"x{name}": 0}}]"#);
            assert!(matches!(check(&text), Err(JsonError::Name { .. })), "{text}");
            assert_eq!(check(&format!(r#"[{{"x": "{name}"}}]"#)), Ok(()), "a value can be anything");
        }
        assert_eq!(check(r#"{"é \u00e9 \ud83d\ude00 \" \\": 0}"#), Ok(()));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map("[a-z\"\\\\é]{0,4}", inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Values and names, counted the plain way.
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(members) => members.values().map(|member| 1 + count(member)).sum(),
            _ => 0,
        }
    }

    fn depth(value: &Value) -> u32 {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_accepted_and_counted(value in value()) {
            let exact = JsonBounds { bytes: 1 << 20, depth: depth(&value), nodes: count(&value) };
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(check_json(text.as_bytes(), &exact), Ok(exact.nodes));
                let fewer = JsonBounds { nodes: exact.nodes - 1, ..exact };
                prop_assert_eq!(check_json(text.as_bytes(), &fewer), Err(JsonError::Many { limit: fewer.nodes }));
                if exact.depth > 0 {
                    let flatter = JsonBounds { depth: exact.depth - 1, ..exact };
                    let flat = Err(JsonError::Deep { limit: flatter.depth });
                    prop_assert_eq!(check_json(text.as_bytes(), &flatter), flat);
                }
            }
        }

        #[test]
        fn a_text_is_json_to_both_or_to_none(
            text in r#"([\[\]{}:, ]|"[a-c]{0,2}"|[0-9.eE+-]{1,3}|true|null|\\u[0-9a-fd]{4}|"\\u[0-9a-fd]{4}"){0,12}"#
        ) {
            agree(text.as_bytes());
        }

        #[test]
        fn what_is_damaged_is_json_to_both_or_to_none(value in value(), at: prop::sample::Index, byte: u8) {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            agree(&text);
        }

        #[test]
        fn any_bytes_are_json_to_both_or_to_none(text: Vec<u8>) {
            agree(&text);
        }
    }

    fn agree(text: &[u8]) {
        let theirs = serde_json::from_slice::<Value>(text);
        match check_json(text, &BOUNDS) {
            Ok(_) => assert!(theirs.is_ok(), "{:?}", String::from_utf8_lossy(text)),
            // It is told as soon as it is seen, and what follows may not be JSON.
            Err(JsonError::Name { .. }) => {}
            Err(JsonError::Syntax { .. }) => assert!(theirs.is_err(), "{:?}", String::from_utf8_lossy(text)),
            Err(other) => panic!("{other} is no matter here"),
        }
    }

    #[test]
    fn a_mebibyte_of_anything_is_told_at_once() {
        let texts =
            [nested(1 << 19), "[],".repeat(1 << 18), "{\"\":".repeat(1 << 18), "\"\\u0041".repeat(1 << 17)];
        for text in texts {
            assert!(check_json(text.as_bytes(), &JsonBounds::MESSAGE).is_err());
        }
        let long = json!("x".repeat(1 << 20)).to_string();
        assert_eq!(check_json(long.as_bytes(), &JsonBounds::MESSAGE), Ok(1));
    }
}
