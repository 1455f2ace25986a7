//! Python's own client against the endpoint.

use std::{env, io::ErrorKind, process::Command};

use super::*;

/// What a Python program would do; ends with an assertion where something is otherwise.
const SCRIPT: &str = r#"
import datetime, sys, xmlrpc.client
url = sys.argv[1]
server = xmlrpc.client.ServerProxy(f"http://agent:s3cret@{url}", use_builtin_types=True)
now = datetime.datetime(2026, 11, 22, 9, 1, 44)
things = [1, 2.5, True, "ü<&>\n", "", b"\x00\xff", now, [1, []], {"a": {"b": ""}, "": 1}]
assert server.echo(*things) == things
assert "system.listMethods" in server.system.listMethods()
assert server.system.methodSignature("system.listMethods") == [["array"]]
try:
    server.fault()
    raise AssertionError("no fault")
except xmlrpc.client.Fault as fault:
    assert (fault.faultCode, fault.faultString) == (103, "guest-offline: vm1 does not answer"), fault
try:
    server.echo("x" * 17_000_000)
    raise AssertionError("no fault")
except xmlrpc.client.Fault as fault:
    assert fault.faultCode == 300, fault
assert server.echo(b"x" * 8_000_000) == [b"x" * 8_000_000]
many = xmlrpc.client.MultiCall(server)
many.echo(1)
many.echo("b")
many.fault()
answers = many()
assert answers[0] == [1] and answers[1] == ["b"]
try:
    answers[2]
    raise AssertionError("no fault")
except xmlrpc.client.Fault as fault:
    assert fault.faultCode == 103, fault
for wrong in [f"http://{url}", f"http://agent:wrong@{url}"]:
    try:
        xmlrpc.client.ServerProxy(wrong).echo()
        raise AssertionError("no refusal")
    except xmlrpc.client.ProtocolError as error:
        assert error.errcode == 401, error
print("done")
"#;

#[tokio::test]
async fn python_is_at_home() {
    let bed = Bed::new().await;
    let address = bed.address.to_string();
    let run = move || Command::new("python3").args(["-c", SCRIPT, &address]).output();
    let output = match tokio::task::spawn_blocking(run).await.unwrap() {
        Err(error) if error.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
            println!("skipped: python3 not found");
            return;
        }
        output => output.unwrap(),
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}
