//! What a line means that copies from here to a guest.

use super::{Copied, Share, failed, is_folder, local_failed};
use crate::CliError;
use std::path::Path;
use std::time::Instant;
use vocable_api::client::GuestFiles;
use vocable_copy::exclude::Exclude;
use vocable_copy::local::{LocalTree, parent_and_name};
use vocable_copy::tree::Kind;
use vocable_copy::{CopyError, Remote as _, Settings, Source};

/// What was typed, and what it is.
pub(super) type Typed = (String, Source);

/// Lists what is to be copied.
pub(super) fn read(path: &Path, recursive: bool, exclude: &Exclude) -> Result<Typed, CliError> {
    let text = path.to_string_lossy().into_owned();
    let io = |error| local_failed(&error);
    let (parent, name) = parent_and_name(path).map_err(io)?;
    if !recursive && parent.join(&name).is_dir() {
        return Err(is_folder(&text));
    }
    let source = Source::read(LocalTree::open(&parent).map_err(io)?, &name, exclude).map_err(io)?;
    let source = source.filter(|source| !source.is_special());
    let source = source
        .ok_or_else(|| CliError::new("file-failed", format!("{text} is neither a file nor a folder")))?;
    let contents = text == "." || text.ends_with("/.");
    Ok((text, if contents { source.contents() } else { source }))
}

/// Copies to one guest.
pub(super) fn push(
    files: &GuestFiles<'_>,
    guest: &str,
    sources: &[Typed],
    path: &str,
    settings: &Settings,
) -> Share {
    // Of several each goes into the folder, as of one with a slash behind it.
    let into = sources.len() > 1 || path.is_empty() || path.ends_with('/');
    let push = |(text, source): &Typed| {
        let started = Instant::now();
        let failed = |error| failed(error, guest);
        let destination = destination(files, guest, (text, source), path, into)?;
        let copied = vocable_copy::push(files, source, destination.as_bytes(), settings).map_err(failed)?;
        Ok(Copied {
            guest: guest.to_owned(),
            source: text.clone(),
            destination: files.shown(destination.as_bytes()),
            is_folder: source.is_folder(),
            copied,
            took: started.elapsed(),
        })
    };
    sources.iter().map(push).collect()
}

/// Where it goes, exactly.
fn destination(
    files: &GuestFiles<'_>,
    guest: &str,
    (text, source): (&str, &Source),
    path: &str,
    into: bool,
) -> Result<String, CliError> {
    if source.is_contents() {
        return Ok(path.strip_suffix("/.").unwrap_or(path).to_owned());
    }
    let stat = || files.stat(path.as_bytes()).map_err(|error| failed(CopyError::Remote(error), guest));
    // A file that is copied onto a folder goes into it.
    if !into && (source.is_folder() || stat()? != Some(Kind::Dir)) {
        return Ok(path.to_owned());
    }
    let name = source.name().to_str().ok_or_else(|| {
        CliError::bad_argument(format!("{text} is no text; name it on the guest: {guest}:PATH"))
    })?;
    Ok(match path {
        "" => name.to_owned(),
        path if path.ends_with('/') => format!("{path}{name}"),
        path => format!("{path}/{name}"),
    })
}
