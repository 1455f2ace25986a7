//! What puts the guest agent into machines: the files of `packaging/` with an agent and a credential, on a disc that
//! machines configure themselves from, or in a disk image.
//!
//! In reading order: [`kit`] (which files, where, with what permissions; pure), [`elf`] (whether an agent runs
//! everywhere; pure), [`seed`] (the disc). The command line is [`crate::cli`]'s, how the scripts work inside of the
//! machine is said in `docs/guests.md`.

pub(crate) mod elf;
pub(crate) mod kit;
pub(crate) mod seed;

pub(crate) use elf::Program;
pub(crate) use kit::{Kit, Placed};
pub(crate) use seed::{SeedError, write_seed};
