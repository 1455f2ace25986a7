//! What is told when something goes wrong: slug, cause, what to do, exit code.

use crate::testing::{FakeAgent, Screen, on, vocable};
use std::io;
use vocable_api::client::ClientError;
use vocable_api::guest::{Guest, List};

fn guest(name: &str) -> Guest {
    Guest { guest: name.to_owned(), ..Guest::default() }
}

fn unreachable() -> Result<vocable_xmlrpc::Value, ClientError> {
    let source = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
    Err(ClientError::Unreachable { address: "127.0.0.1:8700".to_owned(), source })
}

#[test]
fn no_agent() {
    let agent = || FakeAgent::default().says("guest.list", unreachable());
    insta::assert_snapshot!(vocable(&agent(), &["guests"]), @r#"
    ------- stderr
    error[no-agent]: no host agent answers at 127.0.0.1:8700
      cause: connection refused
      hint: vocable serve
    ------- exit code 3
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["guests", "--json"]), @r#"
    ------- stderr
    {"error":{"causes":["connection refused"],"code":"no-agent","hints":["vocable serve"],"message":"no host agent answers at 127.0.0.1:8700","transient":true}}
    ------- exit code 3
    "#);
    let agent = FakeAgent::default().says("cmd.run", unreachable());
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "true"]), @r#"
    ------- stderr
    error[no-agent]: no host agent answers at 127.0.0.1:8700
      cause: connection refused
      hint: vocable serve
    ------- exit code 125
    "#);
}

