//! What is done with VirtualBox's objects, on their thread: one file for each family of the handle's methods.

pub(crate) mod appliance;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod life;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod screen;
pub(crate) mod settings;
pub(crate) mod snapshots;
