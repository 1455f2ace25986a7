//! Waiting for a time that may not come.

use tokio::time::Instant;

/// Until then; for ever, if there is no such time.
pub(crate) async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
