//! `vocable cp`: files to guests and back. This side reads and writes its own files, as the user who types; the agent
//! only passes on what it is sent. Decided here is what a line means, the copying itself is in `vocable_copy`.

mod meter;
mod place;
mod pull;
mod push;

use super::error::Kind;
use super::{CliError, Session, completion, format, hints};
use clap_complete::{ArgValueCompleter, PathCompleter};
use meter::Meter;
use place::Place;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vocable_api::client::ClientError;
use vocable_api::guest::Select;
use vocable_copy::exclude::Exclude;
use vocable_copy::local::{LocalError, code};
use vocable_copy::{CopyError, Outcome, Settings};

/// Guests that are copied to or from at the same time.
const AT_ONCE: usize = 8;
/// Failures that are listed one by one.
const LISTED: usize = 10;

/// Copy files to guests and back
///
/// What is there already and has not changed is not sent again: interrupted and typed again, it goes on with the rest.
/// Modes and times are kept, and a file is replaced only once the new one is there and right.
#[derive(clap::Args, Debug)]
#[command(after_long_help = PLACES)]
pub(super) struct CpArgs {
    /// What to copy: files and folders here, or GUEST:PATH
    #[arg(required = true, value_name = "SRC", add = ArgValueCompleter::new(PathCompleter::any()))]
    sources: Vec<String>,
    /// Where to: GUEST:PATH or a file or folder here; with a / at the end, into that folder
    #[arg(required = true, value_name = "DST", add = ArgValueCompleter::new(completion::targets))]
    destination: String,
    /// Copy folders with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Ignore what is already there
    #[arg(long)]
    no_resume: bool,
    /// Leave out what matches: a name, or a path below the folder that is copied; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Remove from the destination folder what is not in the source, and replace what is of another kind
    #[arg(long, requires = "recursive")]
    delete: bool,
    /// Also copy set-user-id bits, and links that lead out of the folder
    #[arg(short, long)]
    preserve: bool,
}

const PLACES: &str = "\
Places
  vm1:/inbox/x      a path of the guest; vocable ls vm1:/ shows what it offers
  vm1:x             a relative path begins in the guest's first writable folder
  vm1,@lab:/inbox/  several guests at once
  ./a:b             a file here: a / before the : says so
  dir/.             what is in a folder, without the folder";

/// What is copied, one line of the report each.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    guest: String,
    source: String,
    destination: String,
    is_folder: bool,
    copied: vocable_copy::Copied,
    took: Duration,
}

/// One guest's share of the work, or why it could not be done.
type Share = Result<Vec<Copied>, CliError>;

/// Copies.
pub(super) fn cp(session: &mut Session<'_>, args: &CpArgs) -> Result<u8, CliError> {
    let exclude = Exclude::new(&args.exclude).map_err(|error| CliError::bad_argument(error.to_string()))?;
    let settings =
        Settings { exclude, resume: !args.no_resume, delete: args.delete, preserve: args.preserve };
    let sources: Vec<_> = args.sources.iter().map(|source| Place::parse(source)).collect();
    let destination = Place::parse(&args.destination);
    let (local, remote): (Vec<_>, Vec<_>) =
        sources.iter().partition(|source| matches!(source, Place::Local(_)));
    if [&args.destination].into_iter().chain(&args.sources).any(|place| place == "-") {
        return Err(CliError::not_yet("a tar stream on standard input or output is not there yet"));
    }
    match (destination, local.is_empty(), remote.is_empty()) {
        (Place::Remote { target, path }, false, true) => {
            let sources: Vec<PathBuf> = local.iter().filter_map(|place| place.local()).collect();
            push(session, (args, &settings), &sources, &target, &path)
        }
        (Place::Local(path), true, false) => pull(session, (args, &settings), &remote, &path),
        (Place::Local(_), false, _) => {
            Err(CliError::usage("neither side is on a guest").hint("name the guest: GUEST:PATH"))
        }
        _ => {
            Err(CliError::not_yet("copying from guest to guest is not there yet; copy to this machine first"))
        }
    }
}

