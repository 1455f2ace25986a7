//! The supervisor's loop over one running job: waits with poll(2) for output, for the end of
//! children, for the agent and for the next deadline, and says at the end how it went.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use signal_hook::consts::{FORBIDDEN, SIGCHLD, SIGPIPE, SIGTERM};

use super::Started;
use super::announcer::Announcer;
use super::input::Input;
use super::spool::Spool;
use super::terminal;
use super::termination::{Cause, Step, Termination};
use crate::job::cgroup::Group;
use crate::job::folder::{Folder, Freed};
use crate::job::lines::{Control, Event, Lines};
use crate::job::processes::signal_descendants;
use crate::job::record::{Record, WhenSpoolFull, unix_time};
use vocable_protocol::{EndState, Failure, FailureCode, Part, Resources, Results};

/// How long the supervisor stays in the cgroup of its command, where what it writes into the spool would be put down to
/// the command.  For a command that lives shorter it need not be moved at all.
const STAY_IN_GROUP: Duration = Duration::from_millis(100);

/// Signals as something poll(2) can wait for: a handler writes a byte into each pair.  Handlers,
/// unlike a signal mask, are not inherited by the program.
pub(super) struct SignalPipes {
    children: UnixStream,
    terminate: UnixStream,
}

impl SignalPipes {
    /// Before the program is started, so that no end is missed.
    pub(super) fn register() -> io::Result<Self> {
        catch_ignored()?;
        Ok(Self { children: Self::pair(SIGCHLD)?, terminate: Self::pair(SIGTERM)? })
    }

    fn pair(signal: i32) -> io::Result<UnixStream> {
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal, wake)?;
        Ok(woken)
    }
}

