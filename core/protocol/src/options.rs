//! The options of a program: how a guest runs it.

use crate::excerpt;
use crate::limits::Limit;
use base64::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The options there are. Any other is refused by name.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum OptionName {
    /// Seconds, decimal: from SIGTERM to SIGKILL when the command is ended.
    Grace,
    /// `streamed`: standard input comes piece by piece while it runs, until it is ended.
    Input,
    /// Resource limits, `nofile=1024,as=1GiB`.
    Limits,
    /// -20 to 19.
    Nice,
    /// `keep` or `kill`: whether the guest ends it when it loses its host.
    OnDisconnect,
    /// All of standard input, in base64.
    Stdin,
    /// Seconds, decimal: how long it may run.
    Timeout,
    /// `ROWSxCOLUMNS`: it has a terminal of that size, with streamed input; all its output is `out`.
    Tty,
    /// The user it runs as.
    User,
}

impl OptionName {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The value of [`OptionName::Input`].
pub const STREAMED: &str = "streamed";

/// The options of a [`Program`](crate::Program), understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// From SIGTERM to SIGKILL when it is ended.
    pub grace: Duration,
    /// Whether standard input is streamed.
    pub input: bool,
    /// Resource limits.
    pub limits: Vec<Limit>,
    /// Scheduling priority (niceness).
    pub nice: Option<i32>,
    /// What becomes of it when the guest loses its host.
    pub on_disconnect: OnDisconnect,
    /// All of standard input; without it, it is empty or streamed.
    pub stdin: Option<Vec<u8>>,
    /// How long it may run; for ever, if nobody says.
    pub timeout: Option<Duration>,
    /// The size of its terminal, if it has one.
    pub tty: Option<TerminalSize>,
    /// The user it runs as, if not the agent's.
    pub user: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            input: false,
            limits: Vec::new(),
            nice: None,
            on_disconnect: OnDisconnect::Keep,
            stdin: None,
            timeout: None,
            tty: None,
            user: None,
        }
    }
}

/// An option that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("option {}: {reason}", excerpt(option))]
pub struct OptionError {
    /// As it was called.
    pub option: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What becomes of a command when the guest loses its host.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, Deserialize, Display, EnumString, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OnDisconnect {
    /// It goes on, and its results wait for the host.
    #[default]
    Keep,
    /// It is ended.
    Kill,
}

/// The size of a terminal, in characters: each from 1 to 65535.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines, 1 to 65535
    #[serde(deserialize_with = "terminal_side")]
    pub rows: u16,
    /// Characters of a line, 1 to 65535
    #[serde(deserialize_with = "terminal_side")]
    pub columns: u16,
}

/// For `deserialize_with`: lines, or characters of a line.
///
/// # Errors
/// For what is no number from 1 to 65535.
pub fn terminal_side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let side = u16::try_from(number).ok().filter(|side| *side > 0);
    side.ok_or_else(|| de::Error::custom(format!("expected 1 to 65535, got {number}")))
}

impl Options {
    /// Reads options as they are written.
    ///
    /// # Errors
    /// [`OptionError`] about one that is not known, or whose value is none.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let invalid = |option: &str, reason: String| OptionError { option: option.to_owned(), reason };
        let mut parsed = Self::default();
        for (name, value) in options {
            let option = name.parse().map_err(|_| invalid(name, unknown()))?;
            parsed.set(option, value).map_err(|reason| invalid(name, reason))?;
        }
        if parsed.stdin.is_some() && (parsed.input || parsed.tty.is_some()) {
            let reason = "is all of the input, it cannot be streamed as well".to_owned();
            return Err(invalid(OptionName::Stdin.as_str(), reason));
        }
        parsed.input |= parsed.tty.is_some();
        Ok(parsed)
    }

    fn set(&mut self, option: OptionName, value: &str) -> Result<(), String> {
        match option {
            OptionName::Grace => self.grace = seconds(value)?,
            OptionName::Input => self.input = streamed(value)?,
            OptionName::Limits => self.limits = Limit::parse_all(value)?,
            OptionName::Nice => self.nice = Some(nice(value)?),
            OptionName::OnDisconnect => {
                let neither = |_| format!("{} is neither keep nor kill", excerpt(value));
                self.on_disconnect = value.parse().map_err(neither)?;
            }
            OptionName::Stdin => {
                let bytes =
                    BASE64_STANDARD.decode(value).map_err(|cause| format!("is no base64: {cause}"))?;
                self.stdin = Some(bytes);
            }
            OptionName::Timeout => self.timeout = Some(timeout(value)?),
            OptionName::Tty => self.tty = Some(value.parse()?),
            OptionName::User => self.user = Some(user(value)?),
        }
        Ok(())
    }
}

fn unknown() -> String {
    let known: Vec<&str> = OptionName::VARIANTS.iter().map(|option| option.as_str()).collect();
    format!("is not known here; there are {}", known.join(", "))
}

