//! From TOML text to nodes with places. The grammar is the `toml` crate's; this module only translates.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::origin::{Origin, Position};
use crate::problem::Problem;
use crate::tree::{Node, Value, join};
use crate::wording::shorten;

/// Syntax errors told of one file: after a few the parser is mostly misunderstanding.
const MAX_SYNTAX_ERRORS: usize = 5;

/// Finds the place of a byte offset.
type Locate<'a> = &'a dyn Fn(usize) -> Origin;

/// Reads a file's text. With syntax errors there is no tree: what the parser makes of such a file would
/// only cause more complaints.
pub(crate) fn document(text: &str, locate: Locate<'_>, problems: &mut Vec<Problem>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        problems.extend(syntax_problems(&errors, locate));
        return None;
    }
    let start = locate(0);
    let value = Converter { locate, problems }.table("", table.into_inner());
    Some(Node { path: String::new(), key_origin: start.clone(), origin: start, value })
}

/// Reads the value of a variable or a flag: TOML, or else bare text.
pub(crate) fn value(path: &str, text: &str, origin: &Origin, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = text.trim();
    let value = DeValue::parse(text).unwrap_or_else(|_| Spanned::new(0..0, DeValue::String(text.into())));
    Converter { locate: &|_| origin.clone(), problems }.node(path, 0, value)
}

struct Converter<'a> {
    locate: Locate<'a>,
    problems: &'a mut Vec<Problem>,
}

impl Converter<'_> {
    fn table(&mut self, path: &str, table: DeTable<'_>) -> Value {
        let entry = |(key, value): (Spanned<_>, Spanned<_>)| {
            let key_offset = key.span().start;
            let key = String::from(key.into_inner());
            let node = self.node(&join(path, &key), key_offset, value)?;
            Some((key, node))
        };
        Value::Table(table.into_iter().filter_map(entry).collect())
    }

    fn array(&mut self, path: &str, items: DeArray<'_>) -> Value {
        let item = |(index, item): (usize, Spanned<_>)| {
            self.node(&format!("{path}[{index}]"), item.span().start, item)
        };
        Value::Array(items.into_iter().enumerate().filter_map(item).collect())
    }

    fn node(&mut self, path: &str, key_offset: usize, value: Spanned<DeValue<'_>>) -> Option<Node> {
        let (key_origin, origin) = ((self.locate)(key_offset), (self.locate)(value.span().start));
        let value = match value.into_inner() {
            DeValue::Array(items) => self.array(path, items),
            DeValue::Boolean(boolean) => Value::Boolean(boolean),
            DeValue::Datetime(datetime) => Value::Datetime(datetime),
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() || float.as_str().contains("inf") || number.is_nan() => {
                    Value::Float(number)
                }
                _ => return self.out_of_range(path, origin, &float.to_string()),
            },
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => return self.out_of_range(path, origin, &integer.to_string()),
            },
            DeValue::String(text) => Value::String(text.into()),
            DeValue::Table(table) => self.table(path, table),
        };
        Some(Node { path: path.to_owned(), key_origin, origin, value })
    }

    fn out_of_range(&mut self, path: &str, origin: Origin, number: &str) -> Option<Node> {
        let message = format!("{} = {}: a number has at most 64 bits", shorten(path), shorten(number));
        self.problems.push(Problem::error(origin, path, message));
        None
    }
}

/// The first error of each line; further ones are about the same mistake.
fn syntax_problems(errors: &[toml::de::Error], locate: Locate<'_>) -> Vec<Problem> {
    let problem = |error: &toml::de::Error| {
        let origin = locate(error.span().map_or(0, |span| span.start));
        Problem::error(origin, "", format!("not TOML: {}", error.message()))
    };
    let mut problems: Vec<_> = errors.iter().map(problem).collect();
    problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    problems.dedup_by_key(|problem| line(&problem.origin));
    problems.truncate(MAX_SYNTAX_ERRORS);
    problems
}

fn line(origin: &Origin) -> Option<usize> {
    match origin {
        Origin::File { position, .. } => position.map(|position| position.line),
        _ => None,
    }
}

/// Byte offsets at which the lines of a text begin.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        Position { line, col: before.chars().count() + 1 }
    }
}
