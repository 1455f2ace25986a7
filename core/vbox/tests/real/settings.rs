//! Settings of machines that exist.

use crate::bed::with_virtualbox;
use vocable_vbox::{
    AdapterKind, Attachment, Code, DisplaySettings, Forward, NewAdapter, NewMachine, Protocol, Reporter,
    VirtualBox,
};

async fn networked(virtualbox: &VirtualBox) {
    let mut new = NewMachine::new("alpha");
    new.adapters = vec![NewAdapter {
        attachment: Attachment::Nat { localhost_reachable: false },
        mac: None,
        kind: AdapterKind::Virtio,
        forwards: Vec::new(),
    }];
    virtualbox.create(new, Reporter::none()).await.unwrap();
}

#[test]
fn cables_attachments_and_forwards_are_changed() {
    with_virtualbox("settings::cables_attachments_and_forwards_are_changed", |virtualbox| async move {
        networked(&virtualbox).await;
        virtualbox.set_cable("alpha", 0, false).await.unwrap();
        let forward = Forward {
            name: "files".into(),
            protocol: Protocol::Udp,
            host: None,
            host_port: 9094,
            guest: Some("10.0.2.15".parse().unwrap()),
            guest_port: 9094,
        };
        virtualbox.add_forward("alpha", 0, forward.clone()).await.unwrap();
        let adapter = virtualbox.machine("alpha").await.unwrap().adapters.remove(0);
        assert!(!adapter.cable);
        assert_eq!(adapter.forwards, std::slice::from_ref(&forward));
        let twice = virtualbox.add_forward("alpha", 0, forward).await.unwrap_err();
        assert!(twice.code().is_some() && twice.to_string().contains("exists"), "{twice}");
        virtualbox.remove_forward("alpha", 0, "files").await.unwrap();

        for attachment in [
            Attachment::Nat { localhost_reachable: true },
            Attachment::Internal("lab".into()),
            Attachment::HostOnly("vboxnet3".into()),
            Attachment::Bridged("lo".into()),
            Attachment::NatNetwork("natnet1".into()),
        ] {
            virtualbox.set_adapter("alpha", 0, attachment.clone()).await.unwrap();
            let adapter = virtualbox.machine("alpha").await.unwrap().adapters.remove(0);
            assert_eq!((adapter.attachment, adapter.forwards.len()), (attachment, 0));
        }
        virtualbox.set_adapter("alpha", 0, Attachment::None).await.unwrap();
        assert_eq!(virtualbox.machine("alpha").await.unwrap().adapters, []);
        let error = virtualbox.set_adapter("alpha", 0, Attachment::Other(99)).await.unwrap_err();
        assert!(error.to_string().contains("99"), "{error}");
    });
}

#[test]
fn a_limit_that_cannot_be_is_refused_in_virtualbox_s_words() {
    with_virtualbox(
        "settings::a_limit_that_cannot_be_is_refused_in_virtualbox_s_words",
        |virtualbox| async move {
            networked(&virtualbox).await;
            let error = virtualbox.set_cpu_cap("alpha", 101).await.unwrap_err();
            assert_eq!(error.code(), Some(Code(0x8007_0057)), "{error}");
            assert!(error.to_string().contains("NS_ERROR_INVALID_ARG"), "{error}");
            let error = virtualbox.set_cable("alpha", 77, true).await.unwrap_err();
            assert!(error.code().is_some(), "{error}");
            let error = virtualbox.set_extra("alpha", "a\0b", Some("c")).await.unwrap_err();
            assert!(error.to_string().contains("zero"), "{error}");
        },
    );
}

#[test]
fn notes_properties_and_the_display_are_set_and_removed() {
    with_virtualbox(
        "settings::notes_properties_and_the_display_are_set_and_removed",
        |virtualbox| async move {
            networked(&virtualbox).await;
            assert_eq!(virtualbox.extra("alpha", "vocable/x").await.unwrap(), None);
            virtualbox.set_extra("alpha", "vocable/x", Some("grüße 🌍")).await.unwrap();
            assert_eq!(virtualbox.extra("alpha", "vocable/x").await.unwrap().as_deref(), Some("grüße 🌍"));
            virtualbox.set_extra("alpha", "vocable/x", None).await.unwrap();
            assert_eq!(virtualbox.extra("alpha", "vocable/x").await.unwrap(), None);

            virtualbox.set_guest_property("alpha", "/vocable/a", Some("1")).await.unwrap();
            assert_eq!(virtualbox.guest_property("alpha", "/vocable/a").await.unwrap().as_deref(), Some("1"));
            virtualbox.set_guest_property("alpha", "/vocable/a", None).await.unwrap();
            assert_eq!(virtualbox.guest_property("alpha", "/vocable/a").await.unwrap(), None);

            let display = DisplaySettings {
                enabled: true,
                address: Some("127.0.0.1".parse().unwrap()),
                ports: Some("5901".into()),
                password: Some("secret".into()),
            };
            virtualbox.set_display("alpha", display).await.unwrap();
            let alpha = virtualbox.machine("alpha").await.unwrap();
            assert_eq!((alpha.display.enabled, alpha.display.ports.as_str()), (true, "5901"));
            let off = DisplaySettings { enabled: false, ..DisplaySettings::default() };
            virtualbox.set_display("alpha", off).await.unwrap();
            let alpha = virtualbox.machine("alpha").await.unwrap();
            assert_eq!((alpha.display.enabled, alpha.display.ports.as_str()), (false, "5901"));
            virtualbox.watch_metrics("alpha", std::time::Duration::from_secs(1)).await.unwrap();
            let measured = virtualbox.metrics("alpha").await.unwrap();
            assert!(measured.iter().all(|metric| metric.value.is_finite()), "{measured:?}");
        },
    );
}
