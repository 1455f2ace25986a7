//! Loading, as an agent sees it: precedence, origins, and what is said about mistakes.

#[path = "loading/agent.rs"]
mod agent;
#[path = "loading/any_text.rs"]
mod any_text;
#[path = "loading/layers.rs"]
mod layers;
#[path = "loading/mistakes.rs"]
mod mistakes;
