//! The copy engine: trees of files, compared, sent and received. Used by the command line and by the agent alike.

pub mod arrival;
pub mod exclude;
pub mod landing;
pub mod listing;
pub mod local;
pub mod path;
pub mod plan;
pub mod tree;
