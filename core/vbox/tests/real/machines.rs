//! Machines: created, found, registered, and destroyed.

use crate::bed::{empty, with_virtualbox};
use vocable_vbox::{
    AdapterKind, Attachment, Code, DisplaySettings, Engine, Error, Forward, NewAdapter, NewMachine, Protocol,
    Reporter, State,
};

#[test]
fn a_machine_is_created_as_it_was_asked_for_and_found_by_name_and_by_id() {
    with_virtualbox(
        "machines::a_machine_is_created_as_it_was_asked_for_and_found_by_name_and_by_id",
        |virtualbox| async move {
            assert_eq!(virtualbox.machines().await.unwrap(), []);
            let forward = Forward {
                name: "ssh".into(),
                protocol: Protocol::Tcp,
                host: Some("127.0.0.1".parse().unwrap()),
                host_port: 2222,
                guest: None,
                guest_port: 22,
            };
            let nat = NewAdapter {
                attachment: Attachment::Nat { localhost_reachable: true },
                mac: Some("0800270a0b0c".into()),
                kind: AdapterKind::Virtio,
                forwards: vec![forward.clone()],
            };
            let host_only = NewAdapter {
                attachment: Attachment::HostOnly("vboxnet0".into()),
                mac: None,
                kind: AdapterKind::E1000,
                forwards: Vec::new(),
            };
            let mut new = NewMachine::new("alpha");
            (new.cpus, new.memory_mib) = (2, 192);
            new.adapters = vec![nat, host_only];
            new.engine = Some(Engine::Recompiler);
            new.serial_log = Some("/tmp/alpha.log".into());
            new.display = Some(DisplaySettings {
                enabled: true,
                address: Some("127.0.0.1".parse().unwrap()),
                ports: Some("5990-5999".into()),
                password: None,
            });
            new.extra.insert("vocable/owner".into(), "host-1".into());
            let made = virtualbox.create(new, Reporter::none()).await.unwrap();

            let found = virtualbox.machine("alpha").await.unwrap();
            assert_eq!(found, made);
            assert_eq!(virtualbox.machine(&made.id).await.unwrap(), made);
            assert_eq!(virtualbox.machines().await.unwrap(), std::slice::from_ref(&made));
            assert_eq!((found.state, found.pid, found.inaccessible), (State::PoweredOff, None, None));
            assert_eq!((found.cpus, found.memory_mib, found.cpu_cap), (2, 192, 100));
            assert_eq!(found.extra.get("vocable/owner").map(String::as_str), Some("host-1"));
            assert_eq!((found.display.enabled, found.display.address.as_str()), (true, "127.0.0.1"));
            assert_eq!((found.display.ports.as_str(), found.display.active_port), ("5990-5999", None));
            let [nat, host_only] = found.adapters.as_slice() else { panic!("{:?}", found.adapters) };
            assert_eq!((nat.slot, nat.mac.as_str(), nat.cable), (0, "0800270A0B0C", true));
            assert_eq!(nat.attachment, Attachment::Nat { localhost_reachable: true });
            assert_eq!(nat.forwards, [forward]);
            assert_eq!(host_only.attachment, Attachment::HostOnly("vboxnet0".into()));
            assert!(host_only.mac.starts_with("080027") && host_only.mac.len() == 12, "{host_only:?}");
            assert!(found.settings_file.exists(), "{}", found.settings_file.display());
        },
    );
}

#[test]
fn an_unknown_machine_is_an_error_with_virtualbox_s_text_and_code() {
    with_virtualbox(
        "machines::an_unknown_machine_is_an_error_with_virtualbox_s_text_and_code",
        |virtualbox| async move {
            let error = virtualbox.machine("nobody").await.unwrap_err();
            assert!(error.is_not_found());
            assert_eq!(
                error.to_string(),
                "Could not find a registered machine named 'nobody' (IVirtualBox.findMachine: VBOX_E_OBJECT_NOT_FOUND 0x80BB0001)"
            );
        },
    );
}

