//! Perl's Net::Stomp: no heart-beats, no escaping, and headers in no particular order.

use super::kit::{installed, run};
use super::ours::{Ours, PASSCODE};
use strum::VariantArray;
use vocable_stomp::Version;
use vocable_stomp::broker::BrokerConfig;

fn net_stomp() -> bool {
    installed("libnet-stomp-perl", "/usr/share/perl5/Net/Stomp.pm")
}

#[tokio::test]
async fn net_stomp_sends_receives_and_acknowledges_in_every_version() {
    if !net_stomp() {
        return;
    }
    for &version in Version::VARIANTS {
        let mut broker = Ours::start(BrokerConfig::default()).await;
        run("perl", "net_stomp.pl", &[&broker.port(), version.into(), PASSCODE]).await;
        // The first visit leaves something unacknowledged, which the second gets.
        broker.was_visited_in(version).await;
        broker.was_visited_in(version).await;
        broker.is_empty().await;
    }
}

#[tokio::test]
async fn net_stomp_with_a_wrong_passcode_reads_why_it_is_refused() {
    if !net_stomp() {
        return;
    }
    let mut broker = Ours::start(BrokerConfig::default()).await;
    let told = run("perl", "net_stomp.pl", &[&broker.port(), "1.2", "wrong"]).await;
    assert_eq!(told, "login or passcode not accepted\n");
    assert_eq!(broker.has_refused().await, "wrong passcode for login \"g1\"");
}
