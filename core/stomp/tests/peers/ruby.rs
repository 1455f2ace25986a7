//! Ruby's stomp: heart-beats, CRLF, `STOMP` for `CONNECT`, escaping.

use super::kit::{installed, run};
use super::ours::{Ours, PASSCODE};
use std::time::Duration;
use strum::VariantArray;
use vocable_stomp::Version;
use vocable_stomp::broker::BrokerConfig;
use vocable_stomp::heartbeat::HeartBeat;

fn stomp() -> bool {
    installed("ruby-stomp", "/usr/lib/ruby/vendor_ruby/stomp.rb")
}

#[tokio::test]
async fn stomp_sends_receives_and_acknowledges_in_every_version() {
    if !stomp() {
        return;
    }
    for &version in Version::VARIANTS {
        let mut broker = Ours::start(BrokerConfig::default()).await;
        run("ruby", "stomp.rb", &[&broker.port(), version.into(), PASSCODE, "work"]).await;
        // The first visit leaves something unacknowledged, which the second gets.
        broker.was_visited_in(version).await;
        broker.was_visited_in(version).await;
        broker.is_empty().await;
    }
}

#[tokio::test]
async fn stomp_beats_and_hears_the_broker_beat() {
    if !stomp() {
        return;
    }
    let heart_beat = HeartBeat::every(Duration::from_secs(1));
    let mut broker = Ours::start(BrokerConfig { heart_beat, ..BrokerConfig::default() }).await;
    run("ruby", "stomp.rb", &[&broker.port(), "1.2", PASSCODE, "beat"]).await;
    broker.was_visited_in(Version::V1_2).await;
}

#[tokio::test]
async fn stomp_with_a_wrong_passcode_reads_why_it_is_refused() {
    if !stomp() {
        return;
    }
    let mut broker = Ours::start(BrokerConfig::default()).await;
    let told = run("ruby", "stomp.rb", &[&broker.port(), "1.2", "wrong", "work"]).await;
    assert_eq!(told, "login or passcode not accepted\n");
    assert_eq!(broker.has_refused().await, "wrong passcode for login \"g1\"");
}
