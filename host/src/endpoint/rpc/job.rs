//! `job.*`: one computation in one machine, as a BOINC wrapper needs it: bring the files, run the program, fetch the
//! results, and meanwhile hold, save or throttle the machine. Made of `vm.*`, `file.*` and `cmd.*`; nothing is decided
//! here that those do not decide.
//!
//! A job lives in this process: after a restart of the agent whoever opened it opens it again under its own id. Nothing
//! is done twice by that, since its command and its transfers have ids made of the job's.

use super::inner::{call, guest_of, member, number, text, transferred};
use super::{Context, Gives, Kind, Method, Param, members, optional, required};
use crate::agent::events::Wanted;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, FromValue as _, Options, Params, Value, excerpt};

/// Jobs at a time.
const MOST_JOBS: usize = 1000;
/// How long a machine has to come up with its guest agent, unless the caller says otherwise.
const BOOT_PATIENCE_S: f64 = 600.0;
/// The snapshot of a job.
const CHECKPOINT: &str = "vocable-job";
/// How often a wait for the guest is begun anew; nothing depends on it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The longest wait for a command before asking again, seconds.
const ASK_AGAIN_S: f64 = 20.0;

const ID: Param = required("job_id", Kind::String, "the id");

const FILE: &[Param] = &[
    required("local", Kind::String, "a path on the host, below files.roots"),
    required("remote", Kind::String, "a path on the guest"),
];

const SPEC: &[Param] = &[
    required("vm", Kind::String, "the machine, or a guest that is in none"),
    required("cmd", Kind::String, "the program"),
    optional("args", Kind::Array(&Kind::String), "its arguments"),
    optional("env", Kind::Map(&Kind::String), "variables of its environment"),
    optional("path", Kind::String, "its working directory"),
    optional("inputs", Kind::Structs(FILE), "files to bring before"),
    optional("outputs", Kind::Structs(FILE), "files to fetch after"),
    optional(
        "fraction_file",
        Kind::String,
        "a file on the guest in which the program writes what part is done, 0 to 1",
    ),
    optional("boot_timeout_s", Kind::Double, "seconds the machine may take to come up [default: 600]"),
    optional(
        "id",
        Kind::String,
        "the caller's own id: 1 to 40 letters, digits, '-' or '_' [default: made up]",
    ),
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "job.close",
        help: "Forgets a job that is over. One that is not is ended first with job.control abort.",
        params: &[ID],
        gives: Gives::one(&[required("state", Kind::String, "how it ended")]),
        changes: true,
        call: |context, params| Box::pin(close(context, params)),
    },
    Method {
        name: "job.control",
        help: "Holds, lets go on, saves or ends a job's machine, takes a checkpoint, or says what it may use.",
        params: &[
            ID,
            required(
                "what",
                Kind::String,
                "suspend, resume, quit (save the machine), abort, checkpoint, network_off, network_on or throttle",
            ),
            optional("arg", Kind::Int, "of throttle: per cent of the processors"),
        ],
        gives: Gives::one(&[required("state", Kind::String, "of the job")]),
        changes: true,
        call: |context, params| Box::pin(control(context, params)),
    },
    Method {
        name: "job.open",
        help: "Begins a job: starts its machine, brings the inputs, runs the program, fetches the outputs. The same id \
               with the same job is the same job, also after a restart of the agent.",
        params: &[required("spec", Kind::Struct(SPEC), "the job")],
        gives: Gives::value(Kind::String, "the job's id"),
        changes: true,
        call: |context, params| Box::pin(open(context, params)),
    },
    Method {
        name: "job.status",
        help: "Tells how it stands with a job.",
        params: &[ID],
        gives: Gives::one(&[
            required("job_id", Kind::String, "its id"),
            required("state", Kind::String, "starting, bringing, running, fetching, done, failed or aborted"),
            optional("message", Kind::String, "why it failed"),
            optional("code", Kind::String, "what kind of failure"),
            optional("transient", Kind::Bool, "of a failure: whether the same job may succeed later"),
            optional("cmd_id", Kind::String, "its command, once there is one"),
            optional("exitCodeOrSignal", Kind::Int, "of the command that is over"),
            optional("fraction_done", Kind::Double, "what the program wrote last, 0 to 1"),
            optional("cpu_s", Kind::Double, "processor time of the program, seconds"),
            optional("checkpoint_cpu_s", Kind::Double, "the same at the last checkpoint"),
            optional("vm_pid", Kind::Int, "the process that runs the machine"),
            optional("rx", Kind::Int, "octets the machine received"),
            optional("tx", Kind::Int, "octets the machine sent"),
        ]),
        changes: false,
        call: |context, params| Box::pin(status(context, params)),
    },
];

