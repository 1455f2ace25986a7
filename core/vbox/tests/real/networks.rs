//! Host-only interfaces and DHCP. Without VirtualBox's kernel module none can be made; a bridge that is called like
//! one is taken for one, and can be given its address.

use crate::bed::with_virtualbox;
use std::net::Ipv4Addr;
use std::process::Command;
use vocable_vbox::{Code, DhcpServer, Reporter};

const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

#[test]
fn a_host_only_interface_is_found_and_given_an_address() {
    with_virtualbox(
        "networks::a_host_only_interface_is_found_and_given_an_address",
        |virtualbox| async move {
            assert_eq!(virtualbox.host_only_interfaces().await.unwrap(), []);
            ip("link add vboxnet0 type bridge");
            let found = virtualbox.host_only_interfaces().await.unwrap().remove(0);
            assert_eq!(
                (found.name.as_str(), found.network.as_str()),
                ("vboxnet0", "HostInterfaceNetworking-vboxnet0")
            );
            assert!(!found.up, "{found:?}");
            let address = Ipv4Addr::new(192, 168, 56, 1);
            virtualbox.set_host_only_address("vboxnet0", address, MASK).await.unwrap();
            let found = virtualbox.host_only_interfaces().await.unwrap().remove(0);
            assert_eq!((found.address, found.mask, found.up), (Some(address), Some(MASK), true));
            let shown = Command::new("ip").args(["addr", "show", "vboxnet0"]).output().unwrap();
            assert!(String::from_utf8_lossy(&shown.stdout).contains("192.168.56.1/24"));
        },
    );
}

#[test]
fn an_address_out_of_range_is_denied_until_the_configuration_allows_it() {
    with_virtualbox(
        "networks::an_address_out_of_range_is_denied_until_the_configuration_allows_it",
        |virtualbox| async move {
            ip("link add vboxnet0 type bridge");
            let address = Ipv4Addr::new(10, 9, 9, 1);
            let error = virtualbox.set_host_only_address("vboxnet0", address, MASK).await.unwrap_err();
            assert_eq!(error.code(), Some(Code::ACCESS_DENIED), "{error}");
            assert!(error.to_string().contains("access denied"), "{error}");
            std::fs::write("/etc/vbox/networks.conf", "* 10.9.9.0/24\n").unwrap();
            virtualbox.set_host_only_address("vboxnet0", address, MASK).await.unwrap();
            let found = virtualbox.host_only_interfaces().await.unwrap().remove(0);
            assert_eq!(found.address, Some(address));
        },
    );
}

#[test]
fn without_the_kernel_module_no_interface_can_be_made_and_virtualbox_says_why() {
    with_virtualbox(
        "networks::without_the_kernel_module_no_interface_can_be_made_and_virtualbox_says_why",
        |virtualbox| async move {
            let error = virtualbox.create_host_only_interface(Reporter::none()).await.unwrap_err();
            assert!(error.to_string().contains("/dev/vboxnetctl"), "{error}");
            assert_eq!(error.code(), Some(Code::FAIL));
            let error =
                virtualbox.remove_host_only_interface("vboxnet7", Reporter::none()).await.unwrap_err();
            assert!(error.code().is_some(), "{error}");
            let error =
                virtualbox.set_host_only_address("vboxnet7", Ipv4Addr::LOCALHOST, MASK).await.unwrap_err();
            assert!(error.code().is_some(), "{error}");
        },
    );
}

#[test]
fn a_dhcp_server_is_found_or_made_and_set_up() {
    with_virtualbox("networks::a_dhcp_server_is_found_or_made_and_set_up", |virtualbox| async move {
        // A new profile has one for the first interface already.
        for network in ["HostInterfaceNetworking-vboxnet0", "HostInterfaceNetworking-vboxnet5"] {
            let wanted = DhcpServer {
                network: network.into(),
                enabled: true,
                address: Ipv4Addr::new(192, 168, 57, 2),
                mask: MASK,
                lower: Ipv4Addr::new(192, 168, 57, 50),
                upper: Ipv4Addr::new(192, 168, 57, 99),
            };
            assert_eq!(virtualbox.set_dhcp_server(wanted.clone()).await.unwrap(), wanted);
            let off = DhcpServer { enabled: false, ..wanted };
            assert_eq!(virtualbox.set_dhcp_server(off.clone()).await.unwrap(), off);
            let listed = virtualbox.dhcp_servers().await.unwrap();
            assert_eq!(listed.iter().filter(|server| server.network == network).collect::<Vec<_>>(), [&off]);
        }
    });
}
