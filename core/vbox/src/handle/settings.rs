//! Settings of machines that exist. Those of a machine that runs are changed where VirtualBox can.

use super::VirtualBox;
use crate::error::Error;
use crate::model::{Attachment, DisplaySettings, Forward};
use crate::work::settings;

impl VirtualBox {
    /// Sets the remote display.
    pub async fn set_display(&self, which: &str, display: DisplaySettings) -> Result<(), Error> {
        let which = which.to_owned();
        self.call("set display", move |com| settings::set_display(com, &which, &display)).await
    }

    /// Limits how much of a host's processor each of the machine's own may use, in percent from 1 to 100.
    pub async fn set_cpu_cap(&self, which: &str, percent: u32) -> Result<(), Error> {
        let which = which.to_owned();
        self.call("set cpu cap", move |com| settings::set_cpu_cap(com, &which, percent)).await
    }

    /// Plugs the cable of a network adapter in, or pulls it.
    pub async fn set_cable(&self, which: &str, slot: u32, connected: bool) -> Result<(), Error> {
        let which = which.to_owned();
        self.call("set cable", move |com| settings::set_cable(com, &which, slot, connected)).await
    }

    /// Gives a network adapter of a machine that is off another address; without one, VirtualBox makes a new one.
    pub async fn set_mac(&self, which: &str, slot: u32, mac: Option<&str>) -> Result<(), Error> {
        let (which, mac) = (which.to_owned(), mac.map(str::to_owned));
        self.call("set MAC address", move |com| settings::set_mac(com, &which, slot, mac.as_deref())).await
    }

    /// Attaches a network adapter to something else.
    pub async fn set_adapter(&self, which: &str, slot: u32, to: Attachment) -> Result<(), Error> {
        let which = which.to_owned();
        self.call("set adapter", move |com| settings::set_adapter(com, &which, slot, &to)).await
    }

    /// Lets a port of the host lead to the guest, by an adapter that is attached to NAT.
    pub async fn add_forward(&self, which: &str, slot: u32, forward: Forward) -> Result<(), Error> {
        let which = which.to_owned();
        self.call("add forward", move |com| settings::add_forward(com, &which, slot, &forward)).await
    }

    /// Removes the forward of that name.
    pub async fn remove_forward(&self, which: &str, slot: u32, name: &str) -> Result<(), Error> {
        let (which, name) = (which.to_owned(), name.to_owned());
        self.call("remove forward", move |com| settings::remove_forward(com, &which, slot, &name)).await
    }

    /// What is noted on a machine under that key.
    pub async fn extra(&self, which: &str, key: &str) -> Result<Option<String>, Error> {
        let (which, key) = (which.to_owned(), key.to_owned());
        self.call("extra data", move |com| settings::extra(com, &which, &key)).await
    }

    /// Notes something on a machine; `None` removes it.
    pub async fn set_extra(&self, which: &str, key: &str, value: Option<&str>) -> Result<(), Error> {
        let (which, key, value) = (which.to_owned(), key.to_owned(), value.map(str::to_owned));
        let work = move |com: &crate::com::Com| settings::set_extra(com, &which, &key, value.as_deref());
        self.call("set extra data", work).await
    }

    /// A property of the guest.
    pub async fn guest_property(&self, which: &str, name: &str) -> Result<Option<String>, Error> {
        let (which, name) = (which.to_owned(), name.to_owned());
        self.call("guest property", move |com| settings::guest_property(com, &which, &name)).await
    }

    /// Sets a property of the guest; `None` removes it.
    pub async fn set_guest_property(
        &self,
        which: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let (which, name, value) = (which.to_owned(), name.to_owned(), value.map(str::to_owned));
        let work =
            move |com: &crate::com::Com| settings::set_guest_property(com, &which, &name, value.as_deref());
        self.call("set guest property", work).await
    }
}
