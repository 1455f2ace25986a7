//! A disc that machines configure themselves from, once: ISO 9660 with Rock Ridge, so that names and permissions are
//! those of POSIX, and the label that cloud-init looks for.

use super::files::SeedFile;
use hadris_iso::rrip::RripOptions;
use hadris_iso::sync::read::PathSeparator;
use hadris_iso::sync::write::options::{BaseIsoLevel, CreationFeatures, IsoFormatOptions};
use hadris_iso::sync::write::{InputEntry, InputMetadata, InputTree, IsoImageWriter};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The label of cloud-init's data source NoCloud.
pub(crate) const LABEL: &str = "cidata";

#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    /// The file system did not take it.
    #[error("{path} cannot be written")]
    File { path: PathBuf, source: io::Error },
    /// What is to be on it does not fit into ISO 9660.
    #[error("the disc {path} cannot be made: {reason}")]
    Format { path: PathBuf, reason: String },
}

/// Writes the disc: it is there as a whole or not at all, and nobody else may read it, for there is a secret on it.
pub(crate) fn write_seed(path: &Path, files: Vec<SeedFile>) -> Result<u64, SeedError> {
    let cannot = |source| SeedError::File { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600, which it keeps.
    let file = NamedTempFile::new_in(folder).map_err(cannot)?;
    let opened = file.reopen().map_err(cannot)?;
    let made = IsoImageWriter::create(opened, tree(files), options())
        .map_err(|error| SeedError::Format { path: path.to_owned(), reason: error.to_string() })?;
    made.sync_all().map_err(cannot)?;
    let size = made.metadata().map_err(cannot)?.len();
    file.persist(path).map_err(|error| cannot(error.error))?;
    Ok(size)
}

fn options() -> IsoFormatOptions {
    IsoFormatOptions {
        volume_name: LABEL.to_owned(),
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: Some("VOCABLE GUEST-IMAGE".to_owned()),
        sector_size: 2048,
        path_separator: PathSeparator::ForwardSlash,
        features: CreationFeatures {
            filenames: BaseIsoLevel::Level1 { supports_lowercase: false, supports_rrip: true },
            rock_ridge: Some(RripOptions::default()),
            ..CreationFeatures::rock_ridge()
        },
        // The label is in lower case.
        strict_charset: false,
    }
}

/// Files at the top and in folders at the top; there are no others.
fn tree(files: Vec<SeedFile>) -> InputTree {
    let mut folders = BTreeMap::<String, Vec<InputEntry>>::new();
    let mut top = Vec::new();
    for file in files {
        let metadata =
            InputMetadata { mode: Some(file.mode), uid: Some(0), gid: Some(0), ..InputMetadata::default() };
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let entry = InputEntry::file(name, file.content).with_metadata(metadata);
        match folder {
            "" => top.push(entry),
            folder => folders.entry(folder.to_owned()).or_default().push(entry),
        }
    }
    let private = InputMetadata { mode: Some(0o700), uid: Some(0), gid: Some(0), ..InputMetadata::default() };
    top.extend(
        folders.into_iter().map(|(name, files)| InputEntry::directory(name, files).with_metadata(private)),
    );
    InputTree::new(PathSeparator::ForwardSlash, top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_disc_is_private_has_its_label_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm1.iso");
        std::fs::write(&path, "older").unwrap();
        let size = write_seed(&path, super::super::files::tests::disc("vm1").files()).unwrap();
        let disc = std::fs::read(&path).unwrap();
        assert_eq!(u64::try_from(disc.len()).unwrap(), size);
        // ECMA-119, 8.4: the first volume descriptor is in sector 16, the label at 40 of it.
        let descriptor = &disc[16 * 2048..17 * 2048];
        assert_eq!((&descriptor[1..6], descriptor[40..72].trim_ascii_end()), (&b"CD001"[..], &b"cidata"[..]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_by_name() {
        let told = write_seed(Path::new("/nowhere/vm1.iso"), Vec::new()).unwrap_err().to_string();
        assert_eq!(told, "/nowhere/vm1.iso cannot be written");
    }
}
