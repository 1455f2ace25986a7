//! Random operations on a broker's core, and a plain model of what it must hold, side by side.
//!
//! After every step: nothing is delivered twice without saying so, nothing is lost that was neither acknowledged nor
//! expired, nobody gets or leaves anything where it may not, and every bound holds. This file is also compiled into the
//! fuzz target `broker_operations`, hence only names from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vocable_stomp::broker::core::{Core, Output, Refusal};
use vocable_stomp::broker::{
    AccessRules, Action, BrokerEvent, BrokerLimits, ConnectionId, Destination, Ending, Pattern, Principal,
    Secret,
};
use vocable_stomp::codec::DecodeError;
use vocable_stomp::heartbeat::HeartBeat;
use vocable_stomp::{Command, Frame};

const LOGINS: [&str; 5] = ["a", "b", "g1", "g2", "host"];
const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];
const ACKS: [&str; 3] = ["auto", "client", "client-individual"];
const DESTINATIONS: [&str; 10] = [
    "/queue/q",
    "/queue/in.g1",
    "/queue/out.g1",
    "/queue/out.g2",
    "/topic/t",
    "/queue/out.>",
    "/queue/*",
    "/queue/>",
    "/topic/>",
    "/queue/..",
];

/// How many deeds there are for the first byte of an operation.
const DEEDS: u8 = 19;

fn limits() -> BrokerLimits {
    BrokerLimits {
        connections: 7,
        pending: 2,
        queues: 4,
        queue_bytes: 5_000,
        total_bytes: 8_000,
        outgoing_bytes: 4_000,
        prefetch_messages: 3,
        prefetch_bytes: 2_000,
        prefetch_messages_per_queue: 2,
        prefetch_bytes_per_queue: 1_000,
        subscriptions: 3,
        transactions: 2,
        transaction_bytes: 3_000,
        headers: 4,
        header_line: 64,
        message_lifetime: Some(Duration::from_secs(20)),
        stall_timeout: Duration::from_secs(10),
    }
}

fn rules() -> AccessRules {
    let rules = LOGINS.into_iter().fold(AccessRules::default(), |rules, login| {
        rules.with_login(Principal::new(login), Secret::of(login))
    });
    let grants = [
        ("a", Action::Read, "/queue/>"),
        ("a", Action::Read, "/topic/>"),
        ("a", Action::Write, "/queue/>"),
        ("a", Action::Write, "/topic/>"),
        ("b", Action::Read, "/queue/*"),
        ("b", Action::Write, "/topic/*"),
        ("g*", Action::Read, "/queue/in.{login}"),
        ("g*", Action::Write, "/queue/out.{login}"),
        ("host", Action::Read, "/queue/out.>"),
        ("host", Action::Write, "/queue/in.>"),
    ];
    let allow = |rules: AccessRules, (who, action, what)| rules.allow(who, action, what).expect("a pattern");
    grants.into_iter().fold(rules, allow)
}

/// The same rules once more, in words.
fn may(login: &str, action: Action, destination: &str) -> bool {
    let is_topic = destination.starts_with("/topic/");
    let name = destination.rsplit_once('/').map_or("", |(_, name)| name);
    match (login, action) {
        ("a", _) => true,
        ("b", Action::Read) => !is_topic && !name.contains('.'),
        ("b", Action::Write) => is_topic,
        ("host", Action::Read) => !is_topic && name.starts_with("out."),
        ("host", Action::Write) => !is_topic && name.starts_with("in."),
        (guest, Action::Read) => !is_topic && name == format!("in.{guest}"),
        (guest, Action::Write) => !is_topic && name == format!("out.{guest}"),
    }
}

