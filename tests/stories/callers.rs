//! Programs that call the endpoint: Python's own XML-RPC client, and whoever has no business there.

use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use vocable_api::client::{Client, ClientError};
use vocable_tests::TIMEOUT;
use vocable_tests::host::{Host, typed};

/// Python with the story's proxy object `vocable` and a function that gives a fault's number and slug.
const PRELUDE: &str = r#"
import sys, xmlrpc.client as x
def proxy(token):
    headers = [("Authorization", "Bearer " + token)] if token else []
    return x.ServerProxy(sys.argv[1], headers=headers)
vocable = proxy(sys.argv[2])
def fault(call):
    try: return call()
    except x.Fault as e: return e.faultCode, e.faultString.split(":")[0]
    except x.ProtocolError as e: return e.errcode
"#;

/// Whether there is a Python; without one the story is skipped, which no build server may do.
fn python_is_there() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok_and(|it| it.status.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: no python3");
    }
    there
}

fn python(host: &Host, script: &str) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", &format!("{PRELUDE}\n{script}")]);
    let run = typed(command.arg(format!("http://{}/RPC2", host.api())).arg(host.token()));
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.text().to_owned()
}

#[test]
fn a_python_program_runs_commands() {
    if !python_is_there() {
        return;
    }
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = r#"
id = vocable.cmd.run("vm1", "sh", ["-c", "cat; printf '\\377' >&2; exit 4"], {"stdin": x.Binary(b"gr\xc3\xbc\xc3\x9fe")})
r = vocable.cmd.wait(id, 20.0)
print(r["guest"], r["state"], r["finished"], r["exitCodeOrSignal"], r["out"], r["err"].data, len(r["resources"]))
print(type(r["created"]).__name__, [g["guest"] for g in vocable.guest.list()])
print(vocable.system.methodSignature("cmd.wait")[0])
multi = x.MultiCall(vocable)
multi.agent.version()
multi.system.listMethods()
version, methods = multi()
print(version["name"], "cmd.run" in methods)
"#;
    assert_eq!(
        python(&host, script),
        "vm1 done True 4 grüße b'\\xff' 16\nDateTime ['vm1']\n['struct', 'string', 'double']\nvocable True\n"
    );
}

#[test]
fn a_python_program_that_errs_is_told_by_number_and_name() {
    if !python_is_there() {
        return;
    }
    let host = Host::start();
    let script = r#"
print(fault(lambda: vocable.cmd.run("vm1", "true")))
print(fault(lambda: vocable.cmd.run(1, "true")))
print(fault(lambda: vocable.cmd.run("vm1")))
print(fault(lambda: vocable.cmd.run("vm1", "true", ["a", 1])))
print(fault(lambda: vocable.cmd.run("vm1", "true", [], {"tiemout_s": 1})))
print(fault(lambda: vocable.cmd.poll("nosuch")))
print(fault(lambda: vocable.cmd.fly()))
print(fault(lambda: vocable.word.NOSUCH("vm1")))
print(fault(lambda: proxy("").agent.version()))
print(fault(lambda: proxy("vc_wrong").agent.version()))
print(fault(lambda: vocable.agent.version())["name"])
"#;
    assert_eq!(
        python(&host, script),
        "(102, 'no-such-guest')\n(-32602, 'invalid-parameter')\n(-32602, 'invalid-parameter')\n\
         (-32602, 'invalid-parameter')\n(-32602, 'invalid-parameter')\n(104, 'no-such-command')\n\
         (-32601, 'no-such-method')\n(-32601, 'no-such-method')\n401\n401\nvocable\n"
    );
}

#[test]
fn a_guests_token_is_no_callers_token() {
    let host = Host::start();
    let token = host.call("guest.token", json!(["vm1"])).unwrap();
    let fault = host.call("guest.token", json!(["host"])).unwrap_err();
    assert!(
        fault.starts_with("invalid-parameter: guest.token: host is the host agent's own name"),
        "{fault}"
    );
    let url = format!("http://{}", host.api());
    let call =
        |token: &str| Client::new(&url, token).unwrap().call_by_name("agent.version", Vec::new(), TIMEOUT);
    let answer = call(token.as_str().unwrap());
    assert!(matches!(answer, Err(ClientError::Unproven { .. })), "{answer:?}");
    let answer = call("");
    assert!(matches!(answer, Err(ClientError::NotAuthorised { .. })), "{answer:?}");
    let typed = typed(host.command_line(&["guests", "--agent", &url]).env("VOCABLE_TOKEN_FILE", "/dev/null"));
    assert_eq!(typed.code, Some(4), "{typed:?}");
}

