//! The copy engine: trees of files, compared, sent and received. Used by the command line and by the agent alike, which
//! reach a guest in different ways ([`Remote`]).
//!
//! In reading order: [`path`], [`tree`] and [`listing`] (what travels), [`plan`] (what has to travel), [`exclude`],
//! [`local`], [`writer`] and [`arrival`] (trees on this machine, read and written), [`outcome`], [`remote`] (the other
//! side), [`push`] and [`pull`].

pub mod arrival;
pub mod exclude;
pub mod listing;
pub mod local;
pub mod outcome;
pub mod path;
pub mod plan;
pub mod pull;
pub mod push;
pub mod remote;
pub mod tree;
pub mod writer;

pub use outcome::{Failed, Outcome};
pub use pull::pull;
pub use push::{Source, push};
pub use remote::{Copied, CopyError, Progress, Remote, Settings};
