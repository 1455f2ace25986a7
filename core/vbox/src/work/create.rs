//! Creating and registering machines. What was made of one that fails half-way is removed again.

use super::{destroy, list, network, settings};
use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::{AdapterKind, Disk, Engine, Machine, NewAdapter, NewMachine};
use crate::step::Step;
use crate::values;
use crate::xpcom::{In, Object};
use std::path::Path;

/// Names of the controllers that disk and CD drive are attached to.
const DISKS: &str = "SATA";
const DRIVES: &str = "IDE";

/// The format of images that are made here.
const FORMAT: &str = "VDI";

/// Video memory in MiB: enough for a console.
const VIDEO_MEMORY: u32 = 16;

/// In `createMachine` since 7.1: x86.
const X86: u32 = 1;

/// Registers a machine by its settings.
pub(crate) fn register(com: &Com, settings_file: &str) -> Result<Machine, Error> {
    let virtualbox = com.virtualbox()?;
    let machine: Object = virtualbox.get(&calls::OPEN_MACHINE, &[In::Text(settings_file), In::Text("")])?;
    virtualbox.run(&calls::REGISTER_MACHINE, &[In::Object(&machine)])?;
    list::describe(com, &machine)
}

/// Creates a machine, registers it, and gives it its disk.
pub(crate) fn create(com: &Com, new: NewMachine) -> Result<Step<Machine>, Error> {
    let virtualbox = com.virtualbox()?;
    // Checked first: an image that is not there is no reason to make a machine.
    let image = new.disk.as_ref().map(|disk| open_disk(&virtualbox, disk)).transpose()?;
    let drive = new.iso.as_deref().map(|iso| open(&virtualbox, iso, values::DVD)).transpose()?;
    let machine = new_machine(&virtualbox, &new)?;
    let id: String = machine.get(&calls::MACHINE_ID, &[])?;
    configure(&machine, &new)?;
    for (key, value) in &new.extra {
        machine.run(&calls::SET_EXTRA, &[In::Text(key), In::Text(value)])?;
    }
    machine.run(&calls::SAVE_SETTINGS, &[])?;
    virtualbox.run(&calls::REGISTER_MACHINE, &[In::Object(&machine)])?;
    let disk = new.disk.zip(image);
    Step::finally(give_disk(com, &machine, disk, drive), com, move |com, made| match made {
        Ok(machine) => Ok(Step::Done(machine)),
        Err(error) => undo(com, &id, error),
    })
}

/// Removes what was made, then fails with why.
fn undo(com: &Com, id: &str, error: Error) -> Result<Step<Machine>, Error> {
    Step::finally(destroy::destroy(com, id), com, |_, undone| {
        if let Err(also) = undone {
            tracing::warn!("a machine that could not be completed stays: {also}");
        }
        Err(error)
    })
}

fn open_disk(virtualbox: &Object, disk: &Disk) -> Result<Object, Error> {
    open(virtualbox, disk.image(), values::HARD_DISK)
}

/// An image that VirtualBox knows, or comes to know.
fn open(virtualbox: &Object, image: &Path, kind: u32) -> Result<Object, Error> {
    let access = if kind == values::DVD { values::READ_ONLY } else { values::READ_WRITE };
    let given = [In::Text(text(image)?), In::U32(kind), In::U32(access), In::Bool(false)];
    virtualbox.get(&calls::OPEN_MEDIUM, &given)
}

/// VirtualBox's paths are text.
pub(crate) fn text(path: &Path) -> Result<&str, Error> {
    let invalid = || Error::Invalid { what: "path", reason: format!("{} is not UTF-8", path.display()) };
    path.to_str().ok_or_else(invalid)
}

/// A machine that is not registered and has no settings yet.
fn new_machine(virtualbox: &Object, new: &NewMachine) -> Result<Object, Error> {
    let file = settings_file(virtualbox, &new.name, new.folder.as_deref())?;
    let (file, name, os_type) = (In::Text(&file), In::Text(&new.name), In::Text(&new.os_type));
    let (groups, none) = (In::Texts(&[]), || In::Text(""));
    // The calls are alternatives: which one there is was seen when the library was opened.
    if virtualbox.has(&calls::CREATE_MACHINE_70) {
        let given = [file, name, groups, os_type, none(), none(), none(), none()];
        return virtualbox.get(&calls::CREATE_MACHINE_70, &given);
    }
    let given = [file, name, In::U32(X86), groups, os_type, none(), none(), none(), none()];
    virtualbox.get(&calls::CREATE_MACHINE_71, &given)
}

/// Where the settings of a machine of that name go.
pub(crate) fn settings_file(virtualbox: &Object, name: &str, folder: Option<&Path>) -> Result<String, Error> {
    let folder = folder.map(text).transpose()?.unwrap_or_default();
    let given = [In::Text(name), In::Text(""), In::Text(""), In::Text(folder)];
    virtualbox.get(&calls::MACHINE_FILENAME, &given)
}

