//! A machine that runs: on the real hypervisor, which translates its instructions where there is no kernel module. It
//! has nothing to boot from, which its firmware says on its screen.

use crate::bed::{TIMEOUT, wait_for, with_virtualbox};
use crate::processes::named;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::Receiver;
use vocable_vbox::{
    AdapterKind, Attachment, DisplaySettings, Engine, Event, NewAdapter, NewMachine, Reporter, State,
    VirtualBox,
};

/// A machine that can run, with a remote display on a free port.
async fn runnable(virtualbox: &VirtualBox, name: &str) -> (String, u16) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut new = NewMachine::new(name);
    new.memory_mib = 64;
    new.engine = Some(Engine::Recompiler);
    new.display = Some(DisplaySettings {
        enabled: true,
        address: Some(Ipv4Addr::LOCALHOST.into()),
        ports: Some(port.to_string()),
        password: None,
    });
    new.adapters = vec![NewAdapter {
        attachment: Attachment::Nat { localhost_reachable: true },
        mac: None,
        kind: AdapterKind::Virtio,
        forwards: Vec::new(),
    }];
    (virtualbox.create(new, Reporter::none()).await.unwrap().id, port)
}

async fn becomes(events: &mut Receiver<Event>, of: &str, wanted: State) {
    let is_it = |event: &Event| matches!(event, Event::State { id, state } if id == of && *state == wanted);
    wait_for(events, is_it).await;
}

#[test]
fn a_machine_lives_and_every_change_of_its_state_is_told() {
    with_virtualbox(
        "running::a_machine_lives_and_every_change_of_its_state_is_told",
        |virtualbox| async move {
            let (id, port) = runnable(&virtualbox, "alpha").await;
            let mut events = virtualbox.events();
            virtualbox.start("alpha", Reporter::none()).await.unwrap();
            becomes(&mut events, &id, State::Running).await;
            let alpha = virtualbox.machine("alpha").await.unwrap();
            assert_eq!(
                (alpha.state, alpha.pid.map(|pid| vec![pid])),
                (State::Running, Some(named("VBoxHeadless")))
            );
            assert_eq!(alpha.display.active_port, Some(port));
            let mut display = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let mut greeting = [0; 4];
            tokio::time::timeout(TIMEOUT, display.read_exact(&mut greeting)).await.unwrap().unwrap();
            assert_eq!(&greeting, b"RFB ");

            virtualbox.pause("alpha").await.unwrap();
            becomes(&mut events, &id, State::Paused).await;
            let error = virtualbox.pause("alpha").await.unwrap_err();
            assert!(error.is_wrong_state(), "{error}");
            virtualbox.resume("alpha").await.unwrap();
            becomes(&mut events, &id, State::Running).await;
            let error = virtualbox.resume("alpha").await.unwrap_err();
            assert!(error.is_wrong_state(), "{error}");
            virtualbox.reset("alpha").await.unwrap();
            virtualbox.power_button("alpha").await.unwrap();

            let error = virtualbox.unregister("alpha").await.unwrap_err();
            assert!(error.is_locked() && error.to_string().contains("'alpha'"), "{error}");
            let error = virtualbox.start("alpha", Reporter::none()).await.unwrap_err();
            assert!(error.is_locked(), "{error}");

            virtualbox.power_off("alpha", Reporter::none()).await.unwrap();
            becomes(&mut events, &id, State::PoweredOff).await;
            // It has been let go of: the next thing can be done at once.
            virtualbox.destroy("alpha", Reporter::none()).await.unwrap();
        },
    );
}

#[test]
fn settings_are_changed_and_figures_measured_while_it_runs() {
    with_virtualbox(
        "running::settings_are_changed_and_figures_measured_while_it_runs",
        |virtualbox| async move {
            let _ = runnable(&virtualbox, "alpha").await;
            virtualbox.start("alpha", Reporter::none()).await.unwrap();
            virtualbox.set_cpu_cap("alpha", 40).await.unwrap();
            virtualbox.set_cable("alpha", 0, false).await.unwrap();
            virtualbox.set_extra("alpha", "vocable/x", Some("y")).await.unwrap();
            virtualbox.set_guest_property("alpha", "/vocable/x", Some("y")).await.unwrap();
            virtualbox.set_display("alpha", DisplaySettings::default()).await.unwrap();
            let alpha = virtualbox.machine("alpha").await.unwrap();
            assert_eq!((alpha.cpu_cap, alpha.adapters[0].cable), (40, false));
            assert_eq!((alpha.display.enabled, alpha.display.active_port), (false, None));
            assert_eq!(virtualbox.guest_property("alpha", "/vocable/x").await.unwrap().as_deref(), Some("y"));

            let picture = virtualbox.screenshot("alpha").await.unwrap();
            assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
            virtualbox.watch_metrics("alpha", Duration::from_secs(1)).await.unwrap();
            let measured = tokio::time::timeout(TIMEOUT, async {
                loop {
                    let measured = virtualbox.metrics("alpha").await.unwrap();
                    // There is no event for a sample; VirtualBox takes one a second.
                    match measured
                        .into_iter()
                        .find(|metric| metric.name == "RAM/Usage/Used" && metric.value > 0.0)
                    {
                        Some(metric) => break metric,
                        None => tokio::time::sleep(Duration::from_millis(200)).await,
                    }
                }
            });
            let memory = measured.await.expect("nothing is measured");
            assert_eq!(memory.unit, "kB");
            virtualbox.power_off("alpha", Reporter::none()).await.unwrap();
        },
    );
}

#[test]
fn it_is_saved_and_goes_on_and_a_live_snapshot_brings_it_back() {
    with_virtualbox(
        "running::it_is_saved_and_goes_on_and_a_live_snapshot_brings_it_back",
        |virtualbox| async move {
            let (id, _) = runnable(&virtualbox, "alpha").await;
            let mut events = virtualbox.events();
            virtualbox.start("alpha", Reporter::none()).await.unwrap();
            let (told, tellings) = std::sync::mpsc::channel();
            let reporter = Reporter::new(move |progress| told.send(progress.percent).unwrap());
            virtualbox.take_snapshot("alpha", "live", "", reporter).await.unwrap();
            assert_eq!(tellings.iter().last(), Some(100));
            assert_eq!(virtualbox.machine("alpha").await.unwrap().state, State::Running);
            assert!(virtualbox.snapshots("alpha").await.unwrap()[0].online);

            virtualbox.save("alpha", Reporter::none()).await.unwrap();
            becomes(&mut events, &id, State::Saved).await;
            virtualbox.start("alpha", Reporter::none()).await.unwrap();
            becomes(&mut events, &id, State::Running).await;
            let error = virtualbox.restore_snapshot("alpha", "live", Reporter::none()).await.unwrap_err();
            assert!(error.code().is_some(), "a machine that runs is restored: {error}");
            virtualbox.save("alpha", Reporter::none()).await.unwrap();
            virtualbox.discard_saved("alpha").await.unwrap();
            assert_eq!(virtualbox.machine("alpha").await.unwrap().state, State::PoweredOff);

            virtualbox.restore_snapshot("alpha", "live", Reporter::none()).await.unwrap();
            assert_eq!(virtualbox.machine("alpha").await.unwrap().state, State::Saved);
            virtualbox.start("alpha", Reporter::none()).await.unwrap();
            assert_eq!(virtualbox.machine("alpha").await.unwrap().state, State::Running);
            virtualbox.power_off("alpha", Reporter::none()).await.unwrap();
        },
    );
}
