//! Appliances: machines in one file, to be carried elsewhere.

use super::{create, list, settings};
use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::{Import, Machine};
use crate::step::Step;
use crate::values;
use crate::xpcom::{FromOut, In, Object, Out};
use std::path::Path;

/// Makes a machine of an appliance.
pub(crate) fn import(com: &Com, import: Import) -> Result<Step<Machine>, Error> {
    let call = &calls::APPLIANCE_READ;
    let appliance: Object = com.virtualbox()?.get(&calls::CREATE_APPLIANCE, &[])?;
    let progress = appliance.get(call, &[In::Text(create::text(&import.file)?)])?;
    Ok(Step::after(progress, call, move |com| has_read(com, appliance, import)))
}

/// What is in it is known: says what is wanted of it, and begins.
fn has_read(com: &Com, appliance: Object, import: Import) -> Result<Step<Machine>, Error> {
    let call = &calls::APPLIANCE_IMPORT;
    appliance.run(&calls::APPLIANCE_INTERPRET, &[])?;
    let systems: Vec<Object> = appliance.get(&calls::APPLIANCE_DESCRIPTIONS, &[])?;
    let [system] = systems.as_slice() else {
        let reason = format!("{} has {} machines, not one", import.file.display(), systems.len());
        return Err(Error::Invalid { what: "appliance", reason });
    };
    describe(com, system, &import)?;
    let warnings: Vec<String> = appliance.get(&calls::APPLIANCE_WARNINGS, &[])?;
    for warning in warnings {
        tracing::warn!("{}: {}", import.file.display(), warning.trim());
    }
    let progress = appliance.get(call, &[In::U32s(&[])])?;
    Ok(Step::after(progress, call, move |com| has_imported(com, &appliance, &import)))
}

/// Changes name and folder, and with them the paths that VirtualBox has thought of.
fn describe(com: &Com, system: &Object, import: &Import) -> Result<(), Error> {
    let call = &calls::DESCRIPTION;
    let described = system.call(call, &[])?;
    let [kinds, _, _, values, extras] = <[Out; 5]>::try_from(described)
        .map_err(|_| Error::Invalid { what: call.name, reason: "it gave something else".to_owned() })?;
    let kinds = Vec::<u32>::from_out(kinds, call)?;
    let mut values = Vec::<String>::from_out(values, call)?;
    let extras = Vec::<String>::from_out(extras, call)?;
    let value_of = |wanted| {
        let index = kinds.iter().position(|kind| *kind == wanted)?;
        values.get(index).cloned()
    };
    let name = import.name.clone().or_else(|| value_of(values::DESCRIPTION_NAME)).unwrap_or_default();
    let settings = create::settings_file(&com.virtualbox()?, &name, import.folder.as_deref())?;
    let folder = Path::new(&settings).parent().unwrap_or(Path::new(""));
    for (kind, value) in kinds.iter().zip(&mut values) {
        match *kind {
            values::DESCRIPTION_NAME => value.clone_from(&name),
            values::DESCRIPTION_SETTINGS => value.clone_from(&settings),
            values::DESCRIPTION_FOLDER => {
                *value = folder.parent().unwrap_or(folder).to_string_lossy().into_owned();
            }
            values::DESCRIPTION_DISK => {
                let file = Path::new(value.as_str()).file_name().map(|file| folder.join(file));
                *value = file.unwrap_or_default().to_string_lossy().into_owned();
            }
            _ => {}
        }
    }
    let enabled = vec![true; kinds.len()];
    let (values, extras) = (strs(&values), strs(&extras));
    system.run(&calls::SET_DESCRIPTION, &[In::Bools(&enabled), In::Texts(&values), In::Texts(&extras)])
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The machine is registered: notes on it what is to be noted.
fn has_imported(com: &Com, appliance: &Object, import: &Import) -> Result<Step<Machine>, Error> {
    let ids: Vec<String> = appliance.get(&calls::APPLIANCE_MACHINES, &[])?;
    let id = ids.first().ok_or(Error::Null { call: calls::APPLIANCE_MACHINES.name })?;
    for (key, value) in &import.extra {
        settings::set_extra(com, id, key, Some(value))?;
    }
    list::machine(com, id).map(Step::Done)
}

/// Writes a machine that does not run into an appliance.
pub(crate) fn export(com: &Com, which: &str, file: &Path) -> Result<Step<()>, Error> {
    let call = &calls::APPLIANCE_WRITE;
    let file = create::text(file)?;
    let machine = com.find(which)?;
    // Nobody may start it meanwhile.
    let session = com.lock(&machine, Lock::Shared)?;
    let appliance: Object = com.virtualbox()?.get(&calls::CREATE_APPLIANCE, &[])?;
    let _described: Object = machine.get(&calls::EXPORT_TO, &[In::Object(&appliance), In::Text(file)])?;
    drop(session);
    let given = [In::Text("ovf-2.0"), In::U32s(&[]), In::Text(file)];
    let progress = appliance.get(call, &given)?;
    Ok(Step::done_after(progress, call, appliance))
}
