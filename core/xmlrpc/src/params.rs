//! The parameters of a call in their places, and how single values become Rust types. Whole sets of them are read by
//! [`from_value`](crate::from_value). Not here: what a method takes.

use crate::Value;

mod from_value;

pub(crate) use from_value::FromValue;
pub use from_value::Mismatch;

/// The parameters of one call. Of a call that names them, some may be left out in front of others.
#[derive(Debug, Default)]
pub struct Params(Vec<Option<Value>>);

impl Params {
    /// The parameters in their places; None stands for one left out.
    pub const fn sparse(values: Vec<Option<Value>>) -> Self {
        Self(values)
    }

    /// The parameters, for a look at them.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Value>> {
        self.0.iter().map(Option::as_ref)
    }

    /// The parameters in their places.
    pub fn into_values(self) -> Vec<Option<Value>> {
        self.0
    }
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self(values.into_iter().map(Some).collect())
    }
}
