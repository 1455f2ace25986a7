//! Starting, pausing, saving and ending machines.

use crate::calls;
use crate::com::{Com, Lock, Session};
use crate::error::Error;
use crate::shape::Call;
use crate::step::Step;
use crate::values;
use crate::xpcom::{In, Object};
use std::time::{Duration, Instant};

/// How long the process of a machine may take to go away after it has ended. It is not an error if it takes longer.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a machine without a window.
pub(crate) fn start(com: &Com, which: &str) -> Result<Step<()>, Error> {
    let machine = com.find(which)?;
    let session = com.session()?;
    let given = [In::Object(&session), In::Text("headless"), In::Texts(&[])];
    let progress = machine.get(&calls::LAUNCH, &given)?;
    let session = Session::started(session);
    Ok(Step::done_after(progress, &calls::LAUNCH, session))
}

/// Calls a method of the console of a machine that runs.
pub(crate) fn console(com: &Com, which: &str, call: &'static Call) -> Result<(), Error> {
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    session.console()?.run(call, &[])
}

/// Ends a machine as if its cable had been pulled.
pub(crate) fn power_off(com: &Com, which: &str) -> Result<Step<()>, Error> {
    let machine = com.find(which)?;
    let session = com.lock(&machine, Lock::Shared)?;
    let progress = session.console()?.get(&calls::POWER_DOWN, &[])?;
    Ok(ends(machine, session, progress, &calls::POWER_DOWN))
}

/// Saves a machine and ends it.
pub(crate) fn save(com: &Com, which: &str) -> Result<Step<()>, Error> {
    let machine = com.find(which)?;
    let session = com.lock(&machine, Lock::Shared)?;
    let progress = session.machine()?.get(&calls::SAVE_STATE, &[])?;
    Ok(ends(machine, session, progress, &calls::SAVE_STATE))
}

/// Throws away what was saved, so that the machine will start from the beginning.
pub(crate) fn discard_saved(com: &Com, which: &str) -> Result<(), Error> {
    let session = com.lock(&com.find(which)?, Lock::Write)?;
    session.machine()?.run(&calls::DISCARD_SAVED, &[In::Bool(true)])
}

/// Waits for the operation, and until the machine's process has let go of the machine: before that, nothing else can
/// be done with it.
fn ends(machine: Object, session: Session, progress: Object, call: &'static Call) -> Step<()> {
    Step::after(progress, call, move |_| {
        drop(session);
        let unlocked = move |_: &Com| Ok(machine.get::<u32>(&calls::SESSION_STATE, &[])? == values::UNLOCKED);
        Ok(Step::once(unlocked, Instant::now() + EXIT_TIMEOUT, |_| Ok(Step::Done(()))))
    })
}