/// Has a handler that does nothing for each signal that is ignored here, as after `nohup`. What is ignored stays so in
/// the program, for which it would mean that it cannot be told to hang up, or interrupted; what is caught does not.
fn catch_ignored() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    for signal in Signal::iterator().map(|signal| signal as i32) {
        // What cannot be caught says so here; a broken pipe is ignored by every program like this one, and made good
        // for those it starts.
        let is_ignored = ignored & (1 << (signal - 1)) != 0 && signal != SIGPIPE;
        if is_ignored && !FORBIDDEN.contains(&signal) {
            signal_hook::flag::register(signal, Arc::default())?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Source {
    Children,
    Control,
    Input,
    Output(Part),
    Terminate,
}

#[derive(Clone, Copy)]
enum Status {
    Exited(i32),
    Signalled(i32),
    /// Somebody else was given the status.
    Unknown,
}

pub(super) struct Job {
    folder: Folder,
    program: i32,
    spool: Spool,
    input: Option<Input>,
    terminal: Option<File>,
    termination: Termination,
    /// What the tree hears first when it is to end.
    term_signal: Signal,
    when_full: WhenSpoolFull,
    announcer: Announcer,
    group: Option<Group>,
    leave_group_at: Instant,
    full_announced: bool,
    /// Whether there is a file that can say what was freed.
    can_make_room: bool,
    /// What the host has.
    taken: Freed,
    control: Option<File>,
    requests: Lines,
    signals: SignalPipes,
    status: Option<Status>,
    ended: f64,
    /// Whether the program is over, and only its output is still to be kept.
    is_draining: bool,
    /// Whether somebody does not want to wait for that.
    cut_short: bool,
    /// Whether nothing descends from this process any more.
    childless: bool,
}

impl Job {
    /// The job of a program that has just been started.
    pub(super) fn new(
        folder: &Folder,
        record: &Record,
        program: Started,
        [out, err]: [File; 2],
        control: File,
        signals: SignalPipes,
        announcer: Announcer,
    ) -> Self {
        Self {
            folder: folder.clone(),
            program: program.pid,
            spool: Spool::new((program.out, out), (program.err, err), record.spool_limit),
            input: program.input,
            terminal: program.terminal,
            term_signal: Signal::SIGTERM,
            termination: Termination::new(Instant::now(), record.timeout, record.grace),
            when_full: record.when_spool_full,
            announcer,
            group: None,
            leave_group_at: Instant::now() + STAY_IN_GROUP,
            full_announced: false,
            can_make_room: false,
            taken: Freed::default(),
            control: Some(control),
            requests: Lines::default(),
            signals,
            status: None,
            ended: 0.0,
            is_draining: false,
            cut_short: false,
            childless: false,
        }
    }

    pub(super) fn in_group(self, group: Option<Group>) -> Self {
        Self { group, ..self }
    }

    /// Goes on until the job is over.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.is_over() {
            self.handle_events()?;
            self.on_deadlines();
        }
        Ok(())
    }

    fn handle_events(&mut self) -> io::Result<()> {
        for (source, ready) in self.wait()? {
            match source {
                Source::Children => self.reap(),
                Source::Control => self.on_control(),
                Source::Input => self.input.iter_mut().for_each(|input| input.feed(ready)),
                Source::Output(part) => self.spool.copy(part, ready, Instant::now()),
                Source::Terminate => self.end(Cause::Cancelled, None),
            }
        }
        Ok(())
    }

    /// Takes what is left of the output, and announces it.  With a full disk that takes until there is
    /// room, unless the job is made to end: then its results say what was left out.
    pub(super) fn drain_output(&mut self) -> io::Result<()> {
        self.is_draining = true;
        self.cut_short = self.termination.cause().is_some() || self.termination.has_given_up();
        while !self.spool.drain(Instant::now()) {
            self.check_spool();
            if self.cut_short {
                self.spool.give_up();
                break;
            }
            self.handle_events()?;
            self.spool.retry(Instant::now());
        }
        let (out, err) = self.spool.totals();
        self.announcer.send(Event::Output { out, err });
        Ok(())
    }

    /// Announces the results; what is left of the job is its spool and its cgroup.
    pub(super) fn close(mut self) -> (Spool, Option<Group>) {
        self.announcer.send(Event::Ended);
        (self.spool, self.group)
    }

    /// How it went, when it is over and the output is complete.
    pub(super) fn results(&self, started: f64) -> Results {
        let (out_bytes, err_bytes) = self.spool.totals();
        let (out_sha256, err_sha256) = self.spool.digests();
        let (finished, exit_code_or_signal) = match self.status {
            Some(Status::Exited(code)) => (true, Some(code)),
            Some(Status::Signalled(number)) => (false, Some(number)),
            Some(Status::Unknown) | None => (false, None),
        };
        Results {
            state: self.state(),
            finished,
            exit_code_or_signal,
            resources: getrusage(UsageWho::RUSAGE_CHILDREN).ok().map(resources),
            started,
            ended: if self.status.is_some() { self.ended } else { unix_time() },
            out_bytes,
            err_bytes,
            out_sha256: Some(out_sha256),
            err_sha256: Some(err_sha256),
            error: self.error(),
            left_out: self.spool.left_out(),
        }
    }

    fn state(&self) -> EndState {
        match (self.termination.cause(), self.status) {
            (Some(Cause::Cancelled | Cause::SpoolFull), _) => EndState::Cancelled,
            (Some(Cause::TimedOut), _) => EndState::Timeout,
            (None, Some(Status::Exited(_) | Status::Signalled(_))) => EndState::Done,
            (None, _) => EndState::Lost,
        }
    }

    fn error(&self) -> Option<Failure> {
        if self.termination.has_given_up() {
            let message = "some process of the command outlived SIGKILL: it hangs in the kernel, or the agent \
                           may not kill it";
            return Some(Failure::new(FailureCode::NotKilled, message));
        }
        match (self.termination.cause(), self.status) {
            (Some(Cause::SpoolFull), _) => {
                let reason = self.spool.full().unwrap_or_default();
                Some(Failure::new(FailureCode::SpoolFull, format!("the command was ended: {reason}")))
            }
            (None, Some(Status::Unknown)) => {
                Some(Failure::new(FailureCode::NoStatus, "the system did not say how the command ended"))
            }
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        let ended = self.status.is_some();
        self.termination.has_given_up() || ended && (self.termination.cause().is_none() || self.childless)
    }

    /// Waits until something is ready or due.
    fn wait(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        const IN: PollFlags = PollFlags::IN;
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![
            (Source::Children, self.signals.children.as_fd(), IN),
            (Source::Terminate, self.signals.terminate.as_fd(), IN),
        ];
        sources.extend(self.control.as_ref().map(|control| (Source::Control, control.as_fd(), IN)));
        sources.extend(self.spool.pipes().map(|(part, pipe)| (Source::Output(part), pipe, IN)));
        let sink = self.input.as_ref().and_then(Input::sink);
        sources.extend(sink.map(|(sink, wanted)| (Source::Input, sink, wanted)));
        let mut polled: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd, wanted)| PollFd::from_borrowed_fd(*fd, *wanted)).collect();
        match poll(&mut polled, self.time_left().as_ref()) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            other => other?,
        };
        let ready = sources.iter().zip(&polled).map(|((source, ..), polled)| (*source, polled.revents()));
        Ok(ready.filter(|(_, ready)| !ready.is_empty()).collect())
    }

    fn time_left(&self) -> Option<Timespec> {
        let group = self.group.as_ref().filter(|group| group.is_inside()).map(|_| self.leave_group_at);
        let of_the_program = [self.termination.deadline(), self.announcer.deadline(), group];
        let of_the_program = of_the_program.into_iter().filter(|_| !self.is_draining);
        let deadlines = of_the_program.chain([self.spool.deadline()]);
        let next = deadlines.flatten().min()?;
        next.saturating_duration_since(Instant::now()).try_into().ok()
    }

    fn on_deadlines(&mut self) {
        let now = Instant::now();
        self.spool.retry(now);
        if now >= self.leave_group_at {
            self.leave_group();
        }
        let totals = self.spool.totals();
        if !self.can_make_room && self.spool.will_want_room() {
            // On a disk that is full already, room will be made by others.
            self.can_make_room = self.folder.reserve_freed().is_ok();
        }
        self.announcer.output(totals, now);
        if let Some(bytes) = self.input.as_mut().and_then(Input::progress) {
            self.announcer.send(Event::Taken { bytes });
        }
        self.check_spool();
        if let Some(step) = self.termination.tick(now) {
            self.step(step);
        }
    }

    fn leave_group(&mut self) {
        if let Some(Err(cause)) = self.group.as_mut().map(Group::leave) {
            let _ = writeln!(io::stderr(), "{cause}");
        }
    }

    fn check_spool(&mut self) {
        if self.spool.full().is_some() && !self.full_announced {
            self.make_room();
            if self.spool.full().is_some() {
                self.announcer.send(Event::Full);
                match self.when_full {
                    WhenSpoolFull::Drop => self.spool.discard(),
                    WhenSpoolFull::Kill => {
                        self.spool.discard();
                        self.end(Cause::SpoolFull, None);
                    }
                    WhenSpoolFull::Pause => {}
                }
            }
        }
        self.full_announced = self.spool.full().is_some();
    }

    /// Takes leave of children that have ended: the program, and orphans that came to us.
    fn reap(&mut self) {
        clear(&self.signals.children);
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if self.status.is_none() && pid.as_raw_pid() == self.program => {
                    let signalled = || status.terminating_signal().map(Status::Signalled);
                    let exited = status.exit_status().map(Status::Exited);
                    self.ended(exited.or_else(signalled).unwrap_or(Status::Unknown));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => {
                    self.childless = true;
                    if self.status.is_none() {
                        self.ended(Status::Unknown);
                    }
                    break;
                }
            }
        }
        if self.termination.is_killing() && !self.childless {
            self.step(Step::Kill);
        }
    }

    fn ended(&mut self, status: Status) {
        self.status = Some(status);
        self.ended = unix_time();
    }

    fn on_control(&mut self) {
        let mut bytes = [0; 512];
        let length = self.control.as_mut().map(|control| control.read(&mut bytes));
        // A FIFO that is held open for both directions does not end; whatever does is of no use.
        if let Some(Ok(0)) = length {
            self.control = None;
        }
        let read = bytes.get(..length.and_then(Result::ok).unwrap_or_default()).unwrap_or_default();
        for request in self.requests.take(read) {
            match request {
                Control::Cancel { grace, signal } => {
                    let signal = signal.and_then(|number| Signal::try_from(number).ok());
                    self.term_signal = signal.unwrap_or(Signal::SIGTERM);
                    self.end(Cause::Cancelled, grace);
                }
                Control::Input => self.input.iter_mut().for_each(Input::refresh),
                Control::Resize(size) => {
                    // A program that has closed its terminal has no size to hear of.
                    self.terminal.iter().for_each(|ours| drop(terminal::resize(ours, size)));
                }
                Control::Taken { out, err } => {
                    self.taken = Freed { out, err };
                    self.make_room();
                }
            }
        }
    }

    /// Frees what the host has, if that is worth the trouble.  What cannot be freed only means less
    /// room.
    fn make_room(&mut self) {
        let Some(freed) = self.spool.can_free(self.taken).filter(|_| self.can_make_room) else { return };
        let made = self.folder.write_freed(&freed).and_then(|()| self.spool.free(freed));
        if let Err(cause) = made {
            let _ = writeln!(io::stderr(), "cannot make room in the spool: {cause}");
        }
    }

    fn end(&mut self, cause: Cause, grace: Option<Duration>) {
        clear(&self.signals.terminate);
        if self.is_draining {
            // There is nothing left to end.  How the program ended is known, and stays so.
            self.cut_short = true;
            return;
        }
        if let Some(step) = self.termination.ask(cause, grace, Instant::now()) {
            self.step(step);
        }
    }

    fn step(&self, step: Step) {
        match step {
            Step::GiveUp => {}
            Step::Kill => self.signal(Signal::SIGKILL),
            Step::Terminate => {
                self.signal(self.term_signal);
                // Who is stopped hears of it only when it goes on.
                self.signal(Signal::SIGCONT);
            }
        }
    }

    /// Signals the whole tree; without `/proc`, what is left of the program's own group.
    fn signal(&self, signal: Signal) {
        if signal_descendants(Pid::this().as_raw(), signal).is_err() {
            let _ = killpg(Pid::from_raw(self.program), signal);
        }
    }
}

fn resources(usage: Usage) -> Resources {
    // One division, so that the number survives being written as a decimal.
    let seconds = |time: TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as f64 / 1e6;
    Resources {
        ru_utime: seconds(usage.user_time()),
        ru_stime: seconds(usage.system_time()),
        ru_maxrss: usage.max_rss(),
        ru_ixrss: usage.shared_integral(),
        ru_idrss: usage.unshared_data_integral(),
        ru_isrss: usage.unshared_stack_integral(),
        ru_minflt: usage.minor_page_faults(),
        ru_majflt: usage.major_page_faults(),
        ru_nswap: usage.full_swaps(),
        ru_inblock: usage.block_reads(),
        ru_oublock: usage.block_writes(),
        ru_msgsnd: usage.ipc_sends(),
        ru_msgrcv: usage.ipc_receives(),
        ru_nsignals: usage.signals(),
        ru_nvcsw: usage.voluntary_context_switches(),
        ru_nivcsw: usage.involuntary_context_switches(),
    }
}

/// Takes the bytes out of a pair, so that it is ready again only after the next signal.
fn clear(mut woken: &UnixStream) {
    let mut bytes = [0; 64];
    while woken.read(&mut bytes).is_ok_and(|length| length == bytes.len()) {}
}
