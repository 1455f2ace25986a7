//! Work that takes its time, in steps, so that the thread serves others in between: what VirtualBox is still doing is
//! asked for every now and then, and the rest of the work follows when it is done.

use crate::calls;
use crate::com::Com;
use crate::error::{Code, Error};
use crate::model::{Progress, Reporter};
use crate::xpcom::{Object, error_text};
use std::time::Instant;
use tokio::sync::oneshot;

/// Work that is done, or has to wait.
pub(crate) enum Step<T> {
    Done(T),
    /// VirtualBox is at it.
    Wait(Waiting<T>),
}

/// Work that waits for VirtualBox.
pub(crate) struct Waiting<T> {
    until: Until,
    then: Box<dyn Next<T>>,
}

/// What follows when VirtualBox is done, or has failed.
trait Next<T> {
    fn go_on(self: Box<Self>, com: &Com, outcome: Result<(), Error>) -> Result<Step<T>, Error>;
}

impl<T, F: FnOnce(&Com, Result<(), Error>) -> Result<Step<T>, Error>> Next<T> for F {
    fn go_on(self: Box<Self>, com: &Com, outcome: Result<(), Error>) -> Result<Step<T>, Error> {
        self(com, outcome)
    }
}

type Check = dyn Fn(&Com) -> Result<bool, Error>;

enum Until {
    /// An operation of VirtualBox's has ended.
    Complete { progress: Object, call: &'static str, shown: Option<Progress>, canceled: bool },
    /// Something has become true, or it is too late.
    True { check: Box<Check>, latest: Instant },
}

impl<T: 'static> Step<T> {
    /// Waits for an operation, then goes on. `call` began it.
    pub(crate) fn after(
        progress: Object,
        call: &'static crate::shape::Call,
        then: impl FnOnce(&Com) -> Result<Self, Error> + 'static,
    ) -> Self {
        let until = Until::Complete { progress, call: call.name, shown: None, canceled: false };
        let then = move |com: &Com, outcome: Result<(), Error>| outcome.and_then(|()| then(com));
        Self::Wait(Waiting { until, then: Box::new(then) })
    }

    /// Waits until something is true, then goes on; goes on all the same when it is too late.
    pub(crate) fn once(
        check: impl Fn(&Com) -> Result<bool, Error> + 'static,
        latest: Instant,
        then: impl FnOnce(&Com) -> Result<Self, Error> + 'static,
    ) -> Self {
        let until = Until::True { check: Box::new(check), latest };
        let then = move |com: &Com, outcome: Result<(), Error>| outcome.and_then(|()| then(com));
        Self::Wait(Waiting { until, then: Box::new(then) })
    }

    /// What follows the whole of some work, whether it came about or not.
    pub(crate) fn finally<U: 'static>(
        work: Result<Self, Error>,
        com: &Com,
        then: impl FnOnce(&Com, Result<T, Error>) -> Result<Step<U>, Error> + 'static,
    ) -> Result<Step<U>, Error> {
        match work {
            Err(error) => then(com, Err(error)),
            Ok(Self::Done(value)) => then(com, Ok(value)),
            Ok(Self::Wait(waiting)) => {
                let rest = move |com: &Com, outcome: Result<(), Error>| {
                    Self::finally(waiting.then.go_on(com, outcome), com, then)
                };
                Ok(Step::Wait(Waiting { until: waiting.until, then: Box::new(rest) }))
            }
        }
    }
}

impl Step<()> {
    /// Waits for an operation, which `held` is needed for, and is done.
    pub(crate) fn done_after<H: 'static>(
        progress: Object,
        call: &'static crate::shape::Call,
        held: H,
    ) -> Self {
        Self::after(progress, call, move |_| {
            drop(held);
            Ok(Self::Done(()))
        })
    }
}

/// Work that somebody waits for.
pub(crate) trait Job {
    /// Goes on with it. True when it is over and told.
    fn step(&mut self, com: &Com) -> bool;
}

