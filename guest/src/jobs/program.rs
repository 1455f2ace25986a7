//! What somebody asks to have run, and the checks it has to pass.  Nothing here touches the
//! system: whether the program, the directory or the user exist is found out when it is started.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{JobError, excerpt};
use super::limits::{self, Limit};

/// What to run.  Every string may hold anything but NUL.
///
/// The `options` known here; any other is refused by name, and so is a second one of the same name:
///
/// | option | value |
/// |---|---|
/// | `grace` | seconds, decimal: from SIGTERM to SIGKILL when the job is ended (default 10) |
/// | `input` | `streamed`: standard input comes piece by piece while it runs, until it is ended |
/// | `limits` | resource limits, `nofile=1024,as=1GiB` |
/// | `nice` | -20 to 19 |
/// | `on-disconnect` | `keep` (default) or `kill`: whether the agent cancels it when it loses its host |
/// | `stdin` | standard input, in base64 (default: empty) |
/// | `timeout` | seconds, decimal: how long it may run (default: for ever) |
/// | `tty` | `ROWSxCOLUMNS`: it has a terminal of that size, with streamed input; all its output is `out` |
/// | `user` | whose rights it has (default: the agent's) |
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Program {
    /// A path, or a name to be looked for in the command's `PATH`.
    pub cmd: String,
    /// The arguments, without the program's own name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Added to the environment that every command of this agent gets.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The working directory; a relative one starts at the configured home.
    #[serde(default)]
    pub path: Option<String>,
    /// See above.
    #[serde(default)]
    pub options: Vec<(String, String)>,
}

impl Program {
    /// Tells programs apart, as SHA-256 in hexadecimal; the order of options is no difference.
    fn digest(&self) -> String {
        let mut canonical = self.clone();
        canonical.options.sort();
        let json = serde_json::to_vec(&canonical).unwrap_or_default();
        hexadecimal(&Sha256::digest(json))
    }

    /// Checks everything that can be checked without looking at the system.
    pub(super) fn check(self) -> Result<Order, JobError> {
        if self.cmd.is_empty() {
            return Err(JobError::invalid("cmd", "is empty"));
        }
        without_nul("cmd", &self.cmd)?;
        self.args.iter().try_for_each(|arg| without_nul("args", arg))?;
        self.path.iter().try_for_each(|path| without_nul("path", path))?;
        self.env.iter().try_for_each(variable)?;
        Ok(Order { options: Options::parse(&self.options)?, digest: self.digest(), program: self })
    }
}

/// A program that has passed all checks.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) program: Program,
    pub(super) options: Options,
    pub(super) digest: String,
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn without_nul(what: &str, text: &str) -> Result<(), JobError> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(JobError::invalid(what, format!("has a NUL at byte {at} of {}", excerpt(text)))),
    }
}

fn variable((name, value): &(String, String)) -> Result<(), JobError> {
    without_nul("env", name)?;
    without_nul("env", value)?;
    if name.is_empty() || name.contains('=') {
        return Err(JobError::invalid("env", format!("{} cannot name a variable", excerpt(name))));
    }
    Ok(())
}

/// The id of a command: 1 to 128 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`.
/// That makes it a safe name for a folder.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct CommandId(String);

