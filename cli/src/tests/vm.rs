//! `vocable vm`.

use crate::testing::{FakeAgent, vocable};
use vocable_api::agent::{EventPage, Events};
use vocable_api::fault::Failure;
use vocable_api::guest;
use vocable_api::vm::{
    Action, Card, CollectGarbage, Console, Create, Destroy, Get, GetConsole, GetOperation, GetUsage,
    Leftover, List, ListSnapshots, Machine, Network, NetworkKind, Operate, Operation, Pause, Phase, Save,
    Set, SetUpNetwork, Snapshot, Start, State, TakeSnapshot, Usage,
};
use vocable_api::{Method, UnixTime};

fn machines() -> FakeAgent {
    let vm1 = Machine {
        name: "vm1".into(),
        uuid: "1".into(),
        state: State::Running,
        state_since_unix: UnixTime(1_795_331_164.0),
        mac: Some("08:00:27:0A:0B:0C".into()),
        guest: Some("vm1".into()),
        guest_online: true,
        cpus: 2,
        memory_mb: 2048,
        snapshots: 1,
        ours: true,
        ..Machine::default()
    };
    let vm9 = Machine {
        name: "vm9".into(),
        uuid: "9".into(),
        state: State::Saved,
        state_since_unix: UnixTime(1_795_078_800.0),
        mac: Some("08:00:27:44:12:9E".into()),
        cpus: 4,
        memory_mb: 8192,
        ..Machine::default()
    };
    FakeAgent::default().replies::<List>(vec![vm1, vm9])
}

/// An agent that has begun an operation.
fn begun<M: Operate>(operation: Operation) -> FakeAgent {
    FakeAgent::default().replies::<M>(operation)
}

/// An agent that replies once.
fn replies<M: Method>(reply: M::Reply) -> FakeAgent {
    FakeAgent::default().replies::<M>(reply)
}

fn running(vm: &str, operation: Action) -> Operation {
    Operation { op_id: "op3".into(), operation, vm: vm.into(), phase: Phase::Running, ..Operation::default() }
}