fn push(
    session: &mut Session<'_>,
    (args, settings): (&CpArgs, &Settings),
    sources: &[PathBuf],
    target: &str,
    path: &str,
) -> Result<u8, CliError> {
    let sources = sources.iter().map(|source| push::read(source, args.recursive, &settings.exclude));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let guests = guests(session, target)?;
    let client = session.agent.client()?;
    let meter = Meter::new(session.terminal);
    let shares = each(&guests, |guest| {
        push::push(&client.files(guest).with_progress(&meter), guest, &sources, path, settings)
    });
    drop(meter);
    report(session, args, shares)
}

fn pull(
    session: &mut Session<'_>,
    (args, settings): (&CpArgs, &Settings),
    sources: &[&Place],
    path: &str,
) -> Result<u8, CliError> {
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    let mut several = false;
    for source in sources {
        let Place::Remote { target, path } = source else { continue };
        let guests = guests(session, target)?;
        several |= guests.len() > 1;
        for guest in guests {
            match wanted.iter_mut().find(|(known, _)| *known == guest) {
                Some((_, paths)) => paths.push(path.clone()),
                None => wanted.push((guest, vec![path.clone()])),
            }
        }
    }
    let many = several || wanted.len() > 1;
    let client = session.agent.client()?;
    let meter = Meter::new(session.terminal);
    let names: Vec<_> = wanted.iter().map(|(guest, _)| guest.clone()).collect();
    let shares = each(&names, |guest| {
        let paths = wanted.iter().find(|(known, _)| known == guest).map(|(_, paths)| paths.as_slice());
        let into = pull::Destination::new(path, many.then_some(guest), sources.len() > 1)?;
        let files = client.files(guest).with_progress(&meter);
        let pull = |path: &String| pull::pull(&files, guest, path, &into, args.recursive, settings);
        paths.unwrap_or_default().iter().map(pull).collect()
    });
    drop(meter);
    report(session, args, shares)
}

/// The guests that a target selects.
pub(super) fn guests(session: &Session<'_>, target: &str) -> Result<Vec<String>, CliError> {
    if super::filter::is_one(target) {
        return Ok(vec![target.to_owned()]);
    }
    let selected = session.agent.ask(&Select { target: target.to_owned() });
    selected.map_err(|error| hints::about_target(error, target, session.agent))
}

/// Does the same for every guest, a few at a time.
fn each(guests: &[String], work: impl Fn(&str) -> Share + Sync) -> Vec<(String, Share)> {
    let (left, done) = (Mutex::new(guests.iter().collect::<VecDeque<_>>()), Mutex::new(Vec::new()));
    let locked = |done: &Mutex<Vec<(String, Share)>>, share| {
        done.lock().unwrap_or_else(PoisonError::into_inner).push(share);
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(guests.len()) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(guest) = next else { return };
                    locked(&done, (guest.clone(), work(guest)));
                }
            });
        }
    });
    let mut shares = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    shares.sort_by(|one, other| one.0.cmp(&other.0));
    shares
}

/// Prints what came of it; the exit code says whether all went well.
fn report(session: &mut Session<'_>, args: &CpArgs, shares: Vec<(String, Share)>) -> Result<u8, CliError> {
    let alone = shares.len() == 1;
    let (mut documents, mut worst) = (Vec::new(), None);
    for (guest, share) in shares {
        let copied = match share {
            Ok(copied) => copied,
            Err(error) => {
                let error = hints::about_target(error, &guest, session.agent).guest(guest.as_str());
                if alone {
                    return Err(error);
                }
                session.terminal.error(&error)?;
                documents.push(json!({"guest": guest, "error": error.to_json()}));
                worst = Some(error.exit_code());
                continue;
            }
        };
        for one in copied {
            documents.push(one.document());
            session.terminal.say(&one.line(session.terminal.is_utf8()))?;
            if let Some(error) = one.error(args) {
                session.terminal.error(&error)?;
                worst = Some(error.exit_code());
            }
        }
    }
    if session.terminal.is_json() {
        session.terminal.document(&json!({"transfers": documents}))?;
    }
    Ok(worst.unwrap_or(0))
}

