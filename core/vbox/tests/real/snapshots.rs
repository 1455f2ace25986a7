//! Snapshots of machines that do not run.

use crate::bed::{empty, with_virtualbox};
use vocable_vbox::Reporter;

#[test]
fn snapshots_are_taken_listed_restored_and_deleted() {
    with_virtualbox("snapshots::snapshots_are_taken_listed_restored_and_deleted", |virtualbox| async move {
        empty(&virtualbox, "alpha").await;
        assert_eq!(virtualbox.snapshots("alpha").await.unwrap(), []);
        let one = virtualbox.take_snapshot("alpha", "one", "the first", Reporter::none()).await.unwrap();
        virtualbox.set_cpu_cap("alpha", 50).await.unwrap();
        let two = virtualbox.take_snapshot("alpha", "two", "", Reporter::none()).await.unwrap();

        let listed = virtualbox.snapshots("alpha").await.unwrap();
        let [first, second] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!(
            (first.id.as_str(), first.name.as_str(), first.description.as_str()),
            (&*one, "one", "the first")
        );
        assert_eq!((first.parent.as_ref(), first.current, first.online), (None, false, false));
        assert_eq!((second.id.as_str(), second.parent.as_ref(), second.current), (&*two, Some(&one), true));
        let age = first.taken.elapsed().unwrap_or_default();
        assert!(age < std::time::Duration::from_secs(600), "{age:?}");

        virtualbox.restore_snapshot("alpha", "one", Reporter::none()).await.unwrap();
        let alpha = virtualbox.machine("alpha").await.unwrap();
        assert_eq!((alpha.cpu_cap, alpha.snapshot.as_deref(), alpha.snapshots), (100, Some("one"), 2));
        virtualbox.restore_snapshot("alpha", &two, Reporter::none()).await.unwrap();
        assert_eq!(virtualbox.machine("alpha").await.unwrap().cpu_cap, 50);

        virtualbox.delete_snapshot("alpha", "one", Reporter::none()).await.unwrap();
        let left: Vec<_> =
            virtualbox.snapshots("alpha").await.unwrap().into_iter().map(|one| one.id).collect();
        assert_eq!(left, [two]);
        let error = virtualbox.restore_snapshot("alpha", "one", Reporter::none()).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    });
}