/// All jobs. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Jobs {
    // A lock and not a task: held for a look-up, never across an await.
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
}

struct Job {
    spec: Value,
    vm: String,
    state: &'static str,
    failure: Option<Fault>,
    cmd_id: Option<String>,
    exit: Option<Value>,
    cpu_s: Option<f64>,
    checkpoint_cpu_s: Option<f64>,
    fraction_file: Option<String>,
    /// What carries it out; dropped when it is aborted.
    task: Option<AbortOnDropHandle<()>>,
}

impl Job {
    fn is_over(&self) -> bool {
        matches!(self.state, "done" | "failed" | "aborted")
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a job, or looks at it.
    fn with<T>(&self, id: &str, change: impl FnOnce(&mut Job) -> T) -> Result<T, Fault> {
        let unknown = || HostFault::new(FaultKind::NoSuchJob, format!("no job is called {}", excerpt(id)));
        Ok(change(self.lock().get_mut(id).ok_or_else(unknown)?))
    }
}

/// What a job is made of.
struct Plan {
    id: String,
    vm: String,
    cmd: String,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    path: Option<String>,
    inputs: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
    boot_patience: Duration,
}

async fn open(context: Context, mut params: Params) -> Result<Value, Fault> {
    let spec: BTreeMap<String, Value> = params.required("spec")?;
    params.finish()?;
    let whole = Value::Struct(spec.clone());
    let mut options = Options::new("job.open", spec);
    let fraction_file = options.take("fraction_file")?;
    let plan = plan(options)?;
    let (id, vm) = (plan.id.clone(), plan.vm.clone());
    let mut jobs = context.jobs.lock();
    if let Some(known) = jobs.get(&id) {
        if known.spec == whole {
            return Ok(Value::from(id));
        }
        let text = format!("there is another job {id}");
        return Err(HostFault::new(FaultKind::AlreadyExists, text).into());
    }
    if jobs.len() >= MOST_JOBS {
        return Err(
            HostFault::new(FaultKind::TooMany, format!("there are {MOST_JOBS} jobs: close some")).into()
        );
    }
    let task = AbortOnDropHandle::new(tokio::spawn(perform(context.clone(), plan)));
    let job = Job {
        spec: whole,
        vm,
        state: "starting",
        failure: None,
        cmd_id: None,
        exit: None,
        cpu_s: None,
        checkpoint_cpu_s: None,
        fraction_file,
        task: Some(task),
    };
    jobs.insert(id.clone(), job);
    Ok(Value::from(id))
}

fn plan(mut options: Options) -> Result<Plan, Fault> {
    let id: Option<String> = options.take("id")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let id = match id {
        Some(id) if id.is_empty() || id.len() > 40 || !id.chars().all(plain) => {
            return Err(options.invalid("\"id\": expected 1 to 40 letters, digits, '-' or '_'"));
        }
        Some(id) => id,
        None => crate::agent::handle::new_run_id()?,
    };
    let needed = |value: Option<String>, options: &Options, name: &str| {
        value.ok_or_else(|| options.invalid(&format!("\"{name}\" is missing")))
    };
    let (vm, cmd) = (options.take("vm")?, options.take("cmd")?);
    let plan = Plan {
        id,
        vm: needed(vm, &options, "vm")?,
        cmd: needed(cmd, &options, "cmd")?,
        args: options.take("args")?,
        env: options.take("env")?,
        path: options.take("path")?,
        inputs: files(&mut options, "inputs")?,
        outputs: files(&mut options, "outputs")?,
        boot_patience: Duration::try_from_secs_f64(
            options.take::<f64>("boot_timeout_s")?.unwrap_or(BOOT_PATIENCE_S).max(0.0),
        )
        .unwrap_or(Duration::MAX),
    };
    options.finish()?;
    Ok(plan)
}

fn files(options: &mut Options, name: &'static str) -> Result<Vec<(String, String)>, Fault> {
    let given: Vec<Value> = options.take(name)?.unwrap_or_default();
    let pair = |file: Value| {
        let Value::Struct(mut file) = file else { return None };
        let (local, remote) = (file.remove("local")?, file.remove("remote")?);
        let both = (String::from_value(local).ok()?, String::from_value(remote).ok()?);
        file.is_empty().then_some(both)
    };
    let pairs: Option<Vec<_>> = given.into_iter().map(pair).collect();
    pairs.ok_or_else(|| options.invalid(&format!("{name:?}: expected structs of the texts local and remote")))
}

fn variables(env: &BTreeMap<String, String>) -> Value {
    env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
}

/// All of a job, from the machine to its outputs.
async fn perform(context: Context, plan: Plan) {
    let result = steps(&context, &plan).await;
    // It may have been closed meanwhile.
    let _ = context.jobs.with(&plan.id, |job| match result {
        Ok(()) => job.state = "done",
        Err(fault) => {
            job.state = "failed";
            job.failure = Some(fault);
        }
    });
}

async fn steps(context: &Context, plan: &Plan) -> Result<(), Fault> {
    let enter = |state| context.jobs.with(&plan.id, |job| job.state = state);
    let guest = arrive(context, plan).await?;
    enter("bringing")?;
    copy(context, plan, "file.push", &guest, &plan.inputs, "in").await?;
    enter("running")?;
    let members = [
        ("target", text(&guest)),
        ("cmd", text(&plan.cmd)),
        ("args", plan.args.as_ref().map(|args| args.iter().map(|arg| Value::from(arg.as_str())).collect())),
        ("env", plan.env.as_ref().map(variables)),
        ("path", plan.path.as_deref().map(Value::from)),
        ("id", text(&plan.id)),
    ];
    let cmd_id = call(context, "cmd.run", members).await?;
    if let Value::String(cmd_id) = &cmd_id {
        context.jobs.with(&plan.id, |job| job.cmd_id = Some(cmd_id.clone()))?;
    }
    let ended = ended(context, &cmd_id).await?;
    context.jobs.with(&plan.id, |job| {
        job.exit = ended.member("exitCodeOrSignal").cloned();
        job.cpu_s = cpu_of(&ended).or(job.cpu_s);
    })?;
    if member(&ended, "state") != "done" {
        let why = ended.member("error").map_or("", |error| member(error, "message"));
        let text = format!(
            "the program is {}{}{why}",
            member(&ended, "state"),
            if why.is_empty() { "" } else { ": " }
        );
        return Err(HostFault::new(FaultKind::WrongState, text).into());
    }
    enter("fetching")?;
    copy(context, plan, "file.pull", &guest, &plan.outputs, "out").await
}

/// Starts the machine, and waits until the guest in it is there.
async fn arrive(context: &Context, plan: &Plan) -> Result<String, Fault> {
    match call(context, "vm.start", [("vm", text(&plan.vm))]).await {
        // Without machines, the guest is there by itself or is not.
        Err(fault) if fault.code() == FaultKind::NotYet.code() => {}
        started => drop(started?),
    }
    let deadline = Instant::now().checked_add(plan.boot_patience);
    let wanted = Wanted::of(None, &["guest.*".to_owned()])
        .map_err(|error| HostFault::new(FaultKind::Internal, error.to_string()))?;
    let mut next = context.handle.events(u64::MAX, 1, &wanted, Instant::now()).await?.next;
    loop {
        let absent = match guest_of(context, &plan.vm).await {
            Ok(guest)
                if context
                    .handle
                    .roster()
                    .await?
                    .guests
                    .get(&guest)
                    .is_some_and(|(it, _)| it.state.is_there()) =>
            {
                return Ok(guest);
            }
            Ok(guest) => {
                HostFault::new(FaultKind::GuestOffline, format!("{guest} did not come up in time")).into()
            }
            Err(fault) if fault.code() == FaultKind::GuestOffline.code() => fault,
            Err(fault) => return Err(fault),
        };
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(absent);
        }
        let until = Instant::now() + LOOK_AGAIN;
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        next = context.handle.events(next, 1, &wanted, until).await?.next;
    }
}

