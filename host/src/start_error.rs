//! Why the agent cannot start, or ended by itself.

/// What failed, with what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What kind of failure: lower case with dashes.
    pub code: &'static str,
    /// What failed: one line, no full stop.
    pub message: String,
    /// Why, in the words of whoever knows.
    pub cause: Option<String>,
    /// A command to paste, or one thing to do.
    pub hint: Option<String>,
}

impl StartError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None, hint: None }
    }

    pub(crate) fn cause(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
