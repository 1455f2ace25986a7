//! A real guest agent in a real machine of a real VirtualBox, whose instructions are translated: no kernel module, no
//! privileges. The machine was booted once, before the stories, and left at a live snapshot; it is given the agent
//! and its credential by the network when it goes on from there.
//!
//! Nothing is configured in the guest but where its folders are: it finds the host at its gateway, on the usual port, and
//! says who it is by the address of its network card.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vocable_tests::TIMEOUT;
use vocable_tests::host::Host;

#[path = "../../core/vbox/tests/real/root.rs"]
mod root;
mod verbs;

/// The machine, and the address of its card as the guest knows it.
const MACHINE: &str = "lin1";
const GUEST: &str = "0800270A0B0C";

/// What a wrapper of 2010 does with a machine, by the names that it knew.
fn as_in_2010(host: &Host) {
    let call = |name: &str, arguments: Value| {
        host.call(name, arguments).unwrap_or_else(|fault| panic!("{name}: {fault:?}"))
    };
    let local = |name: &str| format!("{FILES}/{name}");
    let is_there = || {
        let (latest, mut next) = (Instant::now() + TIMEOUT, json!(0));
        while call("ping", json!([MACHINE, 20])) != true {
            assert!(Instant::now() < latest, "{MACHINE} does not answer");
            // Until something happens, or for a second.
            next = call("agent.events", json!([next, 1]))["next"].clone();
        }
    };
    assert_eq!(call("listAvailableVMs", json!([])), json!([MACHINE]));
    assert_eq!(call("listRegisteredVMs", json!([])), json!([MACHINE]));
    assert_eq!(call("getNamesToIdsMapping", json!([])), json!({MACHINE: "08:00:27:0A:0B:0C"}));
    is_there();
    std::fs::write(local("job.in"), "6 7\n").unwrap();
    assert_eq!(call("cpFileToVM", json!([MACHINE, local("job.in"), "/inbox/job.in"])), true);
    let script = "read a b; echo $((a * b))";
    let run = json!([MACHINE, "sh", ["-c", script], {}, "", "/inbox/job.in"]);
    let id = call("runCmd", run);
    let results = loop {
        // Results are there once, and nothing before.
        match call("getCmdResults", json!([id])) {
            Value::Object(results) if !results.is_empty() => break results,
            _ => drop(host.call("cmd.wait", json!([id, {"timeout_s": 20}]))),
        }
    };
    assert_eq!((&results["out"], &results["exitCodeOrSignal"]), (&json!("42\n"), &json!(0)), "{results:?}");
    assert_eq!(call("getCmdDetails", json!([id]))["vm"], GUEST);
    assert_eq!(call("pause", json!([MACHINE])), true);
    assert_eq!(call("getState", json!([MACHINE])), "paused");
    assert_eq!(call("unpause", json!([MACHINE])), true);
    is_there();
    assert_eq!(call("saveSnapshot", json!([MACHINE, "2010", "done"])), true);
    assert_eq!(call("cpFileFromVM", json!([MACHINE, "/inbox/job.in", local("job.out")])), true);
    assert_eq!(std::fs::read(local("job.out")).unwrap(), b"6 7\n");
    assert_eq!(call("saveState", json!([MACHINE])), true);
    assert_eq!(
        (call("getState", json!([MACHINE])), call("listRunningVMs", json!([]))),
        (json!("saved"), json!([]))
    );
    assert_eq!(call("start", json!([MACHINE])), true);
    is_there();
    assert_eq!(call("powerOff", json!([MACHINE])), true);
    assert_eq!(call("restoreSnapshot", json!([MACHINE])), true);
    assert_eq!(call("start", json!([MACHINE])), true);
    is_there();
}

/// Where the host agent may touch files of its own machine.
const FILES: &str = "/tmp/files";

/// The port of the gateway at which the machine asks for what it is to run.
const CONTEXT: u16 = 61699;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The agent for any Linux image, as `cargo xtask static` builds it.
fn agent() -> PathBuf {
    project().join("target/x86_64-unknown-linux-musl/static/vocable-guest")
}

/// VirtualBox's folder with the machine in it.
fn profile() -> PathBuf {
    project().join("target/peers/virtualbox/guest")
}

