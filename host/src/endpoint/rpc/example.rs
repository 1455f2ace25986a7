//! The worked example of `CONTRIBUTING.md`, which a test below keeps word for word.

#![expect(unreachable_pub, reason = "it stands for a file of another crate")]

use super::{Context, method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vocable_api::fault::Fault;
use vocable_api::methods;
use vocable_xmlrpc::{Params, Value};

// [example: api/src/guest.rs]
/// Counts the guests that are online.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Count {
    /// Only guests whose name begins so [default: all]
    pub prefix: Option<String>,
}

/// A number of guests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Counted {
    /// Guests that are online
    pub online: u64,
}

methods! { Count => "guest.count"() -> Counted: "", reads; }
// [end]

// [example: host/src/endpoint/rpc/guest.rs]
async fn count(context: Context, request: Count) -> Result<Counted, Fault> {
    let view = context.handle.roster().await?;
    let prefix = request.prefix.unwrap_or_default();
    let named = view.guests.iter().filter(|(name, _)| name.starts_with(&prefix));
    let online = named.filter(|(_, (guest, _))| guest.state.is_there()).count() as u64;
    Ok(Counted { online })
}
// [end]

/// The parts between the marks, each with the file it is of.
fn examples() -> Vec<(&'static str, &'static str)> {
    let parts = include_str!("example.rs").split("// [example: ").skip(1);
    parts
        .filter_map(|part| part.split_once("]\n"))
        .map(|(file, rest)| (file, rest.split_once("// [end]").map_or(rest, |(code, _)| code)))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect()
}

#[test]
fn the_guide_shows_this_code() {
    let guide = include_str!("../../../../CONTRIBUTING.md");
    let examples = examples();
    let lines: usize = examples.iter().map(|(_, code)| code.lines().count()).sum();
    assert!(examples.len() == 2 && lines <= 40, "{lines} lines");
    for (file, code) in examples {
        assert!(guide.contains(code), "CONTRIBUTING.md does not show what {file} gets:\n{code}");
    }
}

#[test]
fn a_method_is_described_by_its_types() {
    let entry = method(count);
    assert_eq!(
        entry.info.text(),
        "guest.count({prefix}): Counts the guests that are online.\n  \
         prefix (string, optional): Only guests whose name begins so [default: all]\n\
         returns struct\n  online (int): Guests that are online"
    );
    let wrong = Params::from(vec![Value::from([("prefx", Value::from("vm"))])]);
    assert_eq!(
        vocable_api::method::read::<Count>(wrong).unwrap_err().to_string(),
        "invalid-parameter: guest.count: unknown option \"prefx\"; known: prefix"
    );
}
