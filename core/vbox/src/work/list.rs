//! Machines as they are.

use super::network;
use crate::calls;
use crate::com::Com;
use crate::error::Error;
use crate::model::{Adapter, Display, Machine, State, Version};
use crate::xpcom::{In, Object, error_text};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Network adapters that every chipset has; those beyond are for nobody we know.
pub(crate) const ADAPTERS: u32 = 8;

/// Notes on a machine that are read. VirtualBox's own programs leave a dozen.
const MOST_EXTRA: usize = 200;

pub(crate) fn version(com: &Com) -> Result<Version, Error> {
    let virtualbox = com.virtualbox()?;
    Ok(Version {
        text: virtualbox.get(&calls::VERSION, &[])?,
        api: virtualbox.get(&calls::API_VERSION, &[])?,
        revision: virtualbox.get(&calls::REVISION, &[])?,
        folder: com.library().folder.clone(),
    })
}

pub(crate) fn machines(com: &Com) -> Result<Vec<Machine>, Error> {
    let machines: Vec<Object> = com.virtualbox()?.get(&calls::MACHINES, &[])?;
    let mut described = Vec::new();
    for machine in &machines {
        match describe(com, machine) {
            Ok(machine) => described.push(machine),
            // Another program unregistered it meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(described)
}

/// A machine, by name or UUID.
pub(crate) fn machine(com: &Com, which: &str) -> Result<Machine, Error> {
    describe(com, &com.find(which)?)
}

/// A machine as it is.
pub(crate) fn describe(com: &Com, machine: &Object) -> Result<Machine, Error> {
    if !machine.get::<bool>(&calls::ACCESSIBLE, &[])? {
        return inaccessible(machine);
    }
    let snapshot: Option<Object> = machine.get(&calls::CURRENT_SNAPSHOT, &[])?;
    let pid: u32 = machine.get(&calls::SESSION_PID, &[])?;
    let state = State::from_number(machine.get(&calls::STATE, &[])?);
    Ok(Machine {
        id: machine.get(&calls::MACHINE_ID, &[])?,
        name: machine.get(&calls::MACHINE_NAME, &[])?,
        state,
        since: time(machine.get(&calls::STATE_SINCE, &[])?),
        inaccessible: None,
        // A session that does not run the machine has a process, too.
        pid: Some(pid).filter(|pid| *pid != 0 && state.is_online()),
        cpus: machine.get(&calls::CPUS, &[])?,
        memory_mib: machine.get(&calls::MEMORY, &[])?,
        cpu_cap: machine.get(&calls::CPU_CAP, &[])?,
        os_type: machine.get(&calls::OS_TYPE, &[])?,
        settings_file: machine.get::<String>(&calls::SETTINGS_FILE, &[])?.into(),
        snapshots: machine.get(&calls::SNAPSHOT_COUNT, &[])?,
        snapshot: snapshot.map(|snapshot| snapshot.get(&calls::SNAPSHOT_NAME, &[])).transpose()?,
        adapters: adapters(machine)?,
        display: display(com, machine, state)?,
        extra: extra(machine)?,
    })
}

fn inaccessible(machine: &Object) -> Result<Machine, Error> {
    let error: Option<Object> = machine.get(&calls::ACCESS_ERROR, &[])?;
    let reason = error.map(|error| error_text(&error)).unwrap_or_default();
    Ok(Machine {
        id: machine.get(&calls::MACHINE_ID, &[])?,
        // VirtualBox gives the path of its settings as the name of one that it could not read.
        name: machine.get(&calls::MACHINE_NAME, &[]).unwrap_or_default(),
        state: State::Aborted,
        since: SystemTime::UNIX_EPOCH,
        inaccessible: Some(reason),
        pid: None,
        cpus: 0,
        memory_mib: 0,
        cpu_cap: 0,
        os_type: String::new(),
        settings_file: machine.get::<String>(&calls::SETTINGS_FILE, &[]).unwrap_or_default().into(),
        snapshots: 0,
        snapshot: None,
        adapters: Vec::new(),
        display: Display::default(),
        extra: BTreeMap::new(),
    })
}

/// VirtualBox counts milliseconds since 1970.
pub(crate) fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds.max(0).unsigned_abs())
}

fn adapters(machine: &Object) -> Result<Vec<Adapter>, Error> {
    let mut adapters = Vec::new();
    for slot in 0..ADAPTERS {
        let adapter: Object = machine.get(&calls::ADAPTER, &[In::U32(slot)])?;
        if adapter.get(&calls::ADAPTER_ENABLED, &[])? {
            adapters.push(network::adapter(slot, &adapter)?);
        }
    }
    Ok(adapters)
}

fn display(com: &Com, machine: &Object, state: State) -> Result<Display, Error> {
    let server: Object = machine.get(&calls::DISPLAY_SERVER, &[])?;
    let enabled = server.get(&calls::DISPLAY_ENABLED, &[])?;
    let property = |name| server.get::<String>(&calls::DISPLAY_PROPERTY, &[In::Text(name)]);
    Ok(Display {
        enabled,
        address: property("TCP/Address").unwrap_or_default(),
        ports: property("TCP/Ports").unwrap_or_default(),
        active_port: if enabled { super::screen::active_port(com, machine, state) } else { None },
    })
}

fn extra(machine: &Object) -> Result<BTreeMap<String, String>, Error> {
    let keys: Vec<String> = machine.get(&calls::EXTRA_KEYS, &[])?;
    let value = |key: String| {
        let value = machine.get(&calls::EXTRA, &[In::Text(&key)])?;
        Ok((key, value))
    };
    keys.into_iter().take(MOST_EXTRA).map(value).collect()
}
