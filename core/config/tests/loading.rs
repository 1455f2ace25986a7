//! Loading, as an agent sees it: precedence, origins, and what is said about mistakes.
#![expect(clippy::unwrap_used, reason = "a test's helper that fails should do so at the line that matters")]

#[path = "loading/agent.rs"]
mod agent;
#[path = "loading/any_text.rs"]
mod any_text;
#[path = "loading/layers.rs"]
mod layers;
#[path = "loading/mistakes.rs"]
mod mistakes;