impl Copied {
    fn line(&self, utf8: bool) -> String {
        let arrow = if utf8 { "\u{2192}" } else { "->" };
        let vocable_copy::Copied { outcome: Outcome { files, bytes, failures, .. }, skipped, resumed } =
            self.copied;
        let took = self.took.as_secs_f64();
        let mut line = format!("{} {arrow} {}  ", self.source, self.destination);
        if self.is_folder || files != 1 {
            line.push_str(&format!("{files} file{}, ", if files == 1 { "" } else { "s" }));
        }
        line.push_str(&format!("{} in {}", format::size(bytes), format::took(self.took)));
        // Of less a rate says nothing.
        if bytes >= 10 << 20 && took > 0.0 {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate = (bytes as f64 / took) as u64;
            line.push_str(&format!(" ({}/s)", format::size(rate)));
        }
        if skipped > 0 {
            line.push_str(&format!("; {} there already", skipped));
        }
        if resumed > 0 {
            line.push_str(&format!("; went on from {}", format::size(resumed)));
        }
        if failures > 0 {
            line.push_str(&format!("; {failures} failed"));
        }
        line
    }

    fn document(&self) -> Json {
        let vocable_copy::Copied { outcome, skipped, resumed } = &self.copied;
        let mut document = json!({
            "guest": self.guest, "src": self.source, "dst": self.destination, "files": outcome.files,
            "bytes": outcome.bytes, "skipped": skipped, "resumed_from": resumed,
            "seconds": self.took.as_secs_f64(),
        });
        if let Some(members) = document.as_object_mut() {
            if !self.is_folder
                && let Some(digest) = &outcome.sha256
            {
                members.insert("sha256".to_owned(), json!(digest));
            }
            if outcome.failures > 0 {
                members.insert("failures".to_owned(), json!(outcome.failures));
                members.insert("failed".to_owned(), json!(outcome.failed));
            }
            if let Some(ended) = &outcome.ended {
                members.insert("ended".to_owned(), json!(ended));
            }
        }
        document
    }

    /// What failed, if anything.
    fn error(&self, args: &CpArgs) -> Option<CliError> {
        let Outcome { failed, failures, ended, .. } = &self.copied.outcome;
        let first = ended.as_ref().or(failed.first())?;
        let what = match ended {
            Some(ended) => format!("{} was not copied whole: {}", self.source, ended.message),
            None if *failures == 1 => first.line(),
            None => format!("{failures} of {} were not copied", self.source),
        };
        let mut error = CliError::new(first.code.as_str(), what).guest(self.guest.as_str());
        if ended.is_none() && *failures > 1 {
            error = failed.iter().take(LISTED).fold(error, |error, failed| error.cause(failed.line()));
        }
        error = match first.code.as_str() {
            "no-space" => error.hint(format!("vocable df {}", self.guest)),
            "guest-offline" | "timed-out" => error.hint(format!("vocable why {}", self.guest)),
            "digest-mismatch" => error.hint("copy again when nobody writes to it; the old file is untouched"),
            "not-permitted" => error.hint(format!("vocable ls {}:/ shows what it offers", self.guest)),
            "is-a-directory" | "not-a-directory" | "special-file" if self.is_folder && !args.delete => {
                error.hint("--delete lets what is copied take the place of what is there")
            }
            "is-a-directory" | "not-a-directory" | "special-file" => {
                error.hint("remove it first, or name another place")
            }
            "link-leads-out" if !args.preserve => error.hint("--preserve makes such links"),
            _ => error,
        };
        if matches!(first.code.as_str(), "guest-offline" | "timed-out" | "no-space") && !args.no_resume {
            error = error.hint("typed again, it goes on with the rest");
        }
        Some(error)
    }
}

