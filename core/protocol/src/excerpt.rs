//! Somebody else's text in our messages: quoted, one line, never more than 80 characters of it.

/// How many characters of foreign text a message may repeat.
const EXCERPT: usize = 80;

/// The text in double quotes, control characters escaped, cut with `…` where it has more than 80 characters.
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().flat_map(escaped).take(EXCERPT).collect();
    if text.chars().flat_map(escaped).nth(EXCERPT).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// Quotes stay readable; what would move a terminal's cursor does not get through.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let quote = matches!(character, '"' | '\'').then_some(character);
    let other = quote.is_none().then(|| character.escape_debug());
    quote.into_iter().chain(other.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_quoted_as_it_is() {
        assert_eq!(excerpt("vm1's \"ü\""), "\"vm1's \"ü\"\"");
        assert_eq!(excerpt(""), "\"\"");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(excerpt(&"x".repeat(80)), format!("\"{}\"", "x".repeat(80)));
        assert_eq!(excerpt(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(80)));
        assert_eq!(excerpt(&"\u{1b}".repeat(1000)).chars().count(), 83);
    }

    #[test]
    fn no_control_character_gets_through() {
        assert_eq!(excerpt("a\r\n\u{1b}[2J"), "\"a\\r\\n\\u{1b}[2J\"");
    }
}
