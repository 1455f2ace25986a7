//! Who this guest is and where its host is, when nobody has configured either.
//!
//! The id is the MAC address of the card that leads to the host, which the hypervisor knows too; the host is the
//! default gateway, as on every host-only or NAT network. Reads `/proc` and `/sys`; the parsing is separate and pure.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use vocable_protocol::is_guest_id;

/// Why a guest does not know who it is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(
        "no default route, so no network card to take the id from; set id or interface in the configuration"
    )]
    NoRoute,
    #[error("network card {0} has no MAC address; set id in the configuration")]
    NoMac(String),
    #[error("no default gateway, so no broker address; set broker in the configuration")]
    NoGateway,
    #[error("id \"{0}\": 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")]
    BadId(String),
}

/// The default route: through which card, to which gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DefaultRoute {
    /// The card's name, such as `eth0`.
    pub(crate) interface: String,
    /// The other end.
    pub(crate) gateway: Ipv4Addr,
}

/// Finds the default route of the lowest metric in the text of `/proc/net/route`.
pub(crate) fn default_route(table: &str) -> Option<DefaultRoute> {
    let row = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else {
            return None;
        };
        // Flag 2 is "via a gateway".
        let via_gateway = u16::from_str_radix(flags, 16).ok()? & 2 != 0;
        if *destination != "00000000" || *mask != "00000000" || !via_gateway {
            return None;
        }
        // The kernel prints the four bytes as one number in the byte order of the machine.
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        Some((metric.parse::<u32>().ok()?, DefaultRoute { interface: (*interface).to_owned(), gateway }))
    };
    table.lines().skip(1).filter_map(row).min_by_key(|(metric, _)| *metric).map(|(_, route)| route)
}

/// A MAC address in its canonical form, `08:00:27:0A:0B:0C`; none for the all-zero address of the loopback.
pub(crate) fn canonical_mac(text: &str) -> Option<String> {
    let digits: String =
        text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_uppercase();
    if digits.len() != 12 || digits.chars().all(|c| c == '0') {
        return None;
    }
    let pairs: Vec<_> =
        digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    Some(pairs.join(":"))
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Machine {
    pub(crate) route: Option<DefaultRoute>,
    /// The MAC of the card that leads to the host.
    pub(crate) mac: Option<String>,
    /// Changes with every boot.
    pub(crate) boot_id: Option<String>,
}

impl Machine {
    /// Reads it from the system; `interface` names the card whose MAC counts, if it is not that of the default route.
    pub(crate) fn detect(interface: Option<&str>) -> Self {
        let route = read("/proc/net/route").and_then(|table| default_route(&table));
        let card = interface.or(route.as_ref().map(|route| route.interface.as_str()));
        let mac = card
            .filter(|name| !name.contains('/'))
            .and_then(|name| canonical_mac(&read(Path::new("/sys/class/net").join(name).join("address"))?));
        let boot_id = read("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned());
        Self { route, mac, boot_id }
    }

    /// The id to go by: the configured one, else the MAC without its colons (an id is part of destinations and of
    /// `guest:/path`, where colons mean something).
    pub(crate) fn id(&self, configured: &str) -> Result<String, IdentityError> {
        if configured != "auto" {
            return match is_guest_id(configured) {
                true => Ok(configured.to_owned()),
                false => Err(IdentityError::BadId(configured.chars().take(80).collect())),
            };
        }
        match (&self.mac, &self.route) {
            (Some(mac), _) => Ok(mac.replace(':', "")),
            (None, Some(route)) => Err(IdentityError::NoMac(route.interface.clone())),
            (None, None) => Err(IdentityError::NoRoute),
        }
    }

    /// Where the broker is: as configured, else STOMP's port at the default gateway.
    pub(crate) fn broker(&self, configured: &str) -> Result<String, IdentityError> {
        const STOMP_PORT: u16 = 61613;
        match (configured, &self.route) {
            ("auto", Some(route)) => Ok(format!("{}:{STOMP_PORT}", route.gateway)),
            ("auto", None) => Err(IdentityError::NoGateway),
            (configured, _) => Ok(configured.to_owned()),
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth1\t00000000\t0103A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
        eth0\t00000000\t0138A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        eth0\t0038A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";

    fn machine() -> Machine {
        let route = cfg!(target_endian = "little").then(|| default_route(TABLE)).flatten();
        Machine { route, mac: canonical_mac("08:00:27:0a:0b:0c\n"), boot_id: None }
    }

    #[test]
    fn the_default_route_of_the_lowest_metric_counts() {
        let route = machine().route.unwrap();
        assert_eq!((route.interface.as_str(), route.gateway.to_string().as_str()), ("eth0", "192.168.56.1"));
        assert_eq!(default_route(""), None);
        assert_eq!(default_route("h\neth0 zz\n"), None);
    }

    #[test]
    fn a_mac_has_one_form_however_it_is_written() {
        for text in ["08:00:27:0a:0b:0c", "0800270A0B0C", "08-00-27-0A-0B-0C\n"] {
            assert_eq!(canonical_mac(text).unwrap(), "08:00:27:0A:0B:0C");
        }
        assert_eq!(canonical_mac("00:00:00:00:00:00"), None);
        assert_eq!(canonical_mac("08:00:27"), None);
    }

    #[test]
    fn without_configuration_the_mac_is_the_id_and_the_gateway_has_the_broker() {
        assert_eq!(machine().id("auto").unwrap(), "0800270A0B0C");
        assert_eq!(machine().broker("auto").unwrap(), "192.168.56.1:61613");
        assert_eq!(machine().broker("10.0.0.1:5").unwrap(), "10.0.0.1:5");
        assert_eq!(machine().id("pi-04").unwrap(), "pi-04");
    }

    #[test]
    fn what_is_missing_is_named_with_the_key_to_set() {
        let lost = Machine::default();
        assert!(lost.id("auto").unwrap_err().to_string().contains("set id or interface"));
        assert!(lost.broker("auto").unwrap_err().to_string().contains("set broker"));
        assert!(matches!(machine().id("a b"), Err(IdentityError::BadId(_))));
    }
}
