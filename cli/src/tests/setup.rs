//! `vocable token`, `api`, `config` and `completion`.

use crate::Global;
use crate::completion::{self, CompletionArgs};
use crate::config::{self, CheckArgs, ConfigVerb, DefaultArgs, ListArgs};
use crate::testing::{FakeAgent, Screen, json, vocable};
use std::process::ExitCode;
use vocable_api::agent::{GetVersion, Version};

#[test]
fn a_new_token_is_printed_once_with_where_to_put_it() {
    let agent = || {
        FakeAgent::default().answers("guest.token", "vg_3JxQk").replies::<GetVersion>(Version {
            broker: vec!["192.168.56.1:61613".to_owned()],
            ..Version::default()
        })
    };
    insta::assert_snapshot!(vocable(&agent(), &["token", "new", "vm4"]), @"
    vg_3JxQk
    ------- stderr
    hint: put it into /etc/vocable/token on vm4; it connects to 192.168.56.1:61613
    ");
    assert_eq!(vocable(&agent(), &["-q", "token", "new", "vm4"]), "vg_3JxQk\n");
    assert_eq!(
        vocable(&agent(), &["--json", "token", "new", "vm4"]),
        "{\"guest\":\"vm4\",\"token\":\"vg_3JxQk\"}\n"
    );
}

#[test]
fn methods_are_called_by_hand() {
    let agent =
        FakeAgent::default().answers("cmd.poll", json(r#"{"cmd_id": "k7mq2x.vm1", "out": {"b64": "AP8="}}"#));
    insta::assert_snapshot!(vocable(&agent, &["api", "cmd.poll", r#""k7mq2x.vm1""#, r#"{"out_offset": 5}"#]), @r#"{"cmd_id":"k7mq2x.vm1","out":{"b64":"AP8="}}"#);
    insta::assert_snapshot!(agent.calls(), @r#"cmd.poll("k7mq2x.vm1", {"out_offset":5})"#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["api", "cmd.poll", "k7mq2x.vm1"]), @r#"
    ------- stderr
    error[bad-argument]: "k7mq2x.vm1" is no JSON
      cause: expected value at line 1 column 1
      hint: a text has quotes: '"k7mq2x.vm1"'
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["api", "x", "[null]"]), @r#"
    ------- stderr
    error[bad-argument]: the parameters cannot be sent
      cause: null is no value; leave the member out
    ------- exit code 2
    "#);
    let unknown =
        FakeAgent::default().refuses("cmd.pol", -32601, "no-such-method: there is no method \"cmd.pol\"");
    insta::assert_snapshot!(vocable(&unknown, &["api", "cmd.pol"]), @r#"
    ------- stderr
    error[no-such-method]: there is no method "cmd.pol"
      hint: vocable api
    ------- exit code 1
    "#);
}

#[test]
fn methods_are_listed_and_described() {
    let agent = FakeAgent::default()
        .answers("system.listMethods", json(r#"["cmd.wait", "guest.list"]"#))
        .answers(
            "system.multicall",
            json(
                r#"[["cmd.wait(cmd_id, timeout_s): as cmd.poll, once it is over. More."], ["guest.list(): every guest the host knows: [{guest}]."]]"#,
            ),
        );
    insta::assert_snapshot!(vocable(&agent, &["api"]), @"
    METHOD      HELP
    cmd.wait    as cmd.poll, once it is over
    guest.list  every guest the host knows
    ------- stderr
    hint: vocable api --list METHOD describes one
    ");
    let agent = FakeAgent::default()
        .answers("system.methodHelp", "cmd.wait(cmd_id, timeout_s): as cmd.poll, once it is over.")
        .answers("system.methodSignature", json(r#"[["struct", "string", "double"]]"#));
    insta::assert_snapshot!(vocable(&agent, &["api", "--list", "cmd.wait"]), @r#"
    struct cmd.wait(string, double)
    cmd.wait(cmd_id, timeout_s): as cmd.poll, once it is over.
    "#);
}

#[test]
fn a_call_is_shown_as_a_program_makes_it() {
    let agent = FakeAgent::default();
    insta::assert_snapshot!(vocable(&agent, &["api", "--python", "cmd.list", r#"{"all": true, "state": "done"}"#]), @r#"
    import xmlrpc.client
    h = xmlrpc.client.ServerProxy("http://agent:TOKEN@127.0.0.1:8700/RPC2", use_builtin_types=True)
    print(h.cmd.list({"all": True, "state": "done"}))
    "#);
}

#[test]
fn the_ways_to_refuse_are_listed() {
    let faults = vocable(&FakeAgent::default(), &["api", "faults"]);
    assert!(faults.contains("guest-offline"), "{faults}");
    assert!(
        vocable(&FakeAgent::default(), &["api", "faults", "--json"]).starts_with("{\"faults\":[{\"code\":")
    );
}

/// What `vocable config` prints and whether it succeeds, with this configuration file.
fn config(file: &str, verb: ConfigVerb) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocable.toml");
    std::fs::write(&path, file).unwrap();
    super::super::testing::program().set();
    let global = Global { config: Some(path.clone()), ..Global::default() };
    let screen = Screen::default();
    let exit_code = config::config(&global, &mut screen.terminal(&[]), &verb).unwrap();
    (screen.take().replace(path.to_str().unwrap(), "FILE"), exit_code == ExitCode::SUCCESS)
}

#[test]
fn the_configuration_is_listed_with_where_it_comes_from() {
    let changed = |file| config(file, ConfigVerb::List(ListArgs { changed: true }));
    let (told, _) = changed("state = \"/srv/vocable\"\n");
    assert!(told.starts_with("state  ") && told.contains("\"/srv/vocable\"  FILE:1"), "{told}");
    let (told, _) = config("", ConfigVerb::List(ListArgs { changed: false }));
    assert!(told.contains("client.agent"), "{told}");
}

#[test]
fn mistakes_of_the_configuration_are_told_at_once() {
    let (told, is_well) = config("stat = 1\nstate = 2\n", ConfigVerb::Check(CheckArgs {}));
    assert!(!is_well);
    assert!(
        told.starts_with("FILE\n 1:1 ") && told.contains("2:9") && told.ends_with("2 errors\n"),
        "{told}"
    );
    assert!(config("", ConfigVerb::Check(CheckArgs {})).1);
}

#[test]
fn the_default_file_is_printed_as_it_is() {
    let (told, _) = config("", ConfigVerb::Default(DefaultArgs {}));
    assert_eq!(told, super::super::testing::DEFAULT_CONFIG);
}

#[test]
fn completion_is_a_line_to_source() {
    let screen = Screen::default();
    let args = CompletionArgs { shell: "zsh".to_owned() };
    completion::completion(&mut screen.terminal(&[]), &args).unwrap();
    assert_eq!(screen.take(), "source <(COMPLETE=zsh vocable)\n");
}
