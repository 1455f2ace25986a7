//! `vocable token`: credentials. Whoever has one is let in under its name.

use super::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_api::agent::GetVersion;
use vocable_api::guest::MakeToken;

/// Manage credentials of guests
#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenVerb {
    New(NewArgs),
}

/// Create a credential for a guest and print it, once
///
/// It replaces the one the guest may have had. The agent keeps only its digest.
#[derive(clap::Args, Debug)]
pub(super) struct NewArgs {
    /// Name of the guest; it need not be known yet
    #[arg(add = ArgValueCompleter::new(completion::guests))]
    guest: String,
}

pub(super) fn token(session: &mut Session<'_>, verb: &TokenVerb) -> Result<u8, CliError> {
    let TokenVerb::New(NewArgs { guest }) = verb;
    let token = session.agent.ask(&MakeToken { guest: guest.clone() })?;
    if session.terminal.is_json() {
        session.terminal.document(&json!({"guest": guest, "token": token}))?;
        return Ok(0);
    }
    session.terminal.line(&token)?;
    if !session.terminal.is_quiet() {
        // Where the guest finds us is worth a call, and its failure is not worth a word.
        let about = session.agent.ask(&GetVersion {}).unwrap_or_default();
        let broker = about.broker.join(" or ");
        let broker = if broker.is_empty() { String::new() } else { format!("; it connects to {broker}") };
        session.terminal.hint(&format!("put it into /etc/vocable/token on {guest}{broker}"))?;
    }
    Ok(0)
}
