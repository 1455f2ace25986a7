//! `vocable`: the command line, with the host agent that `vocable serve` starts.

use std::path::PathBuf;
use std::process::ExitCode;
use vocable_cli::{CliError, Global, Program, ServeArgs, Settings};
use vocable_config::{Loaded, NoHome};
use vocable_host::config;
use vocable_host::serve::{Announce, ServeOptions};

const PROGRAM: Program = Program { default_config: config::APPLICATION.default, load_config, serve };

fn main() -> ExitCode {
    vocable_runtime::compile_if_asked().unwrap_or_else(|| vocable_cli::main(PROGRAM))
}

fn load_config(file: Option<PathBuf>) -> Result<Loaded<Settings>, NoHome> {
    let Loaded { value, problems, entries } = config::load(file, Vec::new())?;
    let value = value.map(|config| Settings {
        state: config.state,
        socket: config.api.socket,
        agent: config.client.agent,
        certificate: config.client.certificate,
    });
    Ok(Loaded { value, problems, entries })
}

fn serve(global: &Global, args: ServeArgs) -> Result<(), CliError> {
    let announce = match (global.json, global.quiet) {
        (true, _) => Announce::Json,
        (false, true) => Announce::Quiet,
        (false, false) => Announce::Text,
    };
    let settings = args.settings();
    let options = ServeOptions { config: global.config.clone(), settings, words: args.words, announce };
    vocable_host::serve::serve(options).map_err(|error| {
        let told = CliError::new(error.code, error.message);
        let told = error.cause.into_iter().fold(told, CliError::cause);
        error.hint.into_iter().fold(told, CliError::hint)
    })
}
