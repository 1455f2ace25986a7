//! The network that only host and guests are on: found, or set up, or exactly what is missing for it. NAT is what is
//! left then: it needs no privileges, and the guest finds the host at its gateway.

use super::super::{Network, Progress, SetUpNetwork};
use super::{one_line, reporter};
use std::net::Ipv4Addr;
use std::path::Path;
use vocable_api::vm::NetworkKind;
use vocable_vbox::{DhcpServer, Error, HostOnlyInterface, VirtualBox};

/// The range VirtualBox allows without being told otherwise, and what we take of it.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 56, 1);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// Where a guest with NAT finds the host.
const NAT_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Finds or sets up the network. What cannot be done is said in what is missing.
pub(super) async fn set_up(
    vbox: &VirtualBox,
    usual: &str,
    wanted: SetUpNetwork,
    progress: &Progress,
) -> Network {
    let name = wanted.interface.as_deref().unwrap_or(usual);
    match host_only(vbox, name, wanted.look_only.unwrap_or(false), progress).await {
        Ok(network) => network,
        Err(missing) => Network { address: Some(NAT_GATEWAY), missing, ..Network::default() },
    }
}

async fn host_only(
    vbox: &VirtualBox,
    name: &str,
    look_only: bool,
    progress: &Progress,
) -> Result<Network, Vec<String>> {
    let mut changed = false;
    let mut interface = match interface(vbox, name).await? {
        Some(interface) => interface,
        None if look_only => {
            return Err(vec![format!("there is no interface {name}: vocable vm net makes it")]);
        }
        None => {
            changed = true;
            progress.tell(10, format!("creating {name}"));
            let made = vbox.create_host_only_interface(reporter(progress)).await;
            made.map_err(|error| vec![no_interface(&error)])?
        }
    };
    if interface.address.is_none_or(|address| address.is_unspecified()) {
        if look_only {
            return Err(vec![format!("{} has no address: vocable vm net gives it one", interface.name)]);
        }
        progress.tell(50, format!("giving {} its address", interface.name));
        let given = vbox.set_host_only_address(&interface.name, HOST, MASK).await;
        given.map_err(|error| vec![no_address(&interface.name, HOST, &error)])?;
        changed = true;
        (interface.address, interface.mask) = (Some(HOST), Some(MASK));
    }
    let (address, mask) = (interface.address.unwrap_or(HOST), interface.mask.unwrap_or(MASK));
    let wanted = server(&interface.network, address, mask);
    let known = vbox.dhcp_servers().await.unwrap_or_default();
    let serves =
        known.iter().find(|it| it.network == interface.network && it.enabled && fits(it, address, mask));
    let server = match serves {
        Some(server) => server.clone(),
        None if look_only => {
            return Err(vec![format!("{} has no DHCP server: vocable vm net makes it", interface.name)]);
        }
        None => {
            progress.tell(80, "setting up its DHCP server".to_owned());
            changed = true;
            let set = vbox.set_dhcp_server(wanted).await;
            set.map_err(|error| {
                vec![format!("its DHCP server cannot be set up: {}", one_line(&error.to_string()))]
            })?
        }
    };
    Ok(Network {
        kind: NetworkKind::HostOnly,
        interface: Some(interface.name),
        address: Some(address),
        mask: Some(mask),
        leases: Some(vec![server.lower, server.upper]),
        changed,
        missing: Vec::new(),
    })
}

async fn interface(vbox: &VirtualBox, name: &str) -> Result<Option<HostOnlyInterface>, Vec<String>> {
    let all = vbox.host_only_interfaces().await;
    let all = all.map_err(|error| {
        vec![format!("the interfaces cannot be listed: {}", one_line(&error.to_string()))]
    })?;
    Ok(all.into_iter().find(|it| it.name == name))
}

/// A DHCP server of ours for a network: the upper part of the last byte is for guests.
fn server(network: &str, address: Ipv4Addr, mask: Ipv4Addr) -> DhcpServer {
    let base = u32::from(address) & u32::from(mask);
    let at = |last: u32| Ipv4Addr::from(base | (last & !u32::from(mask)));
    DhcpServer {
        network: network.to_owned(),
        enabled: true,
        address: at(100),
        mask,
        lower: at(101),
        upper: at(254),
    }
}

/// Whether what a server gives out is of that network.
fn fits(server: &DhcpServer, address: Ipv4Addr, mask: Ipv4Addr) -> bool {
    let net = |of: Ipv4Addr| u32::from(of) & u32::from(mask);
    net(server.lower) == net(address) && net(server.upper) == net(address)
}

fn no_interface(error: &Error) -> String {
    let text = one_line(&error.to_string());
    if !Path::new("/dev/vboxnetctl").exists() {
        return format!(
            "the kernel module vboxnetadp is not loaded (no /dev/vboxnetctl): modprobe vboxnetadp vboxnetflt; \
             VirtualBox says: {text}"
        );
    }
    format!("the interface cannot be created: {text}")
}

fn no_address(name: &str, address: Ipv4Addr, error: &Error) -> String {
    let text = one_line(&error.to_string());
    if error.code() == Some(vocable_vbox::Code::ACCESS_DENIED) {
        return format!(
            "{address} is not in a range that VirtualBox allows: write \"* {address}/24\" into \
             /etc/vbox/networks.conf; VirtualBox says: {text}"
        );
    }
    format!("{name} cannot be given the address {address}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_get_addresses_of_the_hosts_network() {
        let of = server("net", Ipv4Addr::new(192, 168, 57, 1), MASK);
        assert_eq!(of.lower, Ipv4Addr::new(192, 168, 57, 101));
        assert_eq!(of.upper, Ipv4Addr::new(192, 168, 57, 254));
        assert!(fits(&of, Ipv4Addr::new(192, 168, 57, 9), MASK));
        assert!(!fits(&of, HOST, MASK), "the server that a fresh VirtualBox has may be of another network");
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let code = vocable_vbox::Code::ACCESS_DENIED;
        let error =
            Error::Call { call: "IHostNetworkInterface.enableStaticIPConfig", code, text: String::new() };
        let told = no_address("vboxnet0", HOST, &error);
        assert!(told.contains("write \"* 192.168.56.1/24\" into /etc/vbox/networks.conf"), "{told}");
    }
}
