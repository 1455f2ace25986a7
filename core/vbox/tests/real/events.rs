//! What happens in VirtualBox is told as it happens.

use crate::bed::{empty, wait_for, with_virtualbox};
use vocable_vbox::{Event, Reporter, SnapshotChange};

#[test]
fn comings_changes_snapshots_and_goings_are_told() {
    with_virtualbox("events::comings_changes_snapshots_and_goings_are_told", |virtualbox| async move {
        let mut events = virtualbox.events();
        let id = empty(&virtualbox, "alpha").await.id;
        let registered = |registered| Event::Registered { id: id.clone(), registered };
        wait_for(&mut events, |event| *event == registered(true)).await;
        virtualbox.set_extra("alpha", "vocable/owner", Some("me")).await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::Changed { id: of } if *of == id)).await;
        let snapshot = virtualbox.take_snapshot("alpha", "one", "", Reporter::none()).await.unwrap();
        let taken = Event::Snapshot { id: id.clone(), snapshot, change: SnapshotChange::Taken };
        wait_for(&mut events, |event| *event == taken).await;
        virtualbox.set_guest_property("alpha", "/vocable/broker", Some("10.0.2.2")).await.unwrap();
        let is_property = |event: &Event| matches!(event, Event::GuestProperty { name, value, .. } if name == "/vocable/broker" && value == "10.0.2.2");
        wait_for(&mut events, is_property).await;
        virtualbox.destroy("alpha", Reporter::none()).await.unwrap();
        wait_for(&mut events, |event| *event == registered(false)).await;
    });
}

#[test]
fn waiting_for_events_keeps_nobody_waiting() {
    with_virtualbox("events::waiting_for_events_keeps_nobody_waiting", |virtualbox| async move {
        // One wait for an event takes half a second when nothing happens; all these together do not.
        let mut events = virtualbox.events();
        empty(&virtualbox, "alpha").await;
        wait_for(&mut events, |event| matches!(event, Event::Registered { .. })).await;
        let begun = std::time::Instant::now();
        for _ in 0..200 {
            virtualbox.extra("alpha", "vocable/owner").await.unwrap();
        }
        // Were each behind one wait it would be 100 s.
        assert!(begun.elapsed() < std::time::Duration::from_secs(50), "{:?}", begun.elapsed());
    });
}
