//! A wrapper written for the prototype of 2010: it knows nothing but the names the prototype had.

use std::io::Write;
use vocable_tests::host::{Host, typed};
use vocable_tests::peers;
use vocable_tests::process::Process;

/// Python with `vocable` as the prototype's wrapper had it, and a function that gives a fault's slug.
const PRELUDE: &str = r#"
import sys, time, xmlrpc.client
vocable = xmlrpc.client.ServerProxy(sys.argv[1])
def fault(call, *args):
    try: return call(*args)
    except xmlrpc.client.Fault as e: return e.faultString.split(":")[0]
def results(id):
    for _ in range(3000):
        r = vocable.getCmdResults(id)
        if r: return r
        time.sleep(0.01)
"#;

fn python(host: &Host, script: &str) -> String {
    let mut command = std::process::Command::new("python3");
    command.args(["-c", &format!("{PRELUDE}\n{script}")]);
    let run = typed(command.arg(format!("http://agent:{}@{}/RPC2", host.token(), host.api())));
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.text().to_owned()
}

#[test]
fn commands_are_run_and_their_results_had_once() {
    if !peers::there("python3", "python3") {
        return;
    }
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = r#"
print(vocable.listRegisteredVMs(), vocable.ping("vm1", 5), vocable.ping("vm9", 5))
id = vocable.runCmd("vm1", "sh", ["-c", "echo $WHO; pwd; echo no >&2; exit 3"], {"WHO": "seed"}, "/", "")
r = results(id)
print(r["cmd-id"] == id, r["out"], r["err"], r["finished"], r["exitCodeOrSignal"], len(r["resources"]))
print(fault(vocable.getCmdResults, id), vocable.listFinishedCmds())
other = vocable.runCmd("vm1", "true")
while not vocable.listFinishedCmds(): time.sleep(0.01)
print(vocable.listFinishedCmds() == [other], vocable.getCmdDetails(other)["cmd"], vocable.getCmdDetails(other)["vm"])
print(fault(vocable.getCmdResults, "nosuch"), "runCmd(" in vocable.help())
"#;
    assert_eq!(
        python(&host, script),
        "['vm1'] True False\nTrue seed\n/\n no\n True 3 16\nno-such-command []\nTrue true vm1\nno-such-command True\n"
    );
}

#[test]
fn files_are_brought_and_fetched() {
    if !peers::there("python3", "python3") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let host = Host::with(&[&format!("files.roots = [{}]", serde_json::json!(root.path()))]);
    let _vm1 = host.guest("vm1").joins();
    let script = format!(
        r#"
here = "{}/"
open(here + "job.in", "w").write("6 7\n")
print(vocable.cpFileToVM("vm1", here + "job.in", "/inbox/job.in"))
r = results(vocable.runCmd("vm1", "cat", [], {{}}, "", "/inbox/job.in"))
print(r["out"], end="")
print(vocable.cpFileFromVM("vm1", "/inbox/job.in", here + "job.out"))
print(open(here + "job.out").read(), end="")
print(fault(vocable.cpFileFromVM, "vm1", "/inbox/nothing", here + "x"))
print(fault(vocable.cpFileToVM, "vm9", here + "job.in", "/inbox/x"))
"#,
        root.path().display()
    );
    let told = python(&host, &script);
    let (done, refused) = told.split_at(told.rfind("6 7\n").unwrap() + 4);
    assert_eq!(done, "True\n6 7\nTrue\n6 7\n");
    assert_eq!(refused, "no-such-path\nno-such-vm\n");
}

/// All that the wrapper did, one after the other. Without a hypervisor a machine is made by name and runs when its agent
/// is there; what only a hypervisor can do says so, and the wrapper goes on.
#[test]
fn a_job_goes_through_from_its_machine_to_its_outputs() {
    if !peers::there("python3", "python3") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let host = Host::with(&[
        "hypervisor.driver = \"none\"",
        &format!("files.roots = [{}]", serde_json::json!(root.path())),
    ]);
    let script = format!(
        r#"
here = "{}/"
print(vocable.listAvailableVMs(), vocable.createVM("job1", ""), vocable.listAvailableVMs(), flush=True)
input()
print(vocable.start("job1"), vocable.getState("job1"))
while not vocable.ping("job1", 20): time.sleep(0.1)
open(here + "in", "w").write("6 7\n")
print(vocable.cpFileToVM("job1", here + "in", "/inbox/in"))
id = vocable.runCmd("job1", "sh", ["-c", "read a b; echo $((a * b)) | tee result"], {{}}, "{}", "/inbox/in")
print(results(id)["out"], end="")
for name, more in [("pause", []), ("unpause", []), ("saveSnapshot", ["one", "done"])]:
    print(fault(getattr(vocable, name), "job1", *more))
print(vocable.cpFileFromVM("job1", "/outbox/result", here + "out"), open(here + "out").read(), end="")
print(fault(vocable.saveState, "job1"))
"#,
        root.path().display(),
        // On that guest the outbox is there.
        host.folder().join("job1/outbox").display()
    );
    let mut command = std::process::Command::new("python3");
    command.args(["-c", &format!("{PRELUDE}\n{script}")]);
    command.arg(format!("http://agent:{}@{}/RPC2", host.token(), host.api()));
    let (mut wrapper, mut go_on) = Process::start_fed("the wrapper", &mut command);
    assert_eq!(wrapper.next_line(), "[] True ['job1']");
    let _job1 = host.guest("job1").joins();
    writeln!(go_on).unwrap();
    let (told, status) = wrapper.finishes();
    assert!(status.success(), "{}", wrapper.logged());
    assert_eq!(
        String::from_utf8(told).unwrap(),
        "True running\nTrue\n42\nhypervisor-missing\nTrue\nhypervisor-missing\nTrue 42\nhypervisor-missing\n"
    );
    // The same names by any other client: what is there once is there once.
    for program in ["true", "/no/such/program"] {
        let id = host.call("runCmd", serde_json::json!(["job1", program])).unwrap();
        host.call("cmd.wait", serde_json::json!([id, 20])).unwrap();
        assert_eq!(host.call("getCmdDetails", serde_json::json!([id])).unwrap()["vm"], "job1");
        let results = host.call("getCmdResults", serde_json::json!([id])).unwrap();
        assert_eq!(results.get("error").is_some(), program != "true", "{results}");
    }
}
