//! Disks and appliances.

use crate::bed::{empty, with_virtualbox};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use vocable_vbox::{Disk, Import, NewMachine, Reporter, VirtualBox};

/// An empty image, made by VirtualBox's own tool.
fn image(name: &str) -> PathBuf {
    let path = Path::new("/tmp").join(name);
    let mut make = Command::new("/usr/lib/virtualbox/VBoxManage");
    make.args(["createmedium", "disk", "--size", "8", "--filename"]).arg(&path);
    assert!(make.status().unwrap().success());
    path
}

async fn with_disk(virtualbox: &VirtualBox, name: &str, disk: Disk) -> PathBuf {
    let mut new = NewMachine::new(name);
    new.disk = Some(disk);
    let made = virtualbox.create(new, Reporter::none()).await.unwrap();
    made.settings_file.parent().unwrap().to_owned()
}

#[test]
fn clones_and_copies_are_the_machine_s_own_and_the_image_stays() {
    with_virtualbox(
        "disks::clones_and_copies_are_the_machine_s_own_and_the_image_stays",
        |virtualbox| async move {
            let image = image("base.vdi");
            for name in ["clone-1", "clone-2"] {
                let folder = with_disk(&virtualbox, name, Disk::Clone(image.clone())).await;
                assert!(folder.join(format!("{name}.vdi")).exists());
            }
            let copy = with_disk(&virtualbox, "copy", Disk::Copy(image.clone())).await;
            assert!(copy.join("copy.vdi").exists());
            for name in ["clone-1", "clone-2", "copy"] {
                virtualbox.destroy(name, Reporter::none()).await.unwrap();
            }
            assert!(!copy.exists(), "the copy stays");
            assert!(image.exists(), "the image is gone");
            // Nothing of it is left in VirtualBox either: the image can be a machine's own.
            with_disk(&virtualbox, "owner", Disk::Attach(image.clone())).await;
            virtualbox.destroy("owner", Reporter::none()).await.unwrap();
            assert!(image.exists(), "the image is gone with a machine that it was attached to");
        },
    );
}

#[test]
fn a_machine_whose_disk_cannot_be_made_leaves_nothing_behind() {
    with_virtualbox(
        "disks::a_machine_whose_disk_cannot_be_made_leaves_nothing_behind",
        |virtualbox| async move {
            let mut new = NewMachine::new("alpha");
            new.disk = Some(Disk::Clone("/tmp/nowhere.vdi".into()));
            let error = virtualbox.create(new, Reporter::none()).await.unwrap_err();
            assert!(error.to_string().contains("/tmp/nowhere.vdi"), "{error}");
            // This one fails late: something is in the way of the machine's own image.
            let image = image("base.vdi");
            let mut new = NewMachine::new("beta");
            new.folder = Some("/tmp/machines".into());
            new.disk = Some(Disk::Copy(image));
            std::fs::create_dir_all("/tmp/machines/beta/beta.vdi").unwrap();
            let error = virtualbox.create(new, Reporter::none()).await.unwrap_err();
            assert!(error.code().is_some(), "{error}");
            assert_eq!(virtualbox.machines().await.unwrap(), []);
            assert!(!Path::new("/tmp/machines/beta/beta.vbox").exists());
        },
    );
}

#[test]
fn a_machine_goes_into_an_appliance_and_comes_out_under_another_name() {
    with_virtualbox(
        "disks::a_machine_goes_into_an_appliance_and_comes_out_under_another_name",
        |virtualbox| async move {
            with_disk(&virtualbox, "alpha", Disk::Attach(image("alpha.vdi"))).await;
            let file = Path::new("/tmp/alpha.ova");
            virtualbox.export("alpha", file, Reporter::none()).await.unwrap();
            let (told, tellings) = channel();
            let import = Import {
                file: file.into(),
                name: Some("beta".into()),
                folder: Some("/tmp/imported".into()),
                extra: [("vocable/owner".to_owned(), "host-1".to_owned())].into(),
            };
            let reporter = Reporter::new(move |progress| told.send(progress).unwrap());
            let beta = virtualbox.import(import, reporter).await.unwrap();
            assert_eq!((beta.name.as_str(), beta.memory_mib), ("beta", 512));
            assert_eq!(beta.settings_file, Path::new("/tmp/imported/beta/beta.vbox"));
            assert_eq!(beta.extra.get("vocable/owner").map(String::as_str), Some("host-1"));
            let disks: Vec<_> =
                std::fs::read_dir("/tmp/imported/beta").unwrap().map(|file| file.unwrap().path()).collect();
            assert!(disks.iter().any(|file| file.extension().is_some_and(|end| end == "vmdk")), "{disks:?}");
            let percents: Vec<_> = tellings.iter().map(|progress| progress.percent).collect();
            assert_eq!(percents.last(), Some(&100), "{percents:?}");
            assert!(percents.is_sorted_by(|a, b| a <= b || *b == 0), "{percents:?}");
            virtualbox.destroy("beta", Reporter::none()).await.unwrap();
            assert!(!Path::new("/tmp/imported/beta").exists());

            let none =
                Import { file: "/tmp/none.ova".into(), name: None, folder: None, extra: Default::default() };
            let error = virtualbox.import(none, Reporter::none()).await.unwrap_err();
            assert!(error.to_string().contains("none.ova"), "{error}");
        },
    );
}

#[test]
fn an_operation_that_nobody_waits_for_any_more_keeps_nobody_else_waiting() {
    with_virtualbox(
        "disks::an_operation_that_nobody_waits_for_any_more_keeps_nobody_else_waiting",
        |virtualbox| async move {
            let image = image("base.vdi");
            let mut new = NewMachine::new("alpha");
            new.disk = Some(Disk::Copy(image));
            {
                let creating = virtualbox.create(new, Reporter::none());
                // Polled once, so that it is sent, and dropped.
                tokio::select! { biased; _ = creating => {}, () = std::future::ready(()) => {} }
            }
            empty(&virtualbox, "beta").await;
            // Whether it was cancelled in time or not: VirtualBox is of one mind about it.
            let left = virtualbox.machines().await.unwrap();
            assert!(left.iter().any(|machine| machine.name == "beta"), "{left:?}");
        },
    );
}
