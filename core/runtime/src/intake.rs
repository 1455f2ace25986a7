//! What a message may hold before a word sees it: names that can be shown, and JSON within bounds. Pure; knows neither words
//! nor who speaks.

use crate::json::{JsonBounds, JsonError, check_json, is_printable};

/// Why a message is not for a word.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("{part} {problem}")]
    Json {
        /// `the body`, `header facts`.
        part: String,
        problem: JsonError,
    },
    #[error("the message has {bytes} bytes; the limit is {limit}")]
    Large { bytes: usize, limit: usize },
    #[error("the name of a header has a control character")]
    Name,
}

impl Unfit {
    /// The kind, as it goes over the bus in the header `refusal`.
    pub(crate) fn slug(&self) -> &'static str {
        match self {
            Self::Json { problem, .. } => problem.slug(),
            Self::Large { .. } => "too-large",
            Self::Name => "invalid",
        }
    }
}

/// Whether a message is fit for a word. What is no JSON at all may be right for its word: only what is JSON as far as it
/// goes is bounded. `bytes`: the body is bytes to its word, whatever they look like.
pub(crate) fn check(
    headers: &[(String, String)],
    body: &[u8],
    bytes: bool,
    bounds: &JsonBounds,
) -> Result<(), Unfit> {
    let size = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len();
    // Twice what JSON may have: nothing is made of bytes but a copy.
    let limit = bounds.bytes.saturating_mul(2);
    if size > limit {
        return Err(Unfit::Large { bytes: size, limit });
    }
    let mut left = *bounds;
    for (name, value) in headers {
        if !name.chars().all(is_printable) {
            return Err(Unfit::Name);
        }
        let counted = check_header(value, &left);
        left.nodes -= counted.map_err(|problem| Unfit::Json { part: format!("header {name}"), problem })?;
    }
    if bytes || !may_be_nested(body) {
        return Ok(());
    }
    match check_json(body, &left) {
        Ok(_) | Err(JsonError::Syntax { .. }) => Ok(()),
        Err(problem) => Err(Unfit::Json { part: "the body".to_owned(), problem }),
    }
}

/// How much JSON is in a header; text is none. What is nested so deeply that nobody reads it is text, too: the name of a
/// folder can be anything.
fn check_header(value: &str, bounds: &JsonBounds) -> Result<usize, JsonError> {
    if !may_be_nested(value.as_bytes()) {
        return Ok(0);
    }
    let deepest = JsonBounds { depth: JsonBounds::DEEPEST, nodes: usize::MAX, ..*bounds };
    let is_text = |error: &JsonError| matches!(error, JsonError::Syntax { .. } | JsonError::Deep { .. });
    match check_json(value.as_bytes(), bounds) {
        Err(JsonError::Syntax { .. }) => Ok(0),
        Err(JsonError::Deep { .. }) if check_json(value.as_bytes(), &deepest).is_err_and(|e| is_text(&e)) => {
            Ok(0)
        }
        counted => counted,
    }
}

/// Whether a text may be an array or an object.
fn may_be_nested(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'[' | b'{'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: JsonBounds = JsonBounds { bytes: 10_000, depth: 4, nodes: 100 };

    fn headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of_body(body: &str) -> Result<(), Unfit> {
        check(&[], body.as_bytes(), false, &BOUNDS)
    }

    fn of_header(value: &str) -> Result<(), Unfit> {
        check(&headers(&[("args", value)]), b"", false, &BOUNDS)
    }

    #[test]
    fn a_body_is_bounded_as_far_as_it_is_json() {
        let too_deep = of_body(" [[[[[0]]]]]").unwrap_err();
        assert_eq!(
            (too_deep.slug(), too_deep.to_string().as_str()),
            ("too-large", "the body is nested more than 4 deep")
        );
        assert_eq!(of_body(&"[".repeat(9_000)).unwrap_err(), too_deep, "whatever follows");
        let many = format!("[{}0]", "0,".repeat(100));
        assert_eq!(of_body(&many).unwrap_err().to_string(), "the body has more than 100 values and names");
        assert_eq!(of_body(r#"{"a\u0001":0}"#).unwrap_err().slug(), "invalid");
        for fit in ["", "[[[[0]]]]", "{\"a\":", "no JSON [[[[[[[[", "\"[[[[[[\"", "[\u{1}[[[[[[["] {
            assert_eq!(of_body(fit), Ok(()), "{fit}");
        }
    }

    #[test]
    fn what_is_bytes_to_its_word_may_look_like_anything() {
        let body = "[".repeat(15_000);
        assert_eq!(check(&[], body.as_bytes(), true, &BOUNDS), Ok(()));
        let error = check(&[], &[0; 20_001], true, &BOUNDS).unwrap_err();
        assert_eq!(error.to_string(), "the message has 20001 bytes; the limit is 20000");
    }

    #[test]
    fn headers_are_bounded_where_they_are_json_and_all_together() {
        assert_eq!(
            of_header("[[[[[0]]]]]").unwrap_err().to_string(),
            "header args is nested more than 4 deep"
        );
        for text in ["[", "[[[[[[[ my folder", "{}{", "[abc]", &"[".repeat(500)] {
            assert_eq!(of_header(text), Ok(()), "{text} is text");
        }
        let part = format!("[{}0]", "0,".repeat(48));
        let two = headers(&[("a", &part), ("b", &part)]);
        assert_eq!(check(&two, b"", false, &BOUNDS), Ok(()));
        assert_eq!(check(&two, b"[]", false, &BOUNDS).unwrap_err().slug(), "too-large");
        assert_eq!(check(&headers(&[("a\u{1}", "")]), b"", false, &BOUNDS), Err(Unfit::Name));
    }

    proptest! {
        #[test]
        fn no_message_is_too_odd(
            names in prop::collection::vec(any::<String>(), 0..4),
            value in r#"([\[\]{}:,]|"[a-z]{0,2}"|[0-9]|\\u00[01][0-9]){0,40}"#,
            body: Vec<u8>,
            bytes: bool,
        ) {
            let headers: Vec<_> = names.into_iter().map(|name| (name, value.clone())).collect();
            let _ = check(&headers, &body, bytes, &BOUNDS);
            if check(&headers, value.as_bytes(), false, &BOUNDS).is_ok() {
                for text in headers.iter().map(|(_, value)| value).chain([&value]) {
                    prop_assert!(serde_json::from_str(text).map_or(true, |it| depth(&it) <= BOUNDS.depth));
                }
            }
        }
    }

    fn depth(value: &serde_json::Value) -> u32 {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}
