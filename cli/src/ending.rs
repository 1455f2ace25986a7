//! How a command ended: the exit code it has for us, and how it is shown. Of one command, and of several together;
//! nothing is asked or printed here.

use super::error::{CliError, EXIT_VOCABLE_FAILED};
use super::format;
use nix::sys::signal::Signal;
use vocable_api::cmd::{Command, State};

/// Our time limit ended it, as of coreutils' `timeout`.
const TIMED_OUT: u8 = 124;
/// Some command of several failed, as of `xargs`.
const SOME_FAILED: u8 = 123;

/// The end of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'a>(&'a Command);

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// It ended by itself with this code.
    Exited(u8),
    /// What became of it is not known.
    Lost,
    /// The guest could not find or execute it: 127 or 126.
    NotExecuted(u8),
    /// It never got to the guest, or the guest refused.
    NotRun,
    /// This signal ended it.
    Signalled(u8),
    /// Somebody or something of ours ended it.
    Stopped,
    /// Its time ran out.
    TimedOut,
    /// It is not over.
    UnderWay,
}

impl<'a> Ending<'a> {
    pub(super) const fn of(command: &'a Command) -> Self {
        Self(command)
    }

    pub(super) fn id(self) -> &'a str {
        &self.0.cmd_id
    }

    pub(super) fn guest(self) -> &'a str {
        &self.0.guest
    }

    /// How it ended.
    pub(super) fn how(self) -> How {
        match self.0.state {
            State::Cancelled if self.0.error.is_none() => self.by_itself().unwrap_or(How::Stopped),
            State::Cancelled => How::Stopped,
            State::Done => self.by_itself().unwrap_or(How::Lost),
            State::Failed => match self.code_or_signal() {
                Some(code @ (126 | 127)) => How::NotExecuted(code),
                _ => How::NotRun,
            },
            State::Lost => How::Lost,
            State::Queued | State::Running => How::UnderWay,
            State::Timeout => How::TimedOut,
        }
    }

    fn by_itself(self) -> Option<How> {
        let number = self.code_or_signal()?;
        Some(if self.0.finished == Some(true) { How::Exited(number) } else { How::Signalled(number) })
    }

    fn code_or_signal(self) -> Option<u8> {
        // As a parent process sees it: the low eight bits.
        #[expect(clippy::cast_sign_loss, reason = "the low eight bits are meant")]
        self.0.exit_code_or_signal.map(|number| (number & 0xff) as u8)
    }

    /// Whether it did what it was run for, and all it wrote is here.
    pub(super) fn is_ok(self) -> bool {
        self.how() == How::Exited(0) && self.left_out().is_none()
    }

    /// Whether the reason of the end is the command's, not ours.
    pub(super) fn is_its_own(self) -> bool {
        matches!(self.how(), How::Exited(_) | How::Signalled(_))
            && (self.left_out().is_none() || !self.succeeded())
    }

    /// Whether it never ran on its guest, or nobody knows whether it did.
    pub(super) fn was_not_taken(self) -> bool {
        matches!(self.how(), How::Lost | How::NotRun)
    }

    fn succeeded(self) -> bool {
        self.how() == How::Exited(0)
    }

    /// The exit code of `run` and `wait` for this one command.
    pub(super) fn exit_code(self) -> u8 {
        match self.how() {
            How::Exited(0) if self.left_out().is_some() => EXIT_VOCABLE_FAILED,
            How::Exited(code) | How::NotExecuted(code) => code,
            How::Signalled(number) => 128_u8.saturating_add(number),
            How::TimedOut => TIMED_OUT,
            How::Lost | How::NotRun | How::Stopped | How::UnderWay => EXIT_VOCABLE_FAILED,
        }
    }

    /// `exit 2`, `SIGSEGV`, `timed out`, `guest-offline: …`
    pub(super) fn brief(self) -> String {
        match self.how() {
            How::Exited(code) if self.left_out().is_some() => format!("exit {code}, output dropped"),
            How::Exited(code) => format!("exit {code}"),
            How::Signalled(number) => signal_name(number),
            How::TimedOut => "timed out".to_owned(),
            How::UnderWay => "not over".to_owned(),
            How::Lost | How::NotExecuted(_) | How::NotRun | How::Stopped => {
                let (code, message) = self.code_and_message();
                format!("{code}: {message}")
            }
        }
    }

    /// What stands in the EXIT column: a code, a signal, or the slug of a failure.
    pub(super) fn exit_column(self) -> String {
        match self.how() {
            How::Exited(code) | How::NotExecuted(code) => code.to_string(),
            How::Signalled(number) => signal_name(number),
            How::TimedOut | How::UnderWay => String::new(),
            How::Lost | How::NotRun | How::Stopped => {
                self.0.error.as_ref().map(|error| error.code.clone()).unwrap_or_default()
            }
        }
    }

    /// The failure, if the reason is ours: what happened, and what to do.
    pub(super) fn error(self) -> Option<CliError> {
        if self.is_its_own() {
            return None;
        }
        let (guest, id) = (self.guest(), self.id());
        let (code, message) = self.code_and_message();
        let (message, cause) = message.split_once("; nothing was run: ").unwrap_or((message, ""));
        let error = match cause {
            "" if message.contains(guest) => CliError::new(code, message),
            "" => CliError::new(code, format!("{id}: {message}")),
            cause => CliError::new(code, format!("{message}; nothing was run")).cause(cause),
        };
        let error = error.guest(guest);
        let kept = || format!("what it wrote is kept: vocable logs {id}");
        Some(match self.how() {
            How::Lost => error.hint(format!("vocable why {guest}")).hint(format!("vocable logs {id}")),
            How::NotRun => error.hint(format!("vocable why {guest}")),
            How::Exited(_) => self.left_out().into_iter().fold(error, CliError::cause).hint(kept()),
            How::Stopped | How::TimedOut => error.hint(kept()),
            How::NotExecuted(_) | How::Signalled(_) | How::UnderWay => error,
        })
    }

    fn slug(self) -> &'static str {
        match self.how() {
            How::Exited(_) | How::Signalled(_) => "output-dropped",
            How::Lost => "lost",
            How::NotExecuted(126) => "not-executable",
            How::NotExecuted(_) => "not-found",
            How::NotRun => "not-run",
            How::Stopped => "cancelled",
            How::TimedOut => "timed-out",
            How::UnderWay => "not-over",
        }
    }

    /// What the agent or the guest said of the failure, or a sentence of our own.
    fn code_and_message(self) -> (&'a str, &'a str) {
        if let Some(error) = &self.0.error {
            return (&error.code, &error.message);
        }
        let slug = self.slug();
        let message = match slug {
            "cancelled" => "somebody ended it",
            "lost" => "what became of it is not known",
            "not-executable" => "the guest cannot execute it",
            "not-found" => "the guest has no such program",
            "not-over" => "it is not over",
            "output-dropped" => "a part of its output was dropped",
            "timed-out" => "it was ended, its time ran out",
            _ => "it was not run",
        };
        (slug, message)
    }

    /// What was read from the command and not kept: `1.2 MiB of output dropped (spool limit 1 GiB)`.
    pub(super) fn left_out(self) -> Option<String> {
        let left_out = self.0.left_out.as_ref()?;
        let bytes = left_out.out.saturating_add(left_out.err);
        let reason = left_out.reason.as_deref().unwrap_or("no reason given");
        Some(format!("{} of output dropped ({reason})", format::size(bytes)))
    }

    /// How long it ran.
    pub(super) fn took(self) -> Option<std::time::Duration> {
        (self.0.ended_unix?.moment()? - self.0.started_unix?.moment()?).try_into().ok()
    }

    /// What it used: `cpu 38.9 s (user 36.1, sys 2.8)  max rss 412 MiB  read 1.2 GiB  written 88 MiB`.
    pub(super) fn usage(self) -> Option<String> {
        /// What getrusage(2) counts blocks in.
        const BLOCK: u64 = 512;
        let used = self.0.rusage()?;
        let (user, system) = (used.ru_utime, used.ru_stime);
        let size = |count: i64, unit| format::size(u64::try_from(count).unwrap_or(0).saturating_mul(unit));
        let (rss, read, written) =
            (size(used.ru_maxrss, 1024), size(used.ru_inblock, BLOCK), size(used.ru_oublock, BLOCK));
        let cpu = user + system;
        let digits = if cpu < 10.0 { 2 } else { 1 };
        Some(format!(
            "cpu {cpu:.digits$} s (user {user:.digits$}, sys {system:.digits$})  max rss {rss}  read {read}  written {written}"
        ))
    }
}