/// A host agent beside VirtualBox, within the root.
fn host() -> Host {
    // Its paths are those that it was made with.
    let copied =
        Command::new("/usr/bin/busybox").args(["cp", "-a"]).arg(profile().join(".")).arg("/vm").status();
    assert!(copied.unwrap().success());
    std::fs::create_dir(FILES).unwrap();
    // In a network of the story's own: so the usual port is free.
    Host::with(&[
        "broker.listen = [\"127.0.0.1:61613\"]",
        "hypervisor.driver = \"virtualbox\"",
        &format!("files.roots = [{FILES:?}]"),
        "roster.late_after = 3",
        "roster.lost_after = 6",
    ])
}

/// Gives the machine the agent, its credential and its settings, whenever it asks: what it has begun to fetch is lost
/// when its network is brought up again after a snapshot. Ends with the story's process.
fn context(host: &Host) {
    let folder = host.folder().join("context");
    std::fs::create_dir(&folder).unwrap();
    let token = host.call("guest.token", json!([GUEST])).unwrap();
    let settings = [
        "token_file = \"/context/token\"",
        "cache = \"/context/cache\"",
        "beacon = \"1s\"",
        "heartbeat = \"2s\"",
        "reconnect = { first = \"200ms\", most = \"1s\", jitter = 0.5 }",
    ];
    let run = "chmod 600 /context/token\n\
               mount -t cgroup2 none /sys/fs/cgroup && echo +memory +io > /sys/fs/cgroup/cgroup.subtree_control\n\
               HOME=/ setsid /context/vocable-guest --config /context/guest.toml < /dev/null > /tmp/agent.log 2>&1 &\n";
    std::fs::write(folder.join("token"), token.as_str().unwrap()).unwrap();
    std::fs::write(folder.join("guest.toml"), settings.join("\n")).unwrap();
    std::fs::write(folder.join("run"), run).unwrap();
    std::fs::copy(agent(), folder.join("vocable-guest")).unwrap();
    compile_words(&folder);
    let mut pack = Command::new("/usr/bin/busybox");
    let packed = pack.args(["tar", "-c", "-C"]).arg(&folder).args(["-f", "-", "."]).output().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, CONTEXT)).unwrap();
    std::thread::spawn(move || {
        for machine in listener.incoming() {
            let given = machine.and_then(|mut machine| machine.write_all(&packed.stdout));
            eprintln!("the machine has asked for the agent: {given:?}");
        }
    });
}

