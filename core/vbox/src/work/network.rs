//! Network adapters of machines, host-only interfaces, and DHCP servers.

use crate::calls;
use crate::com::Com;
use crate::error::Error;
use crate::model::{Adapter, Attachment, DhcpServer, Forward, HostOnlyInterface, Protocol};
use crate::step::Step;
use crate::values;
use crate::xpcom::{FromOut, In, Object};
use std::net::Ipv4Addr;

/// An adapter as it is.
pub(crate) fn adapter(slot: u32, adapter: &Object) -> Result<Adapter, Error> {
    let attachment = attachment(adapter)?;
    let forwards = match attachment {
        Attachment::Nat { .. } => forwards(&adapter.get(&calls::NAT, &[])?)?,
        _ => Vec::new(),
    };
    let mac: String = adapter.get(&calls::ADAPTER_MAC, &[])?;
    let cable = adapter.get(&calls::CABLE, &[])?;
    Ok(Adapter { slot, mac: mac.to_ascii_uppercase(), attachment, cable, forwards })
}

fn attachment(adapter: &Object) -> Result<Attachment, Error> {
    let name = |call| adapter.get::<String>(call, &[]);
    Ok(match adapter.get(&calls::ATTACHMENT, &[])? {
        values::DETACHED => Attachment::None,
        values::NAT => {
            let nat: Object = adapter.get(&calls::NAT, &[])?;
            Attachment::Nat { localhost_reachable: nat.get(&calls::LOCALHOST_REACHABLE, &[])? }
        }
        values::BRIDGED => Attachment::Bridged(name(&calls::BRIDGED)?),
        values::INTERNAL => Attachment::Internal(name(&calls::INTERNAL)?),
        values::HOST_ONLY => Attachment::HostOnly(name(&calls::HOST_ONLY)?),
        values::NAT_NETWORK => Attachment::NatNetwork(name(&calls::NAT_NETWORK)?),
        other => Attachment::Other(other),
    })
}

/// Attaches an adapter to something, and enables it; `None` disables it.
pub(crate) fn attach(adapter: &Object, to: &Attachment) -> Result<(), Error> {
    let (kind, name) = match to {
        Attachment::None => return adapter.run(&calls::SET_ADAPTER_ENABLED, &[In::Bool(false)]),
        Attachment::Other(number) => {
            let reason = format!("{number} is not an attachment that can be made");
            return Err(Error::Invalid { what: "network adapter", reason });
        }
        Attachment::Bridged(name) => (values::BRIDGED, Some((&calls::SET_BRIDGED, name))),
        Attachment::HostOnly(name) => (values::HOST_ONLY, Some((&calls::SET_HOST_ONLY, name))),
        Attachment::Internal(name) => (values::INTERNAL, Some((&calls::SET_INTERNAL, name))),
        Attachment::Nat { .. } => (values::NAT, None),
        Attachment::NatNetwork(name) => (values::NAT_NETWORK, Some((&calls::SET_NAT_NETWORK, name))),
    };
    adapter.run(&calls::SET_ADAPTER_ENABLED, &[In::Bool(true)])?;
    adapter.run(&calls::SET_ATTACHMENT, &[In::U32(kind)])?;
    if let Some((call, name)) = name {
        adapter.run(call, &[In::Text(name)])?;
    }
    if let Attachment::Nat { localhost_reachable } = to {
        let nat: Object = adapter.get(&calls::NAT, &[])?;
        nat.run(&calls::SET_LOCALHOST_REACHABLE, &[In::Bool(*localhost_reachable)])?;
    }
    Ok(())
}

/// Lets a port of the host lead to the guest.
pub(crate) fn add_forward(adapter: &Object, forward: &Forward) -> Result<(), Error> {
    let nat: Object = adapter.get(&calls::NAT, &[])?;
    let protocol = match forward.protocol {
        Protocol::Tcp => values::TCP,
        Protocol::Udp => values::UDP,
    };
    let text = |address: Option<Ipv4Addr>| address.map(|address| address.to_string()).unwrap_or_default();
    let given = [
        In::Text(&forward.name),
        In::U32(protocol),
        In::Text(&text(forward.host)),
        In::U16(forward.host_port),
        In::Text(&text(forward.guest)),
        In::U16(forward.guest_port),
    ];
    nat.run(&calls::ADD_FORWARD, &given)
}

pub(crate) fn remove_forward(adapter: &Object, name: &str) -> Result<(), Error> {
    adapter.get::<Object>(&calls::NAT, &[])?.run(&calls::REMOVE_FORWARD, &[In::Text(name)])
}

fn forwards(nat: &Object) -> Result<Vec<Forward>, Error> {
    let lines: Vec<String> = nat.get(&calls::FORWARDS, &[])?;
    Ok(lines.iter().filter_map(|line| forward(line)).collect())
}

/// A forward as VirtualBox writes it: `name,protocol,host address,host port,guest address,guest port`.
fn forward(line: &str) -> Option<Forward> {
    let mut parts = line.split(',');
    let mut next = || parts.next();
    Some(Forward {
        name: next()?.to_owned(),
        protocol: match next()?.parse().ok()? {
            values::UDP => Protocol::Udp,
            values::TCP => Protocol::Tcp,
            _ => return None,
        },
        host: next()?.parse().ok(),
        host_port: next()?.parse().ok()?,
        guest: next()?.parse().ok(),
        guest_port: next()?.parse().ok()?,
    })
}

/// The host-only interfaces of this host.
pub(crate) fn interfaces(com: &Com) -> Result<Vec<HostOnlyInterface>, Error> {
    let host: Object = com.virtualbox()?.get(&calls::HOST, &[])?;
    let given = [In::U32(values::HOST_ONLY_INTERFACE)];
    let interfaces: Vec<Object> = host.get(&calls::HOST_INTERFACES, &given)?;
    interfaces.iter().map(interface).collect()
}

