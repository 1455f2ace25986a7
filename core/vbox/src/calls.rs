//! Every method of VirtualBox that this program calls, with the shape in which it calls it.
//!
//! `Required`: all of VirtualBox 7 has it. `Optional`: not all of it, or not in this shape.

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

        pub(crate) static ALL: &[&Call] = &[$(&$key),*];
    };
}

calls! {
    // The client and VirtualBox itself
    Required CLIENT_VIRTUALBOX = "IVirtualBoxClient" "get_virtualBox" () -> (Object("IVirtualBox"));
    Required CLIENT_SESSION = "IVirtualBoxClient" "get_session" () -> (Object("ISession"));
    Required VERSION = "IVirtualBox" "get_version" () -> (Text);
    Required API_VERSION = "IVirtualBox" "get_APIVersion" () -> (Text);
    Required REVISION = "IVirtualBox" "get_revision" () -> (U32);
    Required HOST = "IVirtualBox" "get_host" () -> (Object("IHost"));
    Required MACHINES = "IVirtualBox" "getMachines" () -> (Objects("IMachine"));
    Required COLLECTOR = "IVirtualBox" "get_performanceCollector" () -> (Object("IPerformanceCollector"));
    Required DHCP_SERVERS = "IVirtualBox" "getDHCPServers" () -> (Objects("IDHCPServer"));
    Required EVENT_SOURCE = "IVirtualBox" "get_eventSource" () -> (Object("IEventSource"));
    Required MACHINE_FILENAME = "IVirtualBox" "composeMachineFilename" (Text, Text, Text, Text) -> (Text);
    Optional CREATE_MACHINE_70 = "IVirtualBox" "createMachine" (Text, Text, Texts, Text, Text, Text, Text, Text) -> (Object("IMachine"));
    Optional CREATE_MACHINE_71 = "IVirtualBox" "createMachine" (Text, Text, U32, Texts, Text, Text, Text, Text, Text) -> (Object("IMachine"));
    Required OPEN_MACHINE = "IVirtualBox" "openMachine" (Text, Text) -> (Object("IMachine"));
    Required REGISTER_MACHINE = "IVirtualBox" "registerMachine" (Object("IMachine")) -> ();
    Required FIND_MACHINE = "IVirtualBox" "findMachine" (Text) -> (Object("IMachine"));
    Required CREATE_APPLIANCE = "IVirtualBox" "createAppliance" () -> (Object("IAppliance"));
    Required CREATE_MEDIUM = "IVirtualBox" "createMedium" (Text, Text, U32, U32) -> (Object("IMedium"));
    Required OPEN_MEDIUM = "IVirtualBox" "openMedium" (Text, U32, U32, Bool) -> (Object("IMedium"));
    Required CREATE_DHCP_SERVER = "IVirtualBox" "createDHCPServer" (Text) -> (Object("IDHCPServer"));

    // A machine: what it is
    Required ACCESSIBLE = "IMachine" "get_accessible" () -> (Bool);
    Required ACCESS_ERROR = "IMachine" "get_accessError" () -> (Object("IVirtualBoxErrorInfo"));
    Required MACHINE_NAME = "IMachine" "get_name" () -> (Text);
    Required MACHINE_ID = "IMachine" "get_id" () -> (Text);
    Required OS_TYPE = "IMachine" "get_OSTypeId" () -> (Text);
    Required CPUS = "IMachine" "get_CPUCount" () -> (U32);
    Required SET_CPUS = "IMachine" "set_CPUCount" (U32) -> ();
    Required CPU_CAP = "IMachine" "get_CPUExecutionCap" () -> (U32);
    Required SET_CPU_CAP = "IMachine" "set_CPUExecutionCap" (U32) -> ();
    Required MEMORY = "IMachine" "get_memorySize" () -> (U32);
    Required SET_MEMORY = "IMachine" "set_memorySize" (U32) -> ();
    Required GRAPHICS = "IMachine" "get_graphicsAdapter" () -> (Object("IGraphicsAdapter"));
    Required SET_VRAM = "IGraphicsAdapter" "set_VRAMSize" (U32) -> ();
    Required SET_GRAPHICS = "IGraphicsAdapter" "set_graphicsControllerType" (U32) -> ();
    Required DISPLAY_SERVER = "IMachine" "get_VRDEServer" () -> (Object("IVRDEServer"));
    Required SETTINGS_FILE = "IMachine" "get_settingsFilePath" () -> (Text);
    Required SESSION_STATE = "IMachine" "get_sessionState" () -> (U32);
    Required SESSION_PID = "IMachine" "get_sessionPID" () -> (U32);
    Required STATE = "IMachine" "get_state" () -> (U32);
    Required STATE_SINCE = "IMachine" "get_lastStateChange" () -> (I64);
    Required CURRENT_SNAPSHOT = "IMachine" "get_currentSnapshot" () -> (Object("ISnapshot"));
    Required SNAPSHOT_COUNT = "IMachine" "get_snapshotCount" () -> (U32);
    Optional SET_ENGINE = "IMachine" "set_VMExecutionEngine" (U32) -> ();
    Required ADAPTER = "IMachine" "getNetworkAdapter" (U32) -> (Object("INetworkAdapter"));
    Required EXTRA_KEYS = "IMachine" "getExtraDataKeys" () -> (Texts);
    Required EXTRA = "IMachine" "getExtraData" (Text) -> (Text);
    Required SET_EXTRA = "IMachine" "setExtraData" (Text, Text) -> ();
    Required GUEST_PROPERTY = "IMachine" "getGuestPropertyValue" (Text) -> (Text);
    Required SET_GUEST_PROPERTY = "IMachine" "setGuestPropertyValue" (Text, Text) -> ();
    Required DELETE_GUEST_PROPERTY = "IMachine" "deleteGuestProperty" (Text) -> ();

    // A machine: what is done to it
    Required LOCK = "IMachine" "lockMachine" (Object("ISession"), U32) -> ();
    Required LAUNCH = "IMachine" "launchVMProcess" (Object("ISession"), Text, Texts) -> (Object("IProgress"));
    Required ATTACH_DEVICE = "IMachine" "attachDevice" (Text, I32, I32, U32, Object("IMedium")) -> ();
    Required ADD_CONTROLLER = "IMachine" "addStorageController" (Text, U32) -> (Object("IStorageController"));
    Required SERIAL_PORT = "IMachine" "getSerialPort" (U32) -> (Object("ISerialPort"));
    Required SAVE_SETTINGS = "IMachine" "saveSettings" () -> ();
    Required UNREGISTER = "IMachine" "unregister" (U32) -> (Objects("IMedium"));
    Required DELETE_CONFIG = "IMachine" "deleteConfig" (Objects("IMedium")) -> (Object("IProgress"));
    Required EXPORT_TO = "IMachine" "exportTo" (Object("IAppliance"), Text) -> (Object("IVirtualSystemDescription"));
    Required FIND_SNAPSHOT = "IMachine" "findSnapshot" (Text) -> (Object("ISnapshot"));
    Required SAVE_STATE = "IMachine" "saveState" () -> (Object("IProgress"));
    Required DISCARD_SAVED = "IMachine" "discardSavedState" (Bool) -> ();
    Required TAKE_SNAPSHOT = "IMachine" "takeSnapshot" (Text, Text, Bool) -> (Text, Object("IProgress"));
    Required DELETE_SNAPSHOT = "IMachine" "deleteSnapshot" (Text) -> (Object("IProgress"));
    Required RESTORE_SNAPSHOT = "IMachine" "restoreSnapshot" (Object("ISnapshot")) -> (Object("IProgress"));

    // Sessions and the console of a machine that runs
    Required SESSION_MACHINE = "ISession" "get_machine" () -> (Object("IMachine"));
    Required SESSION_CONSOLE = "ISession" "get_console" () -> (Object("IConsole"));
    Required UNLOCK = "ISession" "unlockMachine" () -> ();
    Required CONSOLE_DISPLAY = "IConsole" "get_display" () -> (Object("IDisplay"));
    Required CONSOLE_SERVER_INFO = "IConsole" "get_VRDEServerInfo" () -> (Object("IVRDEServerInfo"));
    Required POWER_DOWN = "IConsole" "powerDown" () -> (Object("IProgress"));
    Required RESET = "IConsole" "reset" () -> ();
    Required PAUSE = "IConsole" "pause" () -> ();
    Required RESUME = "IConsole" "resume" () -> ();
    Required POWER_BUTTON = "IConsole" "powerButton" () -> ();
    Required RESOLUTION = "IDisplay" "getScreenResolution" (U32) -> (U32, U32, U32, I32, I32, U32);
    Required SCREENSHOT = "IDisplay" "takeScreenShotToArray" (U32, U32, U32, U32) -> (Bytes);
    Required SERVER_PORT = "IVRDEServerInfo" "get_port" () -> (I32);

    // Progress and errors
    Required PROGRESS_PERCENT = "IProgress" "get_percent" () -> (U32);
    Required PROGRESS_STEP = "IProgress" "get_operationDescription" () -> (Text);
    Required PROGRESS_DONE = "IProgress" "get_completed" () -> (Bool);
    Required PROGRESS_RESULT = "IProgress" "get_resultCode" () -> (I32);
    Required PROGRESS_ERROR = "IProgress" "get_errorInfo" () -> (Object("IVirtualBoxErrorInfo"));
    Required PROGRESS_CANCELABLE = "IProgress" "get_cancelable" () -> (Bool);
    Required PROGRESS_CANCEL = "IProgress" "cancel" () -> ();
    Required ERROR_TEXT = "IVirtualBoxErrorInfo" "get_text" () -> (Text);
    Required ERROR_NEXT = "IVirtualBoxErrorInfo" "get_next" () -> (Object("IVirtualBoxErrorInfo"));

    // Snapshots
    Required SNAPSHOT_ID = "ISnapshot" "get_id" () -> (Text);
    Required SNAPSHOT_NAME = "ISnapshot" "get_name" () -> (Text);
    Required SNAPSHOT_DESCRIPTION = "ISnapshot" "get_description" () -> (Text);
    Required SNAPSHOT_TIME = "ISnapshot" "get_timeStamp" () -> (I64);
    Required SNAPSHOT_ONLINE = "ISnapshot" "get_online" () -> (Bool);
    Required SNAPSHOT_CHILDREN = "ISnapshot" "getChildren" () -> (Objects("ISnapshot"));

    // Network adapters
    Required ADAPTER_ENABLED = "INetworkAdapter" "get_enabled" () -> (Bool);
    Required SET_ADAPTER_ENABLED = "INetworkAdapter" "set_enabled" (Bool) -> ();
    Required SET_ADAPTER_KIND = "INetworkAdapter" "set_adapterType" (U32) -> ();
    Required ADAPTER_MAC = "INetworkAdapter" "get_MACAddress" () -> (Text);
    Required SET_ADAPTER_MAC = "INetworkAdapter" "set_MACAddress" (Text) -> ();
    Required ATTACHMENT = "INetworkAdapter" "get_attachmentType" () -> (U32);
    Required SET_ATTACHMENT = "INetworkAdapter" "set_attachmentType" (U32) -> ();
    Required BRIDGED = "INetworkAdapter" "get_bridgedInterface" () -> (Text);
    Required SET_BRIDGED = "INetworkAdapter" "set_bridgedInterface" (Text) -> ();
    Required HOST_ONLY = "INetworkAdapter" "get_hostOnlyInterface" () -> (Text);
    Required SET_HOST_ONLY = "INetworkAdapter" "set_hostOnlyInterface" (Text) -> ();
    Required INTERNAL = "INetworkAdapter" "get_internalNetwork" () -> (Text);
    Required SET_INTERNAL = "INetworkAdapter" "set_internalNetwork" (Text) -> ();
    Required NAT_NETWORK = "INetworkAdapter" "get_NATNetwork" () -> (Text);
    Required SET_NAT_NETWORK = "INetworkAdapter" "set_NATNetwork" (Text) -> ();
    Required CABLE = "INetworkAdapter" "get_cableConnected" () -> (Bool);
    Required SET_CABLE = "INetworkAdapter" "set_cableConnected" (Bool) -> ();
    Required NAT = "INetworkAdapter" "get_NATEngine" () -> (Object("INATEngine"));
    Required FORWARDS = "INATEngine" "getRedirects" () -> (Texts);
    Required LOCALHOST_REACHABLE = "INATEngine" "get_localhostReachable" () -> (Bool);
    Required SET_LOCALHOST_REACHABLE = "INATEngine" "set_localhostReachable" (Bool) -> ();
    Required ADD_FORWARD = "INATEngine" "addRedirect" (Text, U32, Text, U16, Text, U16) -> ();
    Required REMOVE_FORWARD = "INATEngine" "removeRedirect" (Text) -> ();

    // Remote display and serial port
    Required DISPLAY_ENABLED = "IVRDEServer" "get_enabled" () -> (Bool);
    Required SET_DISPLAY_ENABLED = "IVRDEServer" "set_enabled" (Bool) -> ();
    Required DISPLAY_PROPERTY = "IVRDEServer" "getVRDEProperty" (Text) -> (Text);
    Required SET_DISPLAY_PROPERTY = "IVRDEServer" "setVRDEProperty" (Text, Text) -> ();
    Required SET_SERIAL_ENABLED = "ISerialPort" "set_enabled" (Bool) -> ();
    Required SET_SERIAL_MODE = "ISerialPort" "set_hostMode" (U32) -> ();
    Required SET_SERIAL_PATH = "ISerialPort" "set_path" (Text) -> ();

    // Disks
    Required MEDIUM_LOCATION = "IMedium" "get_location" () -> (Text);
    Required MEDIUM_CLOSE = "IMedium" "close" () -> ();
    Required CREATE_DIFFERENCE = "IMedium" "createDiffStorage" (Object("IMedium"), U32s) -> (Object("IProgress"));
    Required CLONE_TO_BASE = "IMedium" "cloneToBase" (Object("IMedium"), U32s) -> (Object("IProgress"));

    // Appliances
    Required APPLIANCE_READ = "IAppliance" "read" (Text) -> (Object("IProgress"));
    Required APPLIANCE_INTERPRET = "IAppliance" "interpret" () -> ();
    Required APPLIANCE_WARNINGS = "IAppliance" "getWarnings" () -> (Texts);
    Required APPLIANCE_DESCRIPTIONS = "IAppliance" "getVirtualSystemDescriptions" () -> (Objects("IVirtualSystemDescription"));
    Required APPLIANCE_IMPORT = "IAppliance" "importMachines" (U32s) -> (Object("IProgress"));
    Required APPLIANCE_MACHINES = "IAppliance" "getMachines" () -> (Texts);
    Required APPLIANCE_WRITE = "IAppliance" "write" (Text, U32s, Text) -> (Object("IProgress"));
    Required DESCRIPTION = "IVirtualSystemDescription" "getDescription" () -> (U32s, Texts, Texts, Texts, Texts);
    Required SET_DESCRIPTION = "IVirtualSystemDescription" "setFinalValues" (Bools, Texts, Texts) -> ();

    // Metrics
    Required SETUP_METRICS = "IPerformanceCollector" "setupMetrics" (Texts, Objects("nsISupports"), U32, U32) -> (Objects("IPerformanceMetric"));
    Required QUERY_METRICS = "IPerformanceCollector" "queryMetricsData" (Texts, Objects("nsISupports")) -> (Texts, Objects("nsISupports"), Texts, U32s, U32s, U32s, U32s, I32s);

    // The host's network
    Required HOST_INTERFACES = "IHost" "findHostNetworkInterfacesOfType" (U32) -> (Objects("IHostNetworkInterface"));
    Required HOST_INTERFACE = "IHost" "findHostNetworkInterfaceByName" (Text) -> (Object("IHostNetworkInterface"));
    Required CREATE_HOST_ONLY = "IHost" "createHostOnlyNetworkInterface" () -> (Object("IHostNetworkInterface"), Object("IProgress"));
    Required REMOVE_HOST_ONLY = "IHost" "removeHostOnlyNetworkInterface" (Text) -> (Object("IProgress"));
    Required INTERFACE_NAME = "IHostNetworkInterface" "get_name" () -> (Text);
    Required INTERFACE_ID = "IHostNetworkInterface" "get_id" () -> (Text);
    Required INTERFACE_NETWORK = "IHostNetworkInterface" "get_networkName" () -> (Text);
    Required INTERFACE_ADDRESS = "IHostNetworkInterface" "get_IPAddress" () -> (Text);
    Required INTERFACE_MASK = "IHostNetworkInterface" "get_networkMask" () -> (Text);
    Required INTERFACE_MAC = "IHostNetworkInterface" "get_hardwareAddress" () -> (Text);
    Required INTERFACE_STATUS = "IHostNetworkInterface" "get_status" () -> (U32);
    Required SET_INTERFACE_ADDRESS = "IHostNetworkInterface" "enableStaticIPConfig" (Text, Text) -> ();
    Required DHCP_ENABLED = "IDHCPServer" "get_enabled" () -> (Bool);
    Required SET_DHCP_ENABLED = "IDHCPServer" "set_enabled" (Bool) -> ();
    Required DHCP_ADDRESS = "IDHCPServer" "get_IPAddress" () -> (Text);
    Required DHCP_MASK = "IDHCPServer" "get_networkMask" () -> (Text);
    Required DHCP_NETWORK = "IDHCPServer" "get_networkName" () -> (Text);
    Required DHCP_LOWER = "IDHCPServer" "get_lowerIP" () -> (Text);
    Required DHCP_UPPER = "IDHCPServer" "get_upperIP" () -> (Text);
    Required SET_DHCP = "IDHCPServer" "setConfiguration" (Text, Text, Text, Text) -> ();

    // Events
    Required CREATE_LISTENER = "IEventSource" "createListener" () -> (Object("IEventListener"));
    Required REGISTER_LISTENER = "IEventSource" "registerListener" (Object("IEventListener"), U32s, Bool) -> ();
    Required UNREGISTER_LISTENER = "IEventSource" "unregisterListener" (Object("IEventListener")) -> ();
    Required NEXT_EVENT = "IEventSource" "getEvent" (Object("IEventListener"), I32) -> (Object("IEvent"));
    Required EVENT_PROCESSED = "IEventSource" "eventProcessed" (Object("IEventListener"), Object("IEvent")) -> ();
    Required EVENT_TYPE = "IEvent" "get_type" () -> (U32);
    Required EVENT_MACHINE = "IMachineEvent" "get_machineId" () -> (Text);
    Required EVENT_EXTRA_MACHINE = "IExtraDataChangedEvent" "get_machineId" () -> (Text);
    Required EVENT_STATE = "IMachineStateChangedEvent" "get_state" () -> (U32);
    Required EVENT_REGISTERED = "IMachineRegisteredEvent" "get_registered" () -> (Bool);
    Required EVENT_SNAPSHOT = "ISnapshotEvent" "get_snapshotId" () -> (Text);
    Required EVENT_PROPERTY = "IGuestPropertyChangedEvent" "get_name" () -> (Text);
    Required EVENT_PROPERTY_VALUE = "IGuestPropertyChangedEvent" "get_value" () -> (Text);
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