/// Carries out operations of four bytes each: a deed, a connection, and two that say how.
///
/// # Panics
/// If the broker breaks one of its promises.
pub(super) fn exercise(operations: &[[u8; 4]]) {
    let mut world = World::new();
    for [deed, slot, x, y] in operations.iter().copied() {
        world.perform(deed % DEEDS, usize::from(slot % 6), usize::from(x), usize::from(y));
        world.observe();
        world.check_bounds();
        world.check_that_nobody_waits_in_vain();
    }
    world.check_that_nothing_is_lost();
}

struct World {
    core: Core,
    now: Instant,
    peers: Vec<Option<Peer>>,
    /// What queues have to hold, by the number in the message's body.
    held: BTreeMap<usize, Held>,
    messages: usize,
    topic_messages: BTreeSet<usize>,
}

struct Peer {
    id: ConnectionId,
    login: &'static str,
    version: &'static str,
    is_link: bool,
    is_stalled: bool,
    /// Whether its end is orderly: what was on its way is then written.
    has_left: bool,
    total: u64,
    subscriptions: BTreeMap<String, (String, &'static str)>,
    /// Messages given to it, in order.
    deliveries: Vec<Delivery>,
    transactions: BTreeMap<String, Vec<Step>>,
}

#[derive(Clone)]
struct Delivery {
    number: usize,
    subscription: String,
    ack: Option<String>,
    message_id: String,
}

#[derive(Clone)]
enum Step {
    Publish(usize, String),
    Settle { number: usize, subscription: String, is_accepted: bool },
}

struct Held {
    destination: String,
    from: &'static str,
    deliveries: usize,
    holder: Option<ConnectionId>,
    /// Its place among everything published.
    place: usize,
}

impl World {
    fn new() -> Self {
        Self {
            core: Core::new(limits(), HeartBeat::default(), Arc::new(rules()), "x", [7; 32])
                .with_max_body(2_000),
            now: Instant::now(),
            peers: (0..6).map(|_| None).collect(),
            held: BTreeMap::new(),
            messages: 0,
            topic_messages: BTreeSet::new(),
        }
    }

    fn perform(&mut self, deed: u8, slot: usize, x: usize, y: usize) {
        if self.peers[slot].is_none() {
            // The more often as somebody who may do much.
            let login = LOGINS.get(x % 9).unwrap_or(&"a");
            return self.connect(slot, login, VERSIONS[y % VERSIONS.len()], deed.is_multiple_of(4));
        }
        let transaction = y.is_multiple_of(5).then(|| format!("t{}", x % 3));
        match deed {
            0 | 1 => self.subscribe(slot, x, y),
            2 => self.unsubscribe(slot, x % 4),
            3..=6 => self.publish(slot, DESTINATIONS.get(x % 25).unwrap_or(&"/queue/q"), y, transaction),
            7 | 8 => self.settle(slot, x, !y.is_multiple_of(4), transaction),
            9 => self.begin(slot, x % 3),
            10 => self.commit(slot, x % 3),
            11 => self.abort(slot, x % 3),
            12 => self.leave(slot),
            13 => self.core.closed(self.id(slot), Ending::ClosedByPeer),
            14 => self.stall_or_flow(slot),
            15 => {
                self.now += Duration::from_millis(100 * x as u64);
                self.core.tick(self.now);
            }
            16 => self.nonsense(slot, x, y),
            17 => self.knock(x, y),
            _ => drop(self.core.disconnect(LOGINS[x % LOGINS.len()], "exercise")),
        }
        if deed == 13 || deed == 18 {
            self.observe();
            self.forget_the_gone();
        }
    }

    fn id(&self, slot: usize) -> ConnectionId {
        self.peers[slot].as_ref().expect("a peer").id
    }

    fn peer(&mut self, slot: usize) -> &mut Peer {
        self.peers[slot].as_mut().expect("a peer")
    }

    fn say(&mut self, slot: usize, frame: Frame) -> Result<(), Refusal> {
        let id = self.id(slot);
        self.core.frame(id, frame, self.now)
    }

