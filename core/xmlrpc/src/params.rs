//! The parameters of a method, taken one after the other by type, with faults that name the parameter, what was
//! expected and what came. Not here: what a method takes.
//!
//! ```
//! # use vocable_xmlrpc::{Fault, Params, Value};
//! fn wait(values: Vec<Value>) -> Result<(String, f64, bool), Fault> {
//!     let mut params = Params::new("vm.wait", values);
//!     let vm = params.required("vm")?;
//!     let timeout = params.optional("timeout_s")?.unwrap_or(20.0);
//!     let mut options = params.options()?;
//!     let quiet = options.take("quiet")?.unwrap_or(false);
//!     options.finish()?;
//!     Ok((vm, timeout, quiet))
//! }
//! assert_eq!(wait(vec![Value::from("vm1"), Value::Int(5)])?, ("vm1".to_owned(), 5.0, false));
//! let fault = wait(vec![Value::Int(1)]).unwrap_err();
//! assert_eq!(fault.text(), "invalid-parameter: vm.wait: parameter 1 \"vm\": expected a string, got int");
//! # Ok::<(), Fault>(())
//! ```

use std::collections::BTreeMap;

use crate::{Fault, Value, code, excerpt};

mod from_value;

pub use from_value::{FromValue, Mismatch};

/// The fault for a parameter that cannot be taken: `invalid-parameter: METHOD: PROBLEM`.
pub fn invalid_parameter(method: &str, problem: &str) -> Fault {
    Fault::new(code::INVALID_PARAMETERS, format!("invalid-parameter: {method}: {problem}"))
}

/// The parameters of one call, taken from the first to the last.
#[derive(Debug)]
pub struct Params {
    method: String,
    values: std::vec::IntoIter<Option<Value>>,
    given: usize,
    taken: usize,
}

impl Params {
    /// The parameters `method` was called with.
    pub fn new(method: impl Into<String>, values: Vec<Value>) -> Self {
        Self::sparse(method, values.into_iter().map(Some).collect())
    }

    /// The parameters of a call that named them: those left out may stand before others.
    pub fn sparse(method: impl Into<String>, values: Vec<Option<Value>>) -> Self {
        Self { method: method.into(), given: values.len(), values: values.into_iter(), taken: 0 }
    }

    /// The parameters that were not taken yet, for a look at them; None stands for one left out.
    pub fn remaining(&self) -> impl Iterator<Item = Option<&Value>> {
        self.values.as_slice().iter().map(Option::as_ref)
    }

    /// The parameters that were not taken yet, in their places; None stands for one left out.
    pub fn into_values(self) -> Vec<Option<Value>> {
        self.values.collect()
    }

    /// The parameters that were not taken yet, without those left out.
    pub fn rest(self) -> Vec<Value> {
        self.values.flatten().collect()
    }

    /// The next parameter.
    ///
    /// # Errors
    /// An `invalid-parameter` fault, if it is missing or of another type.
    pub fn required<T: FromValue>(&mut self, name: &str) -> Result<T, Fault> {
        let value = self.optional(name)?;
        value.ok_or_else(|| self.invalid(&format!("parameter {} \"{name}\" is missing", self.taken)))
    }

    /// The next parameter, or None if no more were given.
    ///
    /// # Errors
    /// An `invalid-parameter` fault, if it is of another type.
    pub fn optional<T: FromValue>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let value = self.values.next().flatten().map(|value| self.typed(name, value)).transpose();
        self.taken += 1;
        value
    }

    /// The last parameter, a struct of options that may be left out. No further parameter is accepted.
    /// An empty array is an empty struct: PHP has one `[]` for both.
    ///
    /// # Errors
    /// An `invalid-parameter` fault, if it is no struct or not the last.
    pub fn options(mut self) -> Result<Options, Fault> {
        let members = match self.values.next().flatten() {
            None => BTreeMap::new(),
            Some(Value::Array(items)) if items.is_empty() => BTreeMap::new(),
            Some(value) => self.typed("options", value)?,
        };
        self.taken += 1;
        let method = self.method.clone();
        self.finish()?;
        Ok(Options::new(method, members))
    }

    /// Makes sure that all parameters were taken.
    ///
    /// # Errors
    /// An `invalid-parameter` fault, if there are more.
    pub fn finish(self) -> Result<(), Fault> {
        if self.given <= self.taken {
            return Ok(());
        }
        let plural = if self.taken == 1 { "" } else { "s" };
        Err(self.invalid(&format!("takes at most {} parameter{plural}, got {}", self.taken, self.given)))
    }

    /// The `invalid-parameter` fault of this method, for what only the method can judge.
    pub fn invalid(&self, problem: &str) -> Fault {
        invalid_parameter(&self.method, problem)
    }

    fn typed<T: FromValue>(&self, name: &str, value: Value) -> Result<T, Fault> {
        let number = self.taken + 1;
        let invalid = |mismatch| self.invalid(&format!("parameter {number} \"{name}\": {mismatch}"));
        T::from_value(value).map_err(invalid)
    }
}

/// The members of an options struct, taken by name in any order.
#[derive(Debug)]
pub struct Options {
    method: String,
    members: BTreeMap<String, Value>,
    known: Vec<&'static str>,
}

