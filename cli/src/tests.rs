//! What every verb prints, on people's terminals and as JSON, against an agent that says what it was told to.

mod commands;
mod files;
mod fleet;
mod help;
mod mistakes;
mod run;
mod setup;
mod vm;
mod words;
