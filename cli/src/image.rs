//! What puts the guest agent into machines: the files of `packaging/` with an agent and a credential, on a disc that
//! machines configure themselves from.
//!
//! In reading order: [`files`] (which files, where, with what permissions; pure), [`elf`] (whether an agent runs
//! everywhere; pure), [`seed`] (the disc). How the scripts work inside of the machine is said in `docs/guests.md`.

mod elf;
mod files;
mod seed;

pub(crate) use elf::Program;
pub(crate) use files::{SeedDisc, SeedFile};
pub(crate) use seed::{SeedError, write_seed};
