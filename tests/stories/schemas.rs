//! The OpenAPI document against what the endpoint does, by other people's program: schemathesis makes up requests that
//! fit the document and some that do not, and looks whether the answers are as it says.

use std::process::Command;
use vocable_tests::host::{Host, typed};
use vocable_tests::peers;

#[test]
fn every_answer_is_as_the_openapi_document_says() {
    let program = peers::installed("schemathesis/bin/schemathesis");
    if !peers::there("schemathesis (PyPI)", program.to_str().unwrap()) {
        return;
    }
    // Calls that wait are not worth waiting for here.
    let host = Host::with(&["api.longest_wait = \"50ms\""]);
    let mut command = Command::new(program);
    // A guest that is away and a hypervisor that is not there are told by statuses beyond 500, and no mistakes of ours.
    let settings =
        "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502, 503, 504, 507]\n";
    std::fs::write(host.folder().join("schemathesis.toml"), settings).unwrap();
    command.current_dir(host.folder());
    command.args(["run", &format!("http://{}/api/openapi.json", host.api())]);
    command.args(["--header", &format!("Authorization:Bearer {}", host.token())]);
    // The same requests every time, and not many.
    command.args(["--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-examples", "5"]);
    command.args(["--no-color", "--suppress-health-check", "all"]);
    // What fits the document may still be refused for what it means: no glob, no path, no signal of that name.
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    // It would be the last call.
    command.args(["--exclude-operation-id", "agent.shutdown"]);
    let run = typed(&mut command);
    assert_eq!(run.code, Some(0), "{}{}", run.text(), run.err);
    assert!(
        host.process().logged().lines().all(|line| !line.contains("ERROR")),
        "{}",
        host.process().logged()
    );
}
