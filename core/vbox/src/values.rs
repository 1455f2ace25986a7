//! The values of VirtualBox's enumerations that this program uses. All are compared with the installed type library
//! when it is opened, so that none can mean something else.

macro_rules! values {
    ($($enumeration:ident { $($key:ident = $name:literal $value:literal),* $(,)? })*) => {
        /// Enumeration, name and value of each.
        pub(crate) static ALL: &[(&str, &str, u32)] = &[$($((stringify!($enumeration), $name, $value)),*),*];

        $($(pub(crate) const $key: u32 = $value;)*)*
    };
}

values! {
    AccessMode { READ_ONLY = "ReadOnly" 1, READ_WRITE = "ReadWrite" 2 }
    BitmapFormat { PNG = "PNG" 541_544_016 }
    CleanupMode { DETACH_DISKS = "DetachAllReturnHardDisksOnly" 3, UNREGISTER_ONLY = "UnregisterOnly" 1 }
    DeviceType { DVD = "DVD" 2, HARD_DISK = "HardDisk" 3 }
    GraphicsControllerType { VBOX_VGA = "VBoxVGA" 1 }
    HostNetworkInterfaceStatus { UP = "Up" 1 }
    HostNetworkInterfaceType { HOST_ONLY_INTERFACE = "HostOnly" 2 }
    LockType { SHARED = "Shared" 1, WRITE = "Write" 2 }
    MachineState {
        POWERED_OFF = "PoweredOff" 1, SAVED = "Saved" 2, TELEPORTED = "Teleported" 3, ABORTED = "Aborted" 4,
        ABORTED_SAVED = "AbortedSaved" 5, RUNNING = "Running" 6, PAUSED = "Paused" 7, STUCK = "Stuck" 8,
        TELEPORTING = "Teleporting" 9, LIVE_SNAPSHOTTING = "LiveSnapshotting" 10, STARTING = "Starting" 11,
        STOPPING = "Stopping" 12, SAVING = "Saving" 13, RESTORING = "Restoring" 14,
        ONLINE_SNAPSHOTTING = "OnlineSnapshotting" 19, RESTORING_SNAPSHOT = "RestoringSnapshot" 20,
        DELETING_SNAPSHOT = "DeletingSnapshot" 21, SETTING_UP = "SettingUp" 22, SNAPSHOTTING = "Snapshotting" 23,
        DELETING_SNAPSHOT_ONLINE = "DeletingSnapshotOnline" 17, DELETING_SNAPSHOT_PAUSED = "DeletingSnapshotPaused" 18,
        TELEPORTING_PAUSED = "TeleportingPausedVM" 15, TELEPORTING_IN = "TeleportingIn" 16,
    }
    MediumVariant { STANDARD = "Standard" 0, DIFFERENCE = "Diff" 131_072 }
    NATProtocol { UDP = "UDP" 0, TCP = "TCP" 1 }
    NetworkAdapterType { E1000 = "I82540EM" 3, VIRTIO = "Virtio" 6 }
    NetworkAttachmentType {
        DETACHED = "Null" 0, NAT = "NAT" 1, BRIDGED = "Bridged" 2, INTERNAL = "Internal" 3, HOST_ONLY = "HostOnly" 4,
        NAT_NETWORK = "NATNetwork" 6,
    }
    PortMode { RAW_FILE = "RawFile" 3 }
    SessionState { UNLOCKED = "Unlocked" 1 }
    StorageBus { IDE = "IDE" 1, SATA = "SATA" 2 }
    VBoxEventType {
        ON_STATE = "OnMachineStateChanged" 32, ON_DATA = "OnMachineDataChanged" 33, ON_EXTRA = "OnExtraDataChanged" 34,
        ON_REGISTERED = "OnMachineRegistered" 37, ON_SESSION = "OnSessionStateChanged" 38,
        ON_SNAPSHOT_TAKEN = "OnSnapshotTaken" 39, ON_SNAPSHOT_DELETED = "OnSnapshotDeleted" 40,
        ON_SNAPSHOT_CHANGED = "OnSnapshotChanged" 41, ON_PROPERTY = "OnGuestPropertyChanged" 42,
        ON_SNAPSHOT_RESTORED = "OnSnapshotRestored" 95,
    }
    VMExecutionEngine {
        ENGINE_DEFAULT = "Default" 1, ENGINE_HARDWARE = "HwVirt" 2, ENGINE_NATIVE = "NativeApi" 3,
        ENGINE_INTERPRETER = "Interpreter" 4, ENGINE_RECOMPILER = "Recompiler" 5,
    }
    VirtualSystemDescriptionType {
        DESCRIPTION_NAME = "Name" 3, DESCRIPTION_DISK = "HardDiskImage" 18, DESCRIPTION_SETTINGS = "SettingsFile" 24,
        DESCRIPTION_FOLDER = "BaseFolder" 25,
    }
}
