//! Snapshots.

use super::list::time;
use crate::calls;
use crate::com::{Com, Lock};
use crate::error::Error;
use crate::model::{Snapshot, State};
use crate::step::Step;
use crate::xpcom::{FromOut, In, Object};

/// Snapshots that are listed. VirtualBox itself allows chains of 250.
const MOST: usize = 10_000;

/// All snapshots of a machine, each before those that are based on it.
pub(crate) fn snapshots(com: &Com, which: &str) -> Result<Vec<Snapshot>, Error> {
    let machine = com.find(which)?;
    let current: Option<Object> = machine.get(&calls::CURRENT_SNAPSHOT, &[])?;
    let Some(current) = current else { return Ok(Vec::new()) };
    let current: String = current.get(&calls::SNAPSHOT_ID, &[])?;
    // Without a name or id it finds the first one.
    let root: Object = machine.get(&calls::FIND_SNAPSHOT, &[In::Text("")])?;
    let mut found = Vec::new();
    let mut left = vec![(root, None)];
    while let Some((snapshot, parent)) = left.pop().filter(|_| found.len() < MOST) {
        let described = describe(&snapshot, parent, &current)?;
        let children: Vec<Object> = snapshot.get(&calls::SNAPSHOT_CHILDREN, &[])?;
        left.extend(children.into_iter().rev().map(|child| (child, Some(described.id.clone()))));
        found.push(described);
    }
    Ok(found)
}

fn describe(snapshot: &Object, parent: Option<String>, current: &str) -> Result<Snapshot, Error> {
    let id: String = snapshot.get(&calls::SNAPSHOT_ID, &[])?;
    Ok(Snapshot {
        name: snapshot.get(&calls::SNAPSHOT_NAME, &[])?,
        description: snapshot.get(&calls::SNAPSHOT_DESCRIPTION, &[])?,
        taken: time(snapshot.get(&calls::SNAPSHOT_TIME, &[])?),
        online: snapshot.get(&calls::SNAPSHOT_ONLINE, &[])?,
        parent,
        current: id == current,
        id,
    })
}

/// Takes one, without stopping a machine that runs. Gives its id.
pub(crate) fn take(com: &Com, which: &str, name: &str, description: &str) -> Result<Step<String>, Error> {
    let call = &calls::TAKE_SNAPSHOT;
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    let machine = session.machine()?;
    // One that does not run stays "paused": VirtualBox takes live snapshots of machines that run only.
    let paused = State::from_number(machine.get(&calls::STATE, &[])?) != State::Running;
    let given = [In::Text(name), In::Text(description), In::Bool(paused)];
    let mut given = machine.call(call, &given)?.into_iter();
    let mut next = || given.next().ok_or(Error::Null { call: call.name });
    let (id, progress) = (String::from_out(next()?, call)?, Object::from_out(next()?, call)?);
    Ok(Step::after(progress, call, move |_| {
        drop(session);
        Ok(Step::Done(id))
    }))
}

/// Makes a machine that does not run what it was then.
pub(crate) fn restore(com: &Com, which: &str, snapshot: &str) -> Result<Step<()>, Error> {
    let session = com.lock(&com.find(which)?, Lock::Write)?;
    let machine = session.machine()?;
    let snapshot: Object = machine.get(&calls::FIND_SNAPSHOT, &[In::Text(snapshot)])?;
    let progress = machine.get(&calls::RESTORE_SNAPSHOT, &[In::Object(&snapshot)])?;
    Ok(Step::done_after(progress, &calls::RESTORE_SNAPSHOT, session))
}

/// Deletes one; what is based on it stays as it is.
pub(crate) fn delete(com: &Com, which: &str, snapshot: &str) -> Result<Step<()>, Error> {
    let session = com.lock(&com.find(which)?, Lock::Shared)?;
    let machine = session.machine()?;
    let snapshot: Object = machine.get(&calls::FIND_SNAPSHOT, &[In::Text(snapshot)])?;
    let id: String = snapshot.get(&calls::SNAPSHOT_ID, &[])?;
    let progress = machine.get(&calls::DELETE_SNAPSHOT, &[In::Text(&id)])?;
    Ok(Step::done_after(progress, &calls::DELETE_SNAPSHOT, session))
}
