//! `vocable guests`: who is there.

use super::output::{BAD, GOOD, WARN};
use super::reply::{Members, wrapped};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion, filter};
use clap_complete::ArgValueCompleter;
use vocable_api::clock::age;
use vocable_xmlrpc::Value;

/// List the guests: who is there, since when, and what is wrong
#[derive(clap::Args, Debug)]
pub(super) struct GuestsArgs {
    /// Names and globs, separated by commas; all without it
    #[arg(add = ArgValueCompleter::new(completion::guests))]
    target: Option<String>,
    /// Only guests in this state
    #[arg(long, value_name = "STATE", value_parser = ["never", "joined", "alive", "late", "lost", "left"])]
    state: Option<String>,
}

/// Lists guests.
pub(super) fn guests(session: &mut Session<'_>, args: &GuestsArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("guest.list", Vec::new())?;
    let names = reply.list().iter().filter_map(|guest| guest.text("guest"));
    let wanted = filter::selected_guests(session.agent, args.target.as_deref(), names)?;
    let is_wanted = |guest: &&Value| {
        guest.text("guest").is_some_and(|name| wanted.contains(name))
            && args.state.as_deref().is_none_or(|state| guest.text("state") == Some(state))
    };
    let listed: Vec<_> = reply.list().iter().filter(is_wanted).collect();
    if session.terminal.is_json() {
        let listed = Value::from_iter(listed.into_iter().cloned());
        session.terminal.document(&wrapped("guests", &listed))?;
    } else if session.terminal.is_quiet() {
        listed
            .iter()
            .filter_map(|guest| guest.text("guest"))
            .try_for_each(|name| session.terminal.line(name))?;
    } else {
        print(session, &listed)?;
    }
    Ok(0)
}

fn print(session: &mut Session<'_>, listed: &[&Value]) -> Result<(), CliError> {
    let mut columns = ["name", "state", "since", "address"].map(Column::text).to_vec();
    // Where no hypervisor says anything, a column of dashes would say nothing either.
    let has_machines = listed.iter().any(|guest| guest.text("vm_state").is_some());
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
        listed.iter().filter(|guest| !is_well(guest)).filter_map(|guest| guest.text("guest")).collect();
    match unwell.as_slice() {
        [] => Ok(()),
        few if few.len() <= 4 => Ok(session.terminal.hint(&format!("vocable why {}", few.join(" ")))?),
        _ => Ok(session.terminal.hint("vocable why")?),
    }
}

/// Where the machine stands among the columns.
const VM_COLUMN: usize = 4;

/// What its machine does; with its name where that is another than the guest's.
fn machine(guest: &Value) -> String {
    match (guest.text("vm"), guest.text("vm_state")) {
        (Some(vm), Some(state)) if Some(vm) != guest.text("guest") => format!("{state} ({vm})"),
        (_, state) => state.unwrap_or("-").to_owned(),
    }
}

fn row(session: &Session<'_>, guest: &Value) -> Vec<Cell> {
    let state = guest.text("state").unwrap_or("unknown");
    let now = (session.now)().utc;
    let since = guest.moment("since").map(|since| age((now - since).try_into().unwrap_or_default()));
    let style = match state {
        "alive" | "joined" => GOOD,
        "late" => WARN,
        _ => BAD,
    };
    let or_dash = |text: Option<&str>| Cell::from(text.unwrap_or("-"));
    vec![
        or_dash(guest.text("guest")),
        Cell::styled(state, style),
        or_dash(since.as_deref().filter(|_| state != "never")),
        or_dash(guest.text("ip")),
        or_dash(guest.text("agent_version")),
        guest.count("commands").map_or_else(|| "-".to_owned(), |count| count.to_string()).into(),
        note(guest).into(),
    ]
}

/// Why it is in the state it is in, and who else says to be it.
fn note(guest: &Value) -> String {
    let reason = guest.text("reason").map(str::to_owned);
    let refused = guest.member("refused").map(|refused| {
        let times = refused.count("count").unwrap_or(1);
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        format!("login refused {times}: {}", refused.text("reason").unwrap_or("unknown"))
    });
    [reason, refused].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Whether it can be asked: what the agent calls joined or alive, and nobody else claims its name.
pub(super) fn is_well(guest: &Value) -> bool {
    matches!(guest.text("state"), Some("alive" | "joined")) && guest.member("refused").is_none()
}

/// `4 guests: 1 alive, 1 late, 1 lost, 1 never joined`
fn summary(listed: &[&Value]) -> String {
    let states = [
        ("alive", "alive"),
        ("joined", "joined"),
        ("late", "late"),
        ("lost", "lost"),
        ("left", "left"),
        ("never", "never joined"),
    ];
    let count = |state| listed.iter().filter(|guest| guest.text("state") == Some(state)).count();
    let told = states.iter().map(|(state, told)| (count(*state), told)).filter(|(count, _)| *count > 0);
    if let [guest] = listed {
        let state = guest.text("state").unwrap_or_default();
        let told = states.iter().find(|(known, _)| *known == state).map_or(state, |(_, told)| told);
        return format!("{}: {told}", guest.text("guest").unwrap_or_default());
    }
    let told: Vec<_> = told.map(|(count, told)| format!("{count} {told}")).collect();
    format!("{} guests: {}", listed.len(), told.join(", "))
}