    fn connect(&mut self, slot: usize, login: &'static str, version: &'static str, is_link: bool) {
        let id = if is_link {
            self.core.link(Principal::new(login), self.now).ok()
        } else {
            self.core.open("127.0.0.1:1".parse().expect("an address")).ok().filter(|id| {
                let connect = Frame::new(Command::Connect).with("login", login).with("passcode", login);
                self.core.frame(*id, connect.with("accept-version", version), self.now).is_ok()
            })
        };
        let version = if is_link { "1.2" } else { version };
        self.peers[slot] = id.map(|id| Peer {
            id,
            login,
            version,
            is_link,
            is_stalled: false,
            has_left: false,
            total: 0,
            subscriptions: BTreeMap::new(),
            deliveries: Vec::new(),
            transactions: BTreeMap::new(),
        });
    }

    fn subscribe(&mut self, slot: usize, x: usize, y: usize) {
        let (destination, ack) = (DESTINATIONS[y % DESTINATIONS.len()], ACKS[(x / 4) % ACKS.len()]);
        let id = (x % 4).to_string();
        let frame = Frame::new(Command::Subscribe).with("destination", destination).with("ack", ack);
        if self.say(slot, frame.with("id", id.clone())).is_ok() {
            let login = self.peer(slot).login;
            let pattern = Pattern::parse(destination).expect("it was accepted");
            assert!(
                pattern.is_wild() || may(login, Action::Read, destination),
                "{login} reads {destination}"
            );
            self.peer(slot).subscriptions.insert(id, (destination.to_owned(), ack));
        }
    }

    fn unsubscribe(&mut self, slot: usize, id: usize) {
        let id = id.to_string();
        if self.say(slot, Frame::new(Command::Unsubscribe).with("id", id.clone())).is_ok() {
            self.peer(slot).subscriptions.remove(&id).expect("it was there");
            let all = std::mem::take(&mut self.peer(slot).deliveries);
            let (back, kept) = all.into_iter().partition(|delivery| delivery.subscription == id);
            self.peer(slot).deliveries = kept;
            self.put_back(back);
        }
    }

    fn publish(&mut self, slot: usize, destination: &str, y: usize, transaction: Option<String>) {
        self.messages += 1;
        let number = self.messages;
        let body = format!("{number} {}", "x".repeat(y * 8));
        let frame = Frame::new(Command::Send).with("destination", destination).with("from", "somebody else");
        let frame = frame
            .with("redelivered", "true")
            .with("vocable-deliveries", "9")
            .with("receipt", "r")
            .with_body(body);
        let frame = transaction.iter().fold(frame, |frame, name| frame.with("transaction", name.clone()));
        if self.say(slot, frame).is_err() {
            return;
        }
        let login = self.peer(slot).login;
        assert!(may(login, Action::Write, destination), "{login} writes {destination}");
        let step = Step::Publish(number, destination.to_owned());
        match transaction {
            Some(name) => self.peer(slot).transactions.get_mut(&name).expect("it was open").push(step),
            None => self.carry_out(slot, vec![step]),
        }
    }

    fn settle(&mut self, slot: usize, x: usize, is_accepted: bool, transaction: Option<String>) {
        let peer = self.peer(slot);
        let acknowledged: Vec<Delivery> = peer
            .deliveries
            .iter()
            .filter(|delivery| peer.subscriptions[&delivery.subscription].1 != "auto")
            .cloned()
            .collect();
        if acknowledged.is_empty() {
            return;
        }
        let delivery = acknowledged[x % acknowledged.len()].clone();
        let command = if is_accepted { Command::Ack } else { Command::Nack };
        let frame = match (peer.version, delivery.ack) {
            ("1.2", Some(ack)) => Frame::new(command).with("id", ack),
            ("1.2", None) => panic!("a message of 1.2 without ack"),
            _ => Frame::new(command)
                .with("message-id", delivery.message_id)
                .with("subscription", delivery.subscription.clone()),
        };
        let frame = transaction.iter().fold(frame, |frame, name| frame.with("transaction", name.clone()));
        if self.say(slot, frame).is_err() {
            return;
        }
        let step = Step::Settle { number: delivery.number, subscription: delivery.subscription, is_accepted };
        match transaction {
            Some(name) => self.peer(slot).transactions.get_mut(&name).expect("it was open").push(step),
            None => self.carry_out(slot, vec![step]),
        }
    }

