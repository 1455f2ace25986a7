//! XML-RPC values and calls to and from XML, without I/O: bytes in, values out, and back.
//!
//! The format is the one of <http://xmlrpc.com/spec.md>, read with the tolerance real clients need and written
//! in the form the oldest of them understand: never `<i8>` or `<nil/>`, doubles without an exponent, an XML
//! declaration in front, no character XML cannot carry. Whoever wants the wire, the methods or HTTP looks elsewhere.
//!
//! - [`Value`]: what a parameter or a result can be
//! - [`Call`], [`Response`], [`Fault`]: what is said about values, with the numbers of the faults in [`code`]
//! - [`parse_call`], [`parse_response`] within [`Limits`], failing with a [`ParseError`]
//! - [`write_call`], [`write_response`], [`write_fault`]; [`write_answer`], which leaves out what it cannot write
//! - [`Params`]: the parameters of a call in their places
//! - [`to_json`], [`from_json`]: the same values as JSON; [`shown_json`], which leaves out what has no value; [`write_json`] its text, without a copy in between
//! - [`to_value`], [`from_value`]: whatever serde knows as values and back
//! - [`excerpt`]: at most 80 characters of somebody else's text, fit for a message

mod value;

mod message;

mod parse;
mod write;

mod params;

mod json;
mod serde;

pub use json::{JsonError, from_json, shown_json, to_json, write_json};
pub use message::{Call, Fault, Response, code};
pub(crate) use params::FromValue;
pub use params::{Mismatch, Params};
pub use parse::{Limits, ParseError, parse_call, parse_response};
pub use serde::{DATE_TIME, Problem, ValueError, from_value, to_value};
pub use value::Value;
pub use vocable_protocol::excerpt;
pub use write::{WriteError, write_answer, write_call, write_fault, write_response};
