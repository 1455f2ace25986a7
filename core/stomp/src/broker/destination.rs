//! Names of destinations and patterns over them: `/queue/a.b`, `/topic/a.*.c`, `/queue/a.>`.
//!
//! Owns what is a legal name, what a pattern matches and whether one pattern lies within another. Does not
//! decide who may use which (see [`super::access`]).

use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The longest name or pattern, in bytes.
pub const MAX_DESTINATION: usize = 512;

/// What a destination does with a message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `/queue/…`: keeps it until one consumer has dealt with it.
    Queue,
    /// `/topic/…`: gives it to everybody who listens now, and keeps nothing.
    Topic,
}

impl Kind {
    /// What the names of this kind begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Queue => "/queue/",
            Self::Topic => "/topic/",
        }
    }
}

/// The name of one queue or topic; cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Destination {
    name: Arc<str>,
    kind: Kind,
}

impl Destination {
    /// Reads a name without wildcards.
    pub fn parse(name: &str) -> Result<Self, DestinationError> {
        let (kind, rest) = split(name)?;
        if rest.split('.').any(|segment| matches!(segment, "*" | ">")) {
            return Err(DestinationError::Wildcard(name.to_owned()));
        }
        Ok(Self { name: name.into(), kind })
    }

    /// The whole name, `/queue/` included.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Queue or topic.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.name.get(self.kind.prefix().len()..).unwrap_or_default().split('.')
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A set of destinations of one kind: `*` stands for one segment, `>` at the end for one or more.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    kind: Kind,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Segment {
    /// `>`, only as the last one.
    Rest,
    /// `*`.
    Any,
    Literal(String),
}

impl Pattern {
    /// Reads a name with or without wildcards.
    pub fn parse(pattern: &str) -> Result<Self, DestinationError> {
        let (kind, rest) = split(pattern)?;
        let segments: Vec<Segment> = rest.split('.').map(Segment::parse).collect();
        match segments.iter().position(|segment| *segment == Segment::Rest) {
            Some(at) if at + 1 < segments.len() => Err(DestinationError::RestInside(pattern.to_owned())),
            _ => Ok(Self { kind, segments }),
        }
    }

    /// Queues or topics.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it stands for more than one destination.
    pub fn is_wild(&self) -> bool {
        self.segments.iter().any(|segment| !matches!(segment, Segment::Literal(_)))
    }

    /// The one destination it stands for, if it has no wildcard.
    pub fn exact(&self) -> Option<Destination> {
        if self.is_wild() {
            None
        } else {
            Some(Destination { name: self.to_string().into(), kind: self.kind })
        }
    }

