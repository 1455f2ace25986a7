//! Where everything the command line says goes: data to standard output, talk to standard error, colour only where
//! a person sees it. The one place that knows about terminals; nobody else prints.

use super::error::{CliError, Kind};
use super::global::Global;
use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value as Json, json};
use std::io::{self, IsTerminal, Write};

/// Width of a terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 100;

/// Something wrong, or somebody lost.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Hints and labels.
pub(super) const DIM: Style = Style::new().dimmed();
/// Not well, not lost.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// The two streams of this process, and how to write to them.
pub struct Terminal {
    out: Stream,
    err: Stream,
    json: bool,
    quiet: bool,
    verbose: bool,
    progress: bool,
    utf8: bool,
    width: Option<usize>,
}

struct Stream {
    writer: Box<dyn Write>,
    colour: bool,
}

/// What decides about colour and width: what the streams are and what the environment says.
#[derive(Clone, Debug, Default)]
pub struct TerminalInfo {
    /// Standard output is a terminal.
    pub out_is_terminal: bool,
    /// Standard error is a terminal.
    pub err_is_terminal: bool,
    /// `NO_COLOR` is set, or `TERM` is `dumb`.
    pub no_colour: bool,
    /// `CLICOLOR_FORCE` is set.
    pub force_colour: bool,
    /// The locale can show more than ASCII.
    pub utf8: bool,
    /// Columns of the terminal.
    pub columns: Option<usize>,
}

impl TerminalInfo {
    /// Of this process.
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        // POSIX: the first of the three that is set and not empty decides.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
        let locale =
            locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_ascii_lowercase();
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            no_colour: set("NO_COLOR") || is_dumb,
            force_colour: set("CLICOLOR_FORCE"),
            utf8: locale.contains("utf-8") || locale.contains("utf8"),
            columns: terminal_size::terminal_size().map(|(width, _)| width.0.into()),
        }
    }

    fn colour(&self, choice: ColorChoice, is_terminal: bool) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !self.no_colour && (self.force_colour || is_terminal),
        }
    }
}

impl Terminal {
    /// The streams of this process.
    pub fn of_process(global: &Global) -> Self {
        Self::new(global, &TerminalInfo::read(), Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Any streams.
    pub fn new(global: &Global, around: &TerminalInfo, out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        let shortens = around.out_is_terminal && !global.no_trunc;
        Self {
            out: Stream { writer: out, colour: around.colour(global.color, around.out_is_terminal) },
            err: Stream { writer: err, colour: around.colour(global.color, around.err_is_terminal) },
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            progress: around.err_is_terminal && !global.quiet && !global.json,
            utf8: around.utf8,
            width: shortens.then(|| around.columns.unwrap_or(USUAL_WIDTH)),
        }
    }

    /// Whether programs read us: `--json`.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only the data is wanted: `-q`.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether every step is wanted: `-v`.
    pub const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a person sees what moves on standard error.
    pub const fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Whether more than ASCII can be shown.
    pub const fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Columns a table may take; as many as it likes unless a person looks at it.
    pub const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Bytes as they are, on standard output.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write(bytes)
    }

    /// Bytes as they are, on standard error: those of a command, not ours.
    pub fn error_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.err.write(bytes)
    }

