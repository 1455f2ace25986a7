//! The methods every XML-RPC server has: introspection, capabilities, and many calls in one request.

use std::collections::BTreeMap;

use vocable_xmlrpc::{Call, Fault, FromValue as _, Options, Params, Value, code, excerpt, invalid_parameter};

use super::{MethodInfo, Methods};

/// The most calls in one `system.multicall`.
const MULTICALL: usize = 100;

const MULTICALL_NAME: &str = "system.multicall";

/// Name, parameters of the signature after the result's type, help.
const SYSTEM: [(&str, &[&str], &str); 5] = [
    (
        "system.getCapabilities",
        &["struct"],
        "What this server can do beyond XML-RPC itself: a member for each specification, with specUrl and \
         specVersion.",
    ),
    ("system.listMethods", &["array"], "The names of all methods there are now, sorted."),
    ("system.methodHelp", &["string", "string"], "What a method does."),
    (
        "system.methodSignature",
        &["array", "string"],
        "The ways to call a method, each an array of types: the result's first, then the parameters'.",
    ),
    (
        MULTICALL_NAME,
        &["array", "array"],
        "Carries out calls {methodName, params} in order, at most 100. Each answer is an array with the result, or \
         a struct {faultCode, faultString}.",
    ),
];

const CAPABILITIES: [(&str, &str, i32); 4] = [
    ("faults_interop", "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20_010_516),
    ("introspection", "http://xmlrpc-c.sourceforge.net/introspection.html", 1),
    (MULTICALL_NAME, "https://mirrors.talideon.com/articles/multicall.html", 1),
    ("xmlrpc", "http://xmlrpc.com/spec.md", 1),
];

/// Carries out a call, of `system.*` or another method.
pub(super) async fn call(methods: &impl Methods, call: Call) -> Result<Value, Fault> {
    if call.method == MULTICALL_NAME { multicall(methods, call).await } else { single(methods, call).await }
}

async fn multicall(methods: &impl Methods, call: Call) -> Result<Value, Fault> {
    let mut params = Params::new(call.method, call.params);
    let calls: Vec<Value> = params.required("calls")?;
    if calls.len() > MULTICALL {
        return Err(params.invalid(&format!("at most {MULTICALL} calls at a time, got {}", calls.len())));
    }
    params.finish()?;
    let mut answers = Vec::with_capacity(calls.len());
    for inner in calls {
        let answer = match inner_call(inner) {
            Ok(inner) => single(methods, inner).await,
            Err(fault) => Err(fault),
        };
        answers.push(answer.map_or_else(fault_struct, |result| Value::from(vec![result])));
    }
    Ok(Value::from(answers))
}

/// One of the calls of a multicall.
fn inner_call(call: Value) -> Result<Call, Fault> {
    let members = BTreeMap::from_value(call)
        .map_err(|mismatch| invalid_parameter(MULTICALL_NAME, &format!("one of the calls: {mismatch}")))?;
    let mut members = Options::new(MULTICALL_NAME, members);
    let method: Option<String> = members.take("methodName")?;
    let params: Option<Vec<Value>> = members.take("params")?;
    let method = method.ok_or_else(|| members.invalid("one of the calls has no methodName"))?;
    if method == MULTICALL_NAME {
        return Err(members.invalid("cannot call itself"));
    }
    members.finish()?;
    Ok(Call { method, params: params.unwrap_or_default() })
}

fn fault_struct(fault: Fault) -> Value {
    Value::from([("faultCode", Value::from(fault.code())), ("faultString", Value::from(fault.text()))])
}

async fn single(methods: &impl Methods, call: Call) -> Result<Value, Fault> {
    let Call { method, params } = call;
    if !SYSTEM.iter().any(|(name, ..)| *name == method) {
        return methods.call(method, params).await;
    }
    let mut params = Params::new(method.clone(), params);
    let name = if method.starts_with("system.method") { params.required("method")? } else { String::new() };
    params.finish()?;
    match method.as_str() {
        "system.listMethods" => Ok(all(methods).into_iter().map(|method| Value::from(method.name)).collect()),
        "system.methodHelp" => Ok(Value::from(find(methods, &name)?.help)),
        "system.methodSignature" => Ok(signature(find(methods, &name)?)),
        _ => Ok(capabilities()),
    }
}

/// An array of arrays, even for a single way to call the method: clients rely on it.
fn signature(method: MethodInfo) -> Value {
    method.signature.into_iter().map(|types| types.into_iter().map(Value::from).collect::<Value>()).collect()
}

fn capabilities() -> Value {
    let entry = |(name, url, version): (&str, &str, i32)| {
        (name.to_owned(), Value::from([("specUrl", Value::from(url)), ("specVersion", Value::from(version))]))
    };
    CAPABILITIES.into_iter().map(entry).collect()
}

/// All methods, ours and the others', sorted by name.
fn all(methods: &impl Methods) -> Vec<MethodInfo> {
    let mut all = methods.list();
    all.extend(SYSTEM.into_iter().map(|(name, types, help)| MethodInfo {
        name: name.to_owned(),
        signature: vec![types.iter().map(|&kind| kind.to_owned()).collect()],
        help: help.to_owned(),
    }));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn find(methods: &impl Methods, name: &str) -> Result<MethodInfo, Fault> {
    all(methods).into_iter().find(|method| method.name == name).ok_or_else(|| {
        Fault::new(code::METHOD_NOT_FOUND, format!("no-such-method: there is no method {}", excerpt(name)))
    })
}
