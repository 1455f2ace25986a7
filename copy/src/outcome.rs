//! What came of a copy, and what failed of it.

use crate::path::{TreePath, shown};
use crate::plan::Plan;

/// Failures that are listed one by one; of more only the number.
const LISTED: usize = 100;

/// Something that could not be copied.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Failed {
    /// What, escaped.
    pub path: String,
    /// The slug.
    pub code: String,
    /// Why.
    pub message: String,
}

impl Failed {
    /// What failed, and why, in one line.
    pub fn line(&self) -> String {
        let Self { path, message, .. } = self;
        // What a guest or the system has refused may name it already.
        let named = path.is_empty()
            || message.starts_with(&format!("{path}: "))
            || message.contains(&format!("/{path}: "))
            || message.contains(&format!("'{path}'"));
        if named { message.clone() } else { format!("{path}: {message}") }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Outcome {
    /// Files that are whole now.
    pub files: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// What failed, as far as it is listed.
    pub failed: Vec<Failed>,
    /// How much failed.
    pub failures: u64,
    /// Why it ended early, if it did: nothing after that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Failed>,
    /// The digest of the last file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Outcome {
    /// Notes a failure.
    pub fn failed(&mut self, path: &TreePath, code: &str, message: impl Into<String>) {
        self.failures += 1;
        if self.failed.len() < LISTED {
            let failed = Failed { path: path.to_string(), code: code.to_owned(), message: message.into() };
            self.failed.push(failed);
        }
    }

    /// Adds what came of the next part of the same copy.
    pub fn add(&mut self, more: Self) {
        self.files += more.files;
        self.bytes += more.bytes;
        self.failures += more.failures;
        self.failed.extend(more.failed);
        self.failed.truncate(LISTED);
        self.ended = more.ended;
        self.sha256 = more.sha256.or(self.sha256.take());
    }

    /// Whether nothing has failed.
    pub const fn is_whole(&self) -> bool {
        self.failures == 0 && self.ended.is_none()
    }

    /// Notes what a plan leaves out.
    pub fn add_unplanned(&mut self, plan: &Plan) {
        for (path, refusal) in plan.refused() {
            self.failed(&path, refusal.code(), refusal.of(&shown(&path)));
        }
        for path in plan.others() {
            let what = format!("{} is neither a file nor a folder nor a link", shown(&path));
            self.failed(&path, "not-copied", what);
        }
    }
}