impl CommandId {
    const LONGEST: usize = 128;

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CommandId {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        let invalid = |reason: String| Err(JobError::invalid("cmd-id", reason));
        if text.is_empty() || text.len() > Self::LONGEST {
            return invalid(format!("has {} bytes, 1 to {} are allowed", text.len(), Self::LONGEST));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return invalid(format!("{} has more than letters, digits, \".\", \"_\", \"-\"", excerpt(text)));
        }
        if text == "." || text == ".." {
            return invalid(format!("{} is reserved", excerpt(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for CommandId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What becomes of a job when the agent loses its host.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// It goes on, and its results wait for the host.
    #[default]
    Keep,
    /// It is cancelled.  The agent does that: a job does not know of connections.
    Kill,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

/// The options of a [`Program`], understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    pub(super) grace: Duration,
    /// Whether standard input is streamed.
    pub(super) input: bool,
    pub(super) limits: Vec<Limit>,
    pub(super) nice: Option<i32>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) stdin: Option<Vec<u8>>,
    pub(super) timeout: Option<Duration>,
    pub(super) tty: Option<Size>,
    pub(super) user: Option<String>,
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

impl Options {
    fn parse(options: &[(String, String)]) -> Result<Self, JobError> {
        let mut parsed = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in options {
            if !seen.insert(name) {
                return Err(invalid_option(name, "is given twice"));
            }
            parsed.set(name, value).map_err(|reason| invalid_option(name, &reason))?;
        }
        if parsed.stdin.is_some() && (parsed.input || parsed.tty.is_some()) {
            return Err(invalid_option("stdin", "is all of the input, it cannot be streamed as well"));
        }
        parsed.input |= parsed.tty.is_some();
        Ok(parsed)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "grace" => self.grace = seconds(value)?,
            "input" => self.input = streamed(value)?,
            "limits" => self.limits = limits::parse(value)?,
            "nice" => self.nice = Some(nice(value)?),
            "on-disconnect" => self.on_disconnect = on_disconnect(value)?,
            "stdin" => self.stdin = Some(base64(value)?),
            "timeout" => self.timeout = Some(timeout(value)?),
            "tty" => self.tty = Some(size(value)?),
            "user" => self.user = Some(user(value)?),
            _ => {
                return Err(
                    "is not known here; there are grace, input, limits, nice, on-disconnect, stdin, \
                            timeout, tty, user"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}

fn invalid_option(name: &str, reason: &str) -> JobError {
    JobError::invalid(format!("option {}", excerpt(name)), reason)
}

/// Ten years: more is a mistake, and less than any clock here can count.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn seconds(value: &str) -> Result<Duration, String> {
    let wrong = || format!("{} is no number of seconds from 0 to {}", excerpt(value), LONGEST.as_secs());
    // A float's own parser also takes "inf", "nan" and "1e9".
    if !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let seconds: f64 = value.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST).ok_or_else(wrong)
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

fn on_disconnect(value: &str) -> Result<OnDisconnect, String> {
    match value {
        "keep" => Ok(OnDisconnect::Keep),
        "kill" => Ok(OnDisconnect::Kill),
        _ => Err(format!("{} is neither keep nor kill", excerpt(value))),
    }
}

fn streamed(value: &str) -> Result<bool, String> {
    match value {
        "streamed" => Ok(true),
        _ => Err(format!("{} is not streamed, the one way beside the option stdin", excerpt(value))),
    }
}

fn size(value: &str) -> Result<Size, String> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    let size = value
        .split_once('x')
        .and_then(|(rows, columns)| Some(Size { rows: number(rows)?, columns: number(columns)? }));
    size.ok_or_else(|| format!("{} is not ROWSxCOLUMNS, such as 24x80", excerpt(value)))
}

fn base64(value: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(value).map_err(|cause| format!("is no base64: {cause}"))
}

fn user(value: &str) -> Result<String, String> {
    if value.is_empty() || value.contains('\0') {
        return Err(format!("{} cannot name a user", excerpt(value)));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, JobError> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Options::parse(&pairs)
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
        assert!(options(&[("input", "streamed")]).unwrap().input);
        let terminal = options(&[("tty", "24x80")]).unwrap();
        assert_eq!((terminal.tty, terminal.input), (Some(Size { rows: 24, columns: 80 }), true));
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
        assert!(refusal(&[("nice", "1"), ("nice", "2")]).contains("twice"));
        assert!(refusal(&[("tty", "24x80"), ("stdin", "AP8=")]).contains("option \"stdin\""));
    }

    #[test]
    fn nul_is_refused_wherever_it_stands() {
        let good = Program { cmd: "true".into(), ..Program::default() };
        assert!(good.clone().check().is_ok());
        for bad in [
            Program { cmd: "tr\0ue".into(), ..good.clone() },
            Program { args: vec!["a\0".into()], ..good.clone() },
            Program { env: vec![("A".into(), "\0".into())], ..good.clone() },
            Program { env: vec![("A=B".into(), "c".into())], ..good.clone() },
            Program { path: Some("\0".into()), ..good.clone() },
            Program { cmd: String::new(), ..good.clone() },
        ] {
            assert!(matches!(bad.clone().check(), Err(JobError::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_digest_tells_programs_apart_but_not_the_order_of_options() {
        let option = |name: &str| (name.to_owned(), "1".to_owned());
        let one = Program { options: vec![option("nice"), option("grace")], ..Program::default() };
        let same = Program { options: vec![option("grace"), option("nice")], ..Program::default() };
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), Program { args: vec!["x".into()], ..one.clone() }.digest());
    }

    proptest! {
        #[test]
        fn an_id_that_is_accepted_is_one_plain_file_name(text in "\\PC{0,140}|[A-Za-z0-9._-]{0,140}|\\.{0,3}") {
            let id: Result<CommandId, _> = text.parse();
            let plain = (1..=128).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                && text != "." && text != "..";
            prop_assert_eq!(id.is_ok(), plain);
            if let Ok(id) = id {
                let path = std::path::Path::new("/spool").join(id.as_str());
                prop_assert_eq!(path.components().count(), 3);
                prop_assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn no_option_makes_the_parser_panic_or_its_refusal_long(name in "\\PC{0,200}|grace|limits|nice|stdin|timeout|tty|user", value in "\\PC{0,300}") {
            if let Err(refusal) = options(&[(&name, &value)]) {
                prop_assert!(refusal.to_string().chars().count() < 400);
            }
        }

        #[test]
        fn seconds_are_read_as_written(whole in 0_u32..1_000_000, milliseconds in 0_u32..1000) {
            let parsed = seconds(&format!("{whole}.{milliseconds:03}")).unwrap();
            let meant = Duration::from_millis(u64::from(whole) * 1000 + u64::from(milliseconds));
            prop_assert!(parsed.abs_diff(meant) < Duration::from_micros(1));
        }
    }
}
