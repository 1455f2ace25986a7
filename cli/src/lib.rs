//! The command line: one file a verb, each taking its arguments, asking the agent over its XML-RPC endpoint as
//! everybody does, and telling what came of it.
//!
//! Standard output is data, standard error is talk. A verb gives its exit code or a [`CliError`]; only
//! [`Terminal`](output::Terminal) prints. The agent itself (`serve`) and the demonstration (`demo`) are elsewhere, here
//! are only their names.

mod agent;
mod error;
mod global;
mod hints;
mod output;
mod program;
mod retry;
mod usage;

mod filter;
mod format;
mod group;
mod progress;
mod table;

mod command;
mod confirm;
mod ending;
mod follow;
mod prefix;
mod summary;
mod terminal_session;

mod api;
mod ask;
mod attach;
mod completion;
mod config;
mod cp;
mod demo;
mod df;
mod events;
mod guest_image;
mod guests;
mod image;
mod kill;
mod logs;
mod ls;
mod ps;
mod rm;
mod run;
mod serve;
mod token;
mod top;
mod vm;
mod wait;
mod why;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{CliError, Kind};
pub use global::Global;
pub use output::Terminal;

pub use program::{Program, Settings};
pub use serve::ServeArgs;

use agent::Connection;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;
use demo::{DemoArgs, demo};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use time::UtcOffset;
use vocable_api::clock::Now;
use vocable_logging::{LogError, LogFormat, LogSettings};

/// Run commands, ask words and watch a fleet of virtual machines
#[derive(Debug, Parser)]
#[command(name = "vocable", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true, subcommand_value_name = "VERB")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Asking(AskingVerb),
    #[command(subcommand)]
    Config(config::ConfigVerb),
    Completion(completion::CompletionArgs),
    Demo(DemoArgs),
    Serve(ServeArgs),
}

#[derive(Debug, Subcommand)]
enum AskingVerb {
    Api(api::ApiArgs),
    Ask(ask::AskArgs),
    Cp(cp::CpArgs),
    Df(df::DfArgs),
    Attach(attach::AttachArgs),
    #[command(visible_alias = "monitor")]
    Events(events::EventsArgs),
    GuestImage(guest_image::GuestImageArgs),
    #[command(visible_alias = "list")]
    Guests(guests::GuestsArgs),
    Kill(kill::KillArgs),
    Logs(logs::LogsArgs),
    Ls(ls::LsArgs),
    Ps(ps::PsArgs),
    Rm(rm::RmArgs),
    #[command(visible_alias = "exec")]
    Run(Box<run::RunArgs>),
    #[command(subcommand)]
    Token(token::TokenVerb),
    Top(top::TopArgs),
    #[command(subcommand)]
    Vm(vm::VmVerb),
    Wait(wait::WaitArgs),
    Why(why::WhyArgs),
    Words(words::WordsArgs),
}

struct Session<'a> {
    terminal: &'a mut Terminal,
    agent: &'a Connection,
    now: fn() -> Now,
    /// Where people read the time: their offset from UTC.
    offset: UtcOffset,
    pause: fn(Duration),
    /// The options, if the streams and signals of this process are meant.
    process: Option<&'a Global>,
}

/// The command line of this process: completes, prints help, or does what a verb says.
pub fn main(program: Program) -> ExitCode {
    program.set();
    CompleteEnv::with_factory(command).complete();
    let args: Vec<OsString> = std::env::args_os().collect();
    let Cli { global, verb } = match parse(&args) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&args, &error),
    };
    let result = match verb {
        Verb::Asking(verb) => verb.perform(&global).map(ExitCode::from),
        Verb::Completion(args) => completion::completion(&mut Terminal::of_process(&global), &args),
        Verb::Config(verb) => config::config(&global, &mut Terminal::of_process(&global), &verb),
        Verb::Demo(args) => demo(&global, args),
        Verb::Serve(args) => (program.serve)(&global, args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // That telling it fails too changes nothing.
        drop(Terminal::of_process(&global).error(&error));
        ExitCode::from(error.exit_code())
    })
}

/// All verbs and options, with the verbs in groups.
fn command() -> clap::Command {
    usage::grouped(Cli::command())
}

fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches_from(args)?)
}

/// `-v`: the calls to the agent, `-vv`: what the libraries do too.
fn log_calls(global: &Global) -> Result<(), CliError> {
    let level = match global.verbose {
        0 => return Ok(()),
        1 => "vocable=debug",
        _ => "trace",
    };
    let settings = LogSettings { level: level.to_owned(), format: LogFormat::Auto };
    let cannot =
        |error: LogError| CliError::new("internal", "the calls cannot be logged").cause(error.to_string());
    vocable_logging::start(&settings).map_err(cannot)
}

impl AskingVerb {
    fn perform(self, global: &Global) -> Result<u8, CliError> {
        log_calls(global)?;
        let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
        let mut terminal = Terminal::of_process(global);
        let agent = Connection::find(global).map_err(|error| self.own_exit_code(error))?;
        self.ask(&mut Session {
            terminal: &mut terminal,
            agent: &agent,
            now: Now::read,
            pause: std::thread::sleep,
            offset,
            process: Some(global),
        })
    }

    /// Does it, and gives the exit code.
    fn ask(&self, session: &mut Session<'_>) -> Result<u8, CliError> {
        let result = match self {
            Self::Api(args) => api::api(session, args),
            Self::Ask(args) => ask::ask(session, args),
            Self::Cp(args) => cp::cp(session, args),
            Self::Df(args) => df::df(session, args),
            Self::Attach(args) => attach::attach(session, args),
            Self::Events(args) => events::events(session, args),
            Self::GuestImage(args) => guest_image::guest_image(session, args),
            Self::Guests(args) => guests::guests(session, args),
            Self::Kill(args) => kill::kill(session, args),
            Self::Logs(args) => logs::logs(session, args),
            Self::Ls(args) => ls::ls(session, args),
            Self::Ps(args) => ps::ps(session, args),
            Self::Rm(args) => rm::rm(session, args),
            Self::Run(args) => run::run(session, args),
            Self::Token(verb) => token::token(session, verb),
            Self::Top(args) => top::top(session, args),
            Self::Vm(verb) => vm::vm(session, verb),
            Self::Wait(args) => wait::wait(session, args),
            Self::Why(args) => why::why(session, args),
            Self::Words(args) => words::words(session, args),
        };
        result.map_err(|error| self.own_exit_code(error))
    }

    /// Verbs that pass on the exit code of a command have one number for all our own failures.
    fn own_exit_code(&self, error: CliError) -> CliError {
        match self {
            Self::Attach(_) | Self::Run(_) | Self::Wait(_) => error.with_run_exit_code(),
            _ => error,
        }
    }
}
