//! Runs a command on a guest and prints its output as it comes.
//!
//! ```sh
//! cargo run --package vocable-api --features client --example run -- unix:/run/vocable/api.sock vm1 uname -a
//! VOCABLE_TOKEN=$(cat /var/lib/vocable/token) cargo run ... -- http://127.0.0.1:8700 vm1 uname -a
//! ```

use std::env;
use std::error::Error;
use std::io::{Write as _, stderr, stdout};
use std::time::Duration;
use vocable_api::client::Client;
use vocable_api::cmd::{ByteCount, Run, Until, Wait};

/// How long the agent may take for a call, beside what the call waits for.
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(agent), Some(target), Some(cmd)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: run AGENT GUEST COMMAND [ARGUMENT]...".into());
    };
    let client = Client::new(&agent, env::var("VOCABLE_TOKEN").unwrap_or_default())?;
    let run = Run { target, cmd, args: args.collect(), ..Run::default() };
    let mut wait = Wait {
        cmd_id: client.call(&run, TIMEOUT)?,
        timeout_s: 20.0,
        until: Some(Until::Output),
        ..Wait::default()
    };
    loop {
        let command = client.call(&wait, TIMEOUT + Duration::from_secs(20))?;
        stdout().write_all(&command.out.unwrap_or_default().0)?;
        stderr().write_all(&command.err.unwrap_or_default().0)?;
        wait.out_offset = command.out_offset.map(ByteCount);
        wait.err_offset = command.err_offset.map(ByteCount);
        if command.state.is_over() && command.more != Some(true) {
            writeln!(stdout(), "{} on {}: {}", command.cmd_id, command.guest, command.state)?;
            return Ok(());
        }
    }
}
