//! What is wrong with a configuration, and how the list of it looks.
//!
//! Finding problems is the other modules' work; this one sorts, counts and lays them out.

use std::fmt;

use serde::Serialize;

use crate::origin::Origin;

/// Width of `warning` and the gap after it.
const SEVERITY_WIDTH: usize = 9;

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it was written.
    #[serde(flatten)]
    pub origin: Origin,
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// Dotted key it is about; empty if it is about a whole file.
    pub key: String,
    /// A sentence that names the key and the value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn error(origin: Origin, key: &str, message: String) -> Self {
        Self { origin, severity: Severity::Error, key: key.to_owned(), message, hint: None }
    }

    pub(crate) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

/// Whether a configuration with a problem can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably means something else.
    Warning,
}

/// What an agent's own check has to say about a key; [`crate::load`] adds its place and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(crate) severity: Severity,
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// A value that cannot be used. `key` is dotted, elements of arrays in brackets: `broker.listen[1]`.
    pub fn error(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, key: key.into(), message: message.into(), hint: None }
    }

    /// A value that can be used, but probably should not.
    pub fn warning(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, message) }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// All problems of a configuration, by file and line. Serializes as `{"problems": […]}`.
///
/// Displays as a listing: a heading for each file, a line for each problem, and a count at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    problems: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self { problems }
    }

    /// Every problem, in the order of the listing.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Number of problems of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter().filter(|problem| problem.severity == severity).count()
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.problems.chunk_by(|a, b| heading(&a.origin) == heading(&b.origin)) {
            write_group(f, group)?;
        }
        let count = |severity, name| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {name}")),
            many => Some(format!("{many} {name}s")),
        };
        let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        if counts.is_empty() { f.write_str("no problems") } else { f.write_str(&counts.join(", ")) }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

fn heading(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File { path, .. } => path.display().to_string(),
        Origin::Environment { .. } => "environment".to_owned(),
        Origin::Flag { .. } => "command line".to_owned(),
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, group: &[Problem]) -> fmt::Result {
    let line_width = group.iter().map(|problem| line_number(&problem.origin).len()).max().unwrap_or_default();
    let labels: Vec<_> = group.iter().map(|problem| label(&problem.origin, line_width)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    let width = if width > 0 { width + 1 } else { 0 };
    if let Some(first) = group.first() {
        writeln!(f, "{}", heading(&first.origin))?;
    }
    group.iter().zip(labels).try_for_each(|(problem, label)| write_problem(f, problem, &label, width))
}

fn write_problem(f: &mut fmt::Formatter<'_>, problem: &Problem, label: &str, width: usize) -> fmt::Result {
    write!(f, " {label:<width$}{:<SEVERITY_WIDTH$}{}", problem.severity, problem.message)?;
    match &problem.hint {
        None => writeln!(f),
        Some(hint) if hint.starts_with("did you mean") => writeln!(f, "; {hint}"),
        Some(hint) => writeln!(f, "\n{:indent$}{hint}", "", indent = 1 + width + SEVERITY_WIDTH),
    }
}

fn line_number(origin: &Origin) -> String {
    match origin {
        Origin::File { position: Some(position), .. } => position.line.to_string(),
        _ => String::new(),
    }
}

/// `line:col`, or the name of the variable or flag.
fn label(origin: &Origin, line_width: usize) -> String {
    match origin {
        Origin::File { position: Some(at), .. } => format!("{:>line_width$}:{}", at.line, at.col),
        Origin::Environment { variable } => variable.clone(),
        Origin::Flag { flag } => flag.clone(),
        Origin::Default | Origin::File { position: None, .. } => String::new(),
    }
}
