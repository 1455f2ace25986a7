//! What a line means that copies from a guest to here.

use super::{Copied, failed, is_folder};
use crate::CliError;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vocable_api::client::{ClientError, GuestFiles};
use vocable_copy::path::split_parent;
use vocable_copy::plan::Refusal;
use vocable_copy::pull::What;
use vocable_copy::tree::Kind;
use vocable_copy::{CopyError, Remote as _, Settings};

/// Where things go on this machine.
pub(super) struct Destination {
    path: PathBuf,
    /// Into that folder, under their own names.
    into: bool,
    /// It is a folder that is there: files go into it, a folder is the copy itself, so that the same line means the same
    /// when it is typed again.
    is_folder: bool,
}

impl Destination {
    /// From what was typed: of several guests each has a folder of its own, of several sources each goes into the folder.
    pub(super) fn new(path: &str, guest: Option<&str>, several: bool) -> Result<Self, CliError> {
        let base = PathBuf::from(path);
        let into = path.ends_with('/') || path == "." || path == ".." || path.ends_with("/.") || several;
        let Some(guest) = guest else { return Ok(Self { into, is_folder: base.is_dir(), path: base }) };
        let path = base.join(guest);
        let made = fs::create_dir_all(&path);
        made.map_err(|source| failed(CopyError::Write { path: path.clone(), source }, guest))?;
        Ok(Self { path, into: true, is_folder: true })
    }

    /// What something of that name becomes here.
    fn place(&self, name: &str, is_folder: bool) -> PathBuf {
        if self.into || self.is_folder && !is_folder { self.path.join(name) } else { self.path.clone() }
    }
}

/// Copies what is at one path of a guest.
pub(super) fn pull(
    files: &GuestFiles<'_>,
    guest: &str,
    path: &str,
    into: &Destination,
    recursive: bool,
    settings: &Settings,
) -> Result<Copied, CliError> {
    let started = Instant::now();
    let contents = path == "." || path.ends_with("/.");
    let path = path.strip_suffix("/.").unwrap_or(path);
    let source = files.shown(path.as_bytes());
    let found = files.stat(path.as_bytes()).map_err(|error| failed(CopyError::Remote(error), guest))?;
    let is_dir = match found {
        Some(Kind::Dir) if !recursive => return Err(is_folder(&source)),
        Some(Kind::Dir) => true,
        Some(Kind::File(_)) => false,
        Some(Kind::Link(_) | Kind::Other) => {
            return Err(CliError::new("file-failed", format!("{source} is neither a file nor a folder"))
                .hint("copy what the link leads to, or the folder it is in"));
        }
        None => return Err(failed(CopyError::Missing(source), guest)),
    };
    let name = split_parent(path.as_bytes()).map(|(_, name)| name.to_string());
    // Of a guest's root there is no name.
    let name = name.as_deref().unwrap_or(guest);
    let place = if contents { into.path.clone() } else { into.place(name, is_dir) };
    let nameless = || failed(CopyError::Nameless(place.display().to_string()), guest);
    let (what, folder) = match (is_dir, contents) {
        (true, true) => (What::Contents, place.as_path()),
        (true, false) => (What::Folder, place.as_path()),
        (false, _) => {
            let name = place.file_name().ok_or_else(nameless)?;
            let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
            (What::File(name), folder.unwrap_or(Path::new(".")))
        }
    };
    let open = || open(folder, is_dir);
    let copied = vocable_copy::pull(files, path.as_bytes(), what, open, folder, settings);
    Ok(Copied {
        guest: guest.to_owned(),
        source,
        destination: place.strip_prefix(".").unwrap_or(&place).display().to_string(),
        is_folder: is_dir,
        copied: copied.map_err(|error| failed(error, guest))?,
        took: started.elapsed(),
    })
}

/// The folder to write to, which is made if it is to be a copy itself.
fn open(folder: &Path, make: bool) -> Result<Dir, CopyError<ClientError>> {
    let write = |source| CopyError::Write { path: folder.to_owned(), source };
    if make {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(write(error)),
            Err(_) if !folder.is_dir() => {
                return Err(CopyError::Occupied(Refusal::OntoOther, folder.display().to_string()));
            }
            _ => {}
        }
    }
    Dir::open_ambient_dir(folder, ambient_authority()).map_err(write)
}