    fn begin(&mut self, slot: usize, name: usize) {
        let name = format!("t{name}");
        if self.say(slot, Frame::new(Command::Begin).with("transaction", name.clone())).is_ok() {
            assert!(self.peer(slot).transactions.insert(name, Vec::new()).is_none());
        }
    }

    fn commit(&mut self, slot: usize, name: usize) {
        let name = format!("t{name}");
        if self.say(slot, Frame::new(Command::Commit).with("transaction", name.clone())).is_ok() {
            let steps = self.peer(slot).transactions.remove(&name).expect("it was open");
            self.carry_out(slot, steps);
        } else {
            // A link goes on without the transaction.
            self.peer(slot).transactions.remove(&name);
        }
    }

    fn abort(&mut self, slot: usize, name: usize) {
        let name = format!("t{name}");
        if self.say(slot, Frame::new(Command::Abort).with("transaction", name.clone())).is_ok() {
            self.peer(slot).transactions.remove(&name).expect("it was open");
        }
    }

    fn leave(&mut self, slot: usize) {
        self.peer(slot).has_left = true;
        self.say(slot, Frame::new(Command::Disconnect).with("receipt", "bye")).expect("everybody may leave");
    }

    fn stall_or_flow(&mut self, slot: usize) {
        let peer = self.peer(slot);
        peer.is_stalled = !peer.is_stalled;
        if !peer.is_stalled {
            self.write_to(slot);
        } else {
            let id = self.id(slot);
            self.core.progressed(id);
        }
    }

    /// Somebody asks for a challenge, and cannot answer it.
    fn knock(&mut self, x: usize, y: usize) {
        let Ok(id) = self.core.open("127.0.0.2:1".parse().expect("an address")) else { return };
        let connect = Frame::new(Command::Connect).with("login", LOGINS[x % LOGINS.len()]);
        let nonces = ["", "x", &"0".repeat(63), &"5".repeat(64), &"é".repeat(32)];
        let asked = connect.clone().with("vocable-nonce", nonces[y % nonces.len()]);
        assert_eq!(self.core.frame(id, asked, self.now).is_ok(), y % nonces.len() == 3);
        let begun = Frame::new(Command::Send).with("receipt", "r");
        match x % 5 {
            0 => self.core.closed(id, Ending::ClosedByPeer),
            1 => self.core.malformed(id, &DecodeError::EndsInFrame, Some(&begun)),
            2 => self.core.login_overdue(id, Duration::from_secs(10)),
            3 => drop(self.core.frame(id, connect.with("vocable-proof", "0".repeat(64)), self.now)),
            _ => drop(self.core.frame(id, connect.with("passcode", "x"), self.now)),
        }
        self.core.wake(self.now + Duration::from_millis(10 * y as u64));
        assert!(self.core.connections().iter().all(|info| info.connection != id), "a stranger is in");
    }

    fn nonsense(&mut self, slot: usize, x: usize, y: usize) {
        let id = self.id(slot);
        if x == 0 && !self.peer(slot).is_link {
            let begun = Frame::new(Command::Send).with("receipt", "r");
            return self.core.malformed(id, &DecodeError::EndsInFrame, y.is_multiple_of(2).then_some(&begun));
        }
        // Frames that are refused whatever the state, or do nothing.
        let commands = [
            Command::Connect,
            Command::Message,
            Command::Ack,
            Command::Nack,
            Command::Unsubscribe,
            Command::Begin,
        ];
        let names = ["id", "message-id", "subscription", "transactions", "destination"];
        let values = ["", "99-99", "x-99999", "99999999999999999999", "-", "0-t0"];
        let frame =
            Frame::new(commands[x % commands.len()]).with(names[y % names.len()], values[y % values.len()]);
        let _ = self.say(slot, frame);
    }

