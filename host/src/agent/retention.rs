//! Forgetting commands that are over, by age and by size, for as long as the agent runs.

use crate::agent::handle::Handle;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How often it is looked for what to forget: nothing tells when something gets old.
const LOOK: Duration = Duration::from_secs(60);

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Commands that are over, so long.
    pub(crate) keep: Duration,
    /// Bytes of their output, results and programs, so many.
    pub(crate) keep_bytes: u64,
}

/// Forgets until cancelled. What cannot be forgotten now is tried again.
pub(crate) async fn run(handle: Handle, what: Retention, stop: CancellationToken) {
    if let Err(fault) = handle.sweep().await {
        error!("what is left of forgotten commands is not removed: {fault}");
    }
    let mut look = interval(LOOK.min(what.keep.max(Duration::from_secs(1))));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        match handle.retire(what.keep, what.keep_bytes).await {
            Ok(forgotten) => {
                if let Some(first) = forgotten.first() {
                    info!("forgot {} commands, {first} the first", forgotten.len());
                }
            }
            Err(fault) => error!("old commands are not forgotten: {fault}"),
        }
    }
}