#[test]
fn no_token() {
    let refused = Err(ClientError::NotAuthorised { address: "127.0.0.1:8700".to_owned() });
    let agent = FakeAgent::default().says("guest.list", refused);
    insta::assert_snapshot!(vocable(&agent, &["guests"]), @r#"
    ------- stderr
    error[not-authorised]: the host agent at 127.0.0.1:8700 does not accept the token
      at: /state/token
      hint: name the file with its token: --token-file FILE
    ------- exit code 4
    "#);
}

#[test]
fn something_else_at_the_address() {
    let problem = "HTTP 404, \"not found\"".to_owned();
    let strange = Err(ClientError::BadReply { address: "127.0.0.1:8700".to_owned(), problem });
    let agent = FakeAgent::default().says("guest.list", strange);
    insta::assert_snapshot!(vocable(&agent, &["guests"]), @r#"
    ------- stderr
    error[bad-reply]: 127.0.0.1:8700 is not a Vocable host agent
      cause: HTTP 404, "not found"
      hint: name the agent's address: --agent URL
    ------- exit code 3
    "#);
}

#[test]
fn somebody_else_at_the_address() {
    let problem = "it does not know the token".to_owned();
    let stranger = Err(ClientError::Unproven { address: "127.0.0.1:8700".to_owned(), problem });
    let agent = FakeAgent::default().says("guest.list", stranger);
    insta::assert_snapshot!(vocable(&agent, &["guests"]), @r#"
    ------- stderr
    error[unproven]: what answers at 127.0.0.1:8700 did not prove that it is your Vocable host agent; the token was not sent
      cause: it does not know the token
      hint: vocable serve, or name the agent and the file with its token: --agent URL --token-file FILE
    ------- exit code 3
    "#);
    let problem = "user 1001 listens there".to_owned();
    let foreign = Err(ClientError::Untrusted { address: "/tmp/api.sock".to_owned(), problem });
    let agent = FakeAgent::default().says("guest.list", foreign);
    insta::assert_snapshot!(vocable(&agent, &["guests"]), @r#"
    ------- stderr
    error[untrusted]: what answers at /tmp/api.sock is not trusted: user 1001 listens there
      hint: name the agent's address: --agent URL
    ------- exit code 3
    "#);
}

#[test]
fn a_guest_that_is_away_and_one_that_is_none() {
    let offline = "guest-offline: vm2 does not answer; nothing was run: lost since 09:01:54 (4m10s)";
    let agent = FakeAgent::default().refuses("cmd.run", 103, offline);
    insta::assert_snapshot!(vocable(&agent, &["run", "vm2", "./step.sh"]), @r#"
    ------- stderr
    error[guest-offline]: vm2 does not answer; nothing was run
      cause: lost since 09:01:54 (4m10s)
      hint: vocable why vm2
    ------- exit code 125
    "#);
    let nobody = || {
        FakeAgent::default()
            .refuses("cmd.run", 102, "no-such-guest: no guest is called \"vm9\"")
            .replies::<List>(["vm1", "pi-04"].map(guest).into())
    };
    insta::assert_snapshot!(vocable(&nobody(), &["run", "vm9", "true"]), @r#"
    ------- stderr
    error[no-such-guest]: no guest is called "vm9"
      hint: did you mean vm1?
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&nobody(), &["run", "database", "true"]), @r#"
    ------- stderr
    error[no-such-guest]: no guest is called "vm9"
      hint: vocable guests
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&nobody(), &["run", "vm9", "--json", "true"]), @r#"
    ------- stderr
    {"error":{"code":"no-such-guest","fault":102,"hints":["did you mean vm1?"],"message":"no guest is called \"vm9\"","transient":false}}
    ------- exit code 125
    "#);
}

#[test]
fn a_star_that_the_shell_expanded() {
    let agent =
        FakeAgent::default().refuses("cmd.run", 102, "no-such-guest: no guest is called \"Cargo.toml\"");
    insta::assert_snapshot!(vocable(&agent, &["run", "Cargo.toml", "src", "--", "uname"]), @r#"
    ------- stderr
    error[no-such-guest]: no guest is called "Cargo.toml"
      cause: it is a file in this folder: the shell expanded *
      hint: write '*' in quotes
    ------- exit code 125
    "#);
}

#[test]
fn a_command_that_nobody_knows() {
    let agent = FakeAgent::default().refuses("cmd.poll", 104, "no-such-command: no command is called \"zz\"");
    insta::assert_snapshot!(vocable(&agent, &["logs", "zz"]), @r#"
    ------- stderr
    error[no-such-command]: no command is called "zz"
      hint: vocable ps -a
    ------- exit code 1
    "#);
}

#[test]
fn wrong_usage() {
    let agent = FakeAgent::default();
    insta::assert_snapshot!(vocable(&agent, &["guets"]), @r#"
    ------- stderr
    error[usage]: unrecognized verb 'guets'
      hint: some similar verbs exist: 'events', 'guest-image', 'guests'
      hint: vocable --help
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent, &["logs"]), @r#"
    ------- stderr
    error[usage]: the following required arguments were not provided: <ID>...
      hint: vocable logs --help
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent, &["guests", "--state", "dead"]), @"
    ------- stderr
    error[usage]: invalid value 'dead' for '--state <STATE>' [possible values: alive, joined, late, lost, left, never]
      hint: vocable guests --help
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&agent, &["wait", "k7", "--timeout", "10"]), @r#"
    ------- stderr
    error[usage]: invalid value '10' for '--timeout <TIME>': a duration needs a unit; did you mean "10s"?
      hint: vocable wait --help
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent, &["logs", "-f", "a", "b"]), @r#"
    ------- stderr
    error[usage]: only one ID can be followed; the id of a run follows all its guests
      hint: vocable logs --help
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&agent, &["events", "--since", "yesterday"]), @r#"
    ------- stderr
    error[bad-argument]: --since "yesterday": expected 10m, 14:00, 2026-11-22T08:00Z or '#4811'
    ------- exit code 2
    "#);
}

#[test]
fn nobody_who_reads_is_no_mistake() {
    let agent = FakeAgent::default().replies::<List>(vec![guest("vm1")]);
    assert_eq!(on(&Screen::default().without_reader(), &agent, &["guests"]), "");
}