fn interface(interface: &Object) -> Result<HostOnlyInterface, Error> {
    Ok(HostOnlyInterface {
        name: interface.get(&calls::INTERFACE_NAME, &[])?,
        network: interface.get(&calls::INTERFACE_NETWORK, &[])?,
        address: address(&interface.get::<String>(&calls::INTERFACE_ADDRESS, &[])?),
        mask: address(&interface.get::<String>(&calls::INTERFACE_MASK, &[])?),
        up: interface.get::<u32>(&calls::INTERFACE_STATUS, &[])? == values::UP,
        mac: interface.get(&calls::INTERFACE_MAC, &[])?,
    })
}

/// An address; VirtualBox writes zeros where there is none.
fn address(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok().filter(|address: &Ipv4Addr| !address.is_unspecified())
}

/// Makes a new host-only interface.
pub(crate) fn create_interface(com: &Com) -> Result<Step<HostOnlyInterface>, Error> {
    let call = &calls::CREATE_HOST_ONLY;
    let host: Object = com.virtualbox()?.get(&calls::HOST, &[])?;
    let mut given = host.call(call, &[])?.into_iter();
    let mut next = || given.next().ok_or(Error::Null { call: call.name });
    // Without the interface it is the progress that says why.
    let created = Option::<Object>::from_out(next()?, call)?;
    let progress = Object::from_out(next()?, call)?;
    Ok(Step::after(progress, call, move |_| {
        interface(&created.ok_or(Error::Null { call: call.name })?).map(Step::Done)
    }))
}

pub(crate) fn remove_interface(com: &Com, name: &str) -> Result<Step<()>, Error> {
    let host: Object = com.virtualbox()?.get(&calls::HOST, &[])?;
    let id: String = host_interface(com, name)?.get(&calls::INTERFACE_ID, &[])?;
    let progress = host.get(&calls::REMOVE_HOST_ONLY, &[In::Text(&id)])?;
    Ok(Step::done_after(progress, &calls::REMOVE_HOST_ONLY, ()))
}

/// Gives the host an address on a host-only interface.
pub(crate) fn set_address(com: &Com, name: &str, address: Ipv4Addr, mask: Ipv4Addr) -> Result<(), Error> {
    let (address, mask) = (address.to_string(), mask.to_string());
    host_interface(com, name)?.run(&calls::SET_INTERFACE_ADDRESS, &[In::Text(&address), In::Text(&mask)])
}

fn host_interface(com: &Com, name: &str) -> Result<Object, Error> {
    let host: Object = com.virtualbox()?.get(&calls::HOST, &[])?;
    host.get(&calls::HOST_INTERFACE, &[In::Text(name)])
}

pub(crate) fn dhcp_servers(com: &Com) -> Result<Vec<DhcpServer>, Error> {
    let servers: Vec<Object> = com.virtualbox()?.get(&calls::DHCP_SERVERS, &[])?;
    servers.iter().map(dhcp_server).collect()
}

fn dhcp_server(server: &Object) -> Result<DhcpServer, Error> {
    let address = |call| {
        let text: String = server.get(call, &[])?;
        Ok::<_, Error>(text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED))
    };
    Ok(DhcpServer {
        network: server.get(&calls::DHCP_NETWORK, &[])?,
        enabled: server.get(&calls::DHCP_ENABLED, &[])?,
        address: address(&calls::DHCP_ADDRESS)?,
        mask: address(&calls::DHCP_MASK)?,
        lower: address(&calls::DHCP_LOWER)?,
        upper: address(&calls::DHCP_UPPER)?,
    })
}

/// Finds the DHCP server of a network, or makes one (a new profile has one already), and sets it up.
pub(crate) fn set_dhcp_server(com: &Com, wanted: &DhcpServer) -> Result<DhcpServer, Error> {
    let virtualbox = com.virtualbox()?;
    let servers: Vec<Object> = virtualbox.get(&calls::DHCP_SERVERS, &[])?;
    let is_it = |server: &Object| {
        server.get::<String>(&calls::DHCP_NETWORK, &[]).is_ok_and(|name| name == wanted.network)
    };
    let server = match servers.into_iter().find(is_it) {
        Some(server) => server,
        None => virtualbox.get(&calls::CREATE_DHCP_SERVER, &[In::Text(&wanted.network)])?,
    };
    let addresses =
        [wanted.address, wanted.mask, wanted.lower, wanted.upper].map(|address| address.to_string());
    server.run(&calls::SET_DHCP, &addresses.each_ref().map(|address| In::Text(address)))?;
    server.run(&calls::SET_DHCP_ENABLED, &[In::Bool(wanted.enabled)])?;
    dhcp_server(&server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read_as_virtualbox_writes_them() {
        let read = forward("ssh,1,127.0.0.1,2222,,22").unwrap();
        assert_eq!((read.name.as_str(), read.protocol), ("ssh", Protocol::Tcp));
        assert_eq!((read.host, read.host_port), (Some(Ipv4Addr::LOCALHOST), 2222));
        assert_eq!((read.guest, read.guest_port), (None, 22));
        assert_eq!(forward("ssh,7,127.0.0.1,2222,,22"), None);
        assert_eq!(forward("ssh,1,,x"), None);
    }

    #[test]
    fn zeros_are_no_address() {
        assert_eq!(address("0.0.0.0"), None);
        assert_eq!(address(""), None);
        assert_eq!(address("192.168.56.1"), Some(Ipv4Addr::new(192, 168, 56, 1)));
    }
}
