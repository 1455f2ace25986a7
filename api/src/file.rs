//! `file.*`: what is on guests, small content in one call, and transfers that the agent makes by itself.

use crate::method::methods;
use crate::{Bytes, DateTime, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Ends a transfer. What has come across so far stays, for the next one to go on with.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Cancel {
    /// Id of the transfer
    pub transfer_id: String,
}

/// Returns the disk space in the folders that a guest offers.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Df {
    /// Name of the guest
    pub guest: String,
}

/// A folder that a guest offers, and the file system it is on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Disk {
    /// The folder
    pub path: String,
    /// Size of the file system, bytes
    pub size: u64,
    /// Free space, bytes
    pub free: u64,
    /// Number of files that can still be created
    pub files_free: u64,
}

/// Returns the SHA-256 of a file on a guest, computed there.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct DigestOf {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
}

/// Reads a file on a guest, at most 1 MiB of it in one call.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Get {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
    /// Where to begin, bytes [default: 0]
    pub offset: Option<u64>,
    /// How much to read, bytes, 1 MiB at most [default: 256 KiB]
    pub length: Option<u64>,
}

/// Content of a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Content {
    /// The bytes
    pub data: Bytes,
    /// Whether they reach the end of the file
    pub eof: bool,
    /// Size of the whole file, bytes
    pub size: u64,
    /// When it was changed
    pub mtime: DateTime,
    /// The same in seconds since 1970
    pub mtime_unix: UnixTime,
}

/// Lists a folder on a guest.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct List {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
}

/// A file or folder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Entry {
    /// Its name; % and what is no printable character as % and two digits
    pub name: String,
    /// file, dir, link or other
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// The permissions, as chmod takes them
    pub mode: u32,
    /// When it was changed
    pub mtime: DateTime,
    /// The same in seconds since 1970
    pub mtime_unix: UnixTime,
    /// Of a file: its size, bytes
    pub size: Option<u64>,
    /// Of a link: where it leads
    pub target: Option<String>,
}

/// What there is in folders.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum EntryType {
    /// A folder
    Dir,
    /// A file
    File,
    /// A symbolic link
    Link,
    /// A socket, pipe or device
    #[default]
    Other,
}

/// Creates a folder on a guest; one that is there already is fine.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Mkdir {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
    /// The permissions [default: 0o755, which is 493]
    pub mode: Option<Mode>,
    /// Also create the folders it is in [default: false]
    #[serde(default)]
    pub parents: bool,
}

/// Begins to copy a file or folder from a guest to this host, below one of the host's files.roots. It goes on after
/// interruptions and restarts; see file.transfer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Pull {
    /// Name of the guest
    pub guest: String,
    /// The path on the guest
    pub remote_path: String,
    /// Where it goes on this host, an absolute path
    pub local_path: String,
    /// The caller's own id: the same id with the same request is the same transfer
    pub id: Option<String>,
    /// Globs of what is left out: names, or paths below the top
    pub exclude: Option<Vec<String>>,
    /// Remove at the destination what is not in the source, and replace what is of another kind, once all else is whole
    /// [default: false]
    pub delete: Option<bool>,
    /// Send only what is missing or changed [default: true]
    pub resume: Option<bool>,
    /// Also copy set-user-id bits, and links that lead out of the tree [default: false]
    pub preserve: Option<bool>,
}

/// Begins to copy a file or folder of this host, from below one of the host's files.roots, to a guest. It goes on after
/// interruptions and restarts; see file.transfer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Push {
    /// Name of the guest
    pub guest: String,
    /// A file or folder of this host, an absolute path
    pub local_path: String,
    /// Where it goes on the guest
    pub remote_path: String,
    /// The caller's own id: the same id with the same request is the same transfer
    pub id: Option<String>,
    /// Globs of what is left out: names, or paths below the top
    pub exclude: Option<Vec<String>>,
    /// Remove at the destination what is not in the source, and replace what is of another kind, once all else is whole
    /// [default: false]
    pub delete: Option<bool>,
    /// Send only what is missing or changed [default: true]
    pub resume: Option<bool>,
    /// Also copy set-user-id bits, and links that lead out of the tree [default: false]
    pub preserve: Option<bool>,
}

/// Writes a file on a guest, at most 1 MiB in one call. Without an offset the file is replaced: the old one stays until
/// the new one is whole.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Put {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
    /// The bytes
    pub data: Bytes,
    /// The permissions [default: 0o644, which is 420]
    pub mode: Option<Mode>,
    /// Where to write, bytes: into the file that is there, or a new one
    pub offset: Option<u64>,
    /// Write at the end of the file [default: false]
    #[serde(default)]
    pub append: bool,
    /// Refuse data with another digest than this, 64 hexadecimal digits
    pub sha256: Option<Sha256>,
}