/// Work and who waits for it.
pub(crate) struct Task<T> {
    waiting: Option<Waiting<T>>,
    reporter: Reporter,
    answer: Option<oneshot::Sender<Result<T, Error>>>,
}

impl<T: 'static> Task<T> {
    /// Takes the first step's result; gives the job if it is not over.
    pub(crate) fn begin(
        first: Result<Step<T>, Error>,
        reporter: Reporter,
        answer: oneshot::Sender<Result<T, Error>>,
        com: &Com,
    ) -> Option<Box<dyn Job>> {
        let mut task = Self { waiting: None, reporter, answer: Some(answer) };
        (!task.follow(first, com)).then(|| Box::new(task) as Box<dyn Job>)
    }

    /// Keeps what has to wait, tells what is done. True when it is over.
    fn follow(&mut self, step: Result<Step<T>, Error>, com: &Com) -> bool {
        let result = match step {
            Ok(Step::Wait(waiting)) => {
                self.waiting = Some(waiting);
                return false;
            }
            Ok(Step::Done(value)) => Ok(value),
            Err(error) => Err(error),
        };
        if let Err(Error::Gone { .. }) = result {
            com.mark_lost();
        }
        if let Some(answer) = self.answer.take() {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
        true
    }

    fn is_abandoned(&self) -> bool {
        self.answer.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl<T: 'static> Job for Task<T> {
    fn step(&mut self, com: &Com) -> bool {
        let abandoned = self.is_abandoned();
        let Some(Waiting { mut until, then }) = self.waiting.take() else { return true };
        match until.is_over(com, &self.reporter, abandoned) {
            Ok(false) => self.follow(Ok(Step::Wait(Waiting { until, then })), com),
            Ok(true) => self.follow(then.go_on(com, Ok(())), com),
            Err(error) => self.follow(then.go_on(com, Err(error)), com),
        }
    }
}

impl Until {
    fn is_over(&mut self, com: &Com, reporter: &Reporter, abandoned: bool) -> Result<bool, Error> {
        match self {
            Self::True { check, latest } => Ok(check(com)? || Instant::now() >= *latest),
            Self::Complete { progress, call, shown, canceled } => {
                if abandoned && !*canceled {
                    *canceled = true;
                    cancel(progress);
                }
                let done = progress.get(&calls::PROGRESS_DONE, &[])?;
                report(progress, reporter, shown)?;
                if done {
                    check(progress, call)?;
                }
                Ok(done)
            }
        }
    }
}

/// Nobody waits any more. What cannot be cancelled goes on, and its machine stays locked meanwhile.
fn cancel(progress: &Object) {
    if progress.get(&calls::PROGRESS_CANCELABLE, &[]).unwrap_or(false) {
        let _ = progress.run(&calls::PROGRESS_CANCEL, &[]);
    }
}

fn report(progress: &Object, reporter: &Reporter, shown: &mut Option<Progress>) -> Result<(), Error> {
    if !reporter.wants() {
        return Ok(());
    }
    let percent: u32 = progress.get(&calls::PROGRESS_PERCENT, &[])?;
    let doing = progress.get(&calls::PROGRESS_STEP, &[])?;
    let now = Progress { percent: u8::try_from(percent.min(100)).unwrap_or(100), doing };
    if shown.as_ref() != Some(&now) {
        reporter.report(now.clone());
        *shown = Some(now);
    }
    Ok(())
}

fn check(progress: &Object, call: &'static str) -> Result<(), Error> {
    let result: i32 = progress.get(&calls::PROGRESS_RESULT, &[])?;
    let code = Code(result as u32);
    if code.is_success() {
        return Ok(());
    }
    let info: Option<Object> = progress.get(&calls::PROGRESS_ERROR, &[])?;
    let text = info.map(|info| error_text(&info)).filter(|text| !text.is_empty());
    Err(Error::Call { call, code, text: text.unwrap_or_else(|| "VirtualBox gives no reason".to_owned()) })
}
