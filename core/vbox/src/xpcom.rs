//! VirtualBox's own C entry points, and calls on its objects. The only module of the project where foreign code is
//! called, and with [`text`], [`object`] and [`table`] below it the only `unsafe` code of this crate.
//!
//! What makes it safe to use from the rest of the crate:
//! - An [`Object`] can only come from VirtualBox, carries its interface, counts as one reference, gives that reference
//!   back once, and cannot leave its thread but in a [`Parcel`].
//! - [`Object::call`] compares what it is given with the [`Call`], and the call was compared with the installed type
//!   library when that was opened ([`crate::shape`]). So a method gets the parameters it is made for, or is not called.
//! - What a method gives is owned (and freed) before anything can go wrong with it.
//! - The library is never unloaded, and its threads are told apart by [`Attached`] and [`Client`], without which there
//!   is no object.
//!
//! It rests on this: the type library tells the truth about the library that it was installed with.

#![allow(unsafe_code, reason = "VirtualBox is C++; each block says why it is sound")]

mod arguments;
mod client;
mod object;
mod results;
mod table;
mod text;

pub(crate) use arguments::In;
pub(crate) use client::{Attached, Client, Woken};
pub(crate) use object::{Object, Parcel, error_text};
pub(crate) use results::{FromOut, Out};
pub(crate) use table::Library;
