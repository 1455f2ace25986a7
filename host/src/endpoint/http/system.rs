//! The methods every XML-RPC server has: introspection, capabilities, and many calls in one request.

use std::collections::BTreeMap;

use vocable_xmlrpc::{Fault, FromValue as _, Options, Params, Value, code, excerpt, invalid_parameter};

use super::{Methods, dispatch::Dispatcher};
use crate::audit::Caller;
use std::sync::LazyLock;
use vocable_api::Method as _;
use vocable_api::description::MethodInfo;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_api::method::read;
use vocable_api::system::{GetCapabilities, ListMethods, MethodHelp, MethodSignature, Multicall};

/// The most calls in one `system.multicall`.
const MOST_CALLS: usize = 1000;

/// Many calls in one request.
pub(super) const MULTICALL: &str = Multicall::NAME;

/// The methods every XML-RPC server has.
pub(crate) static SYSTEM: LazyLock<[MethodInfo; 5]> = LazyLock::new(|| {
    [
        MethodInfo::of::<GetCapabilities>(),
        MethodInfo::of::<ListMethods>(),
        MethodInfo::of::<MethodHelp>(),
        MethodInfo::of::<MethodSignature>(),
        MethodInfo::of::<Multicall>(),
    ]
});

const CAPABILITIES: [(&str, &str, i32); 4] = [
    ("faults_interop", "http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20_010_516),
    ("introspection", "http://xmlrpc-c.sourceforge.net/introspection.html", 1),
    (MULTICALL, "https://mirrors.talideon.com/articles/multicall.html", 1),
    ("xmlrpc", "http://xmlrpc.com/spec.md", 1),
];

/// Carries out several calls in order.
pub(super) async fn multicall<M: Methods>(
    dispatcher: &Dispatcher<M>,
    caller: &Caller,
    params: Params,
) -> Result<Value, Fault> {
    let Multicall { calls } = read(params)?;
    if calls.len() > MOST_CALLS {
        let text = format!("at most {MOST_CALLS} calls at a time, got {}", calls.len());
        return Err(invalid_parameter(MULTICALL, &text));
    }
    let mut answers = Vec::with_capacity(calls.len());
    let mut left = dispatcher.max_answer;
    for inner in calls {
        let answer = match inner_call(inner.0) {
            Ok((method, params)) => {
                let answer = dispatcher.one(caller, method.clone(), params).await;
                answer.and_then(|result| within(&mut left, dispatcher.max_answer, &method, result))
            }
            Err(fault) => Err(fault),
        };
        answers.push(answer.map_or_else(fault_struct, |result| Value::from(vec![result])));
    }
    Ok(Value::from(answers))
}

/// The result, if there is room for it beside those before it; a smaller one after it may still fit.
fn within(left: &mut usize, most: usize, method: &str, result: Value) -> Result<Value, Fault> {
    match left.checked_sub(result.weight()) {
        Some(rest) => {
            *left = rest;
            Ok(result)
        }
        None => {
            let text = format!(
                "{method} was carried out, and its answer is left out: the answers to this {MULTICALL} exceed \
                 {most} bytes; ask for it alone"
            );
            Err(HostFault::new(FaultKind::TooBig, text).into())
        }
    }
}

/// One of the calls of a multicall.
fn inner_call(call: Value) -> Result<(String, Params), Fault> {
    let members = BTreeMap::from_value(call)
        .map_err(|mismatch| invalid_parameter(MULTICALL, &format!("one of the calls: {mismatch}")))?;
    let mut members = Options::new(MULTICALL, members);
    let method: Option<String> = members.take("methodName")?;
    let params: Option<Vec<Value>> = members.take("params")?;
    let method = method.ok_or_else(|| members.invalid("one of the calls has no methodName"))?;
    if method == MULTICALL {
        return Err(members.invalid("cannot call itself"));
    }
    members.finish()?;
    let params = Params::new(method.clone(), params.unwrap_or_default());
    Ok((method, params))
}

fn fault_struct(fault: Fault) -> Value {
    Value::from([("faultCode", Value::from(fault.code())), ("faultString", Value::from(fault.text()))])
}

/// The result of a method of ours that is only one call; the parameters back if it is none of ours.
pub(super) fn single(
    methods: &impl Methods,
    method: &str,
    params: Params,
) -> Result<Result<Value, Fault>, Params> {
    if SYSTEM.iter().any(|known| known.name == method) {
        Ok(answer(methods, method, params))
    } else {
        Err(params)
    }
}

fn answer(methods: &impl Methods, method: &str, params: Params) -> Result<Value, Fault> {
    match method {
        ListMethods::NAME => {
            let ListMethods {} = read(params)?;
            Ok(all(methods).into_iter().map(|method| Value::from(&*method.name)).collect())
        }
        MethodHelp::NAME => {
            let MethodHelp { method } = read(params)?;
            Ok(Value::from(find(methods, &method)?.text()))
        }
        MethodSignature::NAME => {
            let MethodSignature { method } = read(params)?;
            Ok(signatures(&find(methods, &method)?))
        }
        _ => {
            let GetCapabilities {} = read(params)?;
            Ok(capabilities())
        }
    }
}

/// An array of arrays, even for a single way to call the method: clients rely on it.
fn signatures(method: &MethodInfo) -> Value {
    method
        .signatures()
        .into_iter()
        .map(|types| types.into_iter().map(Value::from).collect::<Value>())
        .collect()
}

fn capabilities() -> Value {
    let entry = |(name, url, version): (&str, &str, i32)| {
        (name.to_owned(), Value::from([("specUrl", Value::from(url)), ("specVersion", Value::from(version))]))
    };
    CAPABILITIES.into_iter().map(entry).collect()
}

/// All methods, ours and the others', sorted by name.
pub(super) fn all(methods: &impl Methods) -> Vec<MethodInfo> {
    let mut all = methods.list();
    all.extend(SYSTEM.clone());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What is known about a method.
pub(super) fn find(methods: &impl Methods, name: &str) -> Result<MethodInfo, Fault> {
    let ours = SYSTEM.iter().find(|method| method.name == name).cloned();
    ours.or_else(|| methods.describe(name)).ok_or_else(|| {
        Fault::new(code::METHOD_NOT_FOUND, format!("no-such-method: there is no method {}", excerpt(name)))
    })
}
