//! Unregistering machines, and removing what was theirs.

use crate::calls;
use crate::com::Com;
use crate::error::Error;
use crate::step::Step;
use crate::values;
use crate::xpcom::{In, Object};
use std::path::{Path, PathBuf};

/// Forgets a machine; all its files stay.
pub(crate) fn unregister(com: &Com, which: &str) -> Result<(), Error> {
    let machine = com.find(which)?;
    let _media: Vec<Object> = machine.get(&calls::UNREGISTER, &[In::U32(values::UNREGISTER_ONLY)])?;
    Ok(())
}

/// Forgets a machine and removes its files: settings, logs, saved states, and those of its disks that are in its own
/// folder. Images elsewhere belong to somebody else and stay.
pub(crate) fn destroy(com: &Com, which: &str) -> Result<Step<()>, Error> {
    let machine = com.find(which)?;
    let settings: String = machine.get(&calls::SETTINGS_FILE, &[])?;
    let folder = Path::new(&settings).parent().map(PathBuf::from);
    let media: Vec<Object> = machine.get(&calls::UNREGISTER, &[In::U32(values::DETACH_DISKS)])?;
    let (own, others) = split(media, folder.as_deref())?;
    let progress = machine.get(&calls::DELETE_CONFIG, &[In::Objects(&own)])?;
    Ok(Step::after(progress, &calls::DELETE_CONFIG, move |_| {
        for medium in &others {
            // It may be another machine's, too; then it stays open.
            if let Err(error) = medium.run(&calls::MEDIUM_CLOSE, &[]) {
                tracing::debug!("an image stays known to VirtualBox: {error}");
            }
        }
        Ok(Step::Done(()))
    }))
}

/// Images within the folder, and the others.
fn split(media: Vec<Object>, folder: Option<&Path>) -> Result<(Vec<Object>, Vec<Object>), Error> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for medium in media {
        let location: String = medium.get(&calls::MEDIUM_LOCATION, &[])?;
        let is_own = folder.is_some_and(|folder| Path::new(&location).starts_with(folder));
        if is_own { own.push(medium) } else { others.push(medium) }
    }
    Ok((own, others))
}
