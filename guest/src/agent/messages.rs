//! What becomes of one message from the host, and the clocks that it is judged by.

use super::outbound::{Outbound, refusal, word_of};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use vocable_protocol::{HOST, Mailbox, header};
use vocable_runtime::{Answer, Envelope, Interpreter, Received};
use vocable_stomp::DELIVERIES;
use vocable_stomp::client::Delivery;

/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 8] = [
    "ack",
    "destination",
    "redelivered",
    "subscription",
    "omitted-headers",
    DELIVERIES,
    header::HOST_TIME,
    header::VALID_UNTIL,
];
/// How long a reply may wait for room on its way: by then a broker has ended a connection that does not move.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Processed {
    pub(super) delivery: Delivery,
    /// What it began with.
    pub(super) word: String,
    pub(super) answer: Option<Answer>,
    pub(super) error: Option<String>,
    /// Whether what there is to reply is on its way.
    pub(super) is_replied: bool,
}

/// Has its word act on a message, and what there is to reply sent.
pub(super) async fn process(interpreter: Interpreter, outbound: Outbound, delivery: Delivery) -> Processed {
    let envelope = Envelope { headers: delivery.frame.headers.clone(), body: delivery.frame.body.clone() };
    let Received { word, reply, answer, error } =
        interpreter.receive(envelope.without(&TRANSPORT), HOST).await;
    let is_replied = send_reply(&outbound, reply).await;
    Processed { delivery, word, answer, error, is_replied }
}

/// Refuses a message before any word sees it.
pub(super) async fn refuse(outbound: Outbound, delivery: Delivery, kind: &str, why: String) -> Processed {
    let body = &delivery.frame.body;
    let word = word_of(body).to_owned();
    let reply = delivery.frame.header(header::ASKED).map(|asked| refusal(body, kind, &why, asked));
    let is_replied = send_reply(&outbound, reply).await;
    let error = Some(format!("refused ({kind}): {why}"));
    Processed { delivery, word, answer: None, error, is_replied }
}

/// Whether it was not too long until there was room for the reply, if there is one.
async fn send_reply(outbound: &Outbound, reply: Option<Envelope>) -> bool {
    match reply {
        Some(reply) => tokio::time::timeout(REPLY_TIMEOUT, outbound.reply(reply)).await.is_ok(),
        None => true,
    }
}

/// Whether it is of a byte stream, which no word hears.
pub(super) fn is_stream_packet(delivery: &Delivery) -> bool {
    let destination = delivery.frame.header("destination");
    destination.is_some_and(|destination| destination.starts_with(Mailbox::StreamsToGuest.prefix()))
}

/// A number that another process does not have.
pub(super) fn process_number() -> u32 {
    // Without a source of chance: two processes with the same id at the same time of two boots are unlikely, too.
    getrandom::u32()
        .unwrap_or_else(|_| std::process::id() ^ boot_time().to_le_bytes().map(u32::from).iter().sum::<u32>())
}

/// Milliseconds since boot, those included in which the machine was asleep.
pub(super) fn boot_time() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| time.tv_sec().saturating_mul(1_000).saturating_add(time.tv_nsec() / 1_000_000))
}

/// When it will be so many milliseconds since boot.
pub(super) fn boot_time_instant(time: i64) -> Instant {
    let left = u64::try_from(time.saturating_sub(boot_time())).unwrap_or(0);
    Instant::now() + Duration::from_millis(left)
}

/// A time in a header: milliseconds since 1970.
pub(super) fn header_time(header: Option<&str>) -> Option<i64> {
    header?.parse().ok().filter(|time| *time >= 0)
}

/// Milliseconds since 1970, for people.
pub(super) fn time_text(time: i64) -> String {
    let known = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time) * 1_000_000).ok();
    known.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time} ms"))
}
