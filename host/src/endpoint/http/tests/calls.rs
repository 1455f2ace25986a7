//! What a call gets: results and faults, many calls at once, what there is to call.

use super::*;

/// What words take in these tests.
#[derive(serde::Deserialize, schemars::JsonSchema, serde::Serialize)]
struct Asked {
    /// Target
    target: Option<String>,
}

vocable_api::methods! { Asked => "word.X"(target) -> vocable_api::AnyStruct: "", reads; }

fn info(name: &str) -> MethodInfo {
    let help = format!("Does {name}.").into();
    MethodInfo { name: name.to_owned().into(), help, ..MethodInfo::of::<Asked>() }
}

fn strings(values: &[&str]) -> Value {
    values.iter().map(|&value| Value::from(value)).collect()
}

fn inner(method: &str, params: Vec<Value>) -> Value {
    Value::from([("methodName", Value::from(method)), ("params", Value::from(params))])
}

#[tokio::test]
async fn a_result_comes_back() {
    let bed = Bed::new().await;
    let params = vec![Value::Int(1), Value::from("ü\r\n<"), Value::Base64(vec![0, 255])];
    assert_eq!(bed.call("echo", params.clone()).await, Ok(Value::from(params)));
}

#[tokio::test]
async fn both_addresses_serve() {
    let bed = Bed::new().await;
    let request = String::from_utf8(post(&document("echo", vec![]), "")).unwrap();
    let at_root = request.replacen("/RPC2", "/", 1);
    assert_eq!(bed.exchange(at_root.as_bytes()).await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn faults_come_with_status_200() {
    let bed = Bed::new().await;
    assert_eq!(bed.call("fault", vec![]).await, Err(Fault::new(103, "guest-offline: vm1 does not answer")));
    assert_eq!(bed.call("nope", vec![]).await.unwrap_err().code(), code::METHOD_NOT_FOUND);
    assert_eq!(bed.exchange(&post(b"<methodCall>", "")).await.fault().code(), code::PARSE_ERROR);
    assert_eq!(bed.exchange(&post(b"", "")).await.fault().code(), code::PARSE_ERROR);
    assert_eq!(bed.exchange(&post(b"<html/>", "")).await.fault().slug(), Some("not-xml-rpc"));
}

#[tokio::test]
async fn one_odd_value_does_not_cost_the_others() {
    let bed = Bed::new().await;
    let reason = Value::from([("omitted", Value::from("the double NaN is not a finite number"))]);
    assert_eq!(bed.call("nan", vec![]).await, Ok(reason.clone()));
    let call = |name: &str| Value::from([("methodName", Value::from(name))]);
    let both = bed.call("system.multicall", vec![Value::from(vec![call("nan"), call("echo")])]).await;
    let (odd, fine) = (Value::from(vec![reason]), Value::from(vec![Value::from(vec![])]));
    assert_eq!(both, Ok(Value::from(vec![odd, fine])));
}

#[tokio::test]
async fn a_long_document_is_parsed_as_well() {
    let bed = Bed::new().await;
    let bytes = vec![Value::Base64(vec![7; 1 << 20])];
    assert_eq!(bed.call("echo", bytes.clone()).await, Ok(Value::from(bytes)));
    let broken = [b"<methodCall>".as_slice(), &[b' '; 1 << 20]].concat();
    assert_eq!(bed.exchange(&post(&broken, "")).await.fault().code(), code::PARSE_ERROR);
}

#[tokio::test]
async fn a_connection_carries_many_calls() {
    let bed = Bed::new().await;
    let mut connection = bed.connect().await;
    for number in 0..5 {
        connection.send(&post(&document("echo", vec![Value::Int(number)]), "")).await;
        assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![Value::Int(number)])));
    }
}

#[tokio::test]
async fn old_clients_close_after_a_call() {
    let bed = Bed::new().await;
    let request = String::from_utf8(post(&document("echo", vec![]), "")).unwrap().replacen("1.1", "1.0", 1);
    let mut connection = bed.connect().await;
    connection.send(request.as_bytes()).await;
    assert!(connection.closed().await.ends_with("</methodResponse>\n"));
}

