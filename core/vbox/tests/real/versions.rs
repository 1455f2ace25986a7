//! Libraries that are not what they should be are refused, by name, before anything of them is called.

use crate::bed::block_on;
use crate::root;
use std::os::unix::fs::symlink;
use std::path::Path;
use vocable_vbox::{Error, Settings, VirtualBox};

const INSTALLED: &str = "/usr/lib/virtualbox";

/// An installation like the real one, with a type library changed.
fn changed(name: &str, from: &[u8], to: &[u8]) -> std::path::PathBuf {
    let folder = Path::new("/tmp").join(name);
    std::fs::create_dir_all(folder.join("components")).unwrap();
    symlink(Path::new(INSTALLED).join("VBoxXPCOMC.so"), folder.join("VBoxXPCOMC.so")).unwrap();
    for file in ["VirtualBox_XPCOM.xpt", "VBoxXPCOMBase.xpt"] {
        let mut bytes = std::fs::read(Path::new(INSTALLED).join("components").join(file)).unwrap();
        while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        std::fs::write(folder.join("components").join(file), bytes).unwrap();
    }
    folder
}

fn refused(folder: &Path) -> Error {
    let settings = Settings { folder: Some(folder.to_owned()), ..Settings::default() };
    block_on(VirtualBox::open(settings)).expect_err("it is opened")
}

#[test]
fn a_virtualbox_whose_methods_differ_is_refused_by_name() {
    root::inside("versions::a_virtualbox_whose_methods_differ_is_refused_by_name", || {
        let error = refused(&changed("renamed", b"\0takeSnapshot\0", b"\0tookSnapshot\0"));
        assert!(
            error.to_string().starts_with("IMachine.takeSnapshot differs in this VirtualBox: missing"),
            "{error}"
        );
        // Another type in the middle of a method: the interface that pause's neighbour takes.
        let error = refused(&changed(
            "retyped",
            b"XPCOM\nTypeLib\r\n\x1a\x01\x02",
            b"XPCOM\nTypeLib\r\n\x1a\x02\x02",
        ));
        assert!(error.to_string().contains("its version is 2.2, not 1.x"), "{error}");
    });
}

#[test]
fn what_is_no_library_is_told() {
    root::inside("versions::what_is_no_library_is_told", || {
        let folder = changed("broken", b"unused\xff", b"unused\xff");
        std::fs::remove_file(folder.join("VBoxXPCOMC.so")).unwrap();
        let error = refused(&folder);
        assert!(matches!(error, Error::NotInstalled { .. }), "{error}");
        std::fs::write(folder.join("VBoxXPCOMC.so"), "not a library").unwrap();
        let error = refused(&folder);
        assert!(matches!(error, Error::Library { .. }), "{error}");
        assert!(error.to_string().contains("/tmp/broken/VBoxXPCOMC.so"), "{error}");
        // Nothing of that keeps the right one from being opened.
        let virtualbox = block_on(VirtualBox::open(Settings::default())).unwrap();
        block_on(virtualbox.close());
    });
}