/// The exit code of `run` and `wait` for several commands: who was not asked or is lost weighs most.
pub(super) fn exit_code_of_all<'a>(endings: impl IntoIterator<Item = Ending<'a>>) -> u8 {
    let weight = |ending: Ending<'_>| match ending.how() {
        _ if ending.is_ok() => 0,
        How::Lost | How::NotRun | How::UnderWay => EXIT_VOCABLE_FAILED,
        _ => SOME_FAILED,
    };
    endings.into_iter().map(weight).max().unwrap_or(0)
}

fn signal_name(number: u8) -> String {
    Signal::try_from(i32::from(number))
        .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_api::cmd::{Failure, LeftOut};

    fn report(state: State, finished: bool, number: i64) -> Command {
        Command {
            cmd_id: "k7mq2x.vm1".into(),
            guest: "vm1".into(),
            state,
            finished: Some(finished),
            exit_code_or_signal: Some(number),
            ..Command::default()
        }
    }

    fn failed(code: &str, message: &str) -> Command {
        Command {
            cmd_id: "k7mq2x.vm2".into(),
            guest: "vm2".into(),
            state: State::Failed,
            error: Some(Failure::new(code, message)),
            ..Command::default()
        }
    }

    #[test]
    fn the_exit_code_is_the_commands_own_or_says_whose_fault_it_was() {
        let code = |report: &Command| Ending::of(report).exit_code();
        assert_eq!(code(&report(State::Done, true, 0)), 0);
        assert_eq!(code(&report(State::Done, true, 125)), 125);
        assert_eq!(code(&report(State::Done, true, 255)), 255);
        assert_eq!(code(&report(State::Done, false, 11)), 139);
        assert_eq!(code(&report(State::Timeout, false, 15)), 124);
        assert_eq!(code(&report(State::Cancelled, false, 9)), 137);
        assert_eq!(code(&report(State::Failed, true, 127)), 127);
        assert_eq!(code(&report(State::Failed, true, 126)), 126);
        assert_eq!(code(&failed("guest-offline", "vm2 does not answer")), 125);
        assert_eq!(code(&report(State::Lost, false, 0)), 125);
        let left_out = Some(LeftOut { out: 5, ..LeftOut::default() });
        let cut = Command { left_out, ..report(State::Done, true, 0) };
        assert_eq!(code(&cut), 125, "never 0 and cut");
    }

    #[test]
    fn of_several_the_one_that_was_not_asked_weighs_most() {
        let (ok, bad) = (report(State::Done, true, 0), report(State::Done, true, 2));
        let away = failed("guest-offline", "vm2 does not answer");
        let code = |reports: &[&Command]| exit_code_of_all(reports.iter().map(|report| Ending::of(report)));
        assert_eq!(code(&[&ok, &ok]), 0);
        assert_eq!(code(&[&ok, &bad]), 123);
        assert_eq!(code(&[&ok, &report(State::Timeout, false, 15)]), 123);
        assert_eq!(code(&[&away, &bad, &ok]), 125);
    }

    #[test]
    fn an_end_is_told_briefly() {
        let brief = |report: &Command| Ending::of(report).brief();
        assert_eq!(brief(&report(State::Done, true, 2)), "exit 2");
        assert_eq!(brief(&report(State::Done, false, 11)), "SIGSEGV");
        assert_eq!(brief(&report(State::Done, false, 77)), "signal 77");
        assert_eq!(brief(&report(State::Timeout, false, 15)), "timed out");
        assert_eq!(brief(&failed("not-allowed", "no")), "not-allowed: no");
        assert_eq!(brief(&report(State::Lost, false, 0)), "lost: what became of it is not known");
    }

    #[test]
    fn only_failures_of_ours_are_told_as_errors() {
        assert!(Ending::of(&report(State::Done, true, 3)).error().is_none());
        let away = failed("guest-offline", "vm2 does not answer; nothing was run: lost since 09:01:54");
        insta::assert_snapshot!(Ending::of(&away).error().unwrap(), @r#"
    error[guest-offline]: vm2 does not answer; nothing was run
      cause: lost since 09:01:54
      hint: vocable why vm2
    "#);
        let late = report(State::Timeout, false, 15);
        insta::assert_snapshot!(Ending::of(&late).error().unwrap(), @r#"
    error[timed-out]: k7mq2x.vm1: it was ended, its time ran out
      hint: what it wrote is kept: vocable logs k7mq2x.vm1
    "#);
    }
}
