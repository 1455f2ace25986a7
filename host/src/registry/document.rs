//! Methods as text for people: the help of XML-RPC's introspection, and `docs/api.md`.

use super::{Kind, MethodInfo, Param};
use crate::fault::FaultKind;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What the methods without a family are.
const OLD_NAMES: &str = "The names of 2010";

/// How the page begins.
const HEAD: &str = "\
# The API of the host agent
<!-- Written by `UPDATE_DOCS=1 cargo test --workspace --lib docs_are_current`; a test fails when it is not current. -->

All methods can be called in two ways, with the same token (`token` in the state folder, mode 0600), which is the
password of Basic authentication or a Bearer token:

- **XML-RPC**: `POST /RPC2`, parameters by position, options in a struct at the end. Absent things are absent members;
  whole numbers beyond 32 bits are doubles; times are UTC; octets are base64. Faults come with status 200.
- **JSON**: `POST /api/METHOD` with an object of named parameters, options among them. A struct comes back as it is,
  anything else as `{\"result\": ...}`; octets are `{\"b64\": ...}`, times RFC 3339; a fault is
  `{\"error\": {code, fault, message, transient}}` with a fitting status. `GET /api/openapi.json` describes all of it.

Beside the methods: `GET /events` (server-sent events; `?since=`, `?kinds=guest.*,cmd.done`, `?guest=`; resumes by
`Last-Event-ID`, a gap is an event of the kind `gap`), `GET /metrics` (Prometheus), `GET /healthz` (needs no token). Examples in
Python, Perl and shell: [examples](examples).

No call waits longer than `api.longest_wait`, 20 seconds: ask again. A request with an `Origin` header is refused. Each call
that changes something is a line of `api.audit`. A word that answers is a method `word.<NAME>(target, args, {timeout_s})` as
long as it is installed; `system.methodHelp` tells its arguments.
";

impl MethodInfo {
    /// `cmd.run(target, cmd, args, {env, path})`: how it is called.
    pub fn usage(&self) -> String {
        let mut places: Vec<_> = self.positional().iter().map(|param| param.name.to_owned()).collect();
        let options: Vec<_> = self.options().iter().map(|option| option.name).collect();
        if !options.is_empty() {
            places.push(format!("{{{}}}", options.join(", ")));
        }
        format!("{}({})", self.name, places.join(", "))
    }

    /// All that is known about it: how it is called and what it does in the first line, then what it takes and gives.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.usage(), self.help);
        let places = self.positional().iter().chain(self.options());
        for param in places {
            let _ = write!(text, "\n  {}", line(param));
            for property in self.properties(param) {
                let _ = write!(text, "\n    {property}");
            }
        }
        let _ = write!(text, "\ngives {}", self.gives_text());
        for member in self.gives.kind.members() {
            let _ = write!(text, "\n  {}", line(member));
        }
        text
    }

    fn gives_text(&self) -> String {
        let kind = spelled(self.gives.kind);
        if self.gives.help.is_empty() { kind } else { format!("{kind}: {}", self.gives.help) }
    }

    /// What a schema says of the members of a parameter.
    fn properties(&self, param: &Param) -> impl Iterator<Item = String> {
        let properties = self.schemas.get(param.name).and_then(|schema| schema.get("properties"));
        properties.and_then(Json::as_object).into_iter().flatten().map(|(name, schema)| {
            let told = |key| schema.get(key).and_then(Json::as_str);
            let kind = told("type").unwrap_or("any");
            told("description")
                .map_or_else(|| format!("{name} ({kind})"), |what| format!("{name} ({kind}): {what}"))
        })
    }

    /// A section of `docs/api.md`.
    fn section(&self, page: &mut String) {
        let changes = if self.changes { "" } else { " It changes nothing." };
        let _ = write!(page, "\n### {}\n`{}`\n\n{}{changes}\n", self.name, self.usage(), self.help);
        let places = self.positional().iter().map(|param| (param, ""));
        let options = self.options().iter().map(|option| (option, "option"));
        let all: Vec<_> = places.chain(options).collect();
        if !all.is_empty() {
            page.push_str("\n| parameter | type | | |\n|---|---|---|---|\n");
        }
        for (param, place) in all {
            let place = if place.is_empty() && param.required { "required" } else { place };
            let _ =
                writeln!(page, "| `{}` | {} | {place} | {} |", param.name, spelled(param.kind), cell(param));
        }
        let _ = writeln!(page, "\nGives {}.", self.gives_text());
        let members = self.gives.kind.members();
        if !members.is_empty() {
            page.push_str("\n| member | type | | |\n|---|---|---|---|\n");
        }
        for member in members {
            let there = if member.required { "" } else { "may be absent" };
            let _ = writeln!(
                page,
                "| `{}` | {} | {there} | {} |",
                member.name,
                spelled(member.kind),
                cell(member)
            );
        }
    }
}

