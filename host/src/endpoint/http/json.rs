//! The same methods for those to whom XML-RPC means nothing: `POST /api/<method>` with an object of named parameters,
//! options among them. A struct comes back as it is, anything else as `{"result": …}`, a fault as
//! `{"error": {code, fault, message, transient}}` with the status that fits.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse as _, Response},
};
use serde_json::{Value as Json, json};
use vocable_xmlrpc::{Limits, Value, from_json, write_json};

use super::{Methods, dispatch::Dispatcher, system};
use crate::audit::Caller;
use vocable_api::fault::{Fault, FaultKind};

/// When a caller may come again, seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

pub(super) async fn call<M: Methods>(
    dispatcher: &Dispatcher<M>,
    caller: &Caller,
    method: &str,
    body: Bytes,
) -> Result<Value, Fault> {
    let info = system::find(&dispatcher.methods, method)?;
    let (members, absent) = members(method, &body)?;
    absent.iter().try_for_each(|name| info.expect(name))?;
    // What was read is in the members now.
    drop(body);
    dispatcher.call(caller, method.to_owned(), info.named(members)?).await
}

/// The named parameters, and the names of those that are null: that is to say, absent. No body at all is none.
fn members(method: &str, body: &[u8]) -> Result<(BTreeMap<String, Value>, Vec<String>), Fault> {
    let invalid = |problem: &str| Fault::invalid(method, problem);
    if body.is_empty() {
        return Ok((BTreeMap::new(), Vec::new()));
    }
    let Limits { max_values, max_depth, .. } = Limits::default();
    let (values, depth) = measure(body);
    let too_big = |what: &str, most| {
        Err(Fault::new(FaultKind::TooBig, format!("the request has more than {most} {what}")))
    };
    if values > max_values {
        return too_big("values", max_values);
    }
    // The outermost object is parameters, of which XML-RPC does not count the level.
    if depth > max_depth + 1 {
        return too_big("levels of arrays and objects", max_depth);
    }
    let document: Json =
        serde_json::from_slice(body).map_err(|error| invalid(&format!("the body is no JSON: {error}")))?;
    if !document.is_object() {
        return Err(invalid("the body must be an object of named parameters"));
    }
    // The outermost object is parameters, not bytes, even if its only member is called b64.
    let Json::Object(members) = document else { return Ok((BTreeMap::new(), Vec::new())) };
    let (absent, present): (Vec<_>, Vec<_>) = members.into_iter().partition(|(_, json)| json.is_null());
    let read = |(name, json)| Ok((name, from_json(json).map_err(|error| invalid(&error.to_string()))?));
    let present = present.into_iter().map(read).collect::<Result<_, Fault>>()?;
    Ok((present, absent.into_iter().map(|(name, _)| name).collect()))
}

/// How many values the document has, at least, and how deep they nest: before any memory is taken for them.
fn measure(document: &[u8]) -> (usize, usize) {
    let (mut count, mut within, mut escaped) = (1, false, false);
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in document {
        match byte {
            _ if within => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = depth.max(deepest);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => within = !within,
            b',' | b'[' | b'{' if !within => count += 1,
            _ => {}
        }
    }
    (count, deepest)
}

/// Whether a request says that it is JSON, or says nothing and has no body.
pub(super) fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    match headers.get(CONTENT_TYPE) {
        None => body.is_empty(),
        Some(value) => {
            let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/json")
        }
    }
}

pub(super) fn response(result: Result<Value, Fault>) -> Response {
    match result {
        Ok(value @ Value::Struct(_)) => written(StatusCode::OK, write_json(&value)),
        Ok(value) => written(StatusCode::OK, write_json(&Value::from([("result", value)]))),
        Err(fault) => refusal(status(fault.kind), &fault),
    }
}

/// A fault, with a status that may differ from the usual one.
pub(super) fn refusal(status: StatusCode, fault: &Fault) -> Response {
    error(status, fault.kind.slug(), fault.kind, &fault.message)
}