fn done(vm: &str, operation: Action, state: Option<State>, took_s: f64) -> Operation {
    Operation {
        phase: Phase::Done,
        changed: Some(true),
        state,
        percent: 100,
        took_s: Some(took_s),
        ..running(vm, operation)
    }
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
    insta::assert_snapshot!(vocable(&machines(), &["vm", "list", "vm9", "--json"]), @r#"{"vms":[{"cards":[],"cpu_cap_pct":0,"cpus":4,"guest_online":false,"mac":"08:00:27:44:12:9E","memory_mb":8192,"name":"vm9","os_type":"","ours":false,"snapshots":0,"state":"saved","state_since":"1970-01-01T00:00:00Z","state_since_unix":1795078800.0,"uuid":"9"}]}"#);
}

#[test]
fn an_operation_is_watched_to_its_end_and_told_in_a_line() {
    let paused = done("vm1", Action::Pause, Some(State::Paused), 0.25);
    let agent = begun::<Pause>(running("vm1", Action::Pause)).replies::<GetOperation>(paused.clone());
    insta::assert_snapshot!(vocable(&agent, &["vm", "pause", "vm1"]), @r#"
    ------- stderr
    vm1: paused after 250 ms
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    vm.pause("vm1", {"wait":false})
    vm.op("op3", {"wait_s":10.0})
    "#);
    let already = begun::<Pause>(Operation { changed: Some(false), ..paused });
    insta::assert_snapshot!(vocable(&already, &["vm", "pause", "vm1"]), @r#"
    ------- stderr
    vm1: already paused
    "#);
    let left = begun::<Save>(running("vm1", Action::Save));
    insta::assert_snapshot!(vocable(&left, &["vm", "savestate", "vm1", "--no-wait"]), @"op3");
}

#[test]
fn a_failure_has_the_hypervisors_own_words_and_what_to_do() {
    let message = "vm4 cannot be started: VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE) \
                   [NS_ERROR_FAILURE 0x80004005]";
    let error = Failure { code: "hw-virtualisation".into(), fault: 401, message: message.into() };
    let start = running("vm4", Action::Start);
    let failed = Operation { phase: Phase::Failed, error: Some(error), ..start.clone() };
    let agent = begun::<Start>(start).replies::<GetOperation>(failed);
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
    let started = || begun::<Start>(done("vm4", Action::Start, Some(State::Running), 3.1));
    let machine = |state, guest_online| Machine { state, guest_online, ..Machine::default() };
    let agent = started()
        .replies::<Get>(machine(State::Running, false))
        .replies::<Events>(EventPage { next: 9, ..EventPage::default() })
        .replies::<Get>(machine(State::Running, true));
    insta::assert_snapshot!(vocable(&agent, &["vm", "start", "vm4"]), @r#"
    ------- stderr
    vm4: running after 3.1 s, agent alive after 0 ms
    "#);
    let died = started().replies::<Get>(machine(State::Aborted, false));
    insta::assert_snapshot!(vocable(&died, &["vm", "start", "vm4"]), @r#"
    ------- stderr
    error[wrong-state]: vm4 is aborted again; no agent has joined
      hint: vocable why vm4
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&started(), &["vm", "start", "vm4", "--no-agent"]), @r#"
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
    let agent = begun::<Destroy>(done("vm4", Action::Destroy, None, 0.5));
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
    replies::<ListSnapshots>(vec![Snapshot {
        name: "clean".into(),
        id: "s1".into(),
        description: "after set-up".into(),
        taken_unix: UnixTime(1_795_335_840.0),
        live: true,
        current: true,
        ..Snapshot::default()
    }])
}

#[test]
fn snapshots_are_taken_listed_and_gone_back_to() {
    let taken = begun::<TakeSnapshot>(done("vm4", Action::SnapshotTake, Some(State::Running), 1.8));
    insta::assert_snapshot!(vocable(&taken, &["vm", "snapshot", "take", "vm4", "clean"]), @r#"clean  vm4  taken in 1.8 s, running"#);
    insta::assert_snapshot!(vocable(&snapshots(), &["vm", "snapshot", "list", "vm4"]), @r#"
    NAME   AGE  MACHINE  CURRENT  DESCRIPTION
    clean  42m  running  yes      after set-up
    "#);
    let inside = guest::Guest { vm: Some("vm4".into()), commands: 2, ..guest::Guest::default() };
    let agent = snapshots().replies::<guest::List>(vec![inside]);
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
    let vm7 = |removed| Leftover { name: "vm7".into(), removed, ..Leftover::default() };
    let left = || replies::<CollectGarbage>(vec![vm7(false)]);
    insta::assert_snapshot!(vocable(&left(), &["vm", "gc", "--dry-run"]), @r#"vm7  would be removed"#);
    insta::assert_snapshot!(vocable(&left(), &["vm", "gc"]), @"
    ------- stderr
    error[needs-yes]: removing vm7 needs confirmation: use --yes
    ------- exit code 2
    ");
    let message = "vm8 cannot be removed: its disk is in use".to_owned();
    let error = Some(Failure { code: "hypervisor".into(), fault: 403, message });
    let vm8 = Leftover { name: "vm8".into(), error, ..Leftover::default() };
    let gone = left().replies::<CollectGarbage>(vec![vm7(true), vm8]);
    insta::assert_snapshot!(vocable(&gone, &["vm", "gc", "--yes"]), @r#"
    vm7  removed
    ------- stderr
    warning: vm8 stays: vm8 cannot be removed: its disk is in use
    ------- exit code 1
    "#);
    insta::assert_snapshot!(vocable(&replies::<CollectGarbage>(vec![]), &["vm", "gc"]), @r#"
    ------- stderr
    note: nothing is left over
    "#);
}

#[test]
fn the_network_is_there_or_what_is_missing_is_said() {
    let address = |last| Some([192, 168, 56, last].into());
    let there = replies::<SetUpNetwork>(Network {
        kind: NetworkKind::HostOnly,
        interface: Some("vboxnet0".into()),
        address: address(1),
        mask: Some([255, 255, 255, 0].into()),
        leases: Some([address(101), address(254)].into_iter().flatten().collect()),
        changed: true,
        missing: vec![],
    });
    insta::assert_snapshot!(vocable(&there, &["vm", "net"]), @r#"
    host-only  vboxnet0  192.168.56.1 mask 255.255.255.0  guests get 192.168.56.101 to 192.168.56.254
    ------- stderr
    set up now; guests find the host at 192.168.56.1
    hint: broker.listen = ["127.0.0.1:61613", "192.168.56.1:61613"]
    "#);
    let module =
        "the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt";
    let missing = replies::<SetUpNetwork>(Network {
        address: Some([10, 0, 2, 2].into()),
        missing: vec![module.into()],
        ..Network::default()
    });
    insta::assert_snapshot!(vocable(&missing, &["vm", "net"]), @r#"
    nat  guests find the host at 10.0.2.2; no privileges needed
    ------- stderr
      missing for host-only: the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt
    ------- exit code 1
    "#);
}

#[test]
fn machines_are_made_and_changed() {
    let (mac, attached) = ("08:00:27:0A:0B:0F".into(), "host-only vboxnet0".into());
    let cards = vec![Card { mac, attached, ..Card::default() }];
    let agent = begun::<Create>(done("vm4", Action::Create, Some(State::PowerOff), 2.0))
        .replies::<Get>(Machine { name: "vm4".into(), cards, ..Machine::default() });
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
    let set = begun::<Set>(done("vm4", Action::Set, Some(State::PowerOff), 0.2));
    insta::assert_snapshot!(vocable(&set, &["vm", "set", "vm4", "--mac", "new", "--network", "off", "--cpu-cap", "50"]), @r#"
    ------- stderr
    vm4: changed after 200 ms
    "#);
    insta::assert_snapshot!(set.calls(), @r#"vm.set("vm4", {"cpu_cap_pct":50,"mac":"new","network":false}, {"wait":false})"#);
}

#[test]
fn what_a_machine_uses_and_where_its_screen_is() {
    let used = replies::<GetUsage>(Usage {
        cpu_pct: Some(42.25),
        cpu_s: Some(12.5),
        rss_bytes: Some(431_976_448),
        net_rx_bytes_s: Some(2048.0),
        session_pid: Some(4711),
        ..Usage::default()
    });
    insta::assert_snapshot!(vocable(&used, &["vm", "usage", "vm1"]), @r#"
    cpu       42.2%
    cpu time  12.5 s
    memory    412 MiB
    received  2.0 KiB/s
    process   4711
    "#);
    let shown = replies::<GetConsole>(Console { host: "127.0.0.1".into(), port: 5901, kind: "vnc".into() });
    insta::assert_snapshot!(vocable(&shown, &["vm", "console", "vm1"]), @r#"
    vnc://127.0.0.1:5901
    ------- stderr
    hint: vncviewer 127.0.0.1::5901
    "#);
}