/// Whoever has the port of an agent that was killed is asked for a proof, and told nothing else by anything typed.
#[test]
fn whoever_takes_a_dead_agents_port_is_told_nothing() {
    let host = Host::start();
    let (address, token) = (host.api(), host.token());
    host.is_killed();
    let listener = TcpListener::bind(address).unwrap();
    let impostor = std::thread::spawn(move || {
        let (mut heard, mut connections) = (Vec::new(), 0);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"</methodCall>\n") {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    length => request.extend_from_slice(&buffer[..length]),
                }
            }
            if request.starts_with(b"over") {
                break;
            }
            connections += 1;
            let proof = "0".repeat(64);
            let body = format!("{{\"proof\": \"{proof}\"}}");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            // What else it might say, before it goes.
            let _ = stream.read_to_end(&mut request);
            heard.extend(request);
        }
        (connections, heard)
    });
    let file = host.folder().join("vocable.toml").display().to_string();
    for line in [
        &["guests"] as &[&str],
        &["run", "vm1", "--", "echo", "private"],
        &["attach", "k1"],
        &["cp", &file, "vm1:/private"],
        &["cp", "vm1:/private", "."],
        &["ls", "vm1:/private"],
        &["events", "--no-follow"],
    ] {
        let typed = host.types(line);
        assert_ne!(typed.code, Some(0), "{line:?}: {typed:?}");
        assert!(typed.err.contains("error[unproven]"), "{line:?}: {}", typed.err);
    }
    let mut last = TcpStream::connect(address).unwrap();
    last.write_all(b"over\r\n\r\n").unwrap();
    let (connections, heard) = impostor.join().unwrap();
    let heard = String::from_utf8(heard).unwrap();
    assert!(connections >= 7, "{connections}");
    assert!(
        !heard.contains(&token) && !heard.contains("private") && !heard.contains("Authorization"),
        "{heard}"
    );
}

#[test]
fn what_no_pattern_and_no_message_holds_is_refused_and_harms_nobody() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let braces = format!("{}vm1{}", "{".repeat(260), "}".repeat(260));
    for (method, params) in [
        ("cmd.run", json!([braces, "true"])),
        ("word.ask", json!([braces, "BEAT"])),
        ("agent.events", json!([0, 0, {"kinds": [braces]}])),
    ] {
        let fault = host.call(method, params).unwrap_err();
        assert!(fault.starts_with("invalid-parameter: "), "{method}: {fault}");
    }
    // Four of these once took RUN_CMD from everybody.
    for _ in 0..6 {
        let fault = host.call("cmd.run", json!(["vm1", "true", ["x".repeat(2 << 20)]])).unwrap_err();
        assert!(fault.starts_with("too-big: cmd.run: what is to be said has 209"), "{fault}");
        let fault =
            host.call("word.ask", json!(["vm1", "NOSUCH", {"text": "x".repeat(2 << 20)}])).unwrap_err();
        assert!(fault.starts_with("too-big: args: what is to be said has 209"), "{fault}");
    }
    host.runs("vm1", &["true"]).well();
}

/// Bytes in a mebibyte.
const MEBI: u64 = 1 << 20;

#[test]
fn many_long_answers_to_one_request_have_the_room_of_one() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let command = host.starts("vm1", &["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"]);
    command.ends();
    let poll = json!({"methodName": "cmd.poll", "params": [command.id, {"max_output": 1_000_000}]});
    let before = host.process().peak_memory();
    let answers = host.call("system.multicall", json!([vec![poll; 120]])).unwrap();
    let took = host.process().peak_memory().saturating_sub(before);
    let answers = answers.as_array().unwrap();
    let (fits, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_array());
    assert!((50..70).contains(&fits.len()) && answers.len() == 120, "{}", fits.len());
    let text = refused[0]["faultString"].as_str().unwrap();
    assert!(text.starts_with("too-big: cmd.poll was carried out, and its answer is left out"), "{text}");
    eprintln!("120 answers of 1 MB took {} MiB", took / MEBI);
    assert!(took < 256 * MEBI, "took {} MiB", took / MEBI);
}