/// A fault, with a name of its own.
pub(super) fn error(status: StatusCode, code: &str, kind: FaultKind, message: &str) -> Response {
    let error =
        json!({"code": code, "fault": kind.code(), "message": message, "transient": kind.transient()});
    let mut response = document(status, &json!({"error": error}));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, AGAIN);
    }
    response
}

pub(super) fn document(status: StatusCode, json: &Json) -> Response {
    written(status, json.to_string().into_bytes())
}

fn written(status: StatusCode, mut text: Vec<u8>) -> Response {
    text.push(b'\n');
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The status that says the same as a kind of failure.
const fn status(kind: FaultKind) -> StatusCode {
    use FaultKind as Kind;
    match kind {
        Kind::InvalidParameter => StatusCode::BAD_REQUEST,
        Kind::NoSuchCommand
        | Kind::NoSuchGuest
        | Kind::NoSuchJob
        | Kind::NoSuchMethod
        | Kind::NoSuchPath
        | Kind::NoSuchSnapshot
        | Kind::NoSuchTransfer
        | Kind::NoSuchVm
        | Kind::NoSuchWord => StatusCode::NOT_FOUND,
        Kind::NotAllowed | Kind::WordDenied => StatusCode::FORBIDDEN,
        Kind::GuestOffline | Kind::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Kind::AlreadyExists
        | Kind::Busy
        | Kind::DigestMismatch
        | Kind::DuplicateMac
        | Kind::FileFailed
        | Kind::Finished
        | Kind::NotOurs
        | Kind::NotPermitted
        | Kind::WrongState => StatusCode::CONFLICT,
        Kind::TooBig => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        Kind::WordInvalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::DriverNotLoaded
        | Kind::Hypervisor
        | Kind::HypervisorMissing
        | Kind::Virtualisation
        | Kind::WordFailed
        | Kind::WordTrapped => StatusCode::BAD_GATEWAY,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(json: &Json) -> usize {
        1 + match json {
            Json::Array(items) => items.iter().map(count).sum(),
            Json::Object(members) => members.values().map(count).sum(),
            _ => 0,
        }
    }

    fn depth(json: &Json) -> usize {
        match json {
            Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Json::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<i32>().prop_map(Json::from),
            "[\\[{,\"\\\\a]{0,8}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
                prop::collection::btree_map("[\\[{,\"\\\\a]{0,4}", inner, 0..8)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// Never fewer than there are, so that the limit holds; and not more than an empty brace too many each.
        #[test]
        fn values_are_counted_before_they_are_read(json in any_json()) {
            let (counted, deepest) = measure(json.to_string().as_bytes());
            prop_assert_eq!(deepest, depth(&json));
            prop_assert!(counted >= count(&json) && counted <= 2 * count(&json), "{counted} {json}");
        }

        #[test]
        fn nothing_that_comes_is_worse_than_a_fault(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(fault) = members("x", &body) {
                prop_assert!(fault.to_string().len() < 600);
            }
        }
    }

    #[test]
    fn null_is_left_out_and_what_is_no_object_refused() {
        let (present, absent) = members("x", br#"{"a": null, "b": {"b64": "AA=="}}"#).unwrap();
        assert_eq!((present.len(), absent), (1, vec!["a".to_owned()]));
        assert_eq!(members("x", b"").unwrap(), (BTreeMap::new(), Vec::new()));
        assert_eq!(
            members("x", b"[1]").unwrap_err().to_string(),
            "invalid-parameter: x: the body must be an object of named parameters"
        );
        assert!(members("x", b"{").unwrap_err().message.starts_with("x: the body is no JSON: "));
        let deep = |levels| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(members("x", deep(64).as_bytes()).is_ok());
        let fault = members("x", deep(65).as_bytes()).unwrap_err();
        assert_eq!(fault.to_string(), "too-big: the request has more than 64 levels of arrays and objects");
    }

    #[test]
    fn every_kind_of_failure_has_a_status_that_is_none_of_success() {
        for kind in FaultKind::ALL {
            assert!(status(*kind).as_u16() >= 400, "{kind:?}");
        }
        assert_eq!(status(FaultKind::GuestOffline), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(FaultKind::NoSuchGuest), StatusCode::NOT_FOUND);
    }
}
