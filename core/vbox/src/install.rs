//! Where VirtualBox is installed.

use crate::error::Error;
use std::path::{Path, PathBuf};

/// The library that everything goes through.
pub(crate) const LIBRARY: &str = "VBoxXPCOMC.so";

/// The folders of type libraries within an installation, and the libraries: the second has the root of all interfaces
/// and what errors are made of.
pub(crate) const TYPE_LIBRARIES: [&str; 2] =
    ["components/VirtualBox_XPCOM.xpt", "components/VBoxXPCOMBase.xpt"];

/// Where packages put it: Oracle's and Debian's, Fedora's, and what was built by hand.
const STANDARD_FOLDERS: [&str; 4] =
    ["/opt/VirtualBox", "/usr/lib/virtualbox", "/usr/lib64/virtualbox", "/usr/local/lib/virtualbox"];

/// Names the folder of this process's own installation, as VirtualBox's own programs read it.
const VARIABLE: &str = "VBOX_APP_HOME";

/// Finds the folder with VirtualBox's libraries: the one given, or else the one that the environment names, or else
/// one of the usual places.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, Error> {
    find_among(given, std::env::var_os(VARIABLE).map(PathBuf::from), &STANDARD_FOLDERS)
}

fn find_among(given: Option<&Path>, named: Option<PathBuf>, places: &[&str]) -> Result<PathBuf, Error> {
    let looked: Vec<PathBuf> = match given {
        Some(given) => vec![given.to_owned()],
        None => named.into_iter().chain(places.iter().map(PathBuf::from)).collect(),
    };
    match looked.iter().find(|folder| folder.join(LIBRARY).is_file()) {
        Some(folder) => Ok(folder.clone()),
        None => Err(Error::NotInstalled { looked }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_given_goes_before_the_one_named_before_the_usual_ones() {
        let (bed, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&bed, &other] {
            std::fs::write(folder.path().join(LIBRARY), "").unwrap();
        }
        let usual = [bed.path().to_str().unwrap()];
        assert_eq!(find_among(None, None, &usual).unwrap(), bed.path());
        assert_eq!(find_among(None, Some(other.path().into()), &usual).unwrap(), other.path());
        assert_eq!(find_among(Some(bed.path()), Some(other.path().into()), &[]).unwrap(), bed.path());
    }

    #[test]
    fn a_folder_that_was_given_is_the_only_one_looked_at() {
        let (bed, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(bed.path().join(LIBRARY), "").unwrap();
        let error = find_among(Some(empty.path()), None, &[bed.path().to_str().unwrap()]).unwrap_err();
        assert!(matches!(error, Error::NotInstalled { looked } if looked == [empty.path()]));
    }
}
