//! Resource limits of a command as its user writes them: `nofile=1024,as=1GiB`.
//! Parsed here; set by the launcher, in the process that becomes the program.

use nix::sys::resource::{RLIM_INFINITY, Resource, rlim_t, setrlimit};
use serde::{Deserialize, Serialize};

use super::error::excerpt;

/// One limit of `setrlimit(2)`, soft and hard alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Limit {
    /// The resource, by its name in `prlimit(1)`.
    pub(crate) name: String,
    /// In the resource's own unit (bytes, seconds, a number); `None` is no limit.
    pub(crate) value: Option<u64>,
}

impl Limit {
    /// Sets the limit for the calling process and all that will descend from it.
    pub(crate) fn apply(&self) -> Result<(), String> {
        let resource = resource(&self.name).ok_or_else(|| unknown(&self.name))?;
        let value = match self.value {
            Some(value) => rlim_t::from(value),
            None => RLIM_INFINITY,
        };
        setrlimit(resource, value, value)
            .map_err(|cause| format!("limit {} cannot be set: {cause}", self.name))
    }
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::RLIMIT_AS,
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "stack" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}

fn unknown(name: &str) -> String {
    format!(
        "{} is no limit; there are as, core, cpu, data, fsize, memlock, nofile, nproc, rss, stack",
        excerpt(name)
    )
}

/// Reads `name=value,name=value`.  A value is a whole number with an optional KiB, MiB, GiB or
/// TiB, or `unlimited`.
pub(super) fn parse(text: &str) -> Result<Vec<Limit>, String> {
    let mut limits: Vec<Limit> = Vec::new();
    for part in text.split(',') {
        let (name, value) =
            part.split_once('=').ok_or_else(|| format!("{} is not NAME=VALUE", excerpt(part)))?;
        resource(name).ok_or_else(|| unknown(name))?;
        if limits.iter().any(|limit| limit.name == name) {
            return Err(format!("{name} is given twice"));
        }
        limits.push(Limit { name: name.to_owned(), value: amount(value)? });
    }
    Ok(limits)
}

fn amount(text: &str) -> Result<Option<u64>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" => Some(1_u64),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    // The largest number means "no limit" to the kernel: who wants that says so.
    let value = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    match value.filter(|value| *value < u64::MAX) {
        Some(value) => Ok(Some(value)),
        None => {
            Err(format!("{} is no whole number with KiB, MiB, GiB, TiB or nothing behind it", excerpt(text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_sizes_and_unlimited_are_read() {
        let limits = parse("nofile=1024,as=1GiB,core=unlimited").unwrap();
        let values: Vec<_> = limits.iter().map(|limit| (limit.name.as_str(), limit.value)).collect();
        assert_eq!(values, [("nofile", Some(1024)), ("as", Some(1 << 30)), ("core", None)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "NAME=VALUE"),
            ("nofile", "NAME=VALUE"),
            ("colour=1", "colour"),
            ("as=1GB", "1GB"),
            ("as=", "whole number"),
            ("as=-1", "-1"),
            ("as=99999999TiB", "99999999TiB"),
            ("as=18446744073709551615", "18446744073709551615"),
            ("cpu=1,cpu=2", "twice"),
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}|(as|cpu|nofile)=[0-9]{0,25}[KMGT]?(iB)?") {
            if let Ok(limits) = parse(&text) {
                prop_assert_eq!(limits.len(), text.split(',').count());
            }
        }
    }
}