/// The methods as sections, by family, in the order given; names without a family are those of 2010.
pub fn sections(methods: &[MethodInfo]) -> String {
    let mut page = String::new();
    let mut family = "";
    for method in methods {
        let its = method.name.split_once('.').map_or(OLD_NAMES, |(family, _)| family);
        if its != family {
            family = its;
            let _ = writeln!(page, "\n## {family}");
        }
        method.section(&mut page);
    }
    page
}

/// The whole of `docs/api.md` for these methods.
pub fn page(methods: &[MethodInfo]) -> String {
    let (old, mut all): (Vec<_>, Vec<_>) =
        methods.iter().cloned().partition(|method| !method.name.contains('.'));
    all.extend(old);
    let mut page = HEAD.to_owned() + &sections(&all);
    page.push_str(
        "\n## Faults\nOver XML-RPC the text is `code: sentence`; `vocable api faults` prints this table.\n\n",
    );
    page.push_str("| code | number | the same request may succeed later |\n|---|---|---|\n");
    for kind in FaultKind::ALL {
        let again = if kind.transient() { "yes" } else { "" };
        let _ = writeln!(page, "| `{}` | {} | {again} |", kind.slug(), kind.code());
    }
    page
}

/// `timeout_s double, may be left out: seconds after which it is ended`
fn line(param: &Param) -> String {
    let left_out = if param.required { "" } else { ", optional" };
    format!("{} ({}{left_out}): {}{}", param.name, spelled(param.kind), param.help, nested(param))
}

fn cell(param: &Param) -> String {
    format!("{}{}", param.help, nested(param)).replace('|', "\\|")
}

/// The members of a struct within.
fn nested(param: &Param) -> String {
    let members: Vec<_> =
        param.kind.members().iter().map(|member| format!("{}: {}", member.name, member.help)).collect();
    if members.is_empty() { String::new() } else { format!(" {{{}}}", members.join("; ")) }
}

/// A kind in words.
fn spelled(kind: Kind) -> String {
    match kind {
        Kind::Any => "any".to_owned(),
        Kind::Array(of) => format!("array of {}", spelled(*of)),
        Kind::Bool => "boolean".to_owned(),
        Kind::DateTime => "dateTime".to_owned(),
        Kind::Map(of) => format!("struct of {}", spelled(*of)),
        Kind::Structs(_) => "array of struct".to_owned(),
        Kind::Text => "string or base64".to_owned(),
        other => other.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Gives, optional, options, required};
    use super::*;
    use serde_json::json;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    const PARAMS: &[Param] = &[
        required("target", Kind::String, "whom to ask"),
        optional("args", Kind::Struct(&[]), "what the word takes"),
        options(&[optional("timeout_s", Kind::Double, "seconds to wait | not more")]),
    ];
    const GIVES: Gives = Gives::list(&[required("guest", Kind::String, "who answered")]);

    fn ask() -> MethodInfo {
        MethodInfo {
            name: Cow::Borrowed("word.DF"),
            help: Cow::Borrowed("Asks for free space."),
            params: PARAMS,
            gives: GIVES,
            changes: true,
            schemas: BTreeMap::from([(
                "args",
                json!({"properties": {"path": {"type": "string", "description": "a folder"}}}),
            )]),
        }
    }

    #[test]
    fn the_help_of_a_method_is_complete() {
        insta::assert_snapshot!(ask().text(), @r"
        word.DF(target, args, {timeout_s}): Asks for free space.
          target (string): whom to ask
          args (struct, optional): what the word takes
            path (string): a folder
          timeout_s (double, optional): seconds to wait | not more
        gives array of struct
          guest (string): who answered
        ");
    }

    #[test]
    fn a_page_has_tables() {
        insta::assert_snapshot!(sections(&[ask()]), @r"

        ## word

        ### word.DF
        `word.DF(target, args, {timeout_s})`

        Asks for free space.

        | parameter | type | | |
        |---|---|---|---|
        | `target` | string | required | whom to ask |
        | `args` | struct |  | what the word takes |
        | `timeout_s` | double | option | seconds to wait \| not more |

        Gives array of struct.

        | member | type | | |
        |---|---|---|---|
        | `guest` | string |  | who answered |
        ");
    }
}
