//! VirtualBox 7, through the library that it installs.
//!
//! Nothing of VirtualBox is needed to build or to start a program with this crate: its library is opened at run time,
//! by [`VirtualBox::open`], and without it the error says what to install. Where its methods are and what they take is
//! read from the type library that is installed with it, so one program serves 7.0, 7.1 and 7.2, and refuses by name
//! what differs from what it is made for.
//!
//! In reading order, from the outside: [`VirtualBox`] (a handle for any task, clones of which are the same connection)
//! sends work to a thread of its own (`thread`), which owns all of VirtualBox's objects and does it (`work`), in steps
//! where it takes its time (`step`); `events` has a second thread, which waits for what happens. Both call methods
//! that `calls` names and `shape` has checked, by way of `xpcom`: the one place with `unsafe` code, and the reason why
//! it is sound is told there. [`typelib`] reads the file format.
//!
//! What this crate does not own: policy. It does what it is told, in VirtualBox's states and with VirtualBox's errors.

mod calls;
mod com;
mod error;
mod events;
mod handle;
mod install;
mod model;
mod shape;
mod step;
mod thread;
mod values;
mod work;
mod xpcom;

pub mod typelib;

pub use error::{Code, Error};
pub use handle::{Settings, VirtualBox};
pub use model::{
    Adapter, AdapterKind, Attachment, DhcpServer, Disk, Display, DisplaySettings, Engine, Event, Forward,
    HostOnlyInterface, Import, Machine, Metric, NewAdapter, NewMachine, Progress, Protocol, Reporter,
    Snapshot, SnapshotChange, State, Version,
};
