//! Numbers for people: sizes, how long things took, and counts of things.

use nix::errno::Errno;
use std::io;
use std::time::Duration;

/// `1.5 MiB`
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if amount < 9.95 { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// `14 ms`, `1.2 s`, `41.3 s`, `12m8s`, `2h`.
pub(super) fn took(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..=999 => format!("{ms} ms"),
        1000..=99_999 => format!("{:.1} s", time.as_secs_f64()),
        _ => vocable_api::clock::age(time),
    }
}

/// An error of the system: `connection refused [ECONNREFUSED]`.
pub(super) fn io(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(number) => format!("{} [{number:?}]", lower(number.desc())),
        None => lower(&error.to_string()),
    }
}

/// As it stands within a sentence.
fn lower(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Seconds that came as a number: nothing negative, nothing endless.
pub(super) fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.max(0.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let told = [0, 1023, 1024, 1536, 10_200, 1_048_575, 1 << 20, 412 << 20, 21_474_836_480].map(size);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 KiB", "1.0 MiB", "1.0 MiB", "412 MiB", "20 GiB"];
        assert_eq!(told, expected);
        assert_eq!(size(u64::MAX), "16384 PiB");
    }

    #[test]
    fn errors_of_the_system_have_their_native_name() {
        assert_eq!(io(&io::Error::from_raw_os_error(111)), "connection refused [ECONNREFUSED]");
        assert_eq!(io(&io::Error::other("No luck")), "no luck");
    }

    #[test]
    fn durations_are_short() {
        let told = [0, 14, 1200, 41_300, 728_000].map(|ms| took(Duration::from_millis(ms)));
        assert_eq!(told, ["0 ms", "14 ms", "1.2 s", "41.3 s", "12m"]);
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
    }
}
