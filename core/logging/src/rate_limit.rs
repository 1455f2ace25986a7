//! Keeps one guest from filling the log: of each kind of line about it so many are written, then their number.
//!
//! A line is about a guest if it has the field `guest`, and its kind is the place in the program that writes it. Lines that
//! name a command are callers' doing and told each; so are those for debugging, which are off unless somebody looks.

use crate::limiter::{LeftOut, Limiter};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one kind about one guest in each stretch.
const LINES: u32 = 10;
/// Lines of one kind about all guests together: whoever knocks picks his names.
const LINES_OF_ALL: u32 = 2_000;
/// How long a stretch is.
const STRETCH: Duration = Duration::from_secs(10);
/// Guests times kinds that are counted apart.
const KINDS: usize = 16_384;
/// Bytes of a guest's name that tell it from others.
const LONGEST_NAME: usize = 64;

/// A place in the program that writes lines.
#[derive(Clone, Copy, Debug)]
struct Place(&'static Metadata<'static>);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.callsite().hash(state);
    }
}

pub(crate) struct RateLimit(Mutex<Counts>);

struct Counts {
    of_one: Limiter<(Place, String)>,
    of_all: Limiter<Place>,
}

impl RateLimit {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counts {
            of_one: Limiter::new(LINES, STRETCH, KINDS),
            of_all: Limiter::new(LINES_OF_ALL, STRETCH, KINDS),
        }))
    }
}

impl Counts {
    /// Whether the line is to be written, and what is to be written about lines that were not.
    fn admit(&mut self, place: Place, guest: String, now: Instant) -> (bool, Vec<LeftOut<(Place, String)>>) {
        let mut left_out = self.of_one.ended(now);
        let of_all = self.of_all.ended(now).into_iter();
        left_out.extend(of_all.map(|LeftOut { kind, count }| LeftOut {
            kind: kind.map(|place| (place, "other guests".to_owned())),
            count,
        }));
        (self.of_one.admit(&(place, guest), now) && self.of_all.admit(&place, now), left_out)
    }
}

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut about = About::default();
        if *event.metadata().level() <= Level::INFO {
            event.record(&mut about);
        }
        let Some(guest) = about.guest.filter(|_| !about.names_a_command) else { return true };
        let (is_admitted, left_out) = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counts.admit(Place(event.metadata()), guest, Instant::now())
        };
        // Without the lock: these are lines, too.
        left_out.iter().for_each(tell);
        is_admitted
    }
}

/// Writes how many lines were left out.
fn tell(left_out: &LeftOut<(Place, String)>) {
    let (count, seconds) = (left_out.count, STRETCH.as_secs());
    match &left_out.kind {
        // The name is not in the field `guest`: this line is not to be counted itself.
        Some((Place(place), guest)) => tracing::warn!(
            about = guest,
            "and {count} more like those of {}:{} in {seconds} s",
            place.file().unwrap_or(place.target()),
            place.line().unwrap_or_default()
        ),
        None => tracing::warn!("and {count} more about many other guests in {seconds} s"),
    }
}

/// What a line is about.
#[derive(Default)]
struct About {
    guest: Option<String>,
    names_a_command: bool,
}

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "guest" => {
                let mut name = format!("{value:?}");
                let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
                name.truncate(end.unwrap_or(0));
                self.guest = Some(name);
            }
            "cmd" => self.names_a_command = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_guest_does_not_fill_the_log_and_nobody_else_is_silenced() {
        let lines = Lines::default();
        let writer = lines.clone();
        let written = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(RateLimit::new()).with(written),
            || {
                for n in 0..5_000 {
                    tracing::warn!(guest = "vm1", "nonsense {n}");
                    if n % 1_000 == 0 {
                        tracing::warn!(guest = "vm2", "nonsense {n}");
                        tracing::info!(guest = "vm1", cmd = "k7.vm1", "cmd.done");
                    }
                }
            },
        );
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("guest=\"vm1\"").count(), 10 + 5, "{text}");
        assert_eq!(text.matches("guest=\"vm2\"").count(), 5, "{text}");
    }
}
