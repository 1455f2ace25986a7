//! What a host agent and a guest agent agree on, in one place: names and documents on the wire, in the shape in which
//! they are written down, too. Pure: no I/O, no clock.
//!
//! - [`Mailbox`], [`HOST`], [`header`]: where messages go, and what the agents write on their envelopes.
//! - [`Event`]: what words are bound to; [`Facts`]: what a guest says of itself when it joins.
//! - [`Program`], [`Options`], [`Part`], [`Results`], [`ReportedResults`], [`Usage`], [`InputStatus`]: a command from
//!   what is asked for to what came of it.
//! - [`files_secret`], [`FILES_SERVICE`]: how files are reached.
//! - [`excerpt`]: other people's text in messages.
//!
//! Words know none of this: they depend on nothing but their SDK.

mod excerpt;

mod destinations;
mod events;
mod facts;
mod files;
pub mod header;
mod lenient;

mod limits;
mod options;
mod part;
mod program;
mod results;
mod usage;

pub use self::destinations::{HOST, Mailbox, is_guest_id};
pub use self::events::Event;
pub use self::excerpt::excerpt;
pub use self::facts::{Facts, FilesFact};
pub use self::files::{FILES_SERVICE, files_secret};
pub use self::limits::{Limit, LimitedResource};
pub use self::options::{
    OnDisconnect, OptionError, OptionName, Options, STREAMED, TerminalSize, terminal_side,
};
pub use self::part::Part;
pub use self::program::Program;
pub use self::results::{
    EndState, Failure, FailureCode, LeftOut, ReportedResults, Resources, Results, sha256_hex,
};
pub use self::usage::{InputStatus, Usage, UsageSource};
