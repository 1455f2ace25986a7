//! `vocable ps`: commands, those under way or all.

use super::output::{BAD, GOOD, WARN};
use super::reply::{Members, wrapped};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion, ending::Ending, filter, human};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use vocable_api::clock::age;
use vocable_config::Span;
use vocable_xmlrpc::Value;

/// List commands: those under way, or all
#[derive(clap::Args, Debug)]
pub(super) struct PsArgs {
    /// Only commands of these guests: names and globs, separated by commas
    #[arg(add = ArgValueCompleter::new(completion::guests))]
    target: Option<String>,
    /// Those that are over too
    #[arg(short, long)]
    all: bool,
    /// Only commands in this state
    #[arg(
        long,
        value_name = "STATE",
        value_parser = ["queued", "running", "done", "timeout", "cancelled", "lost", "failed"],
    )]
    state: Option<String>,
    /// Only commands asked for in the time up to now: 10m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// At most so many, the newest [default: 1000]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
    limit: Option<i32>,
}

/// Lists commands.
pub(super) fn ps(session: &mut Session<'_>, args: &PsArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("cmd.list", vec![options(session, args)])?;
    let guests = reply.list().iter().filter_map(|command| command.text("guest"));
    // A guest without commands is no mistake: only the grammar of the target is checked.
    let wanted = match filter::selected_guests(session.agent, args.target.as_deref(), guests) {
        Err(error) if error.code() == "no-such-guest" => Default::default(),
        other => other?,
    };
    let is_wanted = |command: &&Value| command.text("guest").is_some_and(|guest| wanted.contains(guest));
    let mut listed: Vec<_> = reply.list().iter().filter(is_wanted).cloned().collect();
    if !session.terminal.is_quiet() {
        add_usage(session, &mut listed);
    }
    if session.terminal.is_json() {
        let listed = Value::from_iter(listed);
        session.terminal.document(&wrapped("commands", &listed))?;
    } else if session.terminal.is_quiet() {
        listed
            .iter()
            .filter_map(|command| command.text("cmd_id"))
            .try_for_each(|id| session.terminal.line(id))?;
    } else {
        print(session, args, &listed)?;
    }
    Ok(0)
}

/// What those that run use now. That nobody can say does not keep them from being listed.
fn add_usage(session: &Session<'_>, listed: &mut [Value]) {
    if listed.iter().all(|command| command.text("state") != Some("running")) {
        return;
    }
    let Ok(reply) = session.agent.call("cmd.usage", Vec::new()) else { return };
    let by_id: BTreeMap<_, _> = reply
        .items("commands")
        .iter()
        .filter_map(|command| Some((command.text("cmd_id")?, command.member("usage")?)))
        .collect();
    for command in listed {
        let usage = command.text("cmd_id").and_then(|id| by_id.get(id)).copied().cloned();
        if let (Some(usage), Value::Struct(members)) = (usage, command) {
            members.insert("usage".to_owned(), usage);
        }
    }
}

fn options(session: &Session<'_>, args: &PsArgs) -> Value {
    // To the millisecond: more digits only make the call harder to read.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact in a double")]
    let unix = |time: Span| {
        let moment = (session.now)().utc.checked_sub(time.duration().try_into().unwrap_or_default());
        moment.map_or(0.0, |moment| (moment.unix_timestamp_nanos() / 1_000_000) as f64 / 1000.0)
    };
    let over = args.state.as_deref().is_some_and(|state| !matches!(state, "queued" | "running"));
    let one = args.target.as_deref().filter(|target| filter::is_one(target));
    let all = [
        ("all", Some(Value::from(args.all || over))),
        ("guest", one.map(Value::from)),
        ("state", args.state.as_deref().map(Value::from)),
        ("since_unix", args.since.map(unix).map(Value::from)),
        ("limit", args.limit.map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn print(session: &mut Session<'_>, args: &PsArgs, listed: &[Value]) -> Result<(), CliError> {
    let mut columns = ["id", "guest", "state", "age"].map(Column::text).to_vec();
    columns.extend(["cpu", "rss"].map(Column::number));
    columns.extend([Column::text("exit"), Column::prose("command")]);
    let mut table = Table::new(columns);
    for command in listed {
        table.row(row(session, command));
    }
    table.print(session.terminal)?;
    // A note for each would hide the list.
    if let Some(paused) = listed.iter().find(|command| command.text("paused").is_some()) {
        let (id, why) =
            (paused.text("cmd_id").unwrap_or_default(), paused.text("paused").unwrap_or_default());
        session.terminal.note(&format!("{id} is paused: {why}"))?;
    }
    if listed.is_empty() {
        let all = args.all || args.state.is_some();
        session.terminal.note(if all {
            "no commands"
        } else {
            "no commands under way; vocable ps -a lists all"
        })?;
    }
    Ok(())
}

fn row(session: &Session<'_>, command: &Value) -> Vec<Cell> {
    let state = match command.text("paused") {
        Some(_) => "paused",
        None => command.text("state").unwrap_or_default(),
    };
    let style = match state {
        "running" | "done" => GOOD,
        "queued" | "paused" => WARN,
        _ => BAD,
    };
    let now = (session.now)().utc;
    let since = command.moment("created").map(|since| age((now - since).try_into().unwrap_or_default()));
    let (used, uses) = (command.member("resources"), command.member("usage"));
    let cpu = used.and_then(|used| Some(used.number("ru_utime")? + used.number("ru_stime")?));
    let cpu = cpu.or_else(|| uses?.number("cpu_s"));
    let most = used.and_then(|used| used.count("ru_maxrss")).map(|kib| kib.saturating_mul(1024));
    let rss = most.or_else(|| uses?.count("rss_bytes")).map(human::size);
    vec![
        command.text("cmd_id").unwrap_or_default().into(),
        command.text("guest").unwrap_or_default().into(),
        Cell::styled(state, style),
        since.unwrap_or_default().into(),
        cpu.map(|cpu| human::took(human::seconds(cpu)).replace(' ', "")).unwrap_or_default().into(),
        rss.unwrap_or_default().into(),
        Ending::of(command).exit_column().into(),
        command_line(command).into(),
    ]
}

/// The program with its arguments, as a shell would have to be told.
pub(super) fn command_line(command: &Value) -> String {
    let words = command.text("cmd").into_iter().chain(command.texts("args"));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    let shown = word.escape_debug().to_string();
    match word {
        "" => "''".to_owned(),
        _ if word.chars().all(is_plain) => word.to_owned(),
        _ if word.contains(|c: char| c.is_control()) => format!("$'{shown}'"),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        let told = ["ls", "-l", "a b", "", "it's", "two\nlines", "$HOME"].map(quoted);
        assert_eq!(told, ["ls", "-l", "'a b'", "''", r"'it'\''s'", r"$'two\nlines'", "'$HOME'"]);
    }
}
