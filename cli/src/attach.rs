//! `vocable attach`: back to a command that runs.

use super::ending::{Ending, How};
use super::terminal_session::{AttachResult, Plan, Prefix, Terminated, attach_to, prefix, print_left};
use super::{CliError, Session, command, completion, summary};
use clap_complete::ArgValueCompleter;
use vocable_api::attach::Offsets;

/// Attach to a running command
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
    /// The key after which `d` detaches, `k` kills and `?` helps, or none
    #[arg(long, value_name = "KEY", default_value = "ctrl-]", value_parser = prefix)]
    detach_keys: Prefix,
}

/// Attaches.
pub(super) fn attach(session: &mut Session<'_>, args: &AttachArgs) -> Result<u8, CliError> {
    let found = command::poll(session, &args.id)?;
    if found.is_run() {
        let error =
            CliError::bad_argument(format!("{} is on several guests: attach to one of them", args.id));
        return Err(error.hint(format!("vocable ps; vocable logs -f {}", args.id)));
    }
    let skipped = |bytes: Option<u64>| bytes.filter(|_| !args.from_start).unwrap_or(0);
    let from = Offsets { out: skipped(found.out_bytes), err: skipped(found.err_bytes) };
    let id = &found.cmd_id;
    let plan = Plan {
        id,
        input: !args.no_stdin,
        prefix: args.detach_keys,
        from,
        when_terminated: Some(Terminated::Leave),
    };
    match attach_to(session, &plan)? {
        AttachResult::Left => print_left(session, id, &found.guest).map(|()| 0),
        AttachResult::Over(command) => {
            let ending = Ending::of(&command);
            summary::one(session.terminal, ending)?;
            if ending.how() == How::Exited(0) && from != Offsets::default() {
                session.terminal.note(&format!("{id} is over: exit 0"))?;
            }
            Ok(ending.exit_code())
        }
    }
}
