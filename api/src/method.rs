//! A method is a type: its fields are the parameters, its doc comment is the help. See `CONTRIBUTING.md` for how one is
//! added.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use vocable_xmlrpc::{Params, Problem, Value, ValueError, excerpt, from_value, to_value};

use crate::fault::Fault;
use crate::fields::fields;

/// A method of the API, by its parameters.
pub trait Method: DeserializeOwned + JsonSchema + Send + Serialize + 'static {
    /// The whole name: `cmd.run`.
    const NAME: &'static str;
    /// The parameters that have a place over XML-RPC, in this order. The others are members of the struct of options
    /// behind them. Those that may be left out come last.
    const POSITIONAL: &'static [&'static str];
    /// Whether it changes anything: such calls are written to the audit.
    const CHANGES: bool;
    /// What the reply means, where its type does not say.
    const RETURNS: &'static str;
    /// What it returns.
    type Reply: DeserializeOwned + JsonSchema + Send + Serialize + 'static;
}

/// Makes methods of types: `List => "cmd.list"() -> Vec<Command>: "", reads;`, with the names of the parameters that
/// come by position in the parentheses, and `changes` if it changes anything.
#[macro_export]
macro_rules! methods {
    ($($type:ty => $name:literal($($positional:ident),*) -> $reply:ty: $returns:literal, $changes:ident;)*) => {$(
        impl $crate::Method for $type {
            const NAME: &'static str = $name;
            const POSITIONAL: &'static [&'static str] = &[$(stringify!($positional)),*];
            const CHANGES: bool = $crate::methods!(@$changes);
            const RETURNS: &'static str = $returns;
            type Reply = $reply;
        }
    )*};
    (@changes) => { true };
    (@reads) => { false };
}
pub use methods;

/// The parameters of a call as the method's type.
///
/// # Errors
/// An `invalid-parameter` fault that names the parameter, what was expected and what came.
pub fn read<M: Method>(params: Params) -> Result<M, Fault> {
    read_given(M::NAME, [], params)
}

/// As [`read`], of a method with a name of its own for which some parameters are given: `word.DF` is `word.ask` with
/// the word DF.
///
/// # Errors
/// As [`read`].
pub fn read_given<M: Method, const N: usize>(
    method: &str,
    given: [(&'static str, Value); N],
    params: Params,
) -> Result<M, Fault> {
    let is_given = |name: &&str| given.iter().any(|(known, _)| known == name);
    let places = M::POSITIONAL.iter().copied().filter(|name| !is_given(name)).collect();
    let signature = Signature { method, places };
    let options: Vec<_> = fields::<M>().into_iter().filter(|name| !M::POSITIONAL.contains(name)).collect();
    let mut members = signature.members(&options, params)?;
    members.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
    from_value(Value::Struct(members)).map_err(|error| signature.refused(error))
}

/// How a method is called over XML-RPC: what messages about its parameters are made of.
struct Signature<'a> {
    method: &'a str,
    /// The names of the parameters that come by position.
    places: Vec<&'static str>,
}

impl Signature<'_> {
    fn members(&self, known: &[&str], params: Params) -> Result<BTreeMap<String, Value>, Fault> {
        let mut values = params.into_values().into_iter();
        let given = values.len();
        let mut members: BTreeMap<String, Value> = self
            .places
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), values.next().flatten()?)))
            .collect();
        if !known.is_empty() {
            members.extend(self.options(known, values.next().flatten())?);
        }
        let most = self.places.len() + usize::from(!known.is_empty());
        if given > most {
            let plural = if most == 1 { "" } else { "s" };
            return Err(self.refusal(&format!("takes at most {most} parameter{plural}, got {given}")));
        }
        Ok(members)
    }

    /// The members of the struct of options. An empty array is an empty struct: PHP has one `[]` for both.
    fn options(&self, known: &[&str], options: Option<Value>) -> Result<BTreeMap<String, Value>, Fault> {
        let members = match options {
            None => return Ok(BTreeMap::new()),
            Some(Value::Array(items)) if items.is_empty() => return Ok(BTreeMap::new()),
            Some(Value::Struct(members)) => members,
            Some(other) => {
                let place = self.places.len() + 1;
                let text = format!("parameter {place} \"options\": expected a struct, got {}", other.kind());
                return Err(self.refusal(&text));
            }
        };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(members),
            Some(unknown) => {
                let mut known = known.to_vec();
                known.sort_unstable();
                let text = format!("unknown option {}; known: {}", excerpt(unknown), known.join(", "));
                Err(self.refusal(&text))
            }
        }
    }

    fn refused(&self, error: ValueError) -> Fault {
        let text = match (error.problem(), error.is_at_top()) {
            (Problem::Missing(name), true) => format!("{} is missing", self.place(name)),
            _ => match error.split_member() {
                (Some(name), error) => format!("{}: {error}", self.place(&name)),
                (None, error) => error.to_string(),
            },
        };
        self.refusal(&text)
    }

    fn refusal(&self, text: &str) -> Fault {
        Fault::invalid(self.method, text)
    }

    /// What a parameter is called in messages.
    fn place(&self, name: &str) -> String {
        match self.places.iter().position(|known| *known == name) {
            Some(place) => format!("parameter {} \"{name}\"", place + 1),
            None => format!("option \"{name}\""),
        }
    }
}