impl Options {
    /// The members of any struct that `method` was given.
    pub fn new(method: impl Into<String>, members: BTreeMap<String, Value>) -> Self {
        Self { method: method.into(), members, known: Vec::new() }
    }

    /// The option of that name, or None if it was left out.
    ///
    /// # Errors
    /// An `invalid-parameter` fault, if it is of another type.
    pub fn take<T: FromValue>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        self.known.push(name);
        let value = self.members.remove(name).map(T::from_value).transpose();
        value.map_err(|mismatch| self.invalid(&format!("option \"{name}\": {mismatch}")))
    }

    /// Makes sure that all options were taken; those asked for are the ones the message lists.
    ///
    /// # Errors
    /// An `invalid-parameter` fault naming the first option nobody asked for.
    pub fn finish(mut self) -> Result<(), Fault> {
        let Some(unknown) = self.members.keys().next() else { return Ok(()) };
        self.known.sort_unstable();
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(self.invalid(&format!("unknown option {}; known: {known}", excerpt(unknown))))
    }

    /// The `invalid-parameter` fault of this method, for what only the method can judge.
    pub fn invalid(&self, problem: &str) -> Fault {
        invalid_parameter(&self.method, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(values: impl IntoIterator<Item = Value>) -> Params {
        Params::new("guest.list", values.into_iter().collect())
    }

    fn options<const N: usize>(members: [(&str, Value); N]) -> Options {
        params([Value::from(members)]).options().unwrap()
    }

    #[test]
    fn parameters_are_taken_in_order() {
        let mut params = params([Value::from("vm1"), Value::Int(3), Value::Bool(true)]);
        assert_eq!(params.required::<String>("target").unwrap(), "vm1");
        assert_eq!(params.required::<i32>("count").unwrap(), 3);
        assert_eq!(params.optional::<bool>("wait").unwrap(), Some(true));
        assert_eq!(params.optional::<bool>("more").unwrap(), None);
        params.finish().unwrap();
    }

    #[test]
    fn parameters_left_out_leave_their_place() {
        let mut params = Params::sparse("cmd.run", vec![None, Some(Value::Int(3)), None]);
        assert_eq!(params.optional::<bool>("quiet").unwrap(), None);
        assert_eq!(params.required::<i32>("count").unwrap(), 3);
        params.options().unwrap().finish().unwrap();
        let fault = Params::sparse("cmd.run", vec![None]).required::<i32>("count").unwrap_err();
        assert_eq!(fault.text(), "invalid-parameter: cmd.run: parameter 1 \"count\" is missing");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let fault = params([Value::Int(1)]).required::<String>("target").unwrap_err();
        assert_eq!(fault.code(), code::INVALID_PARAMETERS);
        assert_eq!(
            fault.text(),
            "invalid-parameter: guest.list: parameter 1 \"target\": expected a string, got int"
        );
    }

    #[test]
    fn missing_and_surplus_parameters_are_faults() {
        let mut none = params([]);
        assert_eq!(
            none.required::<String>("target").unwrap_err().text(),
            "invalid-parameter: guest.list: parameter 1 \"target\" is missing"
        );
        let mut two = params([Value::Int(1), Value::Int(2)]);
        two.required::<i32>("count").unwrap();
        assert_eq!(
            two.finish().unwrap_err().text(),
            "invalid-parameter: guest.list: takes at most 1 parameter, got 2"
        );
        assert!(params([]).finish().is_ok());
    }

    #[test]
    fn options_may_be_left_out_altogether() {
        let mut options = params([]).options().unwrap();
        assert_eq!(options.take::<bool>("wait").unwrap(), None);
        options.finish().unwrap();
    }

    #[test]
    fn options_come_last_and_are_a_struct() {
        assert_eq!(
            params([Value::Int(1)]).options().unwrap_err().text(),
            "invalid-parameter: guest.list: parameter 1 \"options\": expected a struct, got int"
        );
        assert_eq!(
            params([Value::Struct([].into()), Value::Int(1)]).options().unwrap_err().text(),
            "invalid-parameter: guest.list: takes at most 1 parameter, got 2"
        );
    }

    #[test]
    fn an_unknown_option_lists_the_known_ones() {
        let mut options = options([("statee", Value::from("alive"))]);
        options.take::<String>("state").unwrap();
        options.take::<i32>("limit").unwrap();
        assert_eq!(
            options.finish().unwrap_err().text(),
            "invalid-parameter: guest.list: unknown option \"statee\"; known: limit, state"
        );
    }

    #[test]
    fn an_option_of_the_wrong_type_is_named() {
        let fault = options([("wait", Value::from("yes"))]).take::<bool>("wait").unwrap_err();
        assert_eq!(
            fault.text(),
            "invalid-parameter: guest.list: option \"wait\": expected a boolean, got string"
        );
    }

    #[test]
    fn hostile_names_are_cut() {
        let fault = options([(&"x".repeat(10_000), Value::Int(1))]).finish().unwrap_err();
        assert!(fault.text().len() < 200, "{fault}");
    }
}
