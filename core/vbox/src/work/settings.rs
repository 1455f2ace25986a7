//! Settings of machines that exist. What can be changed while a machine runs, is.

use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::DisplaySettings;
use crate::xpcom::{In, Object};

/// Changes a machine, and saves its settings.
pub(crate) fn change(
    com: &Com,
    which: &str,
    change: impl FnOnce(&Object) -> Result<(), Error>,
) -> Result<(), Error> {
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    let machine = session.machine()?;
    change(&machine)?;
    machine.run(&calls::SAVE_SETTINGS, &[])
}

/// Sets the remote display of a machine that is changeable.
pub(crate) fn apply_display(machine: &Object, display: &DisplaySettings) -> Result<(), Error> {
    let server: Object = machine.get(&calls::DISPLAY_SERVER, &[])?;
    let properties = [
        ("TCP/Address", display.address.map(|address| address.to_string())),
        ("TCP/Ports", display.ports.clone()),
        ("VNCPassword", display.password.clone()),
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            server.run(&calls::SET_DISPLAY_PROPERTY, &[In::Text(name), In::Text(&value)])?;
        }
    }
    server.run(&calls::SET_DISPLAY_ENABLED, &[In::Bool(display.enabled)])
}

/// Notes something on a machine; nothing removes it.
pub(crate) fn set_extra(com: &Com, which: &str, key: &str, value: Option<&str>) -> Result<(), Error> {
    let given = [In::Text(key), In::Text(value.unwrap_or_default())];
    change(com, which, |machine| machine.run(&calls::SET_EXTRA, &given))
}
