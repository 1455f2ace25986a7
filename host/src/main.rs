//! `vocable`: see [`vocable::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vocable::cli::main()
}
