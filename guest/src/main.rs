//! `vocable-guest`: the guest agent.

fn main() -> std::process::ExitCode {
    vocable_guest::main()
}
