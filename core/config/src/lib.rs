//! Layered TOML configuration that knows where each value came from.
//!
//! ```text
//! flag > environment > user file > conf.d (last wins) > main file > default
//! ```
//! Tables merge, everything else replaces. [`load`] reads the [`Sources`], merges them into one tree in
//! which every value remembers its [`Origin`], and reads the agent's own type out of that tree. It reports
//! *all* problems at once, each with its place and, where one is close, what was probably meant.
//!
//! The crate knows no key: an agent describes itself with an [`Application`], whose commented default file
//! names every key, and a type that deserializes from it. What the type has no field for is an unknown key.
//!
//! It never prints and never looks at the environment or the home directory itself; files named by the
//! [`Sources`] are all that it reads, and what [`write_private`] is given is all that it writes.
//!
//! Reading order: `sources` (what goes in), `origin`, `tree` and `parse` (values with places), `layers`
//! (merging), `shape` and `reader` (from tree to type), `suggestion` and `wording` (what people are told),
//! `problem` and `entry` (what comes out), `loading` (all of it together); then the value types `quantity`,
//! `span`, `size`, `or_none`; `places`, the standard folders, and `private`, files in them that are nobody else's.

mod sources;

mod origin;
mod parse;
mod tree;

mod layers;

mod reader;
mod shape;

mod suggestion;
mod wording;

mod entry;
mod problem;

mod loading;

mod or_none;
mod quantity;
mod size;
mod span;

mod places;
mod private;

pub use entry::{Entry, Listing};
pub use loading::{Loaded, load};
pub use or_none::OrNone;
pub use origin::{Origin, Position};
pub use places::{NoHome, Places};
pub use private::{private, write_private};
pub use problem::{Finding, Problem, Problems, Severity};
pub use size::{Size, SizeError};
pub use sources::{Application, FileSource, NamedTables, Setting, Sources};
pub use span::{Span, SpanError};
