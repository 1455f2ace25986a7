//! Settings of machines that exist. What can be changed while a machine runs, is.

use super::network;
use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::{Attachment, DisplaySettings, Forward};
use crate::xpcom::{In, Object};

/// Changes a machine, and saves its settings.
fn change(com: &Com, which: &str, change: impl FnOnce(&Object) -> Result<(), Error>) -> Result<(), Error> {
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    let machine = session.machine()?;
    change(&machine)?;
    machine.run(&calls::SAVE_SETTINGS, &[])
}

/// Changes a network adapter of a machine.
fn change_adapter(
    com: &Com,
    which: &str,
    slot: u32,
    with: impl FnOnce(&Object) -> Result<(), Error>,
) -> Result<(), Error> {
    change(com, which, |machine| with(&machine.get(&calls::ADAPTER, &[In::U32(slot)])?))
}

/// Sets the remote display.
pub(crate) fn set_display(com: &Com, which: &str, display: &DisplaySettings) -> Result<(), Error> {
    change(com, which, |machine| apply_display(machine, display))
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

/// Limits how much of a host's processor each of the machine's own may use.
pub(crate) fn set_cpu_cap(com: &Com, which: &str, percent: u32) -> Result<(), Error> {
    change(com, which, |machine| machine.run(&calls::SET_CPU_CAP, &[In::U32(percent)]))
}

/// Plugs a network cable in or pulls it.
pub(crate) fn set_cable(com: &Com, which: &str, slot: u32, connected: bool) -> Result<(), Error> {
    change_adapter(com, which, slot, |adapter| adapter.run(&calls::SET_CABLE, &[In::Bool(connected)]))
}

/// Gives an adapter another address; VirtualBox makes one where none is named.
pub(crate) fn set_mac(com: &Com, which: &str, slot: u32, mac: Option<&str>) -> Result<(), Error> {
    let mac = mac.unwrap_or_default();
    change_adapter(com, which, slot, |adapter| adapter.run(&calls::SET_ADAPTER_MAC, &[In::Text(mac)]))
}

/// Attaches an adapter to something else.
pub(crate) fn set_adapter(com: &Com, which: &str, slot: u32, to: &Attachment) -> Result<(), Error> {
    change_adapter(com, which, slot, |adapter| network::attach(adapter, to))
}

/// Adds a forward.
pub(crate) fn add_forward(com: &Com, which: &str, slot: u32, forward: &Forward) -> Result<(), Error> {
    change_adapter(com, which, slot, |adapter| network::add_forward(adapter, forward))
}

/// Removes a forward.
pub(crate) fn remove_forward(com: &Com, which: &str, slot: u32, name: &str) -> Result<(), Error> {
    change_adapter(com, which, slot, |adapter| network::remove_forward(adapter, name))
}

/// A note on a machine.
pub(crate) fn extra(com: &Com, which: &str, key: &str) -> Result<Option<String>, Error> {
    some(com.find(which)?.get(&calls::EXTRA, &[In::Text(key)])?)
}

/// Notes something on a machine; nothing removes it.
pub(crate) fn set_extra(com: &Com, which: &str, key: &str, value: Option<&str>) -> Result<(), Error> {
    let given = [In::Text(key), In::Text(value.unwrap_or_default())];
    change(com, which, |machine| machine.run(&calls::SET_EXTRA, &given))
}

/// A property of the guest.
pub(crate) fn guest_property(com: &Com, which: &str, name: &str) -> Result<Option<String>, Error> {
    some(com.find(which)?.get(&calls::GUEST_PROPERTY, &[In::Text(name)])?)
}

/// Sets a property of the guest, or removes it.
pub(crate) fn set_guest_property(
    com: &Com,
    which: &str,
    name: &str,
    value: Option<&str>,
) -> Result<(), Error> {
    change(com, which, |machine| match value {
        Some(value) => machine.run(&calls::SET_GUEST_PROPERTY, &[In::Text(name), In::Text(value)]),
        None => machine.run(&calls::DELETE_GUEST_PROPERTY, &[In::Text(name)]),
    })
}

/// VirtualBox has an empty text where there is none.
fn some(text: String) -> Result<Option<String>, Error> {
    Ok(Some(text).filter(|text| !text.is_empty()))
}
