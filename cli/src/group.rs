//! Failures of many guests, told once for each cause.

use super::output::Terminal;
use std::io;

/// Names told of those who share a cause; the rest is a count.
const MOST_NAMES: usize = 6;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Cause {
    /// What went wrong, the same for all.
    text: String,
    guests: Vec<String>,
}

/// Puts equal causes together, in the order of their first guest.
pub(super) fn folded<'a>(failures: impl IntoIterator<Item = (&'a str, String)>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for (guest, text) in failures {
        // Messages that begin with the name of the guest are the same message.
        let text = text.replacen(&format!("{guest} "), "", 1);
        match causes.iter_mut().find(|cause| cause.text == text) {
            Some(cause) => cause.guests.push(guest.to_owned()),
            None => causes.push(Cause { text, guests: vec![guest.to_owned()] }),
        }
    }
    causes
}

/// A line for each cause, under a summary: who, what, and the next command to type.
pub(super) fn print(
    terminal: &mut Terminal,
    causes: &[Cause],
    next: impl Fn(&[String]) -> String,
) -> io::Result<()> {
    let names: Vec<_> = causes.iter().map(|cause| names(&cause.guests)).collect();
    let width = names.iter().map(|names| names.chars().count()).max().unwrap_or_default();
    for (cause, names) in causes.iter().zip(names) {
        let padding = " ".repeat(width - names.chars().count());
        let line = format!("  {names}{padding}  {}   {}", cause.text, next(&cause.guests));
        terminal.say(line.trim_end())?;
    }
    Ok(())
}

fn names(guests: &[String]) -> String {
    let told = guests.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match guests.len() {
        0 | 1 => told,
        count @ ..=MOST_NAMES => format!("{told} ({count})"),
        count => format!("{told} and {} more", count - MOST_NAMES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Screen;

    #[test]
    fn equal_causes_are_told_once() {
        let failures = [
            ("vm1", "guest-offline: vm1 does not answer".to_owned()),
            ("vm2", "exit 2".to_owned()),
            ("vm3", "guest-offline: vm3 does not answer".to_owned()),
        ];
        let screen = Screen::default();
        let next = |guests: &[String]| format!("vocable why {}", guests.join(" "));
        print(&mut screen.terminal(&[]), &folded(failures), next).unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    ------- stderr
      vm1, vm3 (2)  guest-offline: does not answer   vocable why vm1 vm3
      vm2           exit 2   vocable why vm2
    "#);
    }

    #[test]
    fn a_long_list_of_names_is_a_count() {
        let guests: Vec<_> = (1..=9).map(|n| format!("vm{n}")).collect();
        assert_eq!(names(&guests), "vm1, vm2, vm3, vm4, vm5, vm6 and 3 more");
    }
}
