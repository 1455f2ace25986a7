//! `vocable vm`.

use crate::testing::{FakeAgent, json, vocable};

fn machines() -> FakeAgent {
    FakeAgent::default().answers(
        "vm.list",
        json(
            r#"[
            {"name": "vm1", "uuid": "1", "state": "running", "state_since_unix": 1795331164, "mac": "08:00:27:0A:0B:0C", "cards": [],
             "guest": "vm1", "guest_online": true, "cpus": 2, "memory_mb": 2048, "snapshots": 1, "ours": true},
            {"name": "vm9", "uuid": "9", "state": "saved", "state_since_unix": 1795078800, "mac": "08:00:27:44:12:9E", "cards": [],
             "guest_online": false, "cpus": 4, "memory_mb": 8192, "snapshots": 0, "ours": false}
        ]"#,
        ),
    )
}

fn op(method: &'static str, text: &str) -> FakeAgent {
    FakeAgent::default().answers(method, json(text))
}

#[test]
fn machines_are_listed_with_who_is_in_them_and_whose_they_are() {
    insta::assert_snapshot!(vocable(&machines(), &["vm", "list"]), @r#"
    NAME  STATE    GUEST  SINCE  CPUS   MEMORY  SNAPSHOTS  OURS  MAC
    vm1   running  alive  2h        2  2.0 GiB          1  yes   08:00:27:0A:0B:0C
    vm9   saved    -      3d        4  8.0 GiB          0  no    08:00:27:44:12:9E
    "#);
    assert_eq!(vocable(&machines(), &["vm", "ls", "-q"]), "vm1\nvm9\n");
    assert_eq!(vocable(&machines(), &["vm", "list", "-q", "--ours"]), "vm1\n");
    assert_eq!(vocable(&machines(), &["vm", "list", "-q", "--state", "saved"]), "vm9\n");
    insta::assert_snapshot!(vocable(&machines(), &["vm", "list", "vm2"]), @r#"
    ------- stderr
    error[no-such-vm]: no machine is called "vm2"
      hint: did you mean vm1 or vm9?
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&machines(), &["vm", "list", "vm9", "--json"]), @r#"{"vms":[{"cards":[],"cpus":4,"guest_online":false,"mac":"08:00:27:44:12:9E","memory_mb":8192,"name":"vm9","ours":false,"snapshots":0,"state":"saved","state_since_unix":1795078800,"uuid":"9"}]}"#);
}

#[test]
fn an_operation_is_watched_to_its_end_and_told_in_a_line() {
    let agent = op("vm.pause", r#"{"op_id": "op3", "operation": "pause", "vm": "vm1", "phase": "running", "percent": 0}"#)
        .answers(
            "vm.op",
            json(r#"{"op_id": "op3", "operation": "pause", "vm": "vm1", "phase": "done", "changed": true, "state": "paused", "percent": 100, "took_s": 0.25}"#),
        );
    insta::assert_snapshot!(vocable(&agent, &["vm", "pause", "vm1"]), @r#"
    ------- stderr
    vm1: paused after 250 ms
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    vm.pause("vm1", {"wait":false})
    vm.op("op3", {"wait_s":10.0})
    "#);
    let already = op(
        "vm.pause",
        r#"{"op_id": "op4", "operation": "pause", "vm": "vm1", "phase": "done", "changed": false, "state": "paused", "percent": 100, "took_s": 0.01}"#,
    );
    insta::assert_snapshot!(vocable(&already, &["vm", "pause", "vm1"]), @r#"
    ------- stderr
    vm1: already paused
    "#);
    let left = op(
        "vm.save",
        r#"{"op_id": "op5", "operation": "save", "vm": "vm1", "phase": "running", "percent": 0}"#,
    );
    insta::assert_snapshot!(vocable(&left, &["vm", "savestate", "vm1", "--no-wait"]), @r#"op5"#);
}

#[test]
fn a_failure_has_the_hypervisors_own_words_and_what_to_do() {
    let agent = op("vm.start", r#"{"op_id": "op3", "operation": "start", "vm": "vm4", "phase": "running", "percent": 0}"#)
        .answers(
            "vm.op",
            json(
                r#"{"op_id": "op3", "operation": "start", "vm": "vm4", "phase": "failed", "percent": 0,
                "error": {"code": "hw-virtualisation", "fault": 401, "message": "vm4 cannot be started: VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE) [NS_ERROR_FAILURE 0x80004005]"}}"#,
            ),
        );
    insta::assert_snapshot!(vocable(&agent, &["vm", "start", "vm4"]), @r#"
    ------- stderr
    error[hw-virtualisation]: vm4 cannot be started: VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE) [NS_ERROR_FAILURE 0x80004005]
      hint: switch it on in the firmware, or end the other hypervisor
    ------- exit code 1
    "#);
    let missing = FakeAgent::default().refuses("vm.start", 101, "no-such-vm: no machine is called vm5");
    insta::assert_snapshot!(vocable(&missing, &["vm", "start", "vm5"]), @r#"
    ------- stderr
    error[no-such-vm]: no machine is called vm5
      hint: vocable vm list
    ------- exit code 1
    "#);
}

#[test]
fn started_means_that_the_agent_is_there() {
    let started = r#"{"op_id": "op3", "operation": "start", "vm": "vm4", "phase": "done", "changed": true, "state": "running", "percent": 100, "took_s": 3.1}"#;
    let agent = op("vm.start", started)
        .answers("vm.get", json(r#"{"name": "vm4", "state": "running", "guest_online": false}"#))
        .answers("agent.events", json(r#"{"next": 9, "events": []}"#))
        .answers("vm.get", json(r#"{"name": "vm4", "state": "running", "guest_online": true}"#));
    insta::assert_snapshot!(vocable(&agent, &["vm", "start", "vm4"]), @r#"
    ------- stderr
    vm4: running after 3.1 s, agent alive after 0 ms
    "#);
    let died = op("vm.start", started)
        .answers("vm.get", json(r#"{"name": "vm4", "state": "aborted", "guest_online": false}"#));
    insta::assert_snapshot!(vocable(&died, &["vm", "start", "vm4"]), @r#"
    ------- stderr
    error[wrong-state]: vm4 is aborted again; no agent has joined
      hint: vocable why vm4
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&op("vm.start", started), &["vm", "start", "vm4", "--no-agent"]), @r#"
    ------- stderr
    vm4: running after 3.1 s
    "#);
}

#[test]
fn what_loses_something_needs_a_yes() {
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["vm", "destroy", "vm4"]), @"
    ------- stderr
    error[needs-yes]: destroying vm4 needs confirmation: use --yes
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["vm", "stop", "--force", "vm4"]), @"
    ------- stderr
    error[needs-yes]: poweroff of vm4 needs confirmation: use --yes
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["vm", "reset", "vm4", "--dry-run"]), @r#"
    ------- stderr
    would ask: Reset vm4? What the guest has not written is lost.
    "#);
    let agent = op(
        "vm.destroy",
        r#"{"op_id": "op3", "operation": "destroy", "vm": "vm4", "phase": "done", "changed": true, "percent": 100, "took_s": 0.5}"#,
    );
    insta::assert_snapshot!(vocable(&agent, &["vm", "destroy", "vm4", "--yes"]), @r#"
    ------- stderr
    vm4: removed after 500 ms
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"vm.destroy("vm4", {"force":false,"keep_disks":false,"wait":false})"#);
    let theirs = FakeAgent::default().refuses(
        "vm.destroy",
        205,
        "not-ours: vm9 does not have our tag \"vocable\": it is not removed without force",
    );
    insta::assert_snapshot!(vocable(&theirs, &["vm", "rm", "vm9", "-y"]), @r#"
    ------- stderr
    error[not-ours]: vm9 does not have our tag "vocable": it is not removed without force
      hint: add --force, if you are sure
    ------- exit code 1
    "#);
}

fn snapshots() -> FakeAgent {
    op(
        "vm.snapshot.list",
        r#"[{"name": "clean", "id": "s1", "description": "after set-up", "taken_unix": 1795335840, "live": true, "current": true}]"#,
    )
}

#[test]
fn snapshots_are_taken_listed_and_gone_back_to() {
    let taken = op(
        "vm.snapshot.take",
        r#"{"op_id": "op3", "operation": "snapshot.take", "vm": "vm4", "phase": "done", "changed": true, "state": "running", "percent": 100, "took_s": 1.8}"#,
    );
    insta::assert_snapshot!(vocable(&taken, &["vm", "snapshot", "take", "vm4", "clean"]), @r#"clean  vm4  taken in 1.8 s, running"#);
    insta::assert_snapshot!(vocable(&snapshots(), &["vm", "snapshot", "list", "vm4"]), @r#"
    NAME   AGE  MACHINE  CURRENT  DESCRIPTION
    clean  42m  running  yes      after set-up
    "#);
    let agent = snapshots().answers("guest.list", json(r#"[{"guest": "vm4", "vm": "vm4", "commands": 2}]"#));
    insta::assert_snapshot!(vocable(&agent, &["vm", "snapshot", "restore", "vm4", "clean", "--dry-run"]), @r#"
    ------- stderr
    would ask: Restore vm4 to "clean"? Changes since 08:24 (42m) are lost; 2 running commands end.
    "#);
    insta::assert_snapshot!(vocable(&snapshots(), &["vm", "snapshot", "restore", "vm4", "claen"]), @r#"
    ------- stderr
    error[no-such-snapshot]: vm4 has no snapshot claen
      hint: did you mean clean?
    ------- exit code 1
    "#);
}

#[test]
fn leftovers_are_named_before_they_are_removed() {
    let left = || op("vm.gc", r#"[{"name": "vm7", "uuid": "7", "state": "aborted", "removed": false}]"#);
    insta::assert_snapshot!(vocable(&left(), &["vm", "gc", "--dry-run"]), @r#"vm7  would be removed"#);
    insta::assert_snapshot!(vocable(&left(), &["vm", "gc"]), @"
    ------- stderr
    error[needs-yes]: removing vm7 needs confirmation: use --yes
    ------- exit code 2
    ");
    let gone = left().answers(
        "vm.gc",
        json(
            r#"[{"name": "vm7", "uuid": "7", "state": "aborted", "removed": true},
            {"name": "vm8", "uuid": "8", "state": "poweroff", "removed": false, "error": {"code": "hypervisor", "message": "vm8 cannot be removed: its disk is in use"}}]"#,
        ),
    );
    insta::assert_snapshot!(vocable(&gone, &["vm", "gc", "--yes"]), @r#"
    vm7  removed
    ------- stderr
    warning: vm8 stays: vm8 cannot be removed: its disk is in use
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&op("vm.gc", "[]"), &["vm", "gc"]), @r#"
    ------- stderr
    note: nothing is left over
    "#);
}

#[test]
fn the_network_is_there_or_what_is_missing_is_said() {
    let there = op(
        "vm.net",
        r#"{"kind": "host-only", "interface": "vboxnet0", "address": "192.168.56.1", "mask": "255.255.255.0",
        "leases": ["192.168.56.101", "192.168.56.254"], "changed": true, "missing": []}"#,
    );
    insta::assert_snapshot!(vocable(&there, &["vm", "net"]), @r#"
    host-only  vboxnet0  192.168.56.1 mask 255.255.255.0  guests get 192.168.56.101 to 192.168.56.254
    ------- stderr
    set up now; guests find the host at 192.168.56.1
    hint: broker.listen = ["127.0.0.1:61613", "192.168.56.1:61613"]
    "#);
    let missing = op(
        "vm.net",
        r#"{"kind": "nat", "address": "10.0.2.2", "changed": false,
        "missing": ["the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt"]}"#,
    );
    insta::assert_snapshot!(vocable(&missing, &["vm", "net"]), @r#"
    nat  guests find the host at 10.0.2.2; no privileges needed
    ------- stderr
      missing for host-only: the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt
    ------- exit code 1
    "#);
}

#[test]
fn machines_are_made_and_changed() {
    let agent = op(
        "vm.create",
        r#"{"op_id": "op3", "operation": "create", "vm": "vm4", "phase": "done", "changed": true, "state": "poweroff", "percent": 100, "took_s": 2}"#,
    )
    .answers(
        "vm.get",
        json(r#"{"name": "vm4", "cards": [{"slot": 0, "mac": "08:00:27:0A:0B:0F", "attached": "host-only vboxnet0"}]}"#),
    );
    let line = [
        "vm",
        "create",
        "vm4",
        "--from",
        "/images/debian.vdi",
        "--cpus",
        "2",
        "--memory",
        "2GiB",
        "--forward",
        "2222:22",
    ];
    insta::assert_snapshot!(vocable(&agent, &line), @r#"
    ------- stderr
    vm4 created in 2.0 s, host-only vboxnet0, 08:00:27:0A:0B:0F
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    vm.create("vm4", {"cpus":2,"image":"/images/debian.vdi","image_use":"linked","memory_mb":2048,"nic":"auto","port_forwards":[{"guest":22,"host":2222}],"wait":false})
    vm.get("vm4")
    "#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["vm", "create", "vm4", "--forward", "ssh"]), @r#"
    ------- stderr
    error[bad-argument]: ssh: expected two ports, such as 8080:80
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["vm", "set", "vm4"]), @r#"
    ------- stderr
    error[usage]: nothing to change
      hint: vocable vm set --help
    ------- exit code 2
    "#);
    let set = op(
        "vm.set",
        r#"{"op_id": "op3", "operation": "set", "vm": "vm4", "phase": "done", "changed": true, "state": "poweroff", "percent": 100, "took_s": 0.2}"#,
    );
    insta::assert_snapshot!(vocable(&set, &["vm", "set", "vm4", "--mac", "new", "--network", "off", "--cpu-cap", "50"]), @r#"
    ------- stderr
    vm4: changed after 200 ms
    "#);
    insta::assert_snapshot!(set.calls(), @r#"vm.set("vm4", {"cpu_cap_pct":50,"mac":"new","network":false}, {"wait":false})"#);
}

#[test]
fn what_a_machine_uses_and_where_its_screen_is() {
    let used = op(
        "vm.usage",
        r#"{"cpu_pct": 42.25, "cpu_s": 12.5, "rss_bytes": 431976448, "net_rx_bytes_s": 2048.0, "session_pid": 4711}"#,
    );
    insta::assert_snapshot!(vocable(&used, &["vm", "usage", "vm1"]), @r#"
    cpu       42.2%
    cpu time  12.5 s
    memory    412 MiB
    received  2.0 KiB/s
    process   4711
    "#);
    let shown = op("vm.console", r#"{"host": "127.0.0.1", "port": 5901, "kind": "vnc"}"#);
    insta::assert_snapshot!(vocable(&shown, &["vm", "console", "vm1"]), @r#"
    vnc://127.0.0.1:5901
    ------- stderr
    hint: vncviewer 127.0.0.1::5901
    "#);
}