    /// What the model holds after steps that the broker accepted.
    fn carry_out(&mut self, slot: usize, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Publish(number, destination) if destination.starts_with("/queue/") => {
                    let (from, place) = (self.peer(slot).login, self.held.len() + self.messages);
                    let place = self.held.values().map(|held| held.place + 1).max().unwrap_or(0).max(place);
                    self.held.insert(number, Held { destination, from, deliveries: 0, holder: None, place });
                }
                Step::Publish(number, _) => drop(self.topic_messages.insert(number)),
                Step::Settle { number, subscription, is_accepted } => {
                    self.settle_model(slot, number, &subscription, is_accepted);
                }
            }
        }
    }

    fn settle_model(&mut self, slot: usize, number: usize, subscription: &str, is_accepted: bool) {
        let peer = self.peer(slot);
        let is_cumulative = peer.subscriptions[subscription].1 == "client";
        let is_it = |delivery: &Delivery| delivery.subscription == subscription && delivery.number == number;
        // Settled by an earlier step of the same transaction.
        let Some(last) = peer.deliveries.iter().position(is_it) else { return };
        let (mut covered, mut kept) = (Vec::new(), Vec::new());
        for (at, delivery) in std::mem::take(&mut peer.deliveries).into_iter().enumerate() {
            let is_covered =
                delivery.subscription == subscription && (at == last || (is_cumulative && at < last));
            if is_covered { covered.push(delivery) } else { kept.push(delivery) }
        }
        peer.deliveries = kept;
        match is_accepted {
            true => covered.iter().for_each(|delivery| drop(self.held.remove(&delivery.number))),
            false => self.put_back(covered),
        }
    }

    fn put_back(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            self.held.get_mut(&delivery.number).expect("held until settled").holder = None;
        }
    }

    /// Pretends that everything handed over was written.
    fn write_to(&mut self, slot: usize) {
        let peer = self.peers[slot].as_mut().expect("a peer");
        let subscriptions = &peer.subscriptions;
        let all = std::mem::take(&mut peer.deliveries);
        let (written, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|delivery| subscriptions[&delivery.subscription].1 == "auto");
        peer.deliveries = kept;
        written.iter().for_each(|delivery| drop(self.held.remove(&delivery.number)));
        self.core.written(peer.id, peer.total);
    }

    /// Takes what the broker puts out, and holds it against the model.
    fn observe(&mut self) {
        while let Some(output) = self.core.output() {
            match output {
                Output::Send { connection, frame } => self.receive(connection, &frame),
                Output::Close { connection } => self.close(connection),
                Output::Event(BrokerEvent::LoggedOut { connection, .. }) => self.close(connection),
                Output::Event(BrokerEvent::Expired { destination, messages, .. }) => {
                    self.expire(&destination, messages);
                }
                Output::Accepted { .. }
                | Output::Challenged { .. }
                | Output::Event(_)
                | Output::Pause { .. }
                | Output::Resume { .. } => {}
            }
        }
    }

    fn slot_of(&self, connection: ConnectionId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.as_ref().is_some_and(|peer| peer.id == connection))
    }

    fn receive(&mut self, connection: ConnectionId, frame: &Frame) {
        let Some(slot) = self.slot_of(connection) else {
            let is_challenge = frame.header("receipt-id") == Some("vocable-challenge");
            assert!(is_challenge || frame.command == Command::Error, "strangers are told nothing else");
            return;
        };
        self.peer(slot).total += frame.weight() as u64;
        if frame.command == Command::Message {
            self.receive_message(slot, frame);
        }
        if self.peers[slot].as_ref().is_some_and(|peer| !peer.is_stalled) {
            self.write_to(slot);
        }
    }

    fn receive_message(&mut self, slot: usize, frame: &Frame) {
        let header = |name: &str| frame.header(name).map(str::to_owned);
        let destination = header("destination").expect("every message has a destination");
        let body = std::str::from_utf8(&frame.body).expect("as it was sent");
        let number: usize = body.split_once(' ').expect("as it was sent").0.parse().expect("as it was sent");
        let peer = self.peers[slot].as_mut().expect("a peer");
        assert!(may(peer.login, Action::Read, &destination), "{} got {destination}", peer.login);
        let subscription = header("subscription").expect("every subscription of the exercise has an id");
        let (wanted, ack) =
            peer.subscriptions.get(&subscription).expect("nothing comes for what is unsubscribed");
        let named = Destination::parse(&destination).expect("a destination");
        assert!(Pattern::parse(wanted).expect("a pattern").matches(&named), "{wanted} got {destination}");
        assert_eq!(frame.header("ack").is_some(), peer.version == "1.2" && *ack != "auto");
        if destination.starts_with("/topic/") {
            assert!(self.topic_messages.contains(&number), "{number} was not published");
            return;
        }
        let held = self.held.get_mut(&number).unwrap_or_else(|| panic!("{number} was dealt with before"));
        assert_eq!((header("from").as_deref(), &held.destination), (Some(held.from), &destination));
        assert_eq!(held.holder, None, "{number} is with somebody else");
        assert_eq!(frame.header("redelivered").is_some(), held.deliveries > 0, "{number}");
        let counted = header("vocable-deliveries").map(|count| count.parse());
        assert_eq!(counted, (held.deliveries > 0).then_some(Ok(held.deliveries)), "{number}");
        held.deliveries += 1;
        held.holder = Some(peer.id);
        let message_id = header("message-id").expect("every message has an id");
        peer.deliveries.push(Delivery { number, subscription, ack: header("ack"), message_id });
        self.check_order(number);
    }

    /// Whatever was published before to the same queue has been given to somebody as well.
    fn check_order(&self, number: usize) {
        let this = &self.held[&number];
        let overtaken = self.held.values().find(|held| {
            held.destination == this.destination && held.place < this.place && held.deliveries == 0
        });
        assert!(overtaken.is_none(), "{number} overtook {}", overtaken.map_or(0, |held| held.place));
    }

    fn close(&mut self, connection: ConnectionId) {
        let Some(peer) = self.slot_of(connection).and_then(|slot| self.peers[slot].take()) else { return };
        let is_written =
            |delivery: &Delivery| peer.has_left && peer.subscriptions[&delivery.subscription].1 == "auto";
        let (written, back): (Vec<_>, Vec<_>) = peer.deliveries.iter().cloned().partition(is_written);
        written.iter().for_each(|delivery| drop(self.held.remove(&delivery.number)));
        self.put_back(back);
    }

    fn forget_the_gone(&mut self) {
        let known: BTreeSet<ConnectionId> =
            self.core.connections().iter().map(|info| info.connection).collect();
        let gone = self.peers.iter().flatten().any(|peer| !known.contains(&peer.id));
        assert!(!gone, "an end without an event");
    }

    fn expire(&mut self, destination: &Destination, messages: usize) {
        let waiting = self
            .held
            .iter()
            .filter(|(_, held)| held.destination == destination.as_str() && held.holder.is_none());
        let mut waiting: Vec<(usize, usize)> = waiting.map(|(number, held)| (held.place, *number)).collect();
        waiting.sort_unstable();
        assert!(waiting.len() >= messages, "more expired than there was");
        waiting.iter().take(messages).for_each(|(_, number)| drop(self.held.remove(number)));
    }

    fn check_bounds(&self) {
        let limits = limits();
        let queues = self.core.queues();
        assert!(
            queues.len() <= limits.queues && queues.iter().all(|queue| queue.bytes <= limits.queue_bytes)
        );
        let stored: usize = queues.iter().map(|queue| queue.bytes).sum();
        assert!(stored == self.core.stored_bytes() && stored <= limits.total_bytes);
        let held: usize = queues.iter().map(|queue| queue.ready + queue.unacknowledged).sum();
        assert_eq!(held, self.held.len(), "what the queues hold is what the model holds");
        for peer in self.peers.iter().flatten() {
            for (id, (_, ack)) in &peer.subscriptions {
                let given = peer.deliveries.iter().filter(|delivery| delivery.subscription == *id).count();
                assert!(*ack == "auto" || given <= limits.prefetch_messages, "{given} are unacknowledged");
            }
            for ((id, queue), given) in self.given_by_queue(peer) {
                let (wanted, ack) = &peer.subscriptions[id];
                let is_bounded =
                    *ack != "auto" && Pattern::parse(wanted).is_ok_and(|wanted| wanted.is_wild());
                assert!(
                    !is_bounded || given <= limits.prefetch_messages_per_queue,
                    "{given} of {queue} are unacknowledged"
                );
            }
        }
        let connections = self.core.connections();
        assert!(connections.len() <= limits.connections);
        for info in connections {
            // The largest frame of the exercise is some 2,500 bytes.
            // What is published to topics although its publisher was to wait may take it to twice the limit.
            let most = 2 * limits.outgoing_bytes + 2_000 + 3_000;
            assert!(info.outgoing_bytes < most, "{}", info.outgoing_bytes);
            assert!(info.subscriptions.len() <= limits.subscriptions);
        }
    }

    /// How many messages of which queue each of its subscriptions has in hand.
    fn given_by_queue<'a>(&'a self, peer: &'a Peer) -> BTreeMap<(&'a str, &'a str), usize> {
        peer.deliveries.iter().fold(BTreeMap::new(), |mut given, delivery| {
            let queue = &*self.held[&delivery.number].destination;
            *given.entry((&*delivery.subscription, queue)).or_default() += 1;
            given
        })
    }

    /// Nobody who has nothing in hand, and reads, is kept waiting for a message that is there.
    fn check_that_nobody_waits_in_vain(&self) {
        let waiting: Vec<&Held> = self.held.values().filter(|held| held.holder.is_none()).collect();
        for peer in self.peers.iter().flatten().filter(|peer| !peer.is_stalled) {
            for (id, (wanted, _)) in &peer.subscriptions {
                let is_idle = peer.deliveries.iter().all(|delivery| delivery.subscription != *id);
                let pattern = Pattern::parse(wanted).expect("a pattern");
                let fits = |held: &&&Held| {
                    pattern.matches(&Destination::parse(&held.destination).expect("a destination"))
                };
                let missed = waiting.iter().find(fits).filter(|_| is_idle);
                assert!(missed.is_none(), "{} waits in vain for {wanted}", peer.login);
            }
        }
    }

    /// Whatever is left can still be had.
    fn check_that_nothing_is_lost(&mut self) {
        (0..self.peers.len())
            .filter(|slot| self.peers[*slot].is_some())
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|slot| {
                if let Some(peer) = &self.peers[slot] {
                    self.core.closed(peer.id, Ending::ClosedByPeer);
                }
                self.observe();
            });
        self.connect(0, "a", "1.2", true);
        let subscribe = Frame::new(Command::Subscribe).with("destination", "/queue/>").with("id", "all");
        self.peer(0).subscriptions.insert("all".to_owned(), ("/queue/>".to_owned(), "auto"));
        self.say(0, subscribe).expect("it may");
        self.observe();
        assert!(self.held.is_empty(), "{:?} are lost", self.held.keys());
        assert_eq!(self.core.stored_bytes(), 0);
    }
}