/// The `invalid-parameter` fault for a parameter that only the method itself can judge.
pub fn invalid<M: Method>(name: &str, problem: &str) -> Fault {
    let signature = Signature { method: M::NAME, places: M::POSITIONAL.to_vec() };
    signature.refusal(&format!("{}: {problem}", signature.place(name)))
}

/// The parameters of a call as XML-RPC has them.
///
/// # Errors
/// [`ValueError`] if a parameter has no value, or is absent before others that come by position.
pub fn write<M: Method>(method: &M) -> Result<Vec<Value>, ValueError> {
    let Value::Struct(mut members) = to_value(method)? else {
        return Err(serde::ser::Error::custom(format!("the parameters of {} are no struct", M::NAME)));
    };
    let mut places: Vec<_> = M::POSITIONAL.iter().map(|name| members.remove(*name)).collect();
    if !members.is_empty() {
        places.push(Some(Value::Struct(members)));
    }
    while places.last().is_some_and(Option::is_none) {
        places.pop();
    }
    let absent = || serde::ser::Error::custom(format!("{}: a parameter is missing before others", M::NAME));
    places.into_iter().map(|value| value.ok_or_else(absent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Runs a program.
    #[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
    struct Run {
        /// A guest
        target: String,
        /// Its arguments
        #[serde(default)]
        args: Vec<String>,
        /// Seconds
        timeout_s: Option<f64>,
        /// Its environment
        env: Option<BTreeMap<String, String>>,
    }

    methods! { Run => "cmd.run"(target, args) -> String: "the id", changes; }

    fn refusal(values: Vec<Value>) -> String {
        read::<Run>(Params::from(values)).unwrap_err().to_string()
    }

    #[test]
    fn parameters_come_by_position_and_options_by_name() {
        let options = Value::from([("timeout_s", Value::Int(5))]);
        let values = vec![Value::from("vm1"), Value::from(vec![Value::from("-l")]), options];
        let run: Run = read(Params::from(values.clone())).unwrap();
        assert_eq!((run.args.len(), run.timeout_s), (1, Some(5.0)));
        let written = write(&run).unwrap();
        assert_eq!(written[..2], values[..2]);
        assert_eq!(read::<Run>(Params::from(written)).unwrap(), run);
        let named = Params::sparse(vec![Some("vm1".into()), None]);
        assert_eq!(read::<Run>(named).unwrap().args, [""; 0]);
        let php = Params::from(vec!["vm1".into(), Value::Array(vec![]), Value::Array(vec![])]);
        assert!(read::<Run>(php).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let run = |last: Value| refusal(vec!["vm1".into(), Value::Array(Vec::new()), last]);
        let of = |name: &str, value: Value| run(Value::from([(name, value)]));
        insta::assert_snapshot!([
            refusal(vec![]),
            refusal(vec![Value::Int(1)]),
            refusal(vec!["vm1".into(), Value::from(vec![Value::Int(1)])]),
            run(Value::Int(1)),
            refusal(vec!["vm1".into(), Value::Array(vec![]), Value::Struct(BTreeMap::new()), Value::Int(1)]),
            of("timeout_s", "5".into()),
            of("env", Value::from([("A", Value::Int(1))])),
            of("tiemout_s", Value::Int(5)),
        ].join("\n"), @r#"
        invalid-parameter: cmd.run: parameter 1 "target" is missing
        invalid-parameter: cmd.run: parameter 1 "target": expected a string, got int
        invalid-parameter: cmd.run: parameter 2 "args": expected a string as item 1, got int
        invalid-parameter: cmd.run: parameter 3 "options": expected a struct, got int
        invalid-parameter: cmd.run: takes at most 3 parameters, got 4
        invalid-parameter: cmd.run: option "timeout_s": expected a number, got string
        invalid-parameter: cmd.run: option "env": expected a string as member "A", got int
        invalid-parameter: cmd.run: unknown option "tiemout_s"; known: env, timeout_s
        "#);
    }
}
