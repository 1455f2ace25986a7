//! Arrows with the places they come from, and the circles they make.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

#[derive(Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl Graph {
    pub(crate) fn add(&mut self, from: &str, to: &str, place: String) {
        self.0.entry(from.to_owned()).or_default().entry(to.to_owned()).or_default().push(place);
    }

    /// Each circle once, the short ones first: its arrows with the places that make them.
    pub(crate) fn circles(&self) -> Vec<String> {
        let arrows = self.0.iter().flat_map(|(from, targets)| targets.keys().map(move |to| (from, to)));
        let mut ways: Vec<_> = arrows.filter_map(|(from, to)| Some((from, self.way(to, from)?))).collect();
        ways.sort_by_key(|(_, way)| way.len());
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (from, way) in ways {
            let mut modules = way.clone();
            modules.sort_unstable();
            if seen.insert(modules) {
                let whole = [&[from.as_str()], &way[..]].concat();
                circles.push(format!("circle {}", self.describe(&whole)));
            }
        }
        circles
    }

    /// How one reaches the other, if it does.
    pub(crate) fn path(&self, from: &str, to: &str) -> Option<String> {
        Some(self.describe(&self.way(from, to)?))
    }

    fn describe(&self, way: &[&str]) -> String {
        let mut text = way.join(" → ");
        for (from, to) in way.iter().zip(way.iter().skip(1)) {
            let places = &self.0[*from][*to];
            let more =
                if places.len() > 3 { format!(" and {} more", places.len() - 3) } else { String::new() };
            let first = places.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(text, "\n  {from} → {to}: {first}{more}").unwrap();
        }
        text
    }

    fn next(&self, from: &str) -> impl Iterator<Item = &str> {
        self.0.get(from).into_iter().flat_map(|targets| targets.keys().map(String::as_str))
    }

    /// The shortest way, with both ends.
    fn way<'a>(&'a self, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
        let mut ways = VecDeque::from([vec![from]]);
        let mut seen = BTreeSet::from([from]);
        while let Some(way) = ways.pop_front() {
            let last = *way.last()?;
            if last == to {
                return Some(way);
            }
            let next: Vec<_> = self.next(last).filter(|next| seen.insert(next)).collect();
            ways.extend(next.into_iter().map(|next| [&way[..], &[next]].concat()));
        }
        None
    }
}
