//! The host agent of Vocable and its command line.
//!
//! The agent, in reading order: [`request`] (everything it can be asked), [`agent`] (the task that owns the state) with
//! what it owns: [`roster`], [`commands`], [`asks`], [`events`], [`turns`]; [`store`] (what survives a restart) and [`retention`]
//! (until when); [`handle`] and [`control`] (the operations, made of requests); [`powers`] (what words can ask of it);
//! [`credentials`] (who may log in at the broker); [`hypervisor`] (the machines guests are in); [`audit`] (who changed what).
//! Around it: [`rpc`] (the methods callers have, described by [`registry`]) over [`http`]; [`attach`] (commands held from
//! both ends); [`why`] (what is wrong with a guest); [`serve`] (all of it put together) and [`config`].
//!
//! The command line: [`cli`], one file a verb, which talks to the agent through [`client`], as everybody does;
//! [`image`] (what puts the guest agent into machines) and [`demo`].

pub mod clock;
pub mod fault;
mod panics;
pub mod pattern;
pub mod shape;
pub mod target;

pub mod request;

pub mod agent;
pub mod asks;
pub mod commands;
pub mod events;
pub mod roster;
pub mod turns;

pub mod retention;
pub mod store;

pub mod control;
pub mod hypervisor;

pub mod handle;

pub mod audit;
pub mod credentials;
pub mod files;
pub mod powers;
mod proof;
pub mod streams;

pub mod attach;
pub mod http;
pub mod registry;
pub mod rpc;
pub mod why;

pub mod config;
pub mod serve;

pub mod cli;
pub mod client;
pub mod demo;
pub mod image;
