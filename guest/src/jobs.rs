//! jobs
pub(crate) mod error;
pub(crate) mod folder;
pub(crate) mod launch;
pub(crate) mod limits;
pub(crate) mod lines;
pub(crate) mod processes;
pub(crate) mod program;
pub(crate) mod record;
pub(crate) mod results;

/// Which of a command's two output streams.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Standard error.
    Err,
    /// Standard output.
    Out,
}

impl Part {
    /// The name on the wire and of the spool file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Out => "out",
        }
    }
}

/// What to do when a job's spool takes no more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// End the command; its results say what was left out.
    Kill,
    /// Read no more: the command waits in its next write.
    #[default]
    Pause,
}