async fn copy(
    context: &Context,
    plan: &Plan,
    method: &str,
    guest: &str,
    files: &[(String, String)],
    way: &str,
) -> Result<(), Fault> {
    for (n, (local, remote)) in files.iter().enumerate() {
        let members = [
            ("guest", text(guest)),
            ("local_path", text(local)),
            ("remote_path", text(remote)),
            ("id", text(&format!("{}-{way}{n}", plan.id))),
        ];
        let id = call(context, method, members).await?;
        transferred(context, &id).await?;
    }
    Ok(())
}

async fn ended(context: &Context, cmd_id: &Value) -> Result<Value, Fault> {
    loop {
        let members = [
            ("cmd_id", Some(cmd_id.clone())),
            ("timeout_s", Some(Value::from(ASK_AGAIN_S))),
            ("max_output", Some(Value::from(1))),
        ];
        let told = call(context, "cmd.wait", members).await?;
        if !matches!(member(&told, "state"), "queued" | "running") {
            return Ok(told);
        }
    }
}

/// Processor time of a command that is over.
fn cpu_of(told: &Value) -> Option<f64> {
    let resources = told.member("resources")?;
    Some(number(resources, "ru_utime")? + number(resources, "ru_stime")?)
}

async fn status(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("job_id")?;
    params.finish()?;
    let (vm, cmd_id, fraction_file, over) = context
        .jobs
        .with(&id, |job| (job.vm.clone(), job.cmd_id.clone(), job.fraction_file.clone(), job.is_over()))?;
    let (mut usage, mut fraction) = (None, None);
    if !over {
        // What cannot be told now is absent: an engine may be missing, or a guest held.
        usage = call(&context, "vm.usage", [("vm", text(&vm))]).await.ok();
        fraction = match (&fraction_file, &cmd_id) {
            (Some(file), Some(_)) => fraction_done(&context, &vm, file).await,
            _ => None,
        };
        if let Some(cpu_s) = cpu_now(&context, cmd_id.as_deref()).await {
            context.jobs.with(&id, |job| job.cpu_s = Some(cpu_s))?;
        }
    }
    let of_usage = |name: &str| usage.as_ref().and_then(|usage| usage.member(name)).cloned();
    context.jobs.with(&id, |job| {
        let failure = job.failure.as_ref();
        let transient =
            failure.map(|fault| FaultKind::from_code(fault.code()).is_some_and(FaultKind::transient));
        members([
            ("job_id", Some(Value::from(id.as_str()))),
            ("state", Some(Value::from(job.state))),
            ("message", failure.map(|fault| Value::from(fault.message()))),
            ("code", failure.and_then(Fault::slug).map(Value::from)),
            ("transient", transient.map(Value::from)),
            ("cmd_id", job.cmd_id.as_deref().map(Value::from)),
            ("exitCodeOrSignal", job.exit.clone()),
            ("fraction_done", fraction.map(Value::from)),
            ("cpu_s", job.cpu_s.map(Value::from)),
            ("checkpoint_cpu_s", job.checkpoint_cpu_s.map(Value::from)),
            ("vm_pid", of_usage("session_pid")),
            ("rx", of_usage("net_rx_bytes")),
            ("tx", of_usage("net_tx_bytes")),
        ])
    })
}

