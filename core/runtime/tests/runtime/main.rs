//! The runtime with real components: the built-in words, and PROBE, which misbehaves to order.

#[cfg(test)]
mod support;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod misbehaviour;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod words;

#[cfg(test)]
#[path = "../../../../words/nested.rs"]
mod nested;