/// A folder without `-r`.
fn is_folder(shown: &str) -> CliError {
    CliError::new("is-a-directory", format!("{shown} is a folder; nothing was copied"))
        .kind(Kind::Usage)
        .hint("vocable cp -r copies it with all that is in it")
}

fn local_failed(error: &LocalError) -> CliError {
    match error {
        LocalError::Io { path, source } => {
            CliError::new(code(source), format!("{} cannot be read", path.display()))
                .cause(format::io(source))
        }
        other => CliError::new("file-failed", other.to_string()),
    }
}

/// Why nothing was copied, to or from that guest.
fn failed(error: CopyError<ClientError>, guest: &str) -> CliError {
    let (code, text) = (error.code().unwrap_or_default().to_owned(), error.to_string());
    match error {
        CopyError::Remote(error) => CliError::from(error).at(guest),
        CopyError::Read(error) => local_failed(&error),
        CopyError::Write { path, source } => {
            CliError::new(code, format!("{} cannot be written to", path.display())).cause(format::io(&source))
        }
        CopyError::Nameless(_) | CopyError::Path(_) => CliError::bad_argument(text),
        CopyError::Missing(_) => CliError::new(code, text).hint(format!("vocable ls {guest}:/")),
        CopyError::Occupied(..) => CliError::new(code, text).hint("remove it first, or name another place"),
        CopyError::Refused(_) | CopyError::Large(..) => CliError::new(code, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_copy::Failed;

    fn copied(outcome: Outcome) -> Copied {
        Copied {
            guest: "vm1".into(),
            source: "data".into(),
            destination: "vm1:/inbox/data".into(),
            is_folder: true,
            copied: vocable_copy::Copied { outcome, ..Default::default() },
            took: Duration::from_millis(900),
        }
    }

    fn args() -> CpArgs {
        CpArgs {
            sources: vec![],
            destination: String::new(),
            recursive: true,
            no_resume: false,
            exclude: vec![],
            delete: false,
            preserve: false,
        }
    }

    #[test]
    fn a_line_says_what_was_copied_and_what_was_not() {
        let whole = copied(Outcome { files: 312, bytes: 50_436_505, ..Outcome::default() });
        insta::assert_snapshot!(whole.line(true), @"data → vm1:/inbox/data  312 files, 48 MiB in 900 ms (53 MiB/s)");
        let rest = vocable_copy::Copied { skipped: 300, resumed: 5 << 20, ..whole.copied.clone() };
        let rest = Copied { copied: rest, ..whole };
        insta::assert_snapshot!(rest.line(false), @"data -> vm1:/inbox/data  312 files, 48 MiB in 900 ms (53 MiB/s); 300 there already; went on from 5.0 MiB");
        let one = Copied { is_folder: false, ..copied(Outcome { files: 1, bytes: 5, ..Outcome::default() }) };
        insta::assert_snapshot!(one.line(true), @"data → vm1:/inbox/data  5 B in 900 ms");
        assert!(one.error(&args()).is_none());
    }

    #[test]
    fn failures_have_the_slug_of_the_first_and_say_what_to_do() {
        let mut outcome = Outcome::default();
        let full = Failed {
            path: String::new(),
            code: "no-space".into(),
            message: "vm1:/inbox/data/x: no space is left".into(),
        };
        outcome.ended = Some(full);
        insta::assert_snapshot!(copied(outcome).error(&args()).unwrap(), @"
        error[no-space]: data was not copied whole: vm1:/inbox/data/x: no space is left
          hint: vocable df vm1
          hint: typed again, it goes on with the rest
        ");
        let mut outcome = Outcome::default();
        for name in ["a", "b"] {
            let path = vocable_copy::path::TreePath::parse(name.as_bytes()).unwrap();
            outcome.failed(&path, "no-such-path", "it is gone");
        }
        insta::assert_snapshot!(copied(outcome).error(&args()).unwrap(), @"
        error[no-such-path]: 2 of data were not copied
          cause: a: it is gone
          cause: b: it is gone
        ");
    }
}
