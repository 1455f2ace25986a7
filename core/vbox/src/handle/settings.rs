//! Settings of machines that exist. Those of a machine that runs are changed where VirtualBox can.

use super::VirtualBox;
use crate::calls;
use crate::error::Error;
use crate::model::{Attachment, DisplaySettings, Forward};
use crate::work::{network, settings};
use crate::xpcom::{In, Object};

impl VirtualBox {
    /// Sets the remote display.
    pub async fn set_display(&self, which: &str, display: DisplaySettings) -> Result<(), Error> {
        self.change("set display", which, move |machine| settings::apply_display(machine, &display)).await
    }

    /// Limits how much of a host's processor each of the machine's own may use, in percent from 1 to 100.
    pub async fn set_cpu_cap(&self, which: &str, percent: u32) -> Result<(), Error> {
        let change = move |machine: &Object| machine.run(&calls::SET_CPU_CAP, &[In::U32(percent)]);
        self.change("set cpu cap", which, change).await
    }

    /// Plugs the cable of a network adapter in, or pulls it.
    pub async fn set_cable(&self, which: &str, slot: u32, connected: bool) -> Result<(), Error> {
        let change = move |adapter: &Object| adapter.run(&calls::SET_CABLE, &[In::Bool(connected)]);
        self.change_adapter("set cable", which, slot, change).await
    }

    /// Gives a network adapter of a machine that is off another address; without one, VirtualBox makes a new one.
    pub async fn set_mac(&self, which: &str, slot: u32, mac: Option<&str>) -> Result<(), Error> {
        let mac = mac.unwrap_or_default().to_owned();
        let change = move |adapter: &Object| adapter.run(&calls::SET_ADAPTER_MAC, &[In::Text(&mac)]);
        self.change_adapter("set MAC address", which, slot, change).await
    }

    /// Attaches a network adapter to something else.
    pub async fn set_adapter(&self, which: &str, slot: u32, to: Attachment) -> Result<(), Error> {
        self.change_adapter("set adapter", which, slot, move |adapter| network::attach(adapter, &to)).await
    }

    /// Lets a port of the host lead to the guest, by an adapter that is attached to NAT.
    pub async fn add_forward(&self, which: &str, slot: u32, forward: Forward) -> Result<(), Error> {
        let change = move |adapter: &Object| network::add_forward(adapter, &forward);
        self.change_adapter("add forward", which, slot, change).await
    }

    /// Removes the forward of that name.
    pub async fn remove_forward(&self, which: &str, slot: u32, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let change = move |adapter: &Object| network::remove_forward(adapter, &name);
        self.change_adapter("remove forward", which, slot, change).await
    }

    /// What is noted on a machine under that key.
    pub async fn extra(&self, which: &str, key: &str) -> Result<Option<String>, Error> {
        self.text("extra data", which, &calls::EXTRA, key).await
    }

    /// Notes something on a machine; `None` removes it.
    pub async fn set_extra(&self, which: &str, key: &str, value: Option<&str>) -> Result<(), Error> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        let work = move |com: &_, which: &_| settings::set_extra(com, which, &key, value.as_deref());
        self.call_on("set extra data", which, work).await
    }

    /// A property of the guest.
    pub async fn guest_property(&self, which: &str, name: &str) -> Result<Option<String>, Error> {
        self.text("guest property", which, &calls::GUEST_PROPERTY, name).await
    }

    /// Sets a property of the guest; `None` removes it.
    pub async fn set_guest_property(
        &self,
        which: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let change = move |machine: &Object| match &value {
            Some(value) => machine.run(&calls::SET_GUEST_PROPERTY, &[In::Text(&name), In::Text(value)]),
            None => machine.run(&calls::DELETE_GUEST_PROPERTY, &[In::Text(&name)]),
        };
        self.change("set guest property", which, change).await
    }

    async fn change(
        &self,
        what: &'static str,
        which: &str,
        change: impl FnOnce(&Object) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.call_on(what, which, move |com, which| settings::change(com, which, change)).await
    }

    async fn change_adapter(
        &self,
        what: &'static str,
        which: &str,
        slot: u32,
        change: impl FnOnce(&Object) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let of_machine = move |machine: &Object| change(&machine.get(&calls::ADAPTER, &[In::U32(slot)])?);
        self.change(what, which, of_machine).await
    }

    /// A text that a machine has under a name. VirtualBox has an empty one where there is none.
    async fn text(
        &self,
        what: &'static str,
        which: &str,
        call: &'static crate::shape::Call,
        name: &str,
    ) -> Result<Option<String>, Error> {
        let name = name.to_owned();
        let text =
            self.call_on(what, which, move |com, which| com.find(which)?.get(call, &[In::Text(&name)]));
        Ok(Some(text.await?).filter(|text: &String| !text.is_empty()))
    }
}
