//! Compiling in a process of its own: the compiler takes memory that a process does not get rid of again, many times
//! what the agent needs, and it reads what strangers wrote. The process finds the component at its standard input and
//! leaves the result in the folder of compiled words, for the engine of that name, with what it found when it examined
//! the word.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bytes::Bytes;
use vocable_protocol::sha256_hex;

use super::component::{Examined, examine};
use super::precompiled::Cache;
use super::{Engine, EngineConfig, compile};

/// Says that the agent keeps memories ready: what is compiled depends on it.
const POOLING: &str = "pooling";
const PLAIN: &str = "plain";

/// The hidden first argument that makes a program the compiler.
const COMPILE: &str = "compile-word";

/// The program that compiles.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// An executable whose `main` begins with [`compile_if_asked`].
    pub program: PathBuf,
}

impl Compiler {
    /// The executable of this process, as it was when it was started; `None` where the system does not keep it.
    pub fn this_program() -> Option<Self> {
        cfg!(target_os = "linux").then(|| Self { program: PathBuf::from("/proc/self/exe") })
    }

    /// Has a component compiled into the folder. The error is the compiler's, or that there is none.
    pub(crate) fn run(&self, bytes: &[u8], pooling: bool, cache: &Cache) -> Result<(), String> {
        let failed =
            |cause: io::Error| format!("it cannot be compiled by {}: {cause}", self.program.display());
        let mut child = Command::new(&self.program)
            .arg(COMPILE)
            .arg(if pooling { POOLING } else { PLAIN })
            .arg(cache.folder())
            .arg(cache.engine())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // A compiler that ends before it has read everything says why.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(bytes));
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(if said.is_empty() { format!("the compiler: {}", output.status) } else { said.to_owned() })
    }
}

/// Compiles, if that is what this process was started for; then it is to end with this code.
pub fn compile_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMPILE {
        return None;
    }
    Some(match act(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    })
}

fn act(arguments: &[OsString]) -> Result<(), String> {
    let [memories, folder, engine] = arguments else {
        return Err(format!(
            "compiling takes {POOLING} or {PLAIN}, a folder, and what the engine is called there"
        ));
    };
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|cause| cause.to_string())?;
    let (bytes, pooling) = (Bytes::from(bytes), memories == POOLING);
    let sha256 = sha256_hex(&bytes);
    let name = engine.to_string_lossy().into_owned();
    let cache = Cache::open(Path::new(folder), name).map_err(|cause| cause.to_string())?;
    let engine = Engine::new(EngineConfig { pooling, cache: None, compiler: None, lazy: false });
    let engine = engine.map_err(|cause| cause.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|cause| cause.to_string())?;
    match runtime.block_on(examine(&engine, &sha256, bytes.clone())) {
        Ok(Examined { compiled, findings, .. }) => {
            cache.store(&sha256, compiled.serialize().map_err(io::Error::other));
            cache.keep_findings(&sha256, &findings);
        }
        // If it can be compiled at all: the agent finds out once more what is wrong with it, and tells.
        Err(_) => cache.store(&sha256, Ok(compile(pooling, &bytes)?)),
    }
    Ok(())
}
