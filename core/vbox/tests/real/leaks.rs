//! Nothing is kept that is not needed, here or in VirtualBox's service, and nothing is given back twice.

use crate::bed::{empty, with_virtualbox};
use crate::processes::{memory, service};
use vocable_vbox::{Reporter, VirtualBox};

/// Growth that is nothing: allocators keep what they have, and the service its log.
const SLACK_KIB: u64 = 3 * 1024;

/// A thousand calls of every kind: texts, numbers, lists, objects, and errors.
async fn thousand(virtualbox: &VirtualBox) {
    for round in 0..100 {
        for _ in 0..3 {
            virtualbox.extra("alpha", "vocable/owner").await.unwrap();
            virtualbox.guest_property("alpha", "/vocable/none").await.unwrap();
            assert!(virtualbox.machine("nobody").await.unwrap_err().is_not_found());
        }
        match round % 5 {
            0 => drop(virtualbox.machines().await.unwrap()),
            1 => drop(virtualbox.snapshots("alpha").await.unwrap()),
            2 => drop(virtualbox.dhcp_servers().await.unwrap()),
            3 => drop(virtualbox.metrics("alpha").await.unwrap()),
            _ => virtualbox.set_extra("alpha", "vocable/round", Some(&round.to_string())).await.unwrap(),
        }
    }
}

#[test]
fn ten_thousand_calls_leave_no_memory_behind() {
    with_virtualbox("leaks::ten_thousand_calls_leave_no_memory_behind", |virtualbox| async move {
        empty(&virtualbox, "alpha").await;
        virtualbox.take_snapshot("alpha", "one", "", Reporter::none()).await.unwrap();
        for _ in 0..2 {
            thousand(&virtualbox).await;
        }
        let both = || (memory("self"), memory(&service().to_string()));
        let before = both();
        for _ in 0..10 {
            thousand(&virtualbox).await;
        }
        let after = both();
        eprintln!("memory in KiB, ours and VBoxSVC's: {before:?} then {after:?}");
        assert!(after.0 < before.0 + SLACK_KIB, "ours grows: {before:?} {after:?}");
        assert!(after.1 < before.1 + SLACK_KIB, "VBoxSVC's grows: {before:?} {after:?}");
    });
}
