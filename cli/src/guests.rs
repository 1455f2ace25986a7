//! `vocable guests`: who is there.

use super::output::{BAD, GOOD, WARN};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion, filter};
use clap::builder::PossibleValuesParser;
use clap_complete::ArgValueCompleter;
use vocable_api::clock::age;
use vocable_api::guest::{Guest, List, State};

/// List guests with their states
#[derive(clap::Args, Debug)]
pub(super) struct GuestsArgs {
    /// Names and globs, separated by commas [default: all guests]
    #[arg(add = ArgValueCompleter::new(completion::guests))]
    target: Option<String>,
    /// Only guests in this state
    #[arg(long, value_parser = PossibleValuesParser::new(STATES.map(State::as_str)))]
    state: Option<String>,
}

/// From the best to the worst.
const STATES: [State; 6] = [State::Alive, State::Joined, State::Late, State::Lost, State::Left, State::Never];

pub(super) fn guests(session: &mut Session<'_>, args: &GuestsArgs) -> Result<u8, CliError> {
    let mut listed = session.agent.ask(&List {})?;
    let names = listed.iter().map(|guest| guest.guest.as_str());
    let wanted = filter::selected_guests(session.agent, args.target.as_deref(), names)?;
    listed.retain(|guest| {
        let is_in_state = args.state.as_deref().is_none_or(|state| guest.state.as_str() == state);
        wanted.contains(&guest.guest) && is_in_state
    });
    if session.terminal.is_json() {
        session.terminal.list("guests", &listed)?;
    } else if session.terminal.is_quiet() {
        listed.iter().try_for_each(|guest| session.terminal.line(&guest.guest))?;
    } else {
        print(session, &listed)?;
    }
    Ok(0)
}

fn print(session: &mut Session<'_>, listed: &[Guest]) -> Result<(), CliError> {
    let mut columns = ["name", "state", "since", "address"].map(Column::text).to_vec();
    // Where no hypervisor says anything, a column of dashes would say nothing either.
    let has_machines = listed.iter().any(|guest| guest.vm_state.is_some());
    columns.extend(has_machines.then(|| Column::text("vm")));
    columns.extend([Column::text("agent"), Column::number("cmds"), Column::prose("note")]);
    let mut table = Table::new(columns);
    for guest in listed {
        let mut row = row(session, guest);
        if has_machines {
            row.insert(VM_COLUMN, Cell::from(machine(guest)));
        }
        table.row(row);
    }
    table.print(session.terminal)?;
    if listed.is_empty() {
        session.terminal.note("no guests")?;
        return Ok(());
    }
    session.terminal.say(&summary(listed))?;
    let unwell: Vec<_> =
        listed.iter().filter(|guest| !is_well(guest)).map(|guest| guest.guest.as_str()).collect();
    match unwell.as_slice() {
        [] => Ok(()),
        few if few.len() <= 4 => Ok(session.terminal.hint(&format!("vocable why {}", few.join(" ")))?),
        _ => Ok(session.terminal.hint("vocable why")?),
    }
}

/// Where the machine stands among the columns.
const VM_COLUMN: usize = 4;

/// What its machine does; with its name where that is another than the guest's.
fn machine(guest: &Guest) -> String {
    match (&guest.vm, &guest.vm_state) {
        (Some(vm), Some(state)) if *vm != guest.guest => format!("{state} ({vm})"),
        (_, state) => state.clone().unwrap_or_else(|| "-".to_owned()),
    }
}

fn row(session: &Session<'_>, guest: &Guest) -> Vec<Cell> {
    let now = (session.now)().utc;
    let since = guest.since_unix.moment().filter(|_| guest.state != State::Never);
    let since = since.map(|since| age((now - since).try_into().unwrap_or_default()));
    let style = match guest.state {
        State::Alive | State::Joined => GOOD,
        State::Late => WARN,
        State::Left | State::Lost | State::Never => BAD,
    };
    let or_dash = |text: Option<&str>| Cell::from(text.unwrap_or("-"));
    vec![
        guest.guest.as_str().into(),
        Cell::styled(guest.state.as_str(), style),
        or_dash(since.as_deref()),
        or_dash(guest.ip.as_deref()),
        or_dash(guest.agent_version.as_deref()),
        guest.commands.to_string().into(),
        note(guest).into(),
    ]
}

/// Why it is in the state it is in, and who else says to be it.
fn note(guest: &Guest) -> String {
    let refused = guest.refused.as_ref().map(|refused| {
        let times = if refused.count == 1 { "once".to_owned() } else { format!("{} times", refused.count) };
        format!("login refused {times}: {}", refused.reason)
    });
    guest.reason.clone().into_iter().chain(refused).collect::<Vec<_>>().join("; ")
}

/// Whether it can be asked: what the agent calls joined or alive, and nobody else claims its name.
pub(super) fn is_well(guest: &Guest) -> bool {
    matches!(guest.state, State::Alive | State::Joined) && guest.refused.is_none()
}

/// `4 guests: 1 alive, 1 late, 1 lost, 1 never joined`
fn summary(listed: &[Guest]) -> String {
    let told = |state: State| if state == State::Never { "never joined" } else { state.as_str() };
    if let [guest] = listed {
        return format!("{}: {}", guest.guest, told(guest.state));
    }
    let count = |state| listed.iter().filter(|guest| guest.state == state).count();
    let counts = STATES.map(|state| (count(state), told(state)));
    let counts: Vec<_> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, told)| format!("{n} {told}")).collect();
    format!("{} guests: {}", listed.len(), counts.join(", "))
}