/// Compiles the agent's words into the folder `cache`, by running it where nobody answers it: that takes minutes in a
/// machine whose instructions are translated.
fn compile_words(folder: &Path) {
    let settings = folder.with_file_name("compile.toml");
    let lines = [
        format!("cache = {:?}", folder.join("cache")),
        format!("state = {:?}", folder.with_file_name("compile.state")),
        "id = \"compile\"".to_owned(),
        "broker = \"127.0.0.1:1\"".to_owned(),
    ];
    std::fs::write(&settings, lines.join("\n")).unwrap();
    let mut running =
        Command::new(agent()).arg("--config").arg(&settings).stderr(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut told = told.map(Result::unwrap).inspect(|line| eprintln!("compiling: {line}"));
    assert!(told.any(|line| line.contains("words: ")), "the agent ended before it had its words");
    running.kill().unwrap();
    running.wait().unwrap();
}

/// Types a command line about machines, which has to succeed.
fn vm(host: &Host, arguments: &[&str]) {
    let typed = host.types(&[&["vm"], arguments].concat());
    assert_eq!(typed.code, Some(0), "vocable vm {arguments:?}: {typed:?}");
}

/// What the host says about the machine.
fn machine(host: &Host) -> Value {
    let all = host.call("vm.list", json!([])).unwrap();
    let found = all.as_array().unwrap().iter().find(|machine| machine["name"] == MACHINE).cloned();
    found.unwrap_or_else(|| panic!("no {MACHINE} in {all}"))
}

#[test]
fn a_guest_lives_as_its_machine_does() {
    root::inside("virtualbox::a_guest_lives_as_its_machine_does", || {
        if let Some(missing) = [agent(), profile()].iter().find(|path| !path.exists()) {
            assert!(std::env::var_os("CI").is_none(), "no {}", missing.display());
            return eprintln!("skipped: no {} (cargo xtask test --peers)", missing.display());
        }
        let host = host();
        context(&host);
        let begun = Instant::now();
        let step = |what: &str| eprintln!("{:>6.1} s  {what}", begun.elapsed().as_secs_f64());

        // The machine goes on, and the agent in it says who it is.
        vm(&host, &["snapshot", "restore", MACHINE, "booted", "--yes"]);
        vm(&host, &["start", MACHINE, "--no-agent"]);
        step("the machine runs");
        host.awaits_within(Duration::from_secs(600), "guest.alive", GUEST);
        step("the guest has joined");
        let found = machine(&host);
        assert_eq!((&found["guest"], &found["guest_online"]), (&json!(GUEST), &json!(true)), "{found}");
        assert_eq!(host.call("vm.get", json!([MACHINE])).unwrap()["guest"], GUEST);
        assert_eq!(host.call("guest.get", json!([GUEST])).unwrap()["vm_state"], "running");

        // It does what it is told, in that kernel.
        let told = host.shell(GUEST, "cat /sys/class/net/eth0/address; uname -r; echo oops >&2; exit 3");
        assert!(
            told.text().starts_with("08:00:27:0a:0b:0c\n") && told.text().contains("-cloud-"),
            "{told:?}"
        );
        assert_eq!((told.errors(), told.ending()), ("oops\n", (true, 3)));
        let typed = host.types(&["run", MACHINE, "--", "uname", "-m"]);
        assert_eq!((typed.code, typed.text()), (Some(0), "x86_64\n"), "{typed:?}");
        step("commands have run");

        // A file in and out: its address leads nowhere from here, so both go through the broker.
        let sent = host.folder().join("sent");
        std::fs::write(&sent, (0..100_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        let copied = host.types(&["cp", sent.to_str().unwrap(), &format!("{MACHINE}:/inbox/numbers")]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        let received = host.folder().join("received");
        let copied = host.types(&["cp", &format!("{MACHINE}:/inbox/numbers"), received.to_str().unwrap()]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        assert_eq!(std::fs::read(sent).unwrap(), std::fs::read(received).unwrap());
        step("a file is in it and back");

        // Paused it says nothing; the host notices, and knows why.
        vm(&host, &["pause", MACHINE]);
        host.awaits("guest.lost", GUEST);
        step("it is missed while it is paused");
        assert!(host.why(MACHINE).contains("paused"), "{}", host.why(MACHINE));
        vm(&host, &["resume", MACHINE]);
        host.awaits("guest.alive", GUEST);
        step("it is back");

        // Its kernel keeps the books of a command, with the controllers that not every test machine has.
        let fat = "x=$(head -c 300000 /dev/zero | tr '\\0' x); echo ready; while :; do sleep 1000; done";
        let fat = host.starts(GUEST, &["sh", "-c", fat]);
        fat.prints("ready\n");
        let usage = host.call("cmd.usage", json!([fat.id])).unwrap()["commands"][0]["usage"].clone();
        assert_eq!((&usage["source"], &usage["processes"]), (&json!("cgroup"), &json!(2)), "{usage:#}");
        assert!(usage["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 300_000), "{usage:#}");
        assert!(usage["cpu_s"].as_f64() > Some(0.0) && usage["written_bytes"].is_number(), "{usage:#}");
        host.call("cmd.cancel", json!([fat.id])).unwrap();
        assert_eq!(fat.ends().state(), "cancelled");
        step("its kernel has told what a command uses");

        // A live snapshot, something that it does not know of, and back: the agent finds its way by itself.
        vm(&host, &["snapshot", "take", MACHINE, "joined"]);
        host.shell(GUEST, "echo later > /tmp/later").well();
        let unknown = host.starts(GUEST, &["sh", "-c", "echo ready; sleep 1000"]);
        unknown.prints("ready\n");
        vm(&host, &["poweroff", MACHINE, "--yes"]);
        host.awaits("guest.lost", GUEST);
        vm(&host, &["snapshot", "restore", MACHINE, "joined", "--yes"]);
        vm(&host, &["start", MACHINE]);
        let after = host.shell(GUEST, "cat /tmp/later || echo nothing of that").well();
        assert_eq!(after.text(), "nothing of that\n");
        let unknown = unknown.ends();
        assert_eq!(
            (unknown.state(), unknown.report["error"]["code"].as_str()),
            ("lost", Some("guest-reset"))
        );
        step("it is back from the snapshot");

        as_in_2010(&host);
        step("a wrapper of 2010 is content");

        // Its power button: it says goodbye and ends.
        vm(&host, &["stop", MACHINE, "--yes"]);
        host.awaits("guest.left", GUEST);
        assert_eq!(machine(&host)["state"], "poweroff");
        step("it has said goodbye and is off");
    });
}
