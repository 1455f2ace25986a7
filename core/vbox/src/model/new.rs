//! Machines that do not exist yet.

use super::{Attachment, DisplaySettings, Forward};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A machine that shall be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMachine {
    /// Its name.
    pub name: String,
    /// The folder that its own folder is made in. `None`: the user's default.
    pub folder: Option<PathBuf>,
    /// The kind of guest, by VirtualBox's name for it.
    pub os_type: String,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Its network adapters, eight at most.
    pub adapters: Vec<NewAdapter>,
    /// Its disk.
    pub disk: Option<Disk>,
    /// An image of a CD in its drive.
    pub iso: Option<PathBuf>,
    /// Its remote display. `None`: there is none.
    pub display: Option<DisplaySettings>,
    /// A file to which its first serial port writes.
    pub serial_log: Option<PathBuf>,
    /// How it is run. `None`: as VirtualBox thinks best. Others need VirtualBox 7.1.
    pub engine: Option<Engine>,
    /// What is noted on it, by key; there from the moment that it is registered.
    pub extra: BTreeMap<String, String>,
}

impl NewMachine {
    /// A Linux machine with one processor, 512 MiB, no disk and no network.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            folder: None,
            os_type: "Linux_64".to_owned(),
            cpus: 1,
            memory_mib: 512,
            adapters: Vec::new(),
            disk: None,
            iso: None,
            display: None,
            serial_log: None,
            engine: None,
            extra: BTreeMap::new(),
        }
    }
}

/// A network adapter of a machine that shall be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAdapter {
    /// What it is attached to.
    pub attachment: Attachment,
    /// Its address, twelve hexadecimal digits. `None`: one that VirtualBox makes up.
    pub mac: Option<String>,
    /// The hardware that the guest sees.
    pub kind: AdapterKind,
    /// Ports of the host that lead to the guest; for NAT.
    pub forwards: Vec<Forward>,
}

/// Hardware of a network adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterKind {
    /// Intel's PRO/1000 MT Desktop, which every system knows.
    E1000,
    /// Virtio, which Linux knows.
    #[default]
    Virtio,
}

/// Where a machine's disk comes from: an image that VirtualBox can read, such as VDI, VMDK or VHD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// The image itself. It stays when the machine is destroyed.
    Attach(PathBuf),
    /// A linked clone: the machine's own changes on top of the image, which may serve many machines.
    Clone(PathBuf),
    /// A copy of the whole image.
    Copy(PathBuf),
}

impl Disk {
    /// The image.
    pub fn image(&self) -> &std::path::Path {
        match self {
            Self::Attach(image) | Self::Clone(image) | Self::Copy(image) => image,
        }
    }
}

/// What runs a machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// What VirtualBox thinks best.
    Default,
    /// The processor's virtualisation, through VirtualBox's kernel module.
    Hardware,
    /// One instruction after the other.
    Interpreter,
    /// The operating system's own hypervisor.
    Native,
    /// Translation to the host's instructions; needs no privileges and no kernel module.
    Recompiler,
}

/// A machine that shall be made of an appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The appliance: an OVA or OVF file with one machine in it.
    pub file: PathBuf,
    /// The machine's name. `None`: the one in the appliance.
    pub name: Option<String>,
    /// The folder that its own folder is made in. `None`: the user's default.
    pub folder: Option<PathBuf>,
    /// What is noted on it, by key.
    pub extra: BTreeMap<String, String>,
}
