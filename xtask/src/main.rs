//! The two commands of the README, `cargo xtask demo` and `cargo xtask test`, and those for developers. Each installs what
//! it needs.
//!
//! In reading order: [`build`] (the programs and components), [`peers`] (other people's programs that tests talk to) and
//! [`virtualbox`] (one more of them), and the commands themselves. Prints what it runs; stops at the first failure.

mod build;
mod peers;
mod shell;
mod virtualbox;

use anyhow::{Result, bail};
use shell::{Run, print};
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo [ARGUMENTS]   build everything and run `vocable demo`
cargo xtask test [--peers]     pass the tests: format, lints, units, stories over the real programs
                               --peers  first install the programs of other people that tests talk to (apt-get, npm, pip);
                                        without them those tests say that they were skipped
cargo xtask static             build the static guest agent: target/x86_64-unknown-linux-musl/static/vocable-guest
cargo xtask fuzz [SECONDS]     run every fuzz target for a while (needs a nightly toolchain)
cargo xtask chaos [SECONDS]    kill agents and fill disks at random while commands run, with new seeds, which are printed
cargo xtask siege [SECONDS]    twenty guests at work, three of them hostile; prints how long commands took, and memory";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match act(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["demo", rest @ ..] => demo(rest),
        ["test"] => test(None),
        ["test", "--peers"] => {
            peers::install()?;
            virtualbox::install()?;
            test(virtualbox::boot()?)
        }
        ["static"] => build::static_guest().map(drop),
        ["fuzz"] => fuzz("30"),
        ["fuzz", seconds] => fuzz(seconds),
        ["chaos"] => long_story("chaos::commands_end_truly_for_as_long_as_one_likes", "600"),
        ["chaos", seconds] => long_story("chaos::commands_end_truly_for_as_long_as_one_likes", seconds),
        ["siege"] => long_story("siege::twenty_guests_work_for_as_long_as_one_likes", "300"),
        ["siege", seconds] => long_story("siege::twenty_guests_work_for_as_long_as_one_likes", seconds),
        _ => bail!("unknown command\n{USAGE}"),
    }
}

fn demo(rest: &[&str]) -> Result<()> {
    build::targets()?;
    build::programs()?;
    let plugin = build::component("word-df")?;
    demonstrate(&plugin, &rest.iter().map(OsStr::new).collect::<Vec<_>>())
}

fn test(boot: Option<virtualbox::Boot>) -> Result<()> {
    build::targets()?;
    Run::cargo(["fmt", "--all", "--check"]).go()?;
    build::programs_and_tests()?;
    let plugin = build::component("word-df")?;
    build::component("word-carry")?;
    build::component("word-echo")?;
    build::component("word-probe")?;
    build::component("word-run-cmd-loud")?;
    let python = peers::python_words();
    if python.exists() {
        build::python_word(&python)?;
    }
    Run::cargo(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]).go()?;
    // Before the tests: the stories of VirtualBox have it in a machine.
    let guest = peers::have("musl-gcc").then(build::static_guest).transpose()?;
    boot.map_or(Ok(()), virtualbox::Boot::wait)?;
    // What replies the stories see is counted anew.
    std::fs::remove_dir_all(shell::root().join("target/replies")).or_else(absent_is_fine)?;
    Run::cargo(["test", "--workspace", "--locked"]).go()?;
    story("replies::every_declared_member_was_seen").go()?;
    let Some(guest) = guest else {
        print("skipped: the static guest agent: no musl-gcc (package musl-tools)");
        return Ok(());
    };
    demonstrate(&plugin, &["--guest-agent".as_ref(), guest.as_os_str()])
}

/// The demonstration, with what is to be said to it beside its plug-in.
fn demonstrate(plugin: &Path, rest: &[&OsStr]) -> Result<()> {
    let demo = ["demo", "--grant", "DF=process", "--with", "path=/", "--plugin"];
    Run::new(build::program("vocable")).args(demo).arg(plugin).args(rest).go()
}

/// Runs one of the stories that go on for as long as one likes.
fn long_story(name: &str, seconds: &str) -> Result<()> {
    build::targets()?;
    build::programs_and_tests()?;
    story(name).arg("--nocapture").env("VOCABLE_SECONDS", seconds).go()
}

/// A story that is not run with the others.
fn story(name: &str) -> Run {
    let run = ["test", "--workspace", "--locked", "--test", "stories", "--", "--ignored", "--exact"];
    Run::cargo(run).arg(name)
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn fuzz(seconds: &str) -> Result<()> {
    let limit = format!("-max_total_time={seconds}");
    for target in build::fuzz_targets()? {
        Run::cargo(["+nightly", "fuzz", "run", &target, "--", &limit]).go()?;
    }
    Ok(())
}