#[test]
fn what_a_machine_s_state_forbids_is_refused_in_virtualbox_s_words() {
    with_virtualbox(
        "machines::what_a_machine_s_state_forbids_is_refused_in_virtualbox_s_words",
        |virtualbox| async move {
            empty(&virtualbox, "alpha").await;
            for result in [
                virtualbox.pause("alpha").await,
                virtualbox.resume("alpha").await,
                virtualbox.reset("alpha").await,
                virtualbox.power_button("alpha").await,
                virtualbox.power_off("alpha", Reporter::none()).await,
            ] {
                let error = result.unwrap_err();
                assert!(error.is_wrong_state(), "{error}");
                assert!(error.to_string().contains("'alpha' is not running (state: PoweredOff)"), "{error}");
            }
            let error = virtualbox.discard_saved("alpha").await.unwrap_err();
            assert!(error.is_wrong_state() && error.to_string().contains("saved"), "{error}");
            let error = virtualbox.save("alpha", Reporter::none()).await.unwrap_err();
            assert!(error.code().is_some(), "{error}");
            let error = virtualbox.create(NewMachine::new("alpha"), Reporter::none()).await.unwrap_err();
            assert_eq!(error.code(), Some(Code(0x80BB_0004)), "{error}");
            assert!(error.to_string().contains("already exists"), "{error}");
        },
    );
}

#[test]
fn a_machine_is_forgotten_and_registered_again_and_destroyed() {
    with_virtualbox(
        "machines::a_machine_is_forgotten_and_registered_again_and_destroyed",
        |virtualbox| async move {
            let made = empty(&virtualbox, "alpha").await;
            virtualbox.unregister("alpha").await.unwrap();
            assert!(virtualbox.machine("alpha").await.unwrap_err().is_not_found());
            let again = virtualbox.register(&made.settings_file).await.unwrap();
            assert_eq!((again.id, again.name), (made.id, made.name));
            virtualbox.destroy("alpha", Reporter::none()).await.unwrap();
            assert!(virtualbox.machine("alpha").await.unwrap_err().is_not_found());
            assert!(!made.settings_file.parent().unwrap().exists(), "its folder stays");
            let gone = virtualbox.register(&made.settings_file).await.unwrap_err();
            assert!(matches!(gone, Error::Call { .. }), "{gone}");
        },
    );
}

#[test]
fn two_machines_may_have_the_same_address_and_both_are_told() {
    with_virtualbox(
        "machines::two_machines_may_have_the_same_address_and_both_are_told",
        |virtualbox| async move {
            for name in ["alpha", "beta"] {
                let mut new = NewMachine::new(name);
                new.adapters = vec![NewAdapter {
                    attachment: Attachment::Nat { localhost_reachable: false },
                    mac: Some("080027AABBCC".into()),
                    kind: AdapterKind::Virtio,
                    forwards: Vec::new(),
                }];
                virtualbox.create(new, Reporter::none()).await.unwrap();
            }
            let machines = virtualbox.machines().await.unwrap();
            let macs: Vec<_> = machines.iter().map(|machine| machine.adapters[0].mac.as_str()).collect();
            assert_eq!(macs, ["080027AABBCC", "080027AABBCC"]);
        },
    );
}

#[test]
fn a_start_that_cannot_be_is_told_with_the_reason() {
    with_virtualbox("machines::a_start_that_cannot_be_is_told_with_the_reason", |virtualbox| async move {
        // Without its kernel module VirtualBox has no host-only networks to attach to.
        let mut new = NewMachine::new("alpha");
        new.engine = Some(Engine::Recompiler);
        new.adapters = vec![NewAdapter {
            attachment: Attachment::HostOnly("vboxnet9".into()),
            mac: None,
            kind: AdapterKind::Virtio,
            forwards: Vec::new(),
        }];
        virtualbox.create(new, Reporter::none()).await.unwrap();
        let error = virtualbox.start("alpha", Reporter::none()).await.unwrap_err();
        assert!(error.to_string().contains("vboxnet9"), "{error}");
        assert!(error.code().is_some());
    });
}
