//! The guests as machines: what the driver `none` asks of the agent.

use crate::agent::events::Wanted;
use crate::agent::handle::Handle;
use crate::agent::request::Request;
use crate::machines::none::{Guests, PlainGuest};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;
use vocable_protocol::Facts;

/// How long one question for news waits; nothing depends on it.
const LONG: Duration = Duration::from_hours(1);

impl Guests for Handle {
    fn all(&self) -> BoxFuture<'_, Result<Vec<PlainGuest>, String>> {
        async {
            let roster = self.roster().await.map_err(|fault| fault.to_string())?;
            let plain = |(id, (guest, _)): (String, (crate::agent::roster::Guest, u32))| PlainGuest {
                id,
                since: guest.since,
                is_there: guest.state.is_there(),
                mac: Facts::of(&guest.facts).mac,
            };
            Ok(roster.guests.into_iter().map(plain).collect())
        }
        .boxed()
    }

    fn expect(&self, id: String) -> BoxFuture<'_, Result<(), String>> {
        async {
            let expected = self.request(|reply| Request::Expect { guest: id, reply }).await;
            expected.map_err(|fault| fault.to_string())
        }
        .boxed()
    }

    fn changed(&self, mut since: u64) -> BoxFuture<'_, Option<u64>> {
        async move {
            let wanted = Wanted::of(None, &["guest.*".to_owned()]).ok()?;
            loop {
                let found = self.events(since, usize::MAX, &wanted, Instant::now() + LONG).await.ok()?;
                since = found.next;
                if !found.events.is_empty() {
                    return Some(since);
                }
            }
        }
        .boxed()
    }
}
