//! Every method of VirtualBox that this program calls, with the shape in which it calls it.
//!
//! `Always`: all of VirtualBox 7 has it. `Sometimes`: not all of it, or not in this shape.

use crate::shape::Call;
#[allow(clippy::enum_glob_use, reason = "a table is read by its columns")]
use crate::shape::{Need::*, Type::*};

macro_rules! calls {
    ($($(#[$_:meta])* $need:ident $key:ident = $interface:literal $method:literal ($($takes:expr),*) -> ($($gives:expr),*);)*) => {
        $(pub(crate) static $key: Call = Call {
            key: stringify!($key),
            interface: $interface,
            method: $method,
            name: concat!($interface, ".", $method),
            takes: &[$($takes),*],
            gives: &[$($gives),*],
            need: $need,
        };)*

        /// All of them.
        pub(crate) static ALL: &[&Call] = &[$(&$key),*];
    };
}

calls! {
    // The client and VirtualBox itself
    Always CLIENT_VIRTUALBOX = "IVirtualBoxClient" "get_virtualBox" () -> (Object("IVirtualBox"));
    Always CLIENT_SESSION = "IVirtualBoxClient" "get_session" () -> (Object("ISession"));
    Always VERSION = "IVirtualBox" "get_version" () -> (Text);
    Always API_VERSION = "IVirtualBox" "get_APIVersion" () -> (Text);
    Always REVISION = "IVirtualBox" "get_revision" () -> (U32);
    Always HOST = "IVirtualBox" "get_host" () -> (Object("IHost"));
    Always MACHINES = "IVirtualBox" "getMachines" () -> (Objects("IMachine"));
    Always COLLECTOR = "IVirtualBox" "get_performanceCollector" () -> (Object("IPerformanceCollector"));
    Always DHCP_SERVERS = "IVirtualBox" "getDHCPServers" () -> (Objects("IDHCPServer"));
    Always EVENT_SOURCE = "IVirtualBox" "get_eventSource" () -> (Object("IEventSource"));
    Always MACHINE_FILENAME = "IVirtualBox" "composeMachineFilename" (Text, Text, Text, Text) -> (Text);
    Sometimes CREATE_MACHINE_70 = "IVirtualBox" "createMachine" (Text, Text, Texts, Text, Text, Text, Text, Text) -> (Object("IMachine"));
    Sometimes CREATE_MACHINE_71 = "IVirtualBox" "createMachine" (Text, Text, U32, Texts, Text, Text, Text, Text, Text) -> (Object("IMachine"));
    Always OPEN_MACHINE = "IVirtualBox" "openMachine" (Text, Text) -> (Object("IMachine"));
    Always REGISTER_MACHINE = "IVirtualBox" "registerMachine" (Object("IMachine")) -> ();
    Always FIND_MACHINE = "IVirtualBox" "findMachine" (Text) -> (Object("IMachine"));
    Always CREATE_APPLIANCE = "IVirtualBox" "createAppliance" () -> (Object("IAppliance"));
    Always CREATE_MEDIUM = "IVirtualBox" "createMedium" (Text, Text, U32, U32) -> (Object("IMedium"));
    Always OPEN_MEDIUM = "IVirtualBox" "openMedium" (Text, U32, U32, Bool) -> (Object("IMedium"));
    Always CREATE_DHCP_SERVER = "IVirtualBox" "createDHCPServer" (Text) -> (Object("IDHCPServer"));

    // A machine: what it is
    Always ACCESSIBLE = "IMachine" "get_accessible" () -> (Bool);
    Always ACCESS_ERROR = "IMachine" "get_accessError" () -> (Object("IVirtualBoxErrorInfo"));
    Always MACHINE_NAME = "IMachine" "get_name" () -> (Text);
    Always MACHINE_ID = "IMachine" "get_id" () -> (Text);
    Always OS_TYPE = "IMachine" "get_OSTypeId" () -> (Text);
    Always CPUS = "IMachine" "get_CPUCount" () -> (U32);
    Always SET_CPUS = "IMachine" "set_CPUCount" (U32) -> ();
    Always CPU_CAP = "IMachine" "get_CPUExecutionCap" () -> (U32);
    Always SET_CPU_CAP = "IMachine" "set_CPUExecutionCap" (U32) -> ();
    Always MEMORY = "IMachine" "get_memorySize" () -> (U32);
    Always SET_MEMORY = "IMachine" "set_memorySize" (U32) -> ();
    Always GRAPHICS = "IMachine" "get_graphicsAdapter" () -> (Object("IGraphicsAdapter"));
    Always VRAM = "IGraphicsAdapter" "get_VRAMSize" () -> (U32);
    Always SET_VRAM = "IGraphicsAdapter" "set_VRAMSize" (U32) -> ();
    Always SET_GRAPHICS = "IGraphicsAdapter" "set_graphicsControllerType" (U32) -> ();
    Always DISPLAY_SERVER = "IMachine" "get_VRDEServer" () -> (Object("IVRDEServer"));
    Always ATTACHMENTS = "IMachine" "getMediumAttachments" () -> (Objects("IMediumAttachment"));
    Always SETTINGS_FILE = "IMachine" "get_settingsFilePath" () -> (Text);
    Always SESSION_STATE = "IMachine" "get_sessionState" () -> (U32);
    Always SESSION_PID = "IMachine" "get_sessionPID" () -> (U32);
    Always STATE = "IMachine" "get_state" () -> (U32);
    Always STATE_SINCE = "IMachine" "get_lastStateChange" () -> (I64);
    Always CURRENT_SNAPSHOT = "IMachine" "get_currentSnapshot" () -> (Object("ISnapshot"));
    Always SNAPSHOT_COUNT = "IMachine" "get_snapshotCount" () -> (U32);
    Sometimes SET_ENGINE = "IMachine" "set_VMExecutionEngine" (U32) -> ();
    Always ADAPTER = "IMachine" "getNetworkAdapter" (U32) -> (Object("INetworkAdapter"));
    Always EXTRA_KEYS = "IMachine" "getExtraDataKeys" () -> (Texts);
    Always EXTRA = "IMachine" "getExtraData" (Text) -> (Text);
    Always SET_EXTRA = "IMachine" "setExtraData" (Text, Text) -> ();
    Always GUEST_PROPERTY = "IMachine" "getGuestPropertyValue" (Text) -> (Text);
    Always SET_GUEST_PROPERTY = "IMachine" "setGuestPropertyValue" (Text, Text) -> ();
    Always DELETE_GUEST_PROPERTY = "IMachine" "deleteGuestProperty" (Text) -> ();

    // A machine: what is done to it
    Always LOCK = "IMachine" "lockMachine" (Object("ISession"), U32) -> ();
    Always LAUNCH = "IMachine" "launchVMProcess" (Object("ISession"), Text, Texts) -> (Object("IProgress"));
    Always ATTACH_DEVICE = "IMachine" "attachDevice" (Text, I32, I32, U32, Object("IMedium")) -> ();
    Always ADD_CONTROLLER = "IMachine" "addStorageController" (Text, U32) -> (Object("IStorageController"));
    Always SERIAL_PORT = "IMachine" "getSerialPort" (U32) -> (Object("ISerialPort"));
    Always SAVE_SETTINGS = "IMachine" "saveSettings" () -> ();
    Always UNREGISTER = "IMachine" "unregister" (U32) -> (Objects("IMedium"));
    Always DELETE_CONFIG = "IMachine" "deleteConfig" (Objects("IMedium")) -> (Object("IProgress"));
    Always EXPORT_TO = "IMachine" "exportTo" (Object("IAppliance"), Text) -> (Object("IVirtualSystemDescription"));
    Always FIND_SNAPSHOT = "IMachine" "findSnapshot" (Text) -> (Object("ISnapshot"));
    Always SAVE_STATE = "IMachine" "saveState" () -> (Object("IProgress"));
    Always DISCARD_SAVED = "IMachine" "discardSavedState" (Bool) -> ();
    Always TAKE_SNAPSHOT = "IMachine" "takeSnapshot" (Text, Text, Bool) -> (Text, Object("IProgress"));
    Always DELETE_SNAPSHOT = "IMachine" "deleteSnapshot" (Text) -> (Object("IProgress"));
    Always RESTORE_SNAPSHOT = "IMachine" "restoreSnapshot" (Object("ISnapshot")) -> (Object("IProgress"));

    // Sessions and the console of a machine that runs
    Always SESSION_MACHINE = "ISession" "get_machine" () -> (Object("IMachine"));
    Always SESSION_CONSOLE = "ISession" "get_console" () -> (Object("IConsole"));
    Always UNLOCK = "ISession" "unlockMachine" () -> ();
    Always CONSOLE_DISPLAY = "IConsole" "get_display" () -> (Object("IDisplay"));
    Always CONSOLE_SERVER_INFO = "IConsole" "get_VRDEServerInfo" () -> (Object("IVRDEServerInfo"));
    Always POWER_DOWN = "IConsole" "powerDown" () -> (Object("IProgress"));
    Always RESET = "IConsole" "reset" () -> ();
    Always PAUSE = "IConsole" "pause" () -> ();
    Always RESUME = "IConsole" "resume" () -> ();
    Always POWER_BUTTON = "IConsole" "powerButton" () -> ();
    Always ENTERED_ACPI = "IConsole" "getGuestEnteredACPIMode" () -> (Bool);
    Always RESOLUTION = "IDisplay" "getScreenResolution" (U32) -> (U32, U32, U32, I32, I32, U32);
    Always SCREENSHOT = "IDisplay" "takeScreenShotToArray" (U32, U32, U32, U32) -> (Bytes);
    Always SERVER_PORT = "IVRDEServerInfo" "get_port" () -> (I32);

    // Progress and errors
    Always PROGRESS_PERCENT = "IProgress" "get_percent" () -> (U32);
    Always PROGRESS_STEP = "IProgress" "get_operationDescription" () -> (Text);
    Always PROGRESS_DONE = "IProgress" "get_completed" () -> (Bool);
    Always PROGRESS_RESULT = "IProgress" "get_resultCode" () -> (I32);
    Always PROGRESS_ERROR = "IProgress" "get_errorInfo" () -> (Object("IVirtualBoxErrorInfo"));
    Always PROGRESS_CANCELABLE = "IProgress" "get_cancelable" () -> (Bool);
    Always PROGRESS_CANCEL = "IProgress" "cancel" () -> ();
    Always ERROR_CODE = "IVirtualBoxErrorInfo" "get_resultCode" () -> (I32);
    Always ERROR_TEXT = "IVirtualBoxErrorInfo" "get_text" () -> (Text);
    Always ERROR_NEXT = "IVirtualBoxErrorInfo" "get_next" () -> (Object("IVirtualBoxErrorInfo"));

    // Snapshots
    Always SNAPSHOT_ID = "ISnapshot" "get_id" () -> (Text);
    Always SNAPSHOT_NAME = "ISnapshot" "get_name" () -> (Text);
    Always SNAPSHOT_DESCRIPTION = "ISnapshot" "get_description" () -> (Text);
    Always SNAPSHOT_TIME = "ISnapshot" "get_timeStamp" () -> (I64);
    Always SNAPSHOT_ONLINE = "ISnapshot" "get_online" () -> (Bool);
    Always SNAPSHOT_CHILDREN = "ISnapshot" "getChildren" () -> (Objects("ISnapshot"));

    // Network adapters
    Always ADAPTER_ENABLED = "INetworkAdapter" "get_enabled" () -> (Bool);
    Always SET_ADAPTER_ENABLED = "INetworkAdapter" "set_enabled" (Bool) -> ();
    Always SET_ADAPTER_KIND = "INetworkAdapter" "set_adapterType" (U32) -> ();
    Always ADAPTER_MAC = "INetworkAdapter" "get_MACAddress" () -> (Text);
    Always SET_ADAPTER_MAC = "INetworkAdapter" "set_MACAddress" (Text) -> ();
    Always ATTACHMENT = "INetworkAdapter" "get_attachmentType" () -> (U32);
    Always SET_ATTACHMENT = "INetworkAdapter" "set_attachmentType" (U32) -> ();
    Always BRIDGED = "INetworkAdapter" "get_bridgedInterface" () -> (Text);
    Always SET_BRIDGED = "INetworkAdapter" "set_bridgedInterface" (Text) -> ();
    Always HOST_ONLY = "INetworkAdapter" "get_hostOnlyInterface" () -> (Text);
    Always SET_HOST_ONLY = "INetworkAdapter" "set_hostOnlyInterface" (Text) -> ();
    Always INTERNAL = "INetworkAdapter" "get_internalNetwork" () -> (Text);
    Always SET_INTERNAL = "INetworkAdapter" "set_internalNetwork" (Text) -> ();
    Always NAT_NETWORK = "INetworkAdapter" "get_NATNetwork" () -> (Text);
    Always SET_NAT_NETWORK = "INetworkAdapter" "set_NATNetwork" (Text) -> ();
    Always CABLE = "INetworkAdapter" "get_cableConnected" () -> (Bool);
    Always SET_CABLE = "INetworkAdapter" "set_cableConnected" (Bool) -> ();
    Always NAT = "INetworkAdapter" "get_NATEngine" () -> (Object("INATEngine"));
    Always FORWARDS = "INATEngine" "getRedirects" () -> (Texts);
    Always LOCALHOST_REACHABLE = "INATEngine" "get_localhostReachable" () -> (Bool);
    Always SET_LOCALHOST_REACHABLE = "INATEngine" "set_localhostReachable" (Bool) -> ();
    Always ADD_FORWARD = "INATEngine" "addRedirect" (Text, U32, Text, U16, Text, U16) -> ();
    Always REMOVE_FORWARD = "INATEngine" "removeRedirect" (Text) -> ();

    // Remote display and serial port
    Always DISPLAY_ENABLED = "IVRDEServer" "get_enabled" () -> (Bool);
    Always SET_DISPLAY_ENABLED = "IVRDEServer" "set_enabled" (Bool) -> ();
    Always DISPLAY_PROPERTY = "IVRDEServer" "getVRDEProperty" (Text) -> (Text);
    Always SET_DISPLAY_PROPERTY = "IVRDEServer" "setVRDEProperty" (Text, Text) -> ();
    Always SET_SERIAL_ENABLED = "ISerialPort" "set_enabled" (Bool) -> ();
    Always SET_SERIAL_MODE = "ISerialPort" "set_hostMode" (U32) -> ();
    Always SET_SERIAL_PATH = "ISerialPort" "set_path" (Text) -> ();

    // Disks
    Always MEDIUM_LOCATION = "IMedium" "get_location" () -> (Text);
    Always MEDIUM_CLOSE = "IMedium" "close" () -> ();
    Always CREATE_DIFFERENCE = "IMedium" "createDiffStorage" (Object("IMedium"), U32s) -> (Object("IProgress"));
    Always CLONE_TO_BASE = "IMedium" "cloneToBase" (Object("IMedium"), U32s) -> (Object("IProgress"));
    Always ATTACHED_MEDIUM = "IMediumAttachment" "get_medium" () -> (Object("IMedium"));

    // Appliances
    Always APPLIANCE_READ = "IAppliance" "read" (Text) -> (Object("IProgress"));
    Always APPLIANCE_INTERPRET = "IAppliance" "interpret" () -> ();
    Always APPLIANCE_WARNINGS = "IAppliance" "getWarnings" () -> (Texts);
    Always APPLIANCE_DESCRIPTIONS = "IAppliance" "getVirtualSystemDescriptions" () -> (Objects("IVirtualSystemDescription"));
    Always APPLIANCE_IMPORT = "IAppliance" "importMachines" (U32s) -> (Object("IProgress"));
    Always APPLIANCE_MACHINES = "IAppliance" "getMachines" () -> (Texts);
    Always APPLIANCE_WRITE = "IAppliance" "write" (Text, U32s, Text) -> (Object("IProgress"));
    Always DESCRIPTION = "IVirtualSystemDescription" "getDescription" () -> (U32s, Texts, Texts, Texts, Texts);
    Always SET_DESCRIPTION = "IVirtualSystemDescription" "setFinalValues" (Bools, Texts, Texts) -> ();

    // Metrics
    Always SETUP_METRICS = "IPerformanceCollector" "setupMetrics" (Texts, Objects("nsISupports"), U32, U32) -> (Objects("IPerformanceMetric"));
    Always QUERY_METRICS = "IPerformanceCollector" "queryMetricsData" (Texts, Objects("nsISupports")) -> (Texts, Objects("nsISupports"), Texts, U32s, U32s, U32s, U32s, I32s);

    // The host's network
    Always HOST_INTERFACES = "IHost" "findHostNetworkInterfacesOfType" (U32) -> (Objects("IHostNetworkInterface"));
    Always HOST_INTERFACE = "IHost" "findHostNetworkInterfaceByName" (Text) -> (Object("IHostNetworkInterface"));
    Always CREATE_HOST_ONLY = "IHost" "createHostOnlyNetworkInterface" () -> (Object("IHostNetworkInterface"), Object("IProgress"));
    Always REMOVE_HOST_ONLY = "IHost" "removeHostOnlyNetworkInterface" (Text) -> (Object("IProgress"));
    Always INTERFACE_NAME = "IHostNetworkInterface" "get_name" () -> (Text);
    Always INTERFACE_ID = "IHostNetworkInterface" "get_id" () -> (Text);
    Always INTERFACE_NETWORK = "IHostNetworkInterface" "get_networkName" () -> (Text);
    Always INTERFACE_ADDRESS = "IHostNetworkInterface" "get_IPAddress" () -> (Text);
    Always INTERFACE_MASK = "IHostNetworkInterface" "get_networkMask" () -> (Text);
    Always INTERFACE_MAC = "IHostNetworkInterface" "get_hardwareAddress" () -> (Text);
    Always INTERFACE_STATUS = "IHostNetworkInterface" "get_status" () -> (U32);
    Always SET_INTERFACE_ADDRESS = "IHostNetworkInterface" "enableStaticIPConfig" (Text, Text) -> ();
    Always DHCP_ENABLED = "IDHCPServer" "get_enabled" () -> (Bool);
    Always SET_DHCP_ENABLED = "IDHCPServer" "set_enabled" (Bool) -> ();
    Always DHCP_ADDRESS = "IDHCPServer" "get_IPAddress" () -> (Text);
    Always DHCP_MASK = "IDHCPServer" "get_networkMask" () -> (Text);
    Always DHCP_NETWORK = "IDHCPServer" "get_networkName" () -> (Text);
    Always DHCP_LOWER = "IDHCPServer" "get_lowerIP" () -> (Text);
    Always DHCP_UPPER = "IDHCPServer" "get_upperIP" () -> (Text);
    Always SET_DHCP = "IDHCPServer" "setConfiguration" (Text, Text, Text, Text) -> ();

    // Events
    Always CREATE_LISTENER = "IEventSource" "createListener" () -> (Object("IEventListener"));
    Always REGISTER_LISTENER = "IEventSource" "registerListener" (Object("IEventListener"), U32s, Bool) -> ();
    Always UNREGISTER_LISTENER = "IEventSource" "unregisterListener" (Object("IEventListener")) -> ();
    Always NEXT_EVENT = "IEventSource" "getEvent" (Object("IEventListener"), I32) -> (Object("IEvent"));
    Always EVENT_PROCESSED = "IEventSource" "eventProcessed" (Object("IEventListener"), Object("IEvent")) -> ();
    Always EVENT_TYPE = "IEvent" "get_type" () -> (U32);
    Always EVENT_MACHINE = "IMachineEvent" "get_machineId" () -> (Text);
    Always EVENT_EXTRA_MACHINE = "IExtraDataChangedEvent" "get_machineId" () -> (Text);
    Always EVENT_STATE = "IMachineStateChangedEvent" "get_state" () -> (U32);
    Always EVENT_REGISTERED = "IMachineRegisteredEvent" "get_registered" () -> (Bool);
    Always EVENT_SNAPSHOT = "ISnapshotEvent" "get_snapshotId" () -> (Text);
    Always EVENT_PROPERTY = "IGuestPropertyChangedEvent" "get_name" () -> (Text);
    Always EVENT_PROPERTY_VALUE = "IGuestPropertyChangedEvent" "get_value" () -> (Text);
}

/// Interfaces that objects are asked for, beside those that come typed.
pub(crate) static ASKED_FOR: &[&str] = &[
    "IExtraDataChangedEvent",
    "IGuestPropertyChangedEvent",
    "IMachineEvent",
    "IMachineRegisteredEvent",
    "IMachineStateChangedEvent",
    "ISnapshotEvent",
    "IVirtualBoxClient",
    "IVirtualBoxErrorInfo",
    "nsISupports",
];
