//! Networks: of machines, and of the host.

use std::net::Ipv4Addr;

/// A network adapter of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Which one, from 0 on.
    pub slot: u32,
    /// Its address: twelve upper-case hexadecimal digits.
    pub mac: String,
    /// What it is attached to.
    pub attachment: Attachment,
    /// Whether its cable is plugged in.
    pub cable: bool,
    /// Ports of the host that lead to the guest, if it is attached to NAT.
    pub forwards: Vec<Forward>,
}

/// What an adapter is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// An interface of the host, as if plugged in beside it.
    Bridged(String),
    /// A network of host and guests, by the name of the host's interface.
    HostOnly(String),
    /// A network of guests only, by name.
    Internal(String),
    /// The outside, through the host.
    Nat {
        /// Whether the guest reaches the host's loopback at the gateway's address.
        localhost_reachable: bool,
    },
    /// A network of guests with a way out, by name.
    NatNetwork(String),
    /// Nothing.
    None,
    /// Something that this program does not know, by its number.
    Other(u32),
}

/// A port of the host that leads to a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Its name, unique for the adapter.
    pub name: String,
    /// Of which kind.
    pub protocol: Protocol,
    /// The host's address that it listens on. `None`: all.
    pub host: Option<Ipv4Addr>,
    /// The host's port.
    pub host_port: u16,
    /// The guest's address. `None`: the one that it was given.
    pub guest: Option<Ipv4Addr>,
    /// The guest's port.
    pub guest_port: u16,
}

/// What can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// An interface of the host that only its guests are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOnlyInterface {
    /// Its name, such as `vboxnet0`.
    pub name: String,
    /// The name of its network, which DHCP servers go by.
    pub network: String,
    /// The host's address on it, if it has one.
    pub address: Option<Ipv4Addr>,
    /// The mask of its network.
    pub mask: Option<Ipv4Addr>,
    /// Whether it is up.
    pub up: bool,
    /// The host's address on it, of the hardware.
    pub mac: String,
}

/// A DHCP server of VirtualBox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpServer {
    /// The name of the network that it serves.
    pub network: String,
    /// Whether it runs when a machine on that network does.
    pub enabled: bool,
    /// Its own address.
    pub address: Ipv4Addr,
    /// The mask of the network.
    pub mask: Ipv4Addr,
    /// The lowest address that it gives.
    pub lower: Ipv4Addr,
    /// The highest.
    pub upper: Ipv4Addr,
}
