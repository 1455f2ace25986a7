//! What can go wrong, in VirtualBox's own words wherever it has some.

use crate::typelib::TypeLibraryError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why something did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// There is one handle to VirtualBox already; clone that one.
    #[error("VirtualBox is already open in this process")]
    AlreadyOpen,
    /// A call failed.
    #[error("{text} ({call}: {code})")]
    Call {
        /// Interface and method, such as `IConsole.pause`.
        call: &'static str,
        code: Code,
        /// What VirtualBox says about it, with the causes behind it.
        text: String,
    },
    /// The handle has been closed.
    #[error("the connection to VirtualBox is closed")]
    Closed,
    /// No answer came in time. What was asked for may still happen.
    #[error("{what}: VirtualBox has not answered within {} s", after.as_secs())]
    Deadline { what: &'static str, after: Duration },
    /// This VirtualBox has not what is needed, or has something else under that name.
    #[error("{what} differs in this VirtualBox: {found}, where {expected} is expected")]
    Differs {
        /// Interface and method, or enumeration and constant.
        what: &'static str,
        /// What this program is made for.
        expected: String,
        found: String,
    },
    /// The service of VirtualBox (VBoxSVC) went away during the call.
    #[error("{call}: VBoxSVC has gone away (result {code})")]
    Gone {
        /// The call that was not answered.
        call: &'static str,
        code: Code,
    },
    /// What was asked for makes no sense.
    #[error("{what}: {reason}")]
    Invalid {
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// VirtualBox's library cannot be opened, or is not what it seems.
    #[error("{}: {reason}", path.display())]
    Library {
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// VirtualBox is not here.
    #[error(
        "VirtualBox is not installed: no VBoxXPCOMC.so in {}; install VirtualBox 7 (Debian: package virtualbox), or say in which folder it is",
        list(looked)
    )]
    NotInstalled {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// A call succeeded and gave nothing.
    #[error("{call}: VirtualBox gave nothing where there has to be something")]
    Null { call: &'static str },
    /// What this program knows of VirtualBox holds for Linux on x86-64 and 64-bit ARM only.
    #[error("VirtualBox is supported on Linux only, on x86-64 and 64-bit ARM")]
    Platform,
    /// The description of VirtualBox's interfaces cannot be read.
    #[error("{}: {source}", path.display())]
    TypeLibrary {
        path: PathBuf,
        /// What is wrong with it.
        source: TypeLibraryError,
    },
    /// The service of VirtualBox (VBoxSVC) has gone away, and there is no other one yet. VirtualBox 7.2 never finds
    /// another one from a process that has lost one.
    #[error("VBoxSVC has gone away, and VirtualBox finds no other one; if that lasts, restart this program")]
    Unreachable,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// The result code of the call that failed.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Call { code, .. } | Self::Gone { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether there is no such machine, snapshot or other thing.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(Code::OBJECT_NOT_FOUND)
    }

    /// Whether the machine is in a state in which this cannot be done.
    pub fn is_wrong_state(&self) -> bool {
        self.code() == Some(Code::INVALID_VM_STATE)
    }

    /// Whether the machine is locked by somebody else, or not locked as it would have to be.
    pub fn is_locked(&self) -> bool {
        self.code() == Some(Code::INVALID_OBJECT_STATE)
    }
}

/// A result code of VirtualBox or XPCOM.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// There is no such thing.
    pub const OBJECT_NOT_FOUND: Self = Self(0x80BB_0001);
    /// Not in this state of the machine.
    pub const INVALID_VM_STATE: Self = Self(0x80BB_0002);
    /// Not in this state of the thing, most often: locked.
    pub const INVALID_OBJECT_STATE: Self = Self(0x80BB_0007);
    /// It may not be, with these privileges or this configuration.
    pub const ACCESS_DENIED: Self = Self(0x8007_0005);
    /// Something is not as it has to be.
    pub const FAIL: Self = Self(0x8000_4005);
    /// The process at the other end did not answer.
    pub(crate) const CALL_FAILED: Self = Self(0x8007_06BE);
    /// The call was given up.
    pub(crate) const ABORT: Self = Self(0x8000_4004);
    /// An object does not have that interface.
    pub(crate) const NO_INTERFACE: Self = Self(0x8000_4002);

    /// Its name in VirtualBox's manual.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(code, _)| *code == self.0).map(|(_, name)| *name)
    }

    /// Whether the call succeeded: the highest bit tells.
    pub(crate) fn is_success(self) -> bool {
        self.0 & 0x8000_0000 == 0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(to, "{name} 0x{:08X}", self.0),
            None => write!(to, "0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

/// From VirtualBox's SDK reference and XPCOM's list of errors.
const NAMES: [(u32, &str); 27] = [
    (0x80BB_0001, "VBOX_E_OBJECT_NOT_FOUND"),
    (0x80BB_0002, "VBOX_E_INVALID_VM_STATE"),
    (0x80BB_0003, "VBOX_E_VM_ERROR"),
    (0x80BB_0004, "VBOX_E_FILE_ERROR"),
    (0x80BB_0005, "VBOX_E_IPRT_ERROR"),
    (0x80BB_0006, "VBOX_E_PDM_ERROR"),
    (0x80BB_0007, "VBOX_E_INVALID_OBJECT_STATE"),
    (0x80BB_0008, "VBOX_E_HOST_ERROR"),
    (0x80BB_0009, "VBOX_E_NOT_SUPPORTED"),
    (0x80BB_000A, "VBOX_E_XML_ERROR"),
    (0x80BB_000B, "VBOX_E_INVALID_SESSION_STATE"),
    (0x80BB_000C, "VBOX_E_OBJECT_IN_USE"),
    (0x80BB_000D, "VBOX_E_PASSWORD_INCORRECT"),
    (0x80BB_000E, "VBOX_E_MAXIMUM_REACHED"),
    (0x80BB_000F, "VBOX_E_GSTCTL_GUEST_ERROR"),
    (0x80BB_0010, "VBOX_E_TIMEOUT"),
    (0x80BB_0011, "VBOX_E_DND_ERROR"),
    (0x8000_4001, "NS_ERROR_NOT_IMPLEMENTED"),
    (0x8000_4002, "NS_ERROR_NO_INTERFACE"),
    (0x8000_4003, "NS_ERROR_INVALID_POINTER"),
    (0x8000_4004, "NS_ERROR_ABORT"),
    (0x8000_4005, "NS_ERROR_FAILURE"),
    (0x8000_FFFF, "NS_ERROR_UNEXPECTED"),
    (0x8004_0154, "NS_ERROR_FACTORY_NOT_REGISTERED"),
    (0x8007_0005, "E_ACCESSDENIED"),
    (0x8007_0057, "NS_ERROR_INVALID_ARG"),
    (0x8007_06BE, "NS_ERROR_CALL_FAILED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_with_its_name() {
        assert_eq!(Code(0x80BB_0007).to_string(), "VBOX_E_INVALID_OBJECT_STATE 0x80BB0007");
        assert_eq!(Code(0x8123_4567).to_string(), "0x81234567");
    }

    #[test]
    fn a_failed_call_is_told_in_virtualbox_s_words_and_found_by_its_code() {
        let text = "Could not find a registered machine named 'x'".to_owned();
        let error = Error::Call { call: "IVirtualBox.findMachine", code: Code::OBJECT_NOT_FOUND, text };
        assert!(error.is_not_found() && !error.is_locked() && !error.is_wrong_state());
        assert_eq!(
            error.to_string(),
            "Could not find a registered machine named 'x' (IVirtualBox.findMachine: VBOX_E_OBJECT_NOT_FOUND 0x80BB0001)"
        );
    }

    #[test]
    fn where_virtualbox_is_missing_the_error_says_where_it_was_looked_for_and_what_to_install() {
        let error = Error::NotInstalled { looked: vec!["/a".into(), "/b".into()] };
        insta_like(&error, &["/a, /b", "install VirtualBox 7"]);
    }

    fn insta_like(error: &Error, parts: &[&str]) {
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
