//! How bytes of a path travel as one word of a line: `%XX`, and the backslash escapes of Condor's clients.

use std::fmt::Write;

/// A word is no path: what is wrong with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadEscape {
    /// `%` without two hexadecimal digits after it.
    #[error("a % without two hexadecimal digits")]
    Digits,
    /// A NUL or a line feed: no name has one, and a listing couldn't show it.
    #[error("a NUL or a line feed in a name")]
    Forbidden,
}

/// As `%XX` whatever isn't safe in a line: so also every byte beyond ASCII, which the real client gets wrong.
pub fn encode(path: &[u8]) -> String {
    let mut word = String::with_capacity(path.len() + 8);
    for &byte in path {
        if byte > b' ' && byte < b'{' && !b"%\\<>'\"".contains(&byte) {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "%{byte:02X}"); // a String takes everything
        }
    }
    word
}

/// The bytes of a word.
pub fn decode(word: &[u8]) -> Result<Vec<u8>, BadEscape> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(BadEscape::Digits) };
        let digits = digit(*high).zip(digit(*low)).ok_or(BadEscape::Digits)?;
        path.push(digits.0 << 4 | digits.1);
        rest = after;
    }
    if path.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return Err(BadEscape::Forbidden);
    }
    Ok(path)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_real_client_gets_wrong_is_right_here() {
        assert_eq!(encode("/ü a\t%.txt".as_bytes()), "/%C3%BC%20a%09%25.txt");
        assert_eq!(decode(b"/%c3%BC%20a%09%25.txt").unwrap(), "/ü a\t%.txt".as_bytes());
    }

    #[test]
    fn half_an_escape_is_refused_as_is_a_line_feed() {
        assert_eq!(decode(b"/a%"), Err(BadEscape::Digits));
        assert_eq!(decode(b"/a% A"), Err(BadEscape::Digits));
        assert_eq!(decode(b"/a%zz"), Err(BadEscape::Digits));
        assert_eq!(decode(b"/a%00b"), Err(BadEscape::Forbidden));
        assert_eq!(decode(b"/a%0Ab"), Err(BadEscape::Forbidden));
    }

    proptest! {
        #[test]
        fn every_name_survives(path in proptest::collection::vec(any::<u8>().prop_filter("no name", |byte| !matches!(byte, 0 | b'\n')), 0..300)) {
            let word = encode(&path);
            prop_assert!(word.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(word.as_bytes()).unwrap(), path);
        }

        #[test]
        fn any_word_is_decoded_or_refused(word in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(path) = decode(&word) {
                prop_assert!(path.len() <= word.len());
                prop_assert_eq!(decode(encode(&path).as_bytes()).unwrap(), path);
            }
        }
    }
}
