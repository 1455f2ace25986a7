//! The functions a component can import: each checks that the word may, counts what is counted, and
//! passes the call on to the agent's [`Capabilities`](crate::Capabilities). WASI is linked as far as it is harmless.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::random::WasiRandom;

use super::call::Call;
use crate::capabilities::{Level, not_of_this_agent};
use crate::contract::bindings::Full;
use crate::contract::bindings::vocable::word::{
    about, commands, files, jobs, log, process, roster, speech, store, types,
};
use crate::contract::{Output, Program, Refusal, Role};
use crate::folders::{self, Folders};

/// Links the contract, all of it on both ends, and inert WASI.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    Full::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    link_wasi(&mut linker)?;
    Ok(linker)
}

/// Sockets are not linked, so their code is not even in the agent.
fn link_wasi(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};

    error::add_to_linker::<_, Table>(linker, |call| call.ctx().table)?;
    poll::add_to_linker::<_, Table>(linker, |call| call.ctx().table)?;
    streams::add_to_linker::<_, Table>(linker, |call| call.ctx().table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Call::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Call::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |call| call.ctx().ctx.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |call| call.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |call| call.ctx().ctx.random())?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Call::filesystem)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Call::filesystem)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Call::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Call::cli)
}

/// Tells wasmtime that streams are kept in the call's table.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

impl types::Host for Call {}

impl log::Host for Call {
    async fn debug(&mut self, text: String) {
        self.log(Level::Debug, &text);
    }

    async fn info(&mut self, text: String) {
        self.log(Level::Info, &text);
    }

    async fn warn(&mut self, text: String) {
        self.log(Level::Warn, &text);
    }

    async fn error(&mut self, text: String) {
        self.log(Level::Error, &text);
    }
}

impl Call {
    /// Logs a line, if there is room for it. The first that does not fit is said to be missing, and all
    /// further ones are.
    fn log(&mut self, level: Level, text: &str) {
        let Some(left) = self.quota.log else { return };
        let caller = self.scope.caller();
        self.quota.log = left.checked_sub(text.len());
        match self.quota.log {
            Some(_) => self.scope.agent.log(caller, level, text),
            None => self.scope.agent.log(
                caller,
                Level::Warn,
                "logs more than it may in one call; the rest is dropped",
            ),
        }
    }
}

impl about::Host for Call {
    async fn my_role(&mut self) -> Role {
        self.scope.agent.role()
    }

    async fn my_id(&mut self) -> String {
        self.scope.agent.id()
    }

    async fn my_ip(&mut self) -> String {
        self.scope.agent.ip()
    }

    async fn sender(&mut self) -> Option<String> {
        self.scope.sender.clone()
    }

    async fn words(&mut self) -> Vec<(String, String)> {
        self.scope.known.to_vec()
    }
}

/// Passes the functions of an interface on to the agent: if it has the interface, the word was granted it, and what it
/// may do so often in one call is not used up.
macro_rules! pass_on {
    ($interface:ident {
        $($function:ident $([$quota:ident])? ($($argument:ident: $type:ty),*) -> $result:ty;)*
    }) => {
        impl $interface::Host for Call {
            $(async fn $function(&mut self, $($argument: $type),*) -> Result<$result, Refusal> {
                let reach = self.require(stringify!($interface))?;
                $(self.quota.$quota = spend(stringify!($quota), self.quota.$quota)?;)?
                let agent = reach.scope.agent.$interface();
                let agent = agent.ok_or_else(|| not_of_this_agent(stringify!($interface)))?;
                reach.wait(agent.$function(reach.caller(), $($argument),*)).await
            })*
        }
    };
}

pass_on!(store {
    get(key: String) -> Option<String>;
    set(key: String, value: String) -> ();
    remove(key: String) -> ();
});

pass_on!(speech {
    say[messages](word: String, to: String, args: String) -> String;
});

pass_on!(process {
    run(program: Program) -> Output;
});

pass_on!(jobs {
    start[jobs](cmd_id: String, program: Program) -> ();
    signal(cmd_id: String, number: i32) -> ();
    usage(cmd_id: String) -> String;
    read(cmd_id: String, part: String, offset: u64, max: u32) -> Vec<u8>;
    cancel(cmd_id: String, number: i32, grace_ms: Option<u32>) -> u32;
    input(cmd_id: String, offset: u64, bytes: Vec<u8>, end: bool) -> String;
    resize(cmd_id: String, rows: u16, columns: u16) -> ();
});

pass_on!(roster {
    joined(id: String, ip: String, facts: String) -> ();
    alive(id: String) -> ();
    left(id: String, reason: String) -> ();
    look_up(id: String) -> String;
});

pass_on!(commands {
    output(cmd_id: String, part: String, offset: u64, bytes: Vec<u8>) -> ();
    finished(cmd_id: String, results: String) -> ();
    input_taken(cmd_id: String, offset: u64) -> ();
});

impl files::Host for Call {
    async fn stat(&mut self, path: String) -> Result<Option<String>, Refusal> {
        self.in_folders(move |all| folders::stat(all, &path)).await
    }

    async fn entries(&mut self, path: String) -> Result<String, Refusal> {
        self.in_folders(move |all| folders::entries(all, &path)).await
    }

    async fn read(&mut self, path: String, offset: u64, max: u32) -> Result<Vec<u8>, Refusal> {
        self.in_folders(move |all| folders::read(all, &path, offset, max)).await
    }

    async fn write(&mut self, path: String, offset: u64, bytes: Vec<u8>) -> Result<(), Refusal> {
        let left = self.quota.written.checked_sub(bytes.len() as u64);
        self.quota.written =
            left.ok_or_else(|| Refusal::Denied("files: no more may be written in this call".to_owned()))?;
        self.in_folders(move |all| folders::write(all, &path, offset, &bytes)).await
    }

    async fn rename(&mut self, path: String, to: String) -> Result<(), Refusal> {
        self.in_folders(move |all| folders::rename(all, &path, &to)).await
    }

    async fn make_folder(&mut self, path: String) -> Result<(), Refusal> {
        self.in_folders(move |all| folders::make_folder(all, &path)).await
    }

    async fn remove(&mut self, path: String) -> Result<(), Refusal> {
        self.in_folders(move |all| folders::remove(all, &path)).await
    }
}

impl Call {
    /// Does something with the word's files where blocking is fine.
    fn in_folders<T: Send + 'static, W: FnOnce(&Folders) -> Result<T, Refusal> + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Refusal>> + use<T, W> {
        let reach = self.require("files");
        async move {
            let reach = reach?;
            let scope = reach.scope.clone();
            let done = tokio::task::spawn_blocking(move || work(&scope.folders));
            let failed = |error| Err(Refusal::Failed(format!("files: {error}")));
            reach.wait(async { done.await.unwrap_or_else(failed) }).await
        }
    }
}

/// One less of something that is counted.
fn spend(what: &str, left: u32) -> Result<u32, Refusal> {
    left.checked_sub(1).ok_or_else(|| Refusal::Denied(format!("{what}: no more in this call")))
}