/// Removes a file, link or folder on a guest. What is not there is fine.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Remove {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
    /// A folder with all that is in it [default: false]
    #[serde(default)]
    pub recursive: bool,
}

/// Renames a file or folder on a guest; a file of the new name is replaced.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Rename {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
    /// Its new path
    pub to: String,
}

/// Returns what is at a path of a guest, without following a link.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Stat {
    /// Name of the guest
    pub guest: String,
    /// Path on the guest; a relative one begins in the guest's first writable folder
    pub path: String,
}

/// Returns the status of a transfer, once it is over or after timeout_s seconds, of which at most 20 count.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct GetTransfer {
    /// Id of the transfer
    pub transfer_id: String,
    /// Seconds to wait for its end [default: 0]
    pub timeout_s: Option<f64>,
}

/// Lists transfers, newest first.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Transfers {}

/// A transfer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Transfer {
    /// Its id
    pub transfer_id: String,
    /// push or pull
    pub direction: Direction,
    /// Name of the guest
    pub guest: String,
    /// The path on the host
    pub local_path: String,
    /// The path on the guest
    pub remote_path: String,
    /// queued, running, done, failed or cancelled
    pub state: TransferState,
    /// When it was requested
    pub created: DateTime,
    /// The same in seconds since 1970
    pub created_unix: UnixTime,
    /// When it was over
    pub ended: Option<DateTime>,
    /// The same in seconds since 1970
    pub ended_unix: Option<UnixTime>,
    /// Files that are whole at their destination
    pub files: u64,
    /// Bytes that were sent
    pub bytes: u64,
    /// Files to be sent
    pub total_files: u64,
    /// Bytes to be sent
    pub total_bytes: u64,
    /// Files that were there already
    pub skipped: u64,
    /// Bytes of begun files that were there already
    pub resumed_from: u64,
    /// Digest of the file, of several that of the last, hexadecimal
    pub sha256: Option<String>,
    /// Why it failed
    pub error: Option<TransferError>,
    /// What failed, the first hundred
    pub failed: Option<Vec<Failure>>,
}

/// Why a transfer failed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct TransferError {
    /// The kind of failure
    pub code: String,
    /// A sentence
    pub message: String,
}

/// What could not be copied.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Failure {
    /// The path below the top
    pub path: String,
    /// The kind of failure
    pub code: String,
    /// A sentence
    pub message: String,
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the guest
    #[default]
    Push,
    /// From the guest
    Pull,
}

/// The states of a transfer.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    JsonSchema,
    PartialEq,
    Serialize,
    strum::Display,
    strum::EnumString,
)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TransferState {
    /// Waits for its turn, or for its guest
    #[default]
    Queued,
    /// On its way
    Running,
    /// All was copied
    Done,
    /// Something was not
    Failed,
    /// Somebody ended it
    Cancelled,
}

impl TransferState {
    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// Permissions, as chmod takes them.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(inline)]
#[serde(transparent)]
pub struct Mode(#[schemars(range(max = 0o7777))] pub u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mode = u32::try_from(i64::deserialize(deserializer)?).ok().filter(|mode| *mode <= 0o7777);
        mode.map(Self).ok_or_else(|| de::Error::custom("expected 0 to 0o7777"))
    }
}

/// A SHA-256, as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(inline, transparent)]
pub struct Sha256(#[schemars(with = "String", regex(pattern = "^[0-9a-fA-F]{64}$"))] pub [u8; 32]);

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest)
            .map_err(|_| de::Error::custom("expected 64 hexadecimal digits"))?;
        Ok(Self(digest))
    }
}

methods! {
    Cancel => "file.cancel"(transfer_id) -> bool: "false if it was over already", changes;
    Df => "file.df"(guest) -> Vec<Disk>: "", reads;
    DigestOf => "file.digest"(guest, path) -> String: "64 hexadecimal digits", reads;
    Get => "file.get"(guest, path) -> Content: "", reads;
    List => "file.list"(guest, path) -> Vec<Entry>: "", reads;
    Mkdir => "file.mkdir"(guest, path) -> bool: "always true", changes;
    Pull => "file.pull"(guest, remote_path, local_path) -> String: "the id of the transfer", changes;
    Push => "file.push"(guest, local_path, remote_path) -> String: "the id of the transfer", changes;
    Put => "file.put"(guest, path, data) -> u64: "bytes that were written", changes;
    Remove => "file.remove"(guest, path) -> bool: "false if it was not there", changes;
    Rename => "file.rename"(guest, path, to) -> bool: "always true", changes;
    Stat => "file.stat"(guest, path) -> Entry: "", reads;
    GetTransfer => "file.transfer"(transfer_id) -> Transfer: "", reads;
    Transfers => "file.transfers"() -> Vec<Transfer>: "", reads;
}
