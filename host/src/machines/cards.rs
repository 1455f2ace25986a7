//! Which guest is in which machine. The common ground is the MAC address of a network card: the guest reads it from its
//! own card and says it when it joins, the host has it from the hypervisor. Pure.
//!
//! Hypervisors do not see to it that addresses are unique, so two machines may have the same one. Then nobody knows
//! which of them a guest is in, and nothing is guessed.

use super::{Machine, canonical_mac};
use std::collections::BTreeMap;

/// Addresses that several machines have, with their names.
pub(crate) type Duplicates = BTreeMap<String, Vec<String>>;

/// What a guest says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    /// Its id, under which the broker let it in.
    pub(crate) guest: String,
    /// The address of its card, as it says.
    pub(crate) mac: Option<String>,
}

/// Where a guest is, as far as that is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// In that machine, by its id.
    In(String),
    /// Its address is that of several machines: their names.
    Duplicate(Vec<String>),
    /// It goes by the name of a machine, and its address is that of another: that one's id.
    Elsewhere(String),
    /// In a machine that another guest is in, who says so with better reason; the machine's id.
    Contested(String),
    /// In none that we know.
    Nowhere,
}

/// Addresses that more than one machine has.
pub(crate) fn duplicates<'a>(machines: impl IntoIterator<Item = &'a Machine>) -> Duplicates {
    let mut owners = Duplicates::new();
    for machine in machines {
        for card in &machine.cards {
            let names = owners.entry(card.mac.clone()).or_default();
            if !names.contains(&machine.name) {
                names.push(machine.name.clone());
            }
        }
    }
    owners.retain(|_, names| names.len() > 1);
    owners
}

/// Where each guest is.
pub(crate) fn places(machines: &BTreeMap<String, Machine>, claims: &[Claim]) -> BTreeMap<String, Place> {
    let duplicates = duplicates(machines.values());
    let mut found: BTreeMap<String, Place> =
        claims.iter().map(|claim| (claim.guest.clone(), place(machines, &duplicates, claim))).collect();
    contest(machines, &mut found);
    found
}

/// Where each guest is when nothing runs machines: in itself, whatever address it has. Several agents on one computer
/// are several guests with one address.
pub(crate) fn plain_places<'a>(guests: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, Place> {
    guests.into_iter().map(|guest| (guest.clone(), Place::In(guest.clone()))).collect()
}

fn place(machines: &BTreeMap<String, Machine>, duplicates: &Duplicates, claim: &Claim) -> Place {
    // An id that nobody has chosen is the address itself.
    let mac = claim.mac.as_deref().or(Some(&claim.guest)).and_then(canonical_mac);
    let named = machines.values().find(|machine| machine.name == claim.guest);
    let Some(mac) = mac else {
        // It has never said where it is: then its name is all there is, and whoever made its credential chose it.
        return named.map_or(Place::Nowhere, |machine| Place::In(machine.id.clone()));
    };
    if let Some(names) = duplicates.get(&mac) {
        return Place::Duplicate(names.clone());
    }
    let has = |machine: &&Machine| machine.cards.iter().any(|card| card.mac == mac);
    match (machines.values().find(has), named) {
        (Some(machine), Some(named)) if machine.id != named.id => Place::Elsewhere(machine.id.clone()),
        (Some(machine), _) => Place::In(machine.id.clone()),
        // A plain machine has no cards that we know of, so its name is what it goes by.
        (None, Some(named)) if named.cards.is_empty() => Place::In(named.id.clone()),
        (None, _) => Place::Nowhere,
    }
}

