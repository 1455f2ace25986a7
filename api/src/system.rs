//! `system.*`: the methods every XML-RPC server has.

use crate::Any;
use crate::method::methods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tells what this server can do beyond XML-RPC itself.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetCapabilities {}

/// A specification that the server keeps to.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capability {
    /// Where it is written down
    pub spec_url: String,
    /// Its version
    pub spec_version: i32,
}

/// Lists the names of all methods there are now.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ListMethods {}

/// Tells what a method takes, does and returns.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct MethodHelp {
    /// The method's whole name
    pub method: String,
}

/// Tells the ways to call a method.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct MethodSignature {
    /// The method's whole name
    pub method: String,
}

/// Carries out several calls in order, at most 1000. What one of them changes gets an audit line of its own. An
/// answer for which there is no room in the longest answer of a request is left out: a fault stands in its place.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Multicall {
    /// The calls, each {methodName, params}; what is none is a fault among the results
    pub calls: Vec<Any>,
}

methods! {
    GetCapabilities => "system.getCapabilities"() -> BTreeMap<String, Capability>:
        "a member for each specification, with specUrl and specVersion", reads;
    ListMethods => "system.listMethods"() -> Vec<String>: "the names, sorted", reads;
    MethodHelp => "system.methodHelp"(method) -> String: "the text, for people", reads;
    MethodSignature => "system.methodSignature"(method) -> Vec<Vec<String>>:
        "each way an array of types, the result's first, then the parameters'", reads;
    Multicall => "system.multicall"(calls) -> Vec<Any>:
        "for each call an array of its one result, or a struct {faultCode, faultString}", reads;
}