fn configure(machine: &Object, new: &NewMachine) -> Result<(), Error> {
    machine.run(&calls::SET_CPUS, &[In::U32(new.cpus)])?;
    machine.run(&calls::SET_MEMORY, &[In::U32(new.memory_mib)])?;
    let graphics: Object = machine.get(&calls::GRAPHICS, &[])?;
    graphics.run(&calls::SET_GRAPHICS, &[In::U32(values::VBOX_VGA)])?;
    graphics.run(&calls::SET_VRAM, &[In::U32(VIDEO_MEMORY)])?;
    if let Some(engine) = new.engine {
        machine.run(&calls::SET_ENGINE, &[In::U32(engine_number(engine))])?;
    }
    for slot in 0..list::ADAPTERS {
        let adapter: Object = machine.get(&calls::ADAPTER, &[In::U32(slot)])?;
        match new.adapters.get(slot as usize) {
            Some(wanted) => configure_adapter(&adapter, wanted)?,
            // A machine of 7.0 begins with one.
            None => adapter.run(&calls::SET_ADAPTER_ENABLED, &[In::Bool(false)])?,
        }
    }
    if let Some(log) = &new.serial_log {
        let port: Object = machine.get(&calls::SERIAL_PORT, &[In::U32(0)])?;
        port.run(&calls::SET_SERIAL_PATH, &[In::Text(text(log)?)])?;
        port.run(&calls::SET_SERIAL_MODE, &[In::U32(values::RAW_FILE)])?;
        port.run(&calls::SET_SERIAL_ENABLED, &[In::Bool(true)])?;
    }
    new.display.as_ref().map_or(Ok(()), |display| settings::apply_display(machine, display))
}

fn configure_adapter(adapter: &Object, wanted: &NewAdapter) -> Result<(), Error> {
    let kind = match wanted.kind {
        AdapterKind::E1000 => values::E1000,
        AdapterKind::Virtio => values::VIRTIO,
    };
    adapter.run(&calls::SET_ADAPTER_KIND, &[In::U32(kind)])?;
    network::attach(adapter, &wanted.attachment)?;
    if let Some(mac) = &wanted.mac {
        adapter.run(&calls::SET_ADAPTER_MAC, &[In::Text(mac)])?;
    }
    wanted.forwards.iter().try_for_each(|forward| network::add_forward(adapter, forward))
}

fn engine_number(engine: Engine) -> u32 {
    match engine {
        Engine::Default => values::ENGINE_DEFAULT,
        Engine::Hardware => values::ENGINE_HARDWARE,
        Engine::Interpreter => values::ENGINE_INTERPRETER,
        Engine::Native => values::ENGINE_NATIVE,
        Engine::Recompiler => values::ENGINE_RECOMPILER,
    }
}

/// Attaches the CD, and the disk when that is there.
fn give_disk(
    com: &Com,
    machine: &Object,
    disk: Option<(Disk, Object)>,
    drive: Option<Object>,
) -> Result<Step<Machine>, Error> {
    if let Some(drive) = drive {
        attach(com, machine, (DRIVES, values::IDE), values::DVD, &drive)?;
    }
    let Some((disk, image)) = disk else {
        return list::describe(com, machine).map(Step::Done);
    };
    let call = match disk {
        Disk::Attach(_) => return attached(com, machine, &image).map(Step::Done),
        Disk::Clone(_) => &calls::CREATE_DIFFERENCE,
        Disk::Copy(_) => &calls::CLONE_TO_BASE,
    };
    let variant = match disk {
        Disk::Clone(_) => values::DIFFERENCE,
        _ => values::STANDARD,
    };
    let target = new_medium(com, machine)?;
    let progress = image.get(call, &[In::Object(&target), In::U32s(&[variant])])?;
    let machine = machine.clone();
    Ok(Step::after(progress, call, move |com| attached(com, &machine, &target).map(Step::Done)))
}

/// An image in the folder of the machine, that does not exist yet.
fn new_medium(com: &Com, machine: &Object) -> Result<Object, Error> {
    let settings: String = machine.get(&calls::SETTINGS_FILE, &[])?;
    let location = Path::new(&settings).with_extension("vdi");
    let given = [
        In::Text(FORMAT),
        In::Text(text(&location)?),
        In::U32(values::READ_WRITE),
        In::U32(values::HARD_DISK),
    ];
    com.virtualbox()?.get(&calls::CREATE_MEDIUM, &given)
}

fn attached(com: &Com, machine: &Object, disk: &Object) -> Result<Machine, Error> {
    attach(com, machine, (DISKS, values::SATA), values::HARD_DISK, disk)?;
    list::describe(com, machine)
}

/// Attaches an image to a controller of its own.
fn attach(
    com: &Com,
    machine: &Object,
    (controller, bus): (&str, u32),
    kind: u32,
    medium: &Object,
) -> Result<(), Error> {
    let session = com.lock(machine, Lock::Write)?;
    let machine = session.machine()?;
    let _controller: Object = machine.get(&calls::ADD_CONTROLLER, &[In::Text(controller), In::U32(bus)])?;
    let given = [In::Text(controller), In::I32(0), In::I32(0), In::U32(kind), In::Object(medium)];
    machine.run(&calls::ATTACH_DEVICE, &given)?;
    machine.run(&calls::SAVE_SETTINGS, &[])
}