/// Ten years: more is a mistake, and less than any clock here can count.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn seconds(value: &str) -> Result<Duration, String> {
    let wrong = || format!("{} is no number of seconds from 0 to {}", excerpt(value), MAX_DURATION.as_secs());
    // A float's own parser also takes "inf", "nan" and "1e9".
    if !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let seconds: f64 = value.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= MAX_DURATION).ok_or_else(wrong)
}

fn timeout(value: &str) -> Result<Duration, String> {
    match seconds(value)? {
        Duration::ZERO => Err("is 0: leave it out to let the command run for ever".to_owned()),
        time => Ok(time),
    }
}

fn nice(value: &str) -> Result<i32, String> {
    let nice = value.parse().ok().filter(|nice| (-20..=19).contains(nice));
    nice.ok_or_else(|| format!("{} is no number from -20 to 19", excerpt(value)))
}

fn streamed(value: &str) -> Result<bool, String> {
    match value {
        STREAMED => Ok(true),
        _ => Err(format!("{} is not streamed, the one way beside the option stdin", excerpt(value))),
    }
}

fn user(value: &str) -> Result<String, String> {
    if value.is_empty() || value.contains('\0') {
        return Err(format!("{} cannot name a user", excerpt(value)));
    }
    Ok(value.to_owned())
}

impl FromStr for TerminalSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let size = text
            .split_once('x')
            .and_then(|(rows, columns)| Some(Self { rows: number(rows)?, columns: number(columns)? }));
        size.ok_or_else(|| format!("{} is not ROWSxCOLUMNS, such as 24x80", excerpt(text)))
    }
}

impl std::fmt::Display for TerminalSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, OptionError> {
        let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Options::parse(&pairs.collect())
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        options(pairs).unwrap_err().to_string()
    }

    #[test]
    fn every_option_is_understood() {
        let parsed = options(&[
            ("grace", "0"),
            ("limits", "nofile=64"),
            ("nice", "-5"),
            ("on-disconnect", "kill"),
            ("stdin", "AP8="),
            ("timeout", "1.5"),
            ("user", "nobody"),
        ])
        .unwrap();
        assert_eq!(parsed.grace, Duration::ZERO);
        assert_eq!(parsed.limits.len(), 1);
        assert_eq!(parsed.nice, Some(-5));
        assert_eq!(parsed.on_disconnect, OnDisconnect::Kill);
        assert_eq!(parsed.stdin.as_deref(), Some(&[0, 255][..]));
        assert_eq!(parsed.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(parsed.user.as_deref(), Some("nobody"));
        assert_eq!(options(&[]).unwrap(), Options::default());
        assert!(options(&[("input", STREAMED)]).unwrap().input);
        let terminal = options(&[("tty", "24x80")]).unwrap();
        let size = TerminalSize { rows: 24, columns: 80 };
        assert_eq!((terminal.tty, terminal.input, size.to_string()), (Some(size), true, "24x80".into()));
    }

    #[test]
    fn a_refusal_names_the_option() {
        for (name, value) in [
            ("colour", "red"),
            ("grace", "-1"),
            ("limits", "nofile"),
            ("nice", "20"),
            ("on-disconnect", "stop"),
            ("stdin", "*"),
            ("timeout", "0"),
            ("timeout", "inf"),
            ("timeout", "1e3"),
            ("timeout", "999999999999"),
            ("input", "yes"),
            ("tty", "80"),
            ("tty", "0x80"),
            ("tty", "24x99999"),
            ("user", ""),
        ] {
            let refusal = refusal(&[(name, value)]);
            assert!(refusal.contains(&format!("option \"{name}\"")), "{refusal}");
        }
        assert!(refusal(&[("tty", "24x80"), ("stdin", "AP8=")]).contains("option \"stdin\""));
        let known = "there are grace, input, limits, nice, on-disconnect, stdin, timeout, tty, user";
        assert!(refusal(&[("fly", "high")]).ends_with(known));
    }

    proptest! {
        #[test]
        fn no_option_makes_the_parser_panic_or_its_refusal_long(name in "\\PC{0,200}|grace|limits|nice|stdin|timeout|tty|user", value in "\\PC{0,300}") {
            if let Err(refusal) = options(&[(&name, &value)]) {
                prop_assert!(refusal.to_string().chars().count() < 400);
            }
        }

        #[test]
        fn seconds_are_read_as_written(whole in 0_u32..1_000_000, milliseconds in 0_u32..1000) {
            let text = format!("{whole}.{milliseconds:03}");
            let expected = Duration::from_millis(u64::from(whole) * 1000 + u64::from(milliseconds));
            let grace = options(&[("grace", &text)]).unwrap().grace;
            prop_assert!(grace.abs_diff(expected) < Duration::from_micros(1));
        }
    }
}
