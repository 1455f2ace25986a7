//! Numbers with units, as durations and sizes have them.

/// Splits `1h30m` into `(1, "h")` and `(30, "m")`; spaces may stand between all parts. `None` if it is not
/// numbers and units in turn, or a number does not fit. The last unit may be empty.
pub(crate) fn split(text: &str) -> Option<Vec<(u64, &str)>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (digits, after) = rest.split_at_checked(end(rest, |c| c.is_ascii_digit()))?;
        let after = after.trim_start();
        let (unit, after) = after.split_at_checked(end(after, char::is_alphabetic))?;
        parts.push((digits.parse().ok()?, unit));
        if unit.is_empty() && !after.is_empty() {
            return None;
        }
        rest = after.trim_start();
    }
    (!parts.is_empty()).then_some(parts)
}

/// Length in bytes of the characters at the start that are `wanted`.
fn end(text: &str, wanted: fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}
