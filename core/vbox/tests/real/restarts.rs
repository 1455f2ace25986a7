//! VirtualBox's service goes away, and comes back.

use crate::bed::{block_on, empty, open, wait_for, with_virtualbox};
use crate::processes::{service, signal};
use crate::root;
use std::time::Duration;
use vocable_vbox::{Error, Event, Settings, VirtualBox};

#[test]
fn a_service_that_is_killed_is_told_and_nothing_hangs_or_breaks() {
    with_virtualbox(
        "restarts::a_service_that_is_killed_is_told_and_nothing_hangs_or_breaks",
        |virtualbox| async move {
            let made = empty(&virtualbox, "alpha").await;
            let mut events = virtualbox.events();
            signal("-9", service());
            wait_for(&mut events, |event| *event == Event::Available(false)).await;
            // VirtualBox 7.2 finds no other service from a process that has lost one; should it, it is there.
            for _ in 0..20 {
                match virtualbox.machine("alpha").await {
                    Ok(found) => assert_eq!(found.id, made.id),
                    Err(error) => {
                        assert!(matches!(error, Error::Gone { .. } | Error::Unreachable), "{error}");
                    }
                }
            }
            virtualbox.close().await;
            // Another process finds one, and the machine as it was.
            let mut list = std::process::Command::new("/usr/lib/virtualbox/VBoxManage");
            let listed = list.args(["list", "vms"]).output().unwrap();
            assert!(String::from_utf8_lossy(&listed.stdout).contains(&made.id), "{listed:?}");
        },
    );
}

#[test]
fn a_service_that_hangs_is_a_deadline_not_a_hang() {
    root::inside("restarts::a_service_that_hangs_is_a_deadline_not_a_hang", || {
        block_on(async {
            let timeout = Duration::from_secs(3);
            let virtualbox = VirtualBox::open(Settings { timeout, ..Settings::default() }).await.unwrap();
            let hanging = service();
            signal("-STOP", hanging);
            let error = virtualbox.machines().await.unwrap_err();
            assert!(matches!(error, Error::Deadline { .. }), "{error}");
            assert_eq!(error.to_string(), "machines: VirtualBox has not answered within 3 s");
            signal("-CONT", hanging);
            assert_eq!(virtualbox.machines().await.unwrap(), []);
            virtualbox.close().await;
        });
    });
}

#[test]
fn it_is_open_once_and_can_be_opened_again() {
    root::inside("restarts::it_is_open_once_and_can_be_opened_again", || {
        block_on(async {
            for _ in 0..3 {
                let virtualbox = open().await.unwrap();
                let error = open().await.unwrap_err();
                assert!(matches!(error, Error::AlreadyOpen), "{error}");
                let version = virtualbox.version().await.unwrap();
                assert!(version.text.starts_with('7') && version.api.starts_with("7_"), "{version:?}");
                let clone = virtualbox.clone();
                virtualbox.close().await;
                let error = clone.machines().await.unwrap_err();
                assert!(matches!(error, Error::Closed), "{error}");
            }
        });
    });
}
