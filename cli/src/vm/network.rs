//! `vocable vm net`: the network that only host and guests are on, in one command.

use crate::output::{GOOD, WARN};
use crate::reply::Members;
use crate::{CliError, Session};
use std::time::Duration;
use vocable_xmlrpc::{Value, to_json};

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
const PATIENCE: Duration = Duration::from_secs(120);

/// Sets the network up.
pub(super) fn net(session: &mut Session<'_>, args: &NetArgs) -> Result<u8, CliError> {
    let interface = args.interface.as_deref().map(|name| ("interface", Value::from(name)));
    let options: Value = [("look_only", Value::from(args.dry_run))].into_iter().chain(interface).collect();
    let found = session.agent.call_within("vm.net", vec![options], PATIENCE)?;
    let is_host_only = found.text("kind") == Some("host-only");
    if session.terminal.is_json() {
        session.terminal.document(&to_json(&found))?;
        return Ok(u8::from(!is_host_only));
    }
    let text = |name: &str| found.text(name).unwrap_or("-").to_owned();
    if is_host_only {
        let leases = found.texts("leases").join(" to ");
        let done = if found.truth("changed") { "set up now" } else { "was there already" };
        let kind = session.terminal.paint(GOOD, "host-only");
        session.terminal.line(&format!(
            "{kind}  {}  {} mask {}  guests get {leases}",
            text("interface"),
            text("address"),
            text("mask")
        ))?;
        session.terminal.say(&format!("{done}; guests find the host at {}", text("address")))?;
        session
            .terminal
            .hint(&format!("broker.listen = [\"127.0.0.1:61613\", \"{}:61613\"]", text("address")))?;
        return Ok(0);
    }
    let kind = session.terminal.paint(WARN, "nat");
    session
        .terminal
        .line(&format!("{kind}  guests find the host at {}; no privileges needed", text("address")))?;
    for missing in found.texts("missing") {
        session.terminal.say(&format!("  missing for host-only: {missing}"))?;
    }
    Ok(1)
}
