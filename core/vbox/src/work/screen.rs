//! A machine's screen, here and over the network.

use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::State;
use crate::shape::Call;
use crate::values;
use crate::xpcom::{FromOut, In, Object};

/// The screen that is shown: machines have one.
const FIRST: In<'_> = In::U32(0);

/// The screen of a machine that runs, as a PNG.
pub(crate) fn screenshot(com: &Com, which: &str) -> Result<Vec<u8>, Error> {
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    let display: Object = session.console()?.get(&calls::CONSOLE_DISPLAY, &[])?;
    let call: &'static Call = &calls::RESOLUTION;
    let mut size = display.call(call, &[FIRST])?.into_iter();
    let mut next = || u32::from_out(size.next().ok_or(Error::Null { call: call.name })?, call);
    let (width, height) = (next()?, next()?);
    let given = [FIRST, In::U32(width), In::U32(height), In::U32(values::PNG)];
    display.get(&calls::SCREENSHOT, &given)
}

/// The port that the remote display of a machine listens on. A machine that is being locked or is on its way has none.
pub(crate) fn active_port(com: &Com, machine: &Object, state: State) -> Option<u16> {
    if !matches!(state, State::Running | State::Paused) {
        return None;
    }
    let session = com.lock(machine, Lock::Shared).ok()?;
    let info: Object = session.console().ok()?.get(&calls::CONSOLE_SERVER_INFO, &[]).ok()?;
    let port: i32 = info.get(&calls::SERVER_PORT, &[]).ok()?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}
