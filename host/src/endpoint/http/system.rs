//! The methods every XML-RPC server has: introspection, capabilities, and many calls in one request.

use serde::Deserialize;
use vocable_xmlrpc::{Params, Problem, Value, from_value};

use super::{Methods, dispatch::Dispatcher};
use crate::audit::Caller;
use std::borrow::Cow;
use std::sync::LazyLock;
use vocable_api::description::MethodInfo;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::method::read;
use vocable_api::system::{GetCapabilities, ListMethods, MethodHelp, MethodSignature, Multicall};
use vocable_api::{Any, Method as _};

const MOST_CALLS: usize = 1000;

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

pub(super) async fn multicall<M: Methods>(
    dispatcher: &Dispatcher<M>,
    caller: &Caller,
    params: Params,
) -> Result<Value, Fault> {
    let Multicall { calls } = read(params)?;
    if calls.len() > MOST_CALLS {
        let text = format!("at most {MOST_CALLS} calls at a time, got {}", calls.len());
        return Err(Fault::invalid(MULTICALL, &text));
    }
    let mut answers = Vec::with_capacity(calls.len());
    let mut left = dispatcher.max_answer;
    for inner in calls {
        let answer = match InnerCall::of(inner) {
            Ok(InnerCall { method, params }) => {
                let params: Vec<_> = params.into_iter().map(|param| param.0).collect();
                let params = Params::from(params);
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
            Err(Fault::new(FaultKind::TooBig, text))
        }
    }
}

/// One of the calls of a multicall.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InnerCall {
    #[serde(rename = "methodName")]
    method: String,
    #[serde(default)]
    params: Vec<Any>,
}

impl InnerCall {
    fn of(call: Any) -> Result<Self, Fault> {
        let call: Self = from_value(call.0).map_err(|error| {
            let text = match error.problem() {
                Problem::Missing(name) => format!("one of the calls has no {name}"),
                _ => format!("one of the calls: {error}"),
            };
            Fault::invalid(MULTICALL, &text)
        })?;
        if call.method == MULTICALL {
            return Err(Fault::invalid(MULTICALL, "cannot call itself"));
        }
        Ok(call)
    }
}

fn fault_struct(fault: Fault) -> Value {
    let fault = vocable_xmlrpc::Fault::from(fault);
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
            // An array of arrays, even for a single way to call the method: clients rely on it.
            let types = |types: Vec<&str>| types.into_iter().map(Value::from).collect::<Value>();
            Ok(find(methods, &method)?.signatures().into_iter().map(types).collect())
        }
        _ => {
            let GetCapabilities {} = read(params)?;
            let entry = |(name, url, version): (&str, &str, i32)| {
                let members = [("specUrl", Value::from(url)), ("specVersion", Value::from(version))];
                (name.to_owned(), Value::from(members))
            };
            Ok(CAPABILITIES.into_iter().map(entry).collect())
        }
    }
}

/// All methods, ours and the others', sorted by name.
pub(super) fn all(methods: &impl Methods) -> Vec<MethodInfo> {
    let mut all = methods.list();
    all.extend(SYSTEM.clone());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

pub(super) fn find(methods: &impl Methods, name: &str) -> Result<Cow<'static, MethodInfo>, Fault> {
    let ours = SYSTEM.iter().find(|method| method.name == name).map(Cow::Borrowed);
    ours.or_else(|| methods.describe(name)).ok_or_else(|| Fault::no_such_method(name))
}
