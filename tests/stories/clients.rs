//! Real clients, as people have them: each sends every type and gets it back, is told of faults, looks at what there
//! is, waits for a command on a real guest, and fetches more output than fits in one answer.
//!
//! The scripts are beside this file. They are alike, and all have to print [`TRANSCRIPT`].

use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use vocable_tests::files::{drop_into, word};
use vocable_tests::gate::Gate;
use vocable_tests::guest::Guest;
use vocable_tests::host::{Host, Typed, typed};
use vocable_tests::peers;

/// What every client that can say everything has to see.
const TRANSCRIPT: &str = "\
boolean same
integer same
double same
string same
empty same
bytes same
array same
struct same
time 2026-11-22T09:01:44Z
fault 102 no-such-guest
fault -32602 invalid-parameter
fault -32601 no-such-method
lists True True True
signature struct string double
help cmd.wait
state running
state done True 4 grüße ff
created True
large 3000000 True
";

/// A host and a guest `vm1` that know the word ECHO, which answers what it is told.
fn bed() -> (Host, Guest) {
    let host = Host::start();
    let plan = host.guest("vm1");
    drop_into(&plan.words(), &word("word-echo"), "echo.wasm");
    drop_into(&host.words(), &word("word-echo"), "echo.wasm");
    host.awaits("word.loaded", "ECHO");
    let vm1 = plan.joins();
    (host, vm1)
}

fn address(host: &Host) -> String {
    format!("http://{}/RPC2", host.api())
}

/// The same with the token inside, for clients that take it from there.
fn address_with_token(host: &Host) -> String {
    format!("http://agent:{}@{}/RPC2", host.token(), host.api())
}

/// Runs a script of that name by that program, which `sign` (a program or a file) shows to be there.
fn converses(package: &str, sign: &str, program: &str, script: &str) {
    if !peers::there(package, sign) {
        return;
    }
    let (host, _vm1) = bed();
    let gate = Gate::new(host.folder(), "gate");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories/clients").join(script);
    let mut command = Command::new(program);
    command.arg(script).arg(address(&host)).arg(host.token()).arg(gate.path());
    command.env("NODE_PATH", peers::installed("node_modules"));
    let run = typed(&mut command);
    // Its guest may not have said yet that it has started it.
    let told = run.text().replace("state queued\n", "state running\n");
    assert_eq!((run.code, told.as_str(), run.err.as_str()), (Some(0), TRANSCRIPT, ""), "{program} {run:?}");
}

#[test]
fn python() {
    converses("python3", "python3", "python3", "python.py");
}

#[test]
fn perl_with_rpc_xml() {
    converses("librpc-xml-perl", "/usr/share/perl5/RPC/XML.pm", "perl", "rpc_xml.pl");
}

#[test]
fn perl_with_xmlrpc_lite() {
    converses("libxmlrpc-lite-perl", "/usr/share/perl5/XMLRPC/Lite.pm", "perl", "xmlrpc_lite.pl");
}

#[test]
fn php() {
    converses("php-xmlrpc", "/usr/share/doc/php-xmlrpc", "php", "php.php");
}

#[test]
fn ruby() {
    converses("ruby-xmlrpc", "/usr/lib/ruby/vendor_ruby/xmlrpc/client.rb", "ruby", "ruby.rb");
}

#[test]
fn node() {
    let package = peers::installed("node_modules/xmlrpc/package.json");
    converses("xmlrpc (npm)", package.to_str().unwrap(), "node", "node.js");
}

/// xmlrpc-c's command line: simple types only, so no arguments for programs, and no options.
#[test]
fn the_command_line_of_xmlrpc_c() {
    if !peers::there("libxmlrpc-core-c3-dev", "xmlrpc") {
        return;
    }
    let (host, _vm1) = bed();
    let call = |parameters: &[&str]| -> Typed {
        let mut command = Command::new("xmlrpc");
        command.arg(address(&host)).args(parameters).env("LC_ALL", "C.UTF-8");
        typed(command.args(["-username=agent", &format!("-password={}", host.token())]))
    };
    let shows = |parameters: &[&str], texts: &[&str]| {
        let answer = call(parameters);
        assert!(
            answer.code == Some(0) && texts.iter().all(|text| answer.text().contains(text)),
            "{parameters:?} gives {}{}, which has not all of {texts:?}",
            answer.text(),
            answer.err
        );
        answer
    };

    for (sent, came) in [
        ("i/-7", "Integer: -7"),
        ("I/5000000000", "Floating Point: 5000000000.0"),
        ("b/true", "Boolean: TRUE"),
        ("d/0.5", "Floating Point: 0.5"),
        ("s/<grüße> & ]]>", r"String: '<gr\xc3\xbc\xc3\x9fe> & ]]>'"),
        ("s/", "String: ''"),
        ("h/00ff", "Bit string: 00ff"),
    ] {
        shows(&["word.ECHO", "s/vm1", sent], &["'answer'", came]);
    }
    let nobody = call(&["cmd.run", "s/vm9", "s/true"]);
    assert!(nobody.code == Some(1) && nobody.err.contains("no-such-guest: "), "{nobody:?}");
    assert!(nobody.err.contains("fault code 102"), "{nobody:?}");
    shows(&["system.listMethods"], &["'cmd.wait'", "'word.ECHO'"]);
    shows(&["system.methodSignature", "s/cmd.wait"], &["Array of 2 items", "'double'"]);
    shows(&["system.methodHelp", "s/cmd.wait"], &["cmd.wait(cmd_id, timeout_s"]);

    let gate = Gate::new(host.folder(), "gate");
    let program = script(&host, "large", &format!("{}\nyes 0123456789abcde | head -c 1500000", gate.wait()));
    let started = shows(&["cmd.run", "s/vm1", &format!("s/{}", program.display())], &["String: '"]);
    let id = format!("s/{}", started.text().split('\'').nth(1).unwrap());
    shows(&["cmd.wait", &id, "d/0.1"], &["'running'"]);
    gate.open();
    // It takes no document of more than 512 KiB.
    let done = shows(&["cmd.wait", &id, "d/20"], &["'done'", "Integer: 1500000", "'created'"]);
    assert!(done.out.len() > 256 * 1024, "{} bytes", done.out.len());
}

/// A script without parameters, to be run by its path.
fn script(host: &Host, name: &str, text: &str) -> std::path::PathBuf {
    let path = host.folder().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Debian's program that prints a manual from what introspection tells: it stumbles over signatures that are not
/// arrays of arrays, and complains of help it cannot print.
#[test]
fn a_manual_by_xml_rpc_api2txt() {
    if !peers::there("xmlrpc-api-utils", "xml-rpc-api2txt") {
        return;
    }
    let (host, _vm1) = bed();
    let manual = typed(Command::new("xml-rpc-api2txt").arg(address_with_token(&host)));
    assert_eq!((manual.code, manual.err.as_str()), (Some(0), ""), "{}", manual.text());
    let listed = host.call("system.listMethods", json!([])).unwrap();
    for method in listed.as_array().unwrap() {
        let method = method.as_str().unwrap();
        assert!(manual.text().contains(&format!(" {method} (")), "no {method} in {}", manual.text());
    }
    assert!(manual.text().contains("struct cmd.wait (string, double, struct)"), "{}", manual.text());
}
