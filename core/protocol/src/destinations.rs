//! The destinations on the bus: four queues for each guest, which only that guest and its host may use.

use strum::IntoStaticStr;

/// The name of the host agent on the bus, and who every message that reaches a guest is from: nobody else may write to
/// its mailbox.
pub const HOST: &str = "host";

/// The queues of a guest. Each is called by its prefix and the guest's id.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
pub enum Mailbox {
    /// Messages of the guest: only that guest may write to it.
    #[strum(serialize = "/queue/vocable.out.")]
    FromGuest,
    /// Byte streams of the guest: only that guest may write to it.
    #[strum(serialize = "/queue/vocable.stream.out.")]
    StreamsFromGuest,
    /// Byte streams to the guest: only that guest may read it.
    #[strum(serialize = "/queue/vocable.stream.in.")]
    StreamsToGuest,
    /// Messages to the guest: only that guest may read it.
    #[strum(serialize = "/queue/vocable.in.")]
    ToGuest,
}

impl Mailbox {
    /// What the destination begins with.
    pub fn prefix(self) -> &'static str {
        self.into()
    }

    /// The destination for a guest.
    pub fn of(self, guest: &str) -> String {
        format!("{}{guest}", self.prefix())
    }

    /// What matches the destinations of all guests.
    pub fn of_all(self) -> String {
        self.of(">")
    }

    /// Whose mailbox of this kind the destination is, if it is one.
    pub fn guest(self, destination: &str) -> Option<&str> {
        destination.strip_prefix(self.prefix()).filter(|guest| !guest.is_empty())
    }
}

/// Whether a guest may be called so: 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit. An id is
/// part of destinations and of `guest:/path`.
pub fn is_guest_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_fit_for_a_destination() {
        for id in ["a", "vm1", "0800270A0B0C", "pi-04.lab_2", &"x".repeat(64)] {
            assert!(is_guest_id(id), "{id}");
        }
        for id in ["", ".a", "-a", "a b", "a/b", "a:b", "ü", "*", &"x".repeat(65)] {
            assert!(!is_guest_id(id), "{id}");
        }
    }

    #[test]
    fn a_destination_names_its_guest() {
        assert_eq!(Mailbox::ToGuest.of("vm1"), "/queue/vocable.in.vm1");
        assert_eq!(Mailbox::FromGuest.guest("/queue/vocable.out.vm1"), Some("vm1"));
        assert_eq!(Mailbox::FromGuest.guest("/queue/vocable.in.vm1"), None);
        assert_eq!(Mailbox::StreamsFromGuest.guest("/queue/vocable.stream.out."), None);
        assert_eq!(Mailbox::StreamsToGuest.of("vm1"), "/queue/vocable.stream.in.vm1");
    }
}
