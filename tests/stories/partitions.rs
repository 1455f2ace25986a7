//! A network that is gone for longer than the heart-beat, and one that is slow: nothing is lost, nothing runs twice.

use std::time::Duration;
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;
use vocable_tests::isolation::{HERE, Link};
use vocable_tests::proxy::Proxy;

#[test]
fn a_link_that_is_down_for_longer_than_the_heart_beat_loses_nothing() {
    let Some(link) = Link::make() else { return };
    let listen = format!("broker.listen = [\"{HERE}:0\"]");
    let host = Host::with(&[&listen, "broker.heartbeat = \"500ms\""]);
    let vm1 = host.guest("vm1").by(&link.there()).with("heartbeat = \"500ms\"").joins();
    let (gate, done) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "done"));
    let counter = host.folder().join("counter");
    let script = format!(
        "echo ran >> {}; seq 1 1000; {}; seq 1001 100000; {}; exit 3",
        counter.display(),
        gate.wait(),
        done.knock()
    );
    let command = host.starts("vm1", &["sh", "-c", &script]);
    command.prints("1000\n");

    link.goes_down();
    let lost = host.awaits("guest.lost", "vm1");
    assert!(lost["text"].as_str().unwrap().contains("heart"), "{lost:#}");
    vm1.process().logs(&["connection lost"]);
    // It goes on, and ends, while nobody can hear of it.
    gate.open();
    done.knocked();
    link.comes_up();

    host.awaits("guest.joined", "vm1");
    let ran = command.ends();
    assert_eq!((ran.state(), ran.ending()), ("done", (true, 3)), "{:#}", ran.report);
    assert!(ran.text().ends_with("\n100000\n") && ran.text().lines().count() == 100_000);
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
    assert_eq!(host.why("vm1"), "vm1 is well");
}

#[test]
fn a_network_that_takes_its_time_delays_and_loses_nothing() {
    let host = Host::start();
    let proxy = Proxy::to(host.broker());
    proxy.delays(Duration::from_millis(100));
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    let ran = host.shell("vm1", "seq 200000; echo err >&2; exit 5");
    assert_eq!((ran.state(), ran.ending(), ran.errors()), ("done", (true, 5), "err\n"));
    assert!(ran.text().ends_with("\n200000\n") && ran.text().lines().count() == 200_000);
}
