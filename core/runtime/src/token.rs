//! The first token of a body: the word. Bytes in, token out.

/// The longest word.
const MAX_WORD: usize = 32;
/// How much is shown of what is not a word.
const MAX_SHOWN: usize = 40;

/// Whether a text can be the name of a word: `[A-Z][A-Z0-9_-]{0,31}`.
pub fn is_word_name(text: &str) -> bool {
    let follows =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    text.len() <= MAX_WORD
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(follows)
}

/// Takes a body apart: the first token, up to a blank or the end, and where the rest begins. The token
/// can be anything; [`is_word_name`] tells.
pub(crate) fn split(body: &[u8]) -> (&[u8], usize) {
    let end = body.iter().position(u8::is_ascii_whitespace).unwrap_or(body.len());
    let (token, _) = body.split_at(end);
    (token, body.len().min(end + 1))
}

/// A token as it can be shown to people and put into a message: short and printable.
pub(crate) fn printable(token: &[u8]) -> String {
    // Four bytes a character, so that no more is decoded than will be shown.
    let start = token.get(..4 * (MAX_SHOWN + 1)).unwrap_or(token);
    let text = String::from_utf8_lossy(start);
    let mut shown: String =
        text.chars().take(MAX_SHOWN).map(|c| if is_printable(c) { c } else { '?' }).collect();
    if text.chars().count() > MAX_SHOWN {
        shown.push('…');
    }
    shown
}

/// Neither a control character nor one that changes how its neighbours are shown.
fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().nth(1).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The word that a body begins with, and where the rest of the body does.
    fn word(body: &[u8]) -> Option<(&str, usize)> {
        let (token, rest) = split(body);
        let word = str::from_utf8(token).ok()?;
        is_word_name(word).then_some((word, rest))
    }

    #[test]
    fn a_word_ends_at_a_blank_or_with_the_body() {
        assert_eq!(word(b"HELLO"), Some(("HELLO", 5)));
        assert_eq!(word(b"DF {\"path\":\"/\"}"), Some(("DF", 3)));
        assert_eq!(word(b"CMD_RESULTS  two blanks"), Some(("CMD_RESULTS", 12)));
        assert_eq!(word(b"X-1\n\xff"), Some(("X-1", 4)));
    }

    #[test]
    fn what_is_no_word_is_none() {
        for body in [&b""[..], b" DF", b"df", b"1DF", b"_DF", b"DF\0", b"D\xc3\x84", b"DF.", &[b'A'; 33]] {
            assert_eq!(word(body), None, "{body:?}");
        }
        assert!(is_word_name(&"A".repeat(32)));
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(printable(b"d\x1b[31mf"), "d?[31mf");
        assert_eq!(printable("\"\u{202e}ü\"".as_bytes()), "\"?ü\"");
        assert_eq!(printable(&[b'x'; 1 << 20]), format!("{}…", "x".repeat(40)));
    }

    proptest! {
        #[test]
        fn any_body_is_taken_apart_without_loss(body: Vec<u8>) {
            let (token, rest) = split(&body);
            prop_assert!(body.starts_with(token) && rest <= body.len() && rest - token.len() <= 1);
            prop_assert!(!token.iter().any(u8::is_ascii_whitespace));
            prop_assert!(printable(token).chars().count() <= MAX_SHOWN + 1);
            prop_assert!(!printable(token).chars().any(char::is_control));
        }

        #[test]
        fn what_is_written_is_read(name in "[A-Z][A-Z0-9_-]{0,31}", rest: Vec<u8>) {
            let body = [name.as_bytes(), b" ", &rest].concat();
            let (word, at) = word(&body).unwrap();
            prop_assert_eq!((word, &body[at..]), (name.as_str(), &rest[..]));
        }

        #[test]
        fn only_words_are_words(text in "[ -~]{0,40}") {
            let letters = text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-'));
            let first = text.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
            prop_assert_eq!(is_word_name(&text), letters && first && text.len() <= 32);
        }
    }
}
