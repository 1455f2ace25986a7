//! `vocable attach`: back to a command that runs.

use super::duplex::{Held, Plan, Prefix, Terminated, hold, prefix};
use super::ending::{Ending, How};
use super::reply::Members;
use super::run::summary;
use super::{CliError, Session, command, completion};
use clap_complete::ArgValueCompleter;
use vocable_api::attach::Offsets;
use vocable_xmlrpc::Value;

/// Go back to a running command
///
/// Its output comes from now on, and what is typed goes to it, if it has a terminal or was started with -i. Several can
/// be attached to one command; the first writes, the others watch until it goes. The command's exit code becomes ours.
#[derive(clap::Args, Debug)]
pub(super) struct AttachArgs {
    /// The command, or the beginning of its id
    #[arg(value_name = "ID", add = ArgValueCompleter::new(completion::commands))]
    id: String,
    /// Only watch
    #[arg(long)]
    no_stdin: bool,
    /// Print all its output first
    #[arg(long)]
    from_start: bool,
    /// The key after which `d` leaves, `k` kills and `?` helps, or none
    #[arg(long, value_name = "KEY", default_value = "ctrl-]", value_parser = prefix)]
    detach_keys: Prefix,
}

/// Attaches.
pub(super) fn attach(session: &mut Session<'_>, args: &AttachArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("cmd.poll", vec![Value::from(args.id.as_str()), command::no_output()])?;
    if super::follow::is_run(&reply) {
        let error =
            CliError::bad_argument(format!("{} is on several guests: attach to one of them", args.id));
        return Err(error.hint(format!("vocable ps; vocable logs -f {}", args.id)));
    }
    let id = reply.text("cmd_id").unwrap_or(&args.id).to_owned();
    let count = |name: &str| reply.count(name).filter(|_| !args.from_start).unwrap_or(0);
    let from = Offsets { out: count("out_bytes"), err: count("err_bytes") };
    let guest = reply.text("guest").unwrap_or_default().to_owned();
    let plan = Plan {
        id: &id,
        input: !args.no_stdin,
        prefix: args.detach_keys,
        from,
        when_terminated: Some(Terminated::Leave),
    };
    match hold(session, &plan)? {
        Held::Left => left(session, &id, &guest).map(|()| 0),
        Held::Over(report) => {
            let ending = Ending::of(&report);
            summary::one(session.terminal, ending)?;
            if ending.how() == How::Exited(0) && from != Offsets::default() {
                session.terminal.note(&format!("{id} is over: exit 0"))?;
            }
            Ok(ending.exit_code())
        }
    }
}

/// Says that a command goes on, and how to come back.
pub(super) fn left(session: &mut Session<'_>, id: &str, guest: &str) -> Result<(), CliError> {
    session.terminal.say("")?;
    session.terminal.note(&format!("left {id} running on {guest}"))?;
    session.terminal.hint(&format!("vocable attach {id}   vocable logs -f {id}   vocable wait {id}"))?;
    Ok(())
}
