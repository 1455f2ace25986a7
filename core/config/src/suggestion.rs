//! Which name was probably meant.

/// Names told at most: more hide the answer.
const MAX_CANDIDATES: usize = 2;

/// `did you mean A or B?`, if any candidate is close to `name`; the closest only.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    one_of(closest(name, candidates).into_iter().take(MAX_CANDIDATES))
}

/// The candidates closest to `name`, if they are close at all.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut close: Vec<_> = candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .collect();
    close.sort_unstable();
    close.dedup();
    let best = close.first().map(|(distance, _)| *distance);
    close.into_iter().filter(|(distance, _)| Some(*distance) == best).map(|(_, name)| name).collect()
}

/// `did you mean A or B?`
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<_> = names.into_iter().collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

fn distance(name: &str, candidate: &str) -> usize {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    strsim::damerau_levenshtein(&plain(name), &plain(candidate))
}

/// One slip in three characters.
fn allowed(candidate: &str) -> usize {
    (candidate.chars().count() / 3).clamp(1, 3)
}
