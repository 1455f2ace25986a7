//! `vocable vm net`: the network that only host and guests are on, in one command.

use crate::output::{GOOD, WARN};
use crate::{CliError, Session};
use std::net::Ipv4Addr;
use std::time::Duration;
use vocable_api::vm::{NetworkKind, SetUpNetwork};

/// Find or create the network that only host and guests are on, with its DHCP server
///
/// If something is missing for that, it is named, and NAT is left: guests then find the host at their gateway, and
/// need no privileges here. Exits with 0 if there is a host-only network, with 1 if only NAT is left.
#[derive(clap::Args, Debug)]
pub(crate) struct NetArgs {
    /// The interface, instead of hypervisor.virtualbox.host_only
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Only look: create and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Creating an interface loads a kernel module and waits for it.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Sets the network up.
pub(super) fn net(session: &mut Session<'_>, args: &NetArgs) -> Result<u8, CliError> {
    let request = SetUpNetwork { interface: args.interface.clone(), look_only: Some(args.dry_run) };
    let found = session.agent.ask_within(&request, TIMEOUT)?;
    let is_host_only = found.kind == NetworkKind::HostOnly;
    if session.terminal.is_json() {
        session.terminal.reply(&found)?;
        return Ok(u8::from(!is_host_only));
    }
    let text = |address: Option<Ipv4Addr>| address.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let (address, mask) = (text(found.address), text(found.mask));
    if is_host_only {
        let leases: Vec<_> = found.leases.iter().flatten().map(Ipv4Addr::to_string).collect();
        let done = if found.changed { "set up now" } else { "was there already" };
        let kind = session.terminal.paint(GOOD, "host-only");
        let interface = found.interface.as_deref().unwrap_or("-");
        session.terminal.line(&format!(
            "{kind}  {interface}  {address} mask {mask}  guests get {}",
            leases.join(" to ")
        ))?;
        session.terminal.say(&format!("{done}; guests find the host at {address}"))?;
        session.terminal.hint(&format!("broker.listen = [\"127.0.0.1:61613\", \"{address}:61613\"]"))?;
        return Ok(0);
    }
    let kind = session.terminal.paint(WARN, "nat");
    session.terminal.line(&format!("{kind}  guests find the host at {address}; no privileges needed"))?;
    for missing in &found.missing {
        session.terminal.say(&format!("  missing for host-only: {missing}"))?;
    }
    Ok(1)
}
