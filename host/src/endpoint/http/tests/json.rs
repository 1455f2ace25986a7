//! JSON callers: named parameters, results, failures with their status; and what is beside the calls.

use super::*;
use crate::audit::Audit;
use serde_json::{Value as Json, json};

fn request(verb: &str, path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{fields}Content-Length: \
         {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn call(method: &str, body: &str) -> Vec<u8> {
    request("POST", &format!("/api/{method}"), "Content-Type: application/json\r\n", body)
}

async fn told(bed: &Bed, request: &[u8]) -> (u16, Json) {
    let reply = bed.exchange(request).await;
    assert_eq!(reply.header("content-type"), Some("application/json"), "{}", reply.text());
    (reply.status, serde_json::from_str(reply.text()).unwrap())
}

#[tokio::test]
async fn parameters_have_names_and_options_stand_beside_them() {
    let bed = Bed::new().await;
    let (status, json) =
        told(&bed, &call("echo", r#"{"timeout_s": 1.5, "target": "vm1", "args": null}"#)).await;
    assert_eq!((status, json), (200, json!({"result": ["vm1", {"timeout_s": 1.5}]})));
    let (status, json) = told(&bed, &call("system.methodHelp", r#"{"method": "system.listMethods"}"#)).await;
    assert_eq!(status, 200);
    assert!(json["result"].as_str().unwrap().starts_with("system.listMethods(): "), "{json}");
    let (_, json) = told(&bed, &request("POST", "/api/system.getCapabilities", "", "")).await;
    assert!(json["xmlrpc"]["specUrl"].is_string(), "a struct is the top itself: {json}");
}

#[tokio::test]
async fn failures_have_a_status_and_a_document() {
    let bed = Bed::new().await;
    let (status, json) = told(&bed, &call("fault", "{}")).await;
    let error =
        json!({"code": "guest-offline", "fault": 103, "message": "vm1 does not answer", "transient": true});
    assert_eq!((status, json), (503, json!({"error": error})));
    let (status, json) = told(&bed, &call("nope", "{}")).await;
    assert_eq!((status, &json["error"]["code"]), (404, &json!("no-such-method")));
    for bad in [r#"{"tagret": 1}"#, "[1]", "{", r#"{"args": [null]}"#, "\"\u{1}\""] {
        let (status, json) = told(&bed, &call("echo", bad)).await;
        assert_eq!((status, &json["error"]["code"]), (400, &json!("invalid-parameter")), "{bad}");
    }
    let (status, json) = told(&bed, &call("nan", "{}")).await;
    assert_eq!((status, json), (200, json!({"result": null})));
}

#[tokio::test]
async fn only_json_with_the_token_is_accepted() {
    let bed = Bed::new().await;
    for fields in
        ["", "Content-Type: text/plain\r\n", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"]
    {
        assert_eq!(told(&bed, &request("POST", "/api/echo", fields, "{}")).await.0, 415, "{fields}");
    }
    let without = String::from_utf8(call("echo", "{}")).unwrap().replace(TOKEN, "wrong");
    let (status, json) = told(&bed, without.as_bytes()).await;
    assert_eq!((status, &json["error"]["code"]), (401, &json!("not-authorised")));
    for path in ["/metrics", "/api/openapi.json"] {
        let without = String::from_utf8(request("GET", path, "", "")).unwrap().replace(TOKEN, "wrong");
        assert_eq!(bed.exchange(without.as_bytes()).await.status, 401, "{path}");
    }
    assert_eq!(bed.exchange(&request("GET", "/api/echo", "", "")).await.status, 405);
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let config = HttpConfig { max_request: 100_000, ..HttpConfig::new(TOKEN) };
    let bed = Bed::with(config).await;
    let long = format!("{{\"args\": \"{}\"}}", "x".repeat(200_000));
    assert_eq!(told(&bed, &call("echo", &long)).await.0, 413);
    let bed = Bed::new().await;
    let many = format!("{{\"args\": [{}1]}}", "1,".repeat(2_000_000));
    let (status, json) = told(&bed, &call("echo", &many)).await;
    assert_eq!((status, &json["error"]["code"]), (413, &json!("too-big")));
}

#[tokio::test]
async fn the_document_and_the_metrics_tell_of_every_method() {
    let bed = Bed::new().await;
    let echo = bed.methods.describe("echo");
    bed.methods.words.lock().unwrap().extend(echo.map(Cow::into_owned));
    let (status, json) = told(&bed, &request("GET", "/api/openapi.json", "", "")).await;
    assert_eq!((status, &json["openapi"]), (200, &json!("3.1.0")));
    assert_eq!(json["paths"].as_object().unwrap().len(), 6);
    assert_eq!(json["paths"]["/api/echo"]["post"]["requestBody"]["required"], true);
    bed.call("fault", vec![]).await.unwrap_err();
    let metrics = bed.exchange(&request("GET", "/metrics", "", "")).await;
    assert_eq!(metrics.status, 200);
    let line = "vocable_api_calls_total{method=\"fault\",outcome=\"guest-offline\"} 1";
    assert!(metrics.text().lines().any(|it| it == line), "{}", metrics.text());
}

#[tokio::test]
async fn what_changes_something_is_written_down_however_it_was_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (audit, writing) = Audit::to_file(&path, 1 << 20).unwrap();
    let mut bed = Bed::with(HttpConfig { audit, ..HttpConfig::new(TOKEN) }).await;
    bed.call("echo", vec![Value::from("vm1")]).await.unwrap();
    told(&bed, &call("fault", r#"{"target": "vm2", "args": ["secret"]}"#)).await;
    let inner =
        Value::from([("methodName", Value::from("echo")), ("params", Value::from(vec![Value::from("vm3")]))]);
    bed.call("system.multicall", vec![Value::from(vec![inner])]).await.unwrap();
    bed.call("system.listMethods", vec![]).await.unwrap();
    bed.shutdown.cancel();
    timeout(DEADLINE, &mut bed.server).await.unwrap().unwrap();
    timeout(DEADLINE, writing).await.unwrap().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |n: usize| {
        (lines[n]["what"].as_str(), lines[n]["about"]["target"].as_str(), lines[n]["outcome"].as_str())
    };
    assert_eq!(told(0), (Some("echo"), Some("vm1"), Some("ok")));
    assert_eq!(told(1), (Some("fault"), Some("vm2"), Some("guest-offline")));
    assert_eq!(told(2), (Some("echo"), Some("vm3"), Some("ok")));
    assert_eq!(lines.len(), 3);
    assert!(!text.contains("secret"));
}
