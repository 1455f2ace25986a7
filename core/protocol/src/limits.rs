//! Resource limits of a command as its user writes them: `nofile=1024,as=1GiB`.

use crate::excerpt;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantArray};

/// One limit of `setrlimit(2)`, soft and hard alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Limit {
    /// Of what.
    pub name: LimitedResource,
    /// In the resource's own unit (bytes, seconds, a number); `None` is no limit.
    pub value: Option<u64>,
}

/// What can be limited, by its name in `prlimit(1)`.
#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, Hash, PartialEq, Serialize, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of setrlimit(2)")]
pub enum LimitedResource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Memlock,
    Nofile,
    Nproc,
    Rss,
    Stack,
}

impl Limit {
    /// Reads `name=value,name=value`. A value is a whole number with an optional KiB, MiB, GiB or TiB, or `unlimited`.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut limits: Vec<Self> = Vec::new();
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("{} is not NAME=VALUE", excerpt(part)))?;
            let resource = name.parse().map_err(|_| unknown(name))?;
            if limits.iter().any(|limit| limit.name == resource) {
                return Err(format!("{name} is given twice"));
            }
            limits.push(Self { name: resource, value: amount(value)? });
        }
        Ok(limits)
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = LimitedResource::VARIANTS.iter().map(ToString::to_string).collect();
    format!("{} is no limit; there are {}", excerpt(name), known.join(", "))
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
        let limits = Limit::parse_all("nofile=1024,as=1GiB,core=unlimited").unwrap();
        let values: Vec<_> = limits.iter().map(|limit| (limit.name.to_string(), limit.value)).collect();
        let expected = [("nofile", Some(1024)), ("as", Some(1 << 30)), ("core", None)];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
        let json = serde_json::to_value(&limits[0]).unwrap();
        assert_eq!(json, serde_json::json!({"name": "nofile", "value": 1024}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "NAME=VALUE"),
            ("nofile", "NAME=VALUE"),
            (
                "colour=1",
                "\"colour\" is no limit; there are as, core, cpu, data, fsize, memlock, nofile, nproc, rss, stack",
            ),
            ("as=1GB", "1GB"),
            ("as=", "whole number"),
            ("as=-1", "-1"),
            ("as=99999999TiB", "99999999TiB"),
            ("as=18446744073709551615", "18446744073709551615"),
            ("cpu=1,cpu=2", "twice"),
        ] {
            let refusal = Limit::parse_all(text).unwrap_err();
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}|(as|cpu|nofile)=[0-9]{0,25}[KMGT]?(iB)?") {
            if let Ok(limits) = Limit::parse_all(&text) {
                prop_assert_eq!(limits.len(), text.split(',').count());
            }
        }
    }
}