    /// A line of data.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.out.write(format!("{text}\n").as_bytes())
    }

    /// A reply of the agent as JSON.
    pub(crate) fn reply<T: serde::Serialize>(&mut self, reply: &T) -> io::Result<()> {
        let value = vocable_xmlrpc::to_value(reply).map_err(io::Error::other)?;
        self.document(&vocable_xmlrpc::to_json(&value))
    }

    /// A list as a JSON document: the top is always an object, so that it can grow.
    pub(crate) fn list<T: serde::Serialize>(&mut self, name: &str, items: &[T]) -> io::Result<()> {
        self.reply(&std::collections::BTreeMap::from([(name, items)]))
    }

    /// A JSON document on a line of its own.
    pub fn document(&mut self, json: &Json) -> io::Result<()> {
        self.line(&json.to_string())
    }

    /// A line for people, on standard error; nothing with `-q` or `--json`.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        if self.quiet || self.json { Ok(()) } else { self.err.write(format!("{text}\n").as_bytes()) }
    }

    /// `note: …`, as [`Self::say`].
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        let label = self.err.paint(DIM, "note:");
        self.say(&format!("{label} {text}"))
    }

    /// `hint: …`, as [`Self::say`].
    pub fn hint(&mut self, text: &str) -> io::Result<()> {
        let label = self.err.paint(DIM, "hint:");
        self.say(&format!("{label} {text}"))
    }

    /// Something that has to be said, even with `-q`: on standard error, as JSON for programs.
    pub fn warning(&mut self, code: &str, text: &str) -> io::Result<()> {
        if self.json {
            let document = json!({"warning": {"code": code, "message": text}});
            return self.err.write(format!("{document}\n").as_bytes());
        }
        let label = self.err.paint(WARN, "warning:");
        self.err.write(format!("{label} {text}\n").as_bytes())
    }

    /// A failure, always said; one line of JSON for programs. Nobody is told that nobody reads.
    pub fn error(&mut self, error: &CliError) -> io::Result<()> {
        if error.class() == Kind::BrokenPipe {
            return Ok(());
        }
        if self.json {
            return self.err.write(format!("{}\n", json!({"error": error.to_json()})).as_bytes());
        }
        let head = self.err.paint(BAD, &format!("error[{}]:", error.code()));
        let mut text = format!("{head} {}\n", error.message());
        for (label, detail) in error.details() {
            let label = self.err.paint(DIM, &format!("{label}:"));
            text.push_str(&format!("  {label} {detail}\n"));
        }
        self.err.write(text.as_bytes())
    }

    /// Text in a style if standard output shows styles.
    pub fn paint(&self, style: Style, text: &str) -> String {
        self.out.paint(style, text)
    }

    /// Text in a style if standard error shows styles.
    pub fn paint_error(&self, style: Style, text: &str) -> String {
        self.err.paint(style, text)
    }
}

impl Stream {
    /// Writes and flushes: what a command says is seen when it says it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Screen;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        let nowhere = TerminalInfo::default();
        assert!(nowhere.colour(ColorChoice::Auto, true) && !nowhere.colour(ColorChoice::Auto, false));
        let no_colour = TerminalInfo { no_colour: true, force_colour: true, ..TerminalInfo::default() };
        assert!(!no_colour.colour(ColorChoice::Auto, true), "NO_COLOR wins over CLICOLOR_FORCE");
        assert!(no_colour.colour(ColorChoice::Always, false), "--color wins over NO_COLOR");
        let forced = TerminalInfo { force_colour: true, ..TerminalInfo::default() };
        assert!(forced.colour(ColorChoice::Auto, false) && !forced.colour(ColorChoice::Never, true));
    }

    #[test]
    fn errors_are_said_to_people_in_lines_and_to_programs_in_one() {
        let error = CliError::new("no-such-guest", "no guest is called \"vm9\"").hint("vocable guests");
        let screen = Screen::default();
        screen.terminal(&["-q"]).error(&error).unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    ------- stderr
    error[no-such-guest]: no guest is called "vm9"
      hint: vocable guests
    "#);
        screen.terminal(&["--json"]).error(&error).unwrap();
        insta::assert_snapshot!(screen.take(), @r#"
    ------- stderr
    {"error":{"code":"no-such-guest","hints":["vocable guests"],"message":"no guest is called \"vm9\"","transient":false}}
    "#);
    }

    #[test]
    fn quiet_means_no_talk() {
        let screen = Screen::default();
        let mut terminal = screen.terminal(&["-q"]);
        terminal.note("n").unwrap();
        terminal.hint("h").unwrap();
        terminal.line("data").unwrap();
        assert_eq!(screen.take().to_string(), "data\n");
    }
}