    /// Whether `destination` belongs to the set.
    pub fn matches(&self, destination: &Destination) -> bool {
        if self.kind != destination.kind {
            return false;
        }
        let mut names = destination.segments();
        for segment in &self.segments {
            match (segment, names.next()) {
                (Segment::Rest, name) => return name.is_some(),
                (Segment::Any, Some(_)) => {}
                (Segment::Literal(literal), Some(name)) if literal == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Whether every destination of `other` belongs to this set as well.
    pub fn contains(&self, other: &Self) -> bool {
        if self.kind != other.kind {
            return false;
        }
        let mut others = other.segments.iter();
        for segment in &self.segments {
            match (segment, others.next()) {
                (Segment::Rest, theirs) => return theirs.is_some(),
                (Segment::Any, Some(Segment::Any | Segment::Literal(_))) => {}
                (Segment::Literal(literal), Some(Segment::Literal(theirs))) if literal == theirs => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// Replaces `{login}` by a name, dots and all. The name is taken literally: a login of `>` is no wildcard.
    #[must_use]
    pub fn for_login(&self, login: &str) -> Self {
        let segments = self.segments.iter().flat_map(|segment| segment.for_login(login)).collect();
        Self { kind: self.kind, segments }
    }
}

impl Segment {
    fn parse(segment: &str) -> Self {
        match segment {
            ">" => Self::Rest,
            "*" => Self::Any,
            literal => Self::Literal(literal.to_owned()),
        }
    }

    fn for_login(&self, login: &str) -> Vec<Self> {
        match self {
            Self::Literal(literal) if literal.contains("{login}") => {
                let named = literal.replace("{login}", login);
                named.split('.').map(|part| Self::Literal(part.to_owned())).collect()
            }
            other => vec![other.clone()],
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
        for (at, segment) in self.segments.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match segment {
                Segment::Rest => write!(f, "{dot}>")?,
                Segment::Any => write!(f, "{dot}*")?,
                Segment::Literal(literal) => write!(f, "{dot}{literal}")?,
            }
        }
        Ok(())
    }
}

/// Why a text names no destination.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum DestinationError {
    /// Two dots in a row, or one at an end, or nothing behind `/queue/`.
    #[error("destination {:?} has an empty segment", excerpt(.0))]
    EmptySegment(String),
    /// A control character, or a wildcard inside a segment.
    #[error("destination {:?} has {stray:?}, which is not allowed there", excerpt(.name))]
    Character { name: String, stray: char },
    /// Longer than [`MAX_DESTINATION`].
    #[error("destination of {0} bytes, the limit is {MAX_DESTINATION}")]
    Long(usize),
    /// Neither queue nor topic.
    #[error("destination {:?} begins with neither /queue/ nor /topic/", excerpt(.0))]
    Prefix(String),
    /// A `>` that is not the last segment.
    #[error("destination pattern {:?} has '>' before its end", excerpt(.0))]
    RestInside(String),
    /// A wildcard where one destination is meant.
    #[error("destination {:?} has a wildcard, which only SUBSCRIBE may have", excerpt(.0))]
    Wildcard(String),
}

/// The first 80 characters, enough to recognise a hostile text by.
pub(crate) fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(80).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

fn split(name: &str) -> Result<(Kind, &str), DestinationError> {
    if name.len() > MAX_DESTINATION {
        return Err(DestinationError::Long(name.len()));
    }
    let found = [Kind::Queue, Kind::Topic]
        .into_iter()
        .find_map(|kind| Some((kind, name.strip_prefix(kind.prefix())?)));
    let (kind, rest) = found.ok_or_else(|| DestinationError::Prefix(name.to_owned()))?;
    for segment in rest.split('.') {
        check(name, segment)?;
    }
    Ok((kind, rest))
}

fn check(name: &str, segment: &str) -> Result<(), DestinationError> {
    let wild = matches!(segment, "*" | ">");
    let stray = |c: &char| c.is_control() || (!wild && matches!(c, '*' | '>'));
    match segment.chars().find(stray) {
        Some(stray) => Err(DestinationError::Character { name: name.to_owned(), stray }),
        None if segment.is_empty() => Err(DestinationError::EmptySegment(name.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn name(text: &str) -> Destination {
        Destination::parse(text).unwrap()
    }

    #[test]
    fn a_star_is_one_segment_and_the_arrow_is_the_rest() {
        for (set, inside, outside) in [
            ("/queue/a.b", "/queue/a.b", "/queue/a.b.c"),
            ("/queue/a.*", "/queue/a.b", "/queue/a.b.c"),
            ("/queue/a.>", "/queue/a.b.c", "/queue/a"),
            ("/queue/*.b", "/queue/x.b", "/queue/b"),
            ("/queue/>", "/queue/x", "/topic/x"),
        ] {
            assert!(pattern(set).matches(&name(inside)), "{inside} belongs to {set}");
            assert!(!pattern(set).matches(&name(outside)), "{outside} does not belong to {set}");
        }
    }

    #[test]
    fn a_set_contains_only_what_lies_wholly_within() {
        for (outer, inner, expected) in [
            ("/queue/a.>", "/queue/a.>", true),
            ("/queue/a.>", "/queue/a.*", true),
            ("/queue/a.>", "/queue/a.*.c.>", true),
            ("/queue/a.*", "/queue/a.>", false),
            ("/queue/a.*", "/queue/a.b", true),
            ("/queue/a.b", "/queue/a.*", false),
            ("/queue/a.b", "/queue/>", false),
            ("/queue/>", "/topic/>", false),
            ("/queue/*.>", "/queue/>", false),
        ] {
            assert_eq!(pattern(outer).contains(&pattern(inner)), expected, "{outer} ⊇ {inner}");
        }
    }

    #[test]
    fn a_login_is_taken_literally() {
        let own = pattern("/queue/in.{login}");
        assert!(own.for_login("a.b").matches(&name("/queue/in.a.b")));
        assert!(!own.for_login(">").matches(&name("/queue/in.x")));
        assert!(!own.for_login("*").contains(&pattern("/queue/in.*")));
    }

    #[test]
    fn names_that_are_none_are_refused_with_the_reason() {
        let said = |text: &str| Destination::parse(text).unwrap_err().to_string();
        assert_eq!(said("a"), "destination \"a\" begins with neither /queue/ nor /topic/");
        assert_eq!(said("/queue/"), "destination \"/queue/\" has an empty segment");
        assert_eq!(said("/queue/a..b"), "destination \"/queue/a..b\" has an empty segment");
        assert_eq!(said("/queue/a*"), "destination \"/queue/a*\" has '*', which is not allowed there");
        assert_eq!(said("/queue/a\n"), "destination \"/queue/a\\n\" has '\\n', which is not allowed there");
        assert_eq!(
            said("/queue/a.>"),
            "destination \"/queue/a.>\" has a wildcard, which only SUBSCRIBE may have"
        );
        assert_eq!(
            said(&format!("/queue/{}", "é".repeat(300))),
            "destination of 607 bytes, the limit is 512"
        );
        assert!(matches!(Pattern::parse("/queue/>.a"), Err(DestinationError::RestInside(_))));
        assert!(said(&"x".repeat(500)).len() < 200, "hostile text is not echoed whole");
    }

    fn segments(wild: bool) -> impl Strategy<Value = String> {
        let one = if wild { "[ab*]" } else { "[ab]" };
        let end = if wild { "(\\.>)?" } else { "" };
        proptest::string::string_regex(&format!("/queue/{one}(\\.{one}){{0,3}}{end}")).unwrap()
    }

    proptest! {
        #[test]
        fn containment_agrees_with_matching(outer in segments(true), inner in segments(true), one in segments(false)) {
            let (outer, inner, one) = (pattern(&outer), pattern(&inner), name(&one));
            if outer.contains(&inner) && inner.matches(&one) {
                prop_assert!(outer.matches(&one));
            }
            prop_assert!(inner.contains(&inner));
            prop_assert_eq!(pattern(&inner.to_string()), inner);
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(text in ".{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
