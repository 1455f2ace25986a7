//! Every verb about machines, typed at a real VirtualBox.

use super::root;
use serde_json::json;
use std::fmt::Write;
use std::process::Command;
use vocable_tests::host::Host;

/// What is different each time.
const FILTERS: [(&str, &str); 5] = [
    (r"\d+(\.\d+)? (ms|s)\b", "[TIME]"),
    (r" +\d+s\b *", " [AGE] "),
    (r"08:00:27(:[0-9A-F]{2}){3}", "[MAC]"),
    (r"\d+(\.\d+)? (Ki)?B\b", "[SIZE]"),
    (r"/build/[^ ]*\[\d+\]", "[SOURCE]"),
];

/// VirtualBox's own program, which makes what people would have made by hand.
fn manage(arguments: &[&str]) {
    let made = Command::new("/usr/lib/virtualbox/VBoxManage").arg("-q").args(arguments).output().unwrap();
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// What a person sees who types these lines.
fn typed(host: &Host, lines: &[&str]) -> String {
    let mut seen = String::new();
    for line in lines {
        let typed = host.types(&line.split(' ').collect::<Vec<_>>());
        writeln!(seen, "$ vocable {line}").unwrap();
        for text in [typed.text(), &typed.err] {
            text.lines().for_each(|line| writeln!(seen, "{}", line.trim_end()).unwrap());
        }
        if let Some(code @ 1..) = typed.code {
            writeln!(seen, "[exit code {code}]").unwrap();
        }
    }
    eprintln!("{seen}");
    seen
}

macro_rules! sees {
    ($host:expr, $lines:expr, @$expected:literal) => {
        insta::with_settings!({filters => FILTERS.to_vec()}, {
            insta::assert_snapshot!(typed($host, $lines), @$expected);
        });
    };
}

#[test]
fn machines_are_made_and_removed() {
    root::inside("virtualbox::verbs::machines_are_made_and_removed", || {
        let host = Host::with(&["hypervisor.driver = \"virtualbox\""]);
        manage(&["createmedium", "disk", "--filename", "/tmp/base.vdi", "--size", "4"]);
        manage(&["createvm", "--name", "theirs", "--register"]);
        sees!(&host, &["vm create linked --from /tmp/base.vdi --memory 64MiB --forward 2222:22",
            "vm create copied --from /tmp/base.vdi --image-use copy --cpus 2",
            "vm create linked",
            "vm create bad --from /tmp/nothing.vdi"], @r#"
    $ vocable vm create linked --from /tmp/base.vdi --memory 64MiB --forward 2222:22
    linked created in [TIME], nat, [MAC]
    $ vocable vm create copied --from /tmp/base.vdi --image-use copy --cpus 2
    copied created in [TIME], nat, [MAC]
    $ vocable vm create linked
    error[already-exists]: there is a machine linked already
    [exit code 1]
    $ vocable vm create bad --from /tmp/nothing.vdi
    error[hypervisor]: bad cannot be created: Could not find file for the medium '/tmp/nothing.vdi' (VERR_FILE_NOT_FOUND) [VBOX_E_OBJECT_NOT_FOUND 0x80BB0001]
    [exit code 1]
    "#);
        let bad =
            host.call("vm.create", json!(["bad", {"image": "/tmp/nothing.vdi", "wait": false}])).unwrap();
        let bad = host.call("vm.op", json!([bad["op_id"], {"wait_s": 20}])).unwrap();
        assert_eq!(bad["error"]["code"], "hypervisor", "{bad}");
        let network = host.call("vm.net", json!([{"look_only": true}])).unwrap();
        assert_eq!(network["kind"], "nat", "{network}");
        let doomed = host.call("vm.gc", json!([{"dry_run": true}])).unwrap();
        assert_eq!(doomed.as_array().unwrap().len(), 2, "{doomed}");
        manage(&["export", "copied", "-o", "/tmp/copied.ova"]);
        manage(&["createvm", "--name", "found", "--basefolder", "/tmp/machines"]);
        sees!(&host, &[
            "vm create imported --from /tmp/copied.ova",
            "vm register /tmp/machines/found/found.vbox",
            "vm register /tmp/nothing.vbox",
            "vm net",
            "vm list",
            "vm destroy theirs --yes",
            "vm destroy copied --keep-disks --yes",
            "vm gc --dry-run",
            "vm gc --yes",
            "vm list",
        ], @r#"
    $ vocable vm create imported --from /tmp/copied.ova
    imported created in [TIME], nat, [MAC]
    $ vocable vm register /tmp/machines/found/found.vbox
    found: registered, off after [TIME]
    $ vocable vm register /tmp/nothing.vbox
    error[hypervisor]: /tmp/nothing.vbox cannot be registered: Runtime error opening '/tmp/nothing.vbox' for reading VERR_FILE_NOT_FOUND (File not found.). [SOURCE] (nsresult Machine::initFromSettings(VirtualBox*, const com::Utf8Str&, const com::Guid*, const com::Utf8Str&)) [NS_ERROR_FAILURE 0x80004005]
    [exit code 1]
    $ vocable vm net
    nat  guests find the host at 10.0.2.2; no privileges needed
      missing for host-only: the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt; VirtualBox says: VBoxNetAdpCtl: Error while adding new interface: failed to open /dev/vboxnetctl: No such file or directory (IHost.createHostOnlyNetworkInterface: NS_ERROR_FAILURE 0x80004005)
    [exit code 1]
    $ vocable vm list
    NAME      STATE     GUEST  SINCE  CPUS   MEMORY  SNAPSHOTS  OURS  MAC
    copied    poweroff  - [AGE] 2  1.0 GiB          0  yes   [MAC]
    found     poweroff  - [AGE] 1  1.0 GiB          0  no    -
    imported  poweroff  - [AGE] 2  1.0 GiB          0  yes   [MAC]
    linked    poweroff  - [AGE] 1   64 MiB          0  yes   [MAC]
    theirs    poweroff  - [AGE] 1  1.0 GiB          0  no    -
    $ vocable vm destroy theirs --yes
    error[not-ours]: theirs does not have our tag "vocable": it is not removed without force
      hint: add --force, if you are sure
    [exit code 1]
    $ vocable vm destroy copied --keep-disks --yes
    copied: removed after [TIME]
    $ vocable vm gc --dry-run
    imported  would be removed
    linked  would be removed
    $ vocable vm gc --yes
    imported  removed
    linked  removed
    $ vocable vm list
    NAME    STATE     GUEST  SINCE  CPUS   MEMORY  SNAPSHOTS  OURS  MAC
    found   poweroff  - [AGE] 1  1.0 GiB          0  no    -
    theirs  poweroff  - [AGE] 1  1.0 GiB          0  no    -
    "#);
        // The image that one was linked to is as it was.
        manage(&["showmediuminfo", "disk", "/tmp/base.vdi"]);
    });
}

#[test]
fn a_machine_does_what_it_is_told_or_it_is_said_why_not() {
    root::inside("virtualbox::verbs::a_machine_does_what_it_is_told_or_it_is_said_why_not", || {
        let host = Host::with(&["hypervisor.driver = \"virtualbox\""]);
        let wanted = json!(["alpha", {"engine": "recompiler", "memory_mb": 64, "nic": "nat"}]);
        host.call("vm.create", wanted).unwrap();
        sees!(&host, &[
            "vm start alpha --no-agent",
            "vm start alpha --no-agent",
            "vm list",
            "why alpha",
            "vm pause alpha",
            "vm pause alpha",
            "vm reset alpha --yes",
            "vm resume alpha",
            "vm reset alpha --yes",
            "vm screenshot alpha -o /tmp/screen.png",
            "vm set alpha --cpu-cap 40 --network off --forward 2223:22",
            "vm snapshot take alpha one",
            "vm snapshot take alpha one",
            "vm snapshot list alpha",
            "vm destroy alpha --yes",
        ], @r#"
    $ vocable vm start alpha --no-agent
    alpha: running after [TIME]
    $ vocable vm start alpha --no-agent
    alpha: already running
    $ vocable vm list
    NAME   STATE    GUEST  SINCE  CPUS  MEMORY  SNAPSHOTS  OURS  MAC
    alpha  running  - [AGE] 1  64 MiB          0  yes   [MAC]
    $ vocable why alpha
    alpha has never joined: its VM has been running for [AGE] , and no agent has connected from it

      ✓ vm        alpha has been running for [AGE] 
      ✓ card      [MAC] is alpha, on nat
      ✗ session   no connection has ever been let in under this name
      ? identity  nobody has tried to log in under this name
      ? agent     has never joined
      ✓ words     no word has failed for it
      ✓ commands  none under way

    do
      vocable vm console alpha           see whether vocable-guest runs in there
      vocable guest-image --name alpha   puts the agent into an image
    [exit code 1]
    $ vocable vm pause alpha
    alpha: paused after [TIME]
    $ vocable vm pause alpha
    alpha: already paused
    $ vocable vm reset alpha --yes
    error[wrong-state]: alpha is paused: it cannot be reset; resume it first
    [exit code 1]
    $ vocable vm resume alpha
    alpha: running after [TIME]
    $ vocable vm reset alpha --yes
    alpha: reset after [TIME]
    $ vocable vm screenshot alpha -o /tmp/screen.png
    alpha: [SIZE] in /tmp/screen.png
    $ vocable vm set alpha --cpu-cap 40 --network off --forward 2223:22
    alpha: changed after [TIME]
    $ vocable vm snapshot take alpha one
    one  alpha  taken in [TIME], running
    $ vocable vm snapshot take alpha one
    error[already-exists]: alpha has a snapshot one already
    [exit code 1]
    $ vocable vm snapshot list alpha
    NAME  AGE  MACHINE  CURRENT  DESCRIPTION
    one [AGE] running  yes
    $ vocable vm destroy alpha --yes
    error[wrong-state]: alpha is running: it cannot be removed; shut it down first
    [exit code 1]
    "#);
        let alpha = host.call("vm.get", json!(["alpha"])).unwrap();
        assert_eq!(
            (&alpha["cpu_cap_pct"], &alpha["cards"][0]["cable"]),
            (&json!(40), &json!(false)),
            "{alpha}"
        );
        assert_eq!(alpha["cards"][0]["forwards"][0]["host"], 2223, "{alpha}");
        let snapshots = host.call("vm.snapshot.list", json!(["alpha"])).unwrap();
        assert_eq!(
            (&snapshots[0]["name"], &snapshots[0]["live"]),
            (&json!("one"), &json!(true)),
            "{snapshots}"
        );
        host.call("vm.snapshot.take", json!(["alpha", "second"])).unwrap();
        let snapshots = host.call("vm.snapshot.list", json!(["alpha"])).unwrap();
        assert_eq!(snapshots[1]["parent"], snapshots[0]["id"], "{snapshots}");
        host.call("vm.snapshot.delete", json!(["alpha", "second"])).unwrap();
        let running = host.call("vm.wait", json!(["alpha", ["running"], 20])).unwrap();
        assert_eq!(running, json!({"reached": true, "state": "running"}));
        assert_eq!(host.call("vm.console", json!(["alpha"])).unwrap()["kind"], "vnc");
        // Its screen is shown where it is said to be.
        let console = host.types(&["vm", "console", "alpha"]);
        let at = console.text().trim().strip_prefix("vnc://").unwrap_or_else(|| panic!("{console:?}"));
        let mut greeting = [0; 4];
        std::io::Read::read_exact(&mut std::net::TcpStream::connect(at).unwrap(), &mut greeting).unwrap();
        assert_eq!(&greeting, b"RFB ");
        // What it uses is what its process uses.
        let used = host.call("vm.usage", json!(["alpha"])).unwrap();
        assert_eq!(used["session_pid"], alpha["session_pid"], "{used} {alpha}");
        assert!(used["rss_bytes"].as_u64().unwrap() > 10 << 20, "{used}");
        assert!(std::fs::read("/tmp/screen.png").unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        sees!(&host, &[
            "vm snapshot restore alpha one --yes",
            "vm save alpha",
            "vm save alpha",
            "vm pause alpha",
            "vm poweroff alpha --yes",
            "vm start alpha --no-agent",
            "vm stop alpha --grace 1s --yes",
            "vm stop alpha --grace 1s --yes",
            "vm snapshot restore alpha two --yes",
            "vm snapshot restore alpha one --yes",
            "vm snapshot delete alpha one --yes",
            "vm list",
            "vm start nobody",
        ], @r#"
    $ vocable vm snapshot restore alpha one --yes
    alpha: restored, running after [TIME]
    $ vocable vm save alpha
    alpha: saved after [TIME]
    $ vocable vm save alpha
    alpha: already saved
    $ vocable vm pause alpha
    error[wrong-state]: alpha is saved: it cannot be paused
    [exit code 1]
    $ vocable vm poweroff alpha --yes
    error[wrong-state]: alpha is saved: it cannot be powered off; it is off; start it, or restore a snapshot to give its saved state up
    [exit code 1]
    $ vocable vm start alpha --no-agent
    alpha: running after [TIME]
    $ vocable vm stop alpha --grace [AGE] --yes
    alpha: off after [TIME]
    $ vocable vm stop alpha --grace [AGE] --yes
    alpha: already off
    $ vocable vm snapshot restore alpha two --yes
    error[no-such-snapshot]: alpha has no snapshot two
      hint: vocable vm snapshot list alpha
    [exit code 1]
    $ vocable vm snapshot restore alpha one --yes
    alpha: restored, saved after [TIME]
    $ vocable vm snapshot delete alpha one --yes
    alpha: snapshot deleted after [TIME]
    $ vocable vm list
    NAME   STATE  GUEST  SINCE  CPUS  MEMORY  SNAPSHOTS  OURS  MAC
    alpha  saved  - [AGE] 1  64 MiB          0  yes   [MAC]
    $ vocable vm start nobody
    error[no-such-vm]: no machine is called "nobody"
      hint: vocable vm list
    [exit code 1]
    "#);
    });
}