/// Of several guests that say to be in the same machine, the one whose login is the machine's name or address is
/// believed: that much the broker has checked. If that does not decide it, nobody is.
fn contest(machines: &BTreeMap<String, Machine>, found: &mut BTreeMap<String, Place>) {
    for machine in machines.values() {
        let inside: Vec<String> = found
            .iter()
            .filter(|(_, place)| **place == Place::In(machine.id.clone()))
            .map(|(guest, _)| guest.clone())
            .collect();
        if inside.len() < 2 {
            continue;
        }
        let proven = |guest: &&String| {
            **guest == machine.name
                || canonical_mac(guest).is_some_and(|mac| machine.cards.iter().any(|card| card.mac == mac))
        };
        let believed: Vec<_> = inside.iter().filter(proven).cloned().collect();
        for guest in inside {
            if believed.as_slice() != std::slice::from_ref(&guest) {
                found.insert(guest, Place::Contested(machine.id.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::Card;
    use proptest::prelude::*;
    use time::OffsetDateTime;

    fn machine(name: &str, macs: &[&str]) -> (String, Machine) {
        let mut machine = Machine::new(format!("id-{name}"), name, OffsetDateTime::UNIX_EPOCH);
        machine.cards = macs.iter().map(|mac| Card { mac: (*mac).to_owned(), ..Card::default() }).collect();
        (machine.id.clone(), machine)
    }

    fn fleet() -> BTreeMap<String, Machine> {
        [
            machine("vm1", &["08:00:27:00:00:01", "08:00:27:00:00:11"]),
            machine("vm2", &["08:00:27:00:00:02"]),
            machine("vm3", &["08:00:27:00:00:03"]),
            machine("vm3-copy", &["08:00:27:00:00:03"]),
        ]
        .into()
    }

    fn claim(guest: &str, mac: Option<&str>) -> Claim {
        Claim { guest: guest.to_owned(), mac: mac.map(str::to_owned) }
    }

    #[test]
    fn the_address_decides_where_a_guest_is() {
        let claims = [
            claim("red", Some("08:00:27:00:00:11")),
            claim("080027000002", None),
            claim("vm3", Some("08:00:27:00:00:03")),
            claim("pi-04", Some("B8:27:EB:00:00:01")),
            claim("vm1", None),
        ];
        let found = places(&fleet(), &claims[..4]);
        assert_eq!(found["red"], Place::In("id-vm1".into()));
        assert_eq!(found["080027000002"], Place::In("id-vm2".into()));
        assert_eq!(found["vm3"], Place::Duplicate(vec!["vm3".into(), "vm3-copy".into()]));
        assert_eq!(found["pi-04"], Place::Nowhere);
        assert_eq!(places(&fleet(), &claims[4..])["vm1"], Place::In("id-vm1".into()));
    }

    #[test]
    fn a_credential_in_the_wrong_machine_is_seen() {
        let found = places(&fleet(), &[claim("vm1", Some("08:00:27:00:00:02"))]);
        assert_eq!(found["vm1"], Place::Elsewhere("id-vm2".into()));
    }

    #[test]
    fn of_two_in_one_machine_the_one_with_its_name_is_believed() {
        let mac = Some("08:00:27:00:00:01");
        let found = places(&fleet(), &[claim("vm1", mac), claim("liar", mac)]);
        assert_eq!(found["vm1"], Place::In("id-vm1".into()));
        assert_eq!(found["liar"], Place::Contested("id-vm1".into()));
        let found = places(&fleet(), &[claim("a", mac), claim("b", mac)]);
        assert_eq!(found["a"], found["b"]);
        assert_eq!(found["a"], Place::Contested("id-vm1".into()));
    }

    proptest! {
        /// Whatever is claimed: no machine ever has two guests, and nobody is placed by a duplicate address.
        #[test]
        fn nothing_is_guessed(
            macs in prop::collection::vec(prop::collection::vec(0_u8..6, 0..3), 0..6),
            claims in prop::collection::vec(("[a-c]|vm[0-5]", prop::option::of(0_u8..6)), 0..8)
        ) {
            let text = |n: u8| format!("08:00:27:00:00:{n:02X}");
            let machines: BTreeMap<_, _> = macs.iter().enumerate().map(|(n, macs)| {
                let macs: Vec<_> = macs.iter().map(|n| text(*n)).collect();
                machine(&format!("vm{n}"), &macs.iter().map(String::as_str).collect::<Vec<_>>())
            }).collect();
            let claims: Vec<_> = claims.iter().map(|(guest, mac)| claim(guest, mac.map(text).as_deref())).collect();
            let found = places(&machines, &claims);
            let twice = duplicates(machines.values());
            let mut taken = Vec::new();
            for (guest, place) in &found {
                if let Place::In(id) = place {
                    prop_assert!(!taken.contains(id), "{} has two guests", id);
                    taken.push(id.clone());
                    let said = claims.iter().rev().find(|it| &it.guest == guest).unwrap().mac.clone();
                    prop_assert!(said.is_none_or(|mac| !twice.contains_key(&mac)));
                }
            }
        }
    }
}