#[tokio::test]
async fn a_body_may_come_in_chunks() {
    let bed = Bed::new().await;
    let head = head(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let document = document("echo", vec![]);
    let (first, second) = document.split_at(30);
    let mut connection = bed.connect().await;
    connection.send(head.as_bytes()).await;
    for part in [first, second, b""] {
        connection
            .send(format!("{:x}\r\n{}\r\n", part.len(), str::from_utf8(part).unwrap()).as_bytes())
            .await;
    }
    assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn a_client_may_ask_before_it_sends_the_body() {
    let bed = Bed::new().await;
    let document = document("echo", vec![]);
    let mut connection = bed.connect().await;
    connection.send(head(document.len(), "Expect: 100-continue\r\n").as_bytes()).await;
    assert_eq!(connection.reply().await.status, 100);
    connection.send(&document).await;
    assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn a_call_ends_when_its_client_goes_away() {
    let bed = Bed::new().await;
    let mut connection = bed.connect().await;
    connection.send(&post(&document("wait", vec![]), "")).await;
    bed.wait_begun().await;
    drop(connection);
    timeout(DEADLINE, bed.methods.dropped.acquire()).await.unwrap().unwrap().forget();
}

#[tokio::test]
async fn many_calls_at_once_are_answered_in_order() {
    let bed = Bed::new().await;
    let calls = vec![
        inner("echo", vec![Value::Int(1)]),
        inner("fault", vec![]),
        Value::from([("methodName", Value::from("echo"))]),
        inner("system.listMethods", vec![Value::Int(1)]),
        inner("system.multicall", vec![Value::from(vec![])]),
        Value::from([("params", Value::from(vec![]))]),
        Value::Int(3),
    ];
    let Ok(Value::Array(answers)) = bed.call("system.multicall", vec![Value::from(calls)]).await else {
        panic!("no array");
    };
    assert_eq!(answers[0], Value::from(vec![Value::from(vec![Value::Int(1)])]));
    assert_eq!(answers[1].member("faultCode"), Some(&Value::Int(103)));
    assert_eq!(answers[1].member("faultString"), Some(&Value::from("guest-offline: vm1 does not answer")));
    assert_eq!(answers[2], Value::from(vec![Value::from(vec![])]));
    let text = |number: usize| answers[number].member("faultString").cloned();
    let invalid = |problem| Some(Value::from(format!("invalid-parameter: {problem}")));
    assert_eq!(text(3), invalid("system.listMethods: takes at most 0 parameters, got 1"));
    assert_eq!(text(4), invalid("system.multicall: cannot call itself"));
    assert_eq!(text(5), invalid("system.multicall: one of the calls has no methodName"));
    assert_eq!(text(6), invalid("system.multicall: one of the calls: expected a struct, got int"));
    assert_eq!(answers.len(), 7);
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused() {
    let bed = Bed::new().await;
    let calls = |number| vec![(0..number).map(|_| inner("echo", vec![])).collect::<Value>()];
    assert!(bed.call("system.multicall", calls(1000)).await.is_ok());
    assert_eq!(
        bed.call("system.multicall", calls(1001)).await.unwrap_err().text(),
        "invalid-parameter: system.multicall: at most 1000 calls at a time, got 1001"
    );
}

#[tokio::test]
async fn methods_are_listed_as_they_come_and_go() {
    let bed = Bed::new().await;
    let ours = [
        "system.getCapabilities",
        "system.listMethods",
        "system.methodHelp",
        "system.methodSignature",
        "system.multicall",
    ];
    assert_eq!(bed.call("system.listMethods", vec![]).await, Ok(strings(&ours)));
    bed.methods.words.lock().unwrap().extend([info("word.DF"), info("guest.list")]);
    let all = [&["guest.list"], &ours[..], &["word.DF"]].concat();
    assert_eq!(bed.call("system.listMethods", vec![]).await, Ok(strings(&all)));
}

#[tokio::test]
async fn signature_and_help_tell_how_to_call() {
    let bed = Bed::new().await;
    bed.methods.words.lock().unwrap().push(info("word.DF"));
    let name = || vec![Value::from("word.DF")];
    assert_eq!(
        bed.call("system.methodSignature", name()).await,
        Ok(Value::from(vec![strings(&["struct"]), strings(&["struct", "string"])]))
    );
    assert_eq!(
        bed.call("system.methodHelp", name()).await,
        Ok(Value::from(
            "word.DF(target): Does word.DF.\n  target (string, optional): Target\nreturns struct"
        ))
    );
    let signature = bed.call("system.methodSignature", vec![Value::from("system.multicall")]).await;
    assert_eq!(signature, Ok(Value::from(vec![strings(&["array", "array"])])));
    let fault = bed.call("system.methodHelp", vec![Value::from("x".repeat(1000))]).await.unwrap_err();
    assert_eq!(fault.code(), code::METHOD_NOT_FOUND);
    assert!(fault.text().len() < 140, "{fault}");
    let fault = bed.call("system.methodHelp", vec![]).await.unwrap_err();
    assert_eq!(fault.text(), "invalid-parameter: system.methodHelp: parameter 1 \"method\" is missing");
}

#[tokio::test]
async fn capabilities_name_their_specifications() {
    let capabilities = Bed::new().await.call("system.getCapabilities", vec![]).await.unwrap();
    for name in ["faults_interop", "introspection", "system.multicall", "xmlrpc"] {
        let capability = capabilities.member(name).unwrap();
        assert!(matches!(capability.member("specUrl"), Some(Value::String(_))), "{name}");
        assert!(matches!(capability.member("specVersion"), Some(Value::Int(_))), "{name}");
    }
}
