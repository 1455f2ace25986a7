//! Networks of the host that VirtualBox makes.

use super::VirtualBox;
use crate::error::Error;
use crate::model::{DhcpServer, HostOnlyInterface, Reporter};
use crate::work::network;
use std::net::Ipv4Addr;

impl VirtualBox {
    /// The host-only interfaces of this host.
    pub async fn host_only_interfaces(&self) -> Result<Vec<HostOnlyInterface>, Error> {
        self.call("host-only interfaces", network::interfaces).await
    }

    /// Makes a new host-only interface. Needs VirtualBox's kernel module `vboxnetadp`.
    pub async fn create_host_only_interface(&self, reporter: Reporter) -> Result<HostOnlyInterface, Error> {
        self.operation("create host-only interface", reporter, network::create_interface).await
    }

    /// Removes a host-only interface.
    pub async fn remove_host_only_interface(&self, name: &str, reporter: Reporter) -> Result<(), Error> {
        self.operation_on("remove host-only interface", name, reporter, network::remove_interface).await
    }

    /// Gives the host an address on a host-only interface. VirtualBox allows 192.168.56.0/21 only, unless
    /// `/etc/vbox/networks.conf` has others; for the rest it fails with [`Code::ACCESS_DENIED`](crate::Code::ACCESS_DENIED).
    pub async fn set_host_only_address(
        &self,
        name: &str,
        address: Ipv4Addr,
        mask: Ipv4Addr,
    ) -> Result<(), Error> {
        self.call_on("set host-only address", name, move |com, name| {
            network::set_address(com, name, address, mask)
        })
        .await
    }

    /// VirtualBox's DHCP servers.
    pub async fn dhcp_servers(&self) -> Result<Vec<DhcpServer>, Error> {
        self.call("DHCP servers", network::dhcp_servers).await
    }

    /// Sets up the DHCP server of a network; makes it if there is none. Gives it as it is then.
    pub async fn set_dhcp_server(&self, wanted: DhcpServer) -> Result<DhcpServer, Error> {
        self.call("set DHCP server", move |com| network::set_dhcp_server(com, &wanted)).await
    }
}
