//! Machines: which there are, their coming and going, their life, their snapshots.

use super::VirtualBox;
use crate::calls;
use crate::error::Error;
use crate::model::{Import, Machine, Metric, NewMachine, Reporter, Snapshot};
use crate::work::{appliance, create, destroy, life, list, metrics, screen, snapshots};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl VirtualBox {
    /// All registered machines.
    pub async fn machines(&self) -> Result<Vec<Machine>, Error> {
        self.call("machines", list::machines).await
    }

    /// One machine. An unknown one is an error with [`Error::is_not_found`].
    pub async fn machine(&self, which: &str) -> Result<Machine, Error> {
        self.call_on("machine", which, list::machine).await
    }

    /// Registers a machine by the file with its settings.
    pub async fn register(&self, settings_file: &Path) -> Result<Machine, Error> {
        let file = create::text(settings_file)?.to_owned();
        self.call("register", move |com| create::register(com, &file)).await
    }

    /// Creates a machine and registers it. If that fails half-way, nothing stays.
    pub async fn create(&self, new: NewMachine, reporter: Reporter) -> Result<Machine, Error> {
        self.operation("create", reporter, move |com| create::create(com, new)).await
    }

    /// Makes a machine of an appliance (OVA or OVF).
    pub async fn import(&self, import: Import, reporter: Reporter) -> Result<Machine, Error> {
        self.operation("import", reporter, move |com| appliance::import(com, import)).await
    }

    /// Writes a machine that does not run into an appliance; the name of the file ends with `.ova` or `.ovf`.
    pub async fn export(&self, which: &str, file: &Path, reporter: Reporter) -> Result<(), Error> {
        let (which, file): (_, PathBuf) = (which.to_owned(), file.into());
        self.operation("export", reporter, move |com| appliance::export(com, &which, &file)).await
    }

    /// Forgets a machine; all its files stay.
    pub async fn unregister(&self, which: &str) -> Result<(), Error> {
        self.call_on("unregister", which, destroy::unregister).await
    }

    /// Forgets a machine and removes what is in its folder: settings, logs, snapshots, and those of its disks that are
    /// there. Images elsewhere stay.
    pub async fn destroy(&self, which: &str, reporter: Reporter) -> Result<(), Error> {
        self.operation_on("destroy", which, reporter, destroy::destroy).await
    }

    /// Starts a machine without a window.
    pub async fn start(&self, which: &str, reporter: Reporter) -> Result<(), Error> {
        self.operation_on("start", which, reporter, life::start).await
    }

    /// Stops a machine where it is.
    pub async fn pause(&self, which: &str) -> Result<(), Error> {
        self.console("pause", which, &calls::PAUSE).await
    }

    /// Lets a paused machine go on.
    pub async fn resume(&self, which: &str) -> Result<(), Error> {
        self.console("resume", which, &calls::RESUME).await
    }

    /// Presses the machine's reset button.
    pub async fn reset(&self, which: &str) -> Result<(), Error> {
        self.console("reset", which, &calls::RESET).await
    }

    /// Presses the machine's power button: its system may shut down, or not.
    pub async fn power_button(&self, which: &str) -> Result<(), Error> {
        self.console("power button", which, &calls::POWER_BUTTON).await
    }

    async fn console(
        &self,
        what: &'static str,
        which: &str,
        call: &'static crate::shape::Call,
    ) -> Result<(), Error> {
        self.call_on(what, which, move |com, which| life::console(com, which, call)).await
    }

    /// Ends a machine as if its cable had been pulled.
    pub async fn power_off(&self, which: &str, reporter: Reporter) -> Result<(), Error> {
        self.operation_on("power off", which, reporter, life::power_off).await
    }

    /// Saves a machine as it is and ends it; when it is started again it goes on.
    pub async fn save(&self, which: &str, reporter: Reporter) -> Result<(), Error> {
        self.operation_on("save", which, reporter, life::save).await
    }

    /// Throws away what was saved of a machine.
    pub async fn discard_saved(&self, which: &str) -> Result<(), Error> {
        self.call_on("discard saved state", which, life::discard_saved).await
    }

    /// All snapshots of a machine, each before those that are based on it.
    pub async fn snapshots(&self, which: &str) -> Result<Vec<Snapshot>, Error> {
        self.call_on("snapshots", which, snapshots::snapshots).await
    }

    /// Takes a snapshot, live if the machine runs. Gives its id.
    pub async fn take_snapshot(
        &self,
        which: &str,
        name: &str,
        description: &str,
        reporter: Reporter,
    ) -> Result<String, Error> {
        let (name, description) = (name.to_owned(), description.to_owned());
        self.operation_on("take snapshot", which, reporter, move |com, which| {
            snapshots::take(com, which, &name, &description)
        })
        .await
    }

    /// Makes a machine that does not run what it was when the snapshot was taken.
    pub async fn restore_snapshot(
        &self,
        which: &str,
        snapshot: &str,
        reporter: Reporter,
    ) -> Result<(), Error> {
        let snapshot = snapshot.to_owned();
        self.operation_on("restore snapshot", which, reporter, move |com, which| {
            snapshots::restore(com, which, &snapshot)
        })
        .await
    }

    /// Deletes a snapshot; what is based on it stays as it is.
    pub async fn delete_snapshot(
        &self,
        which: &str,
        snapshot: &str,
        reporter: Reporter,
    ) -> Result<(), Error> {
        let snapshot = snapshot.to_owned();
        self.operation_on("delete snapshot", which, reporter, move |com, which| {
            snapshots::delete(com, which, &snapshot)
        })
        .await
    }

    /// Lets VirtualBox measure a machine from now on, once in that time: whole seconds, one at least.
    pub async fn watch_metrics(&self, which: &str, period: Duration) -> Result<(), Error> {
        self.call_on("watch metrics", which, move |com, which| metrics::watch(com, which, period)).await
    }

    /// What was measured of a machine last; nothing before [`Self::watch_metrics`].
    pub async fn metrics(&self, which: &str) -> Result<Vec<Metric>, Error> {
        self.call_on("metrics", which, metrics::metrics).await
    }

    /// The screen of a machine that runs, as a PNG.
    pub async fn screenshot(&self, which: &str) -> Result<Vec<u8>, Error> {
        self.call_on("screenshot", which, screen::screenshot).await
    }
}
