//! One call, however it came: counted, written down if it changes something, carried out.

use std::time::Instant;

use vocable_xmlrpc::{Call, Params, Value, excerpt};

use super::{Methods, metrics::Metrics, system};
use crate::{
    audit::{Audit, Caller},
    panics,
};
use vocable_api::{
    description::{MethodInfo, schema},
    fault::{Fault, FaultKind},
};

/// What methods are counted as that there are not.
const UNKNOWN: &str = "unknown";

pub(super) struct Dispatcher<M> {
    pub(super) methods: M,
    pub(super) audit: Audit,
    pub(super) metrics: Metrics,
    /// What the answers to one request may take, bytes as XML.
    pub(super) max_answer: usize,
}

impl<M: Methods> Dispatcher<M> {
    /// Carries out a call with parameters by position.
    pub(super) async fn positional(&self, caller: &Caller, call: Call) -> Result<Value, Fault> {
        let Call { method, params } = call;
        let params = Params::from(params);
        self.call(caller, method, params).await
    }

    /// Carries out a call, of `system.*` or another method.
    pub(super) async fn call(&self, caller: &Caller, method: String, params: Params) -> Result<Value, Fault> {
        if method == system::MULTICALL {
            return system::multicall(self, caller, params).await;
        }
        let result = self.one(caller, method.clone(), params).await?;
        let (size, most) = (result.weight(), self.max_answer);
        if size <= most {
            return Ok(result);
        }
        let text = format!(
            "{method}: the answer has {size} bytes of {most} at most; ask for less of it at a time, see the \
             parameters of system.methodHelp"
        );
        Err(Fault::new(FaultKind::TooBig, text))
    }

    /// Carries out a call that is only one. The size of its result is the caller's matter.
    pub(super) async fn one(&self, caller: &Caller, method: String, params: Params) -> Result<Value, Fault> {
        let begun = Instant::now();
        let info = system::find(&self.methods, &method);
        let entry = match &info {
            Ok(info) if info.changes => Some(self.audit.begin(caller, &method, about(info, &params))),
            _ => None,
        };
        let name = excerpt(&method);
        let counted = if info.is_ok() { method.clone() } else { UNKNOWN.to_owned() };
        let result = match info {
            Ok(_) => panics::caught(&method, self.carry_out(method.clone(), params)).await.flatten(),
            Err(unknown) => Err(unknown),
        };
        let outcome = result.as_ref().map_or_else(|fault| fault.kind.slug(), |_| "ok");
        tracing::debug!(method = name, login = caller.login, peer = caller.peer, outcome, "call");
        self.metrics.called(&counted, outcome, begun.elapsed());
        if let Some(entry) = entry {
            entry.end(outcome).await;
        }
        result
    }

    async fn carry_out(&self, method: String, params: Params) -> Result<Value, Fault> {
        match system::single(&self.methods, &method, params) {
            Ok(result) => result,
            Err(params) => self.methods.call(method, params).await,
        }
    }
}

/// What the call is about: the texts among its parameters that have a place of their own. Arguments, environments and
/// contents are not written down: they may be secret.
fn about<'a>(info: &'a MethodInfo, params: &'a Params) -> Vec<(&'a str, &'a str)> {
    let places = info.positional().zip(params.iter());
    let texts = places.filter_map(|(param, value)| match (schema::xmlrpc_type(&param.schema), value) {
        ("string", Some(Value::String(text))) => Some((&*param.name, text.as_str())),
        _ => None,
    });
    texts.collect()
}