async fn fraction_done(context: &Context, vm: &str, file: &str) -> Option<f64> {
    let guest = guest_of(context, vm).await.ok()?;
    let members = [("guest", text(&guest)), ("path", text(file)), ("length", Some(Value::from(64)))];
    let told = call(context, "file.get", members).await.ok()?;
    let text = match told.member("data")? {
        Value::Base64(octets) => String::from_utf8(octets.clone()).ok()?,
        Value::String(text) => text.clone(),
        _ => return None,
    };
    text.split_whitespace().next()?.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part))
}

async fn cpu_now(context: &Context, cmd_id: Option<&str>) -> Option<f64> {
    let told = call(context, "cmd.usage", [("cmd_id", text(cmd_id?))]).await.ok()?;
    number(&told, "cpu_s")
}

async fn control(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("job_id")?;
    let what: String = params.required("what")?;
    let arg: Option<i32> = params.optional("arg")?;
    let vm = context.jobs.with(&id, |job| job.vm.clone())?;
    let vm = || ("vm", text(&vm));
    let set = |name: &'static str, value: Value| Some(Value::from([(name, value)]));
    match (what.as_str(), arg) {
        ("suspend", _) => drop(call(&context, "vm.pause", [vm()]).await?),
        ("resume", _) => drop(call(&context, "vm.resume", [vm()]).await?),
        ("quit", _) => drop(call(&context, "vm.save", [vm()]).await?),
        ("abort", _) => abort(&context, &id).await?,
        ("checkpoint", _) => {
            let members = [vm(), ("name", text(CHECKPOINT)), ("replace", Some(Value::from(true)))];
            call(&context, "vm.snapshot.take", members).await?;
            context.jobs.with(&id, |job| job.checkpoint_cpu_s = job.cpu_s)?;
        }
        ("network_off", _) => {
            drop(call(&context, "vm.set", [vm(), ("settings", set("network", false.into()))]).await?);
        }
        ("network_on", _) => {
            drop(call(&context, "vm.set", [vm(), ("settings", set("network", true.into()))]).await?);
        }
        ("throttle", Some(percent)) => {
            drop(call(&context, "vm.set", [vm(), ("settings", set("cpu_cap_pct", percent.into()))]).await?);
        }
        ("throttle", None) => {
            return Err(params.invalid("parameter 3 \"arg\" is missing: per cent of the processors"));
        }
        _ => {
            return Err(params.invalid(
                "parameter 2 \"what\": expected suspend, resume, quit, abort, checkpoint, network_off, network_on or \
                 throttle",
            ));
        }
    }
    let state = context.jobs.with(&id, |job| job.state)?;
    Ok(Value::from([("state", Value::from(state))]))
}

/// Ends the program, if it runs; the machine is left to those who know what else is in it.
async fn abort(context: &Context, id: &str) -> Result<(), Fault> {
    let (task, cmd_id) = context.jobs.with(id, |job| {
        if !job.is_over() {
            job.state = "aborted";
        }
        (job.task.take(), job.cmd_id.clone())
    })?;
    drop(task);
    match cmd_id {
        Some(cmd_id) => call(context, "cmd.cancel", [("cmd_id", text(&cmd_id))]).await.map(drop),
        None => Ok(()),
    }
}

async fn close(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("job_id")?;
    params.finish()?;
    let (state, over) = context.jobs.with(&id, |job| (job.state, job.is_over()))?;
    if !over {
        let text = format!("job {id} is {state}: end it first with job.control abort");
        return Err(HostFault::new(FaultKind::WrongState, text).into());
    }
    context.jobs.lock().remove(&id);
    Ok(Value::from([("state", Value::from(state))]))
}
