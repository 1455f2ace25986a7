//! The options every verb has.

use clap::ColorChoice;
use std::path::PathBuf;

/// Options of every verb.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every verb")]
pub struct Global {
    /// Print replies of the agent as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print errors only; lists print names only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log calls to the agent on standard error; -vv for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    pub color: ColorChoice,
    /// Address of the host agent [default: as in its state folder, else its socket, else http://127.0.0.1:8700]
    #[arg(long, global = true, value_name = "URL")]
    pub agent: Option<String>,
    /// File with the token of the agent [default: `token` in the state folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Configuration file to use instead of the default ones
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Do not truncate tables to the width of the terminal
    #[arg(long, global = true)]
    pub no_trunc: bool,
}
