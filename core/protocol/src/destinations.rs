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

    /// Whose mailbox of this kind the destination is, if it is one.
    pub fn guest(self, destination: &str) -> Option<&str> {
        destination.strip_prefix(self.prefix()).filter(|guest| !guest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_names_its_guest() {
        assert_eq!(Mailbox::ToGuest.of("vm1"), "/queue/vocable.in.vm1");
        assert_eq!(Mailbox::FromGuest.guest("/queue/vocable.out.vm1"), Some("vm1"));
        assert_eq!(Mailbox::FromGuest.guest("/queue/vocable.in.vm1"), None);
        assert_eq!(Mailbox::StreamsFromGuest.guest("/queue/vocable.stream.out."), None);
        assert_eq!(Mailbox::StreamsToGuest.of("vm1"), "/queue/vocable.stream.in.vm1");
    }
}
