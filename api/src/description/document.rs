//! Methods as text for people: the help of XML-RPC's introspection, and `docs/api.md`.

use super::{MethodInfo, Param, schema};
use crate::fault::FaultKind;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// The heading of the methods without a family.
const LEGACY: &str = "Legacy names";

/// How the page begins.
const HEAD: &str = "\
# The API of the host agent
<!-- Written by `UPDATE_DOCS=1 cargo test --workspace --lib docs_are_current`; a test fails when it is not current. -->

All methods can be called in two ways, with the same token (`token` in the state folder, mode 0600), which is the
password of Basic authentication or a Bearer token:

- **XML-RPC**: `POST /RPC2`, parameters by position, options in a struct at the end. Absent things are absent members;
  whole numbers beyond 32 bits are doubles; times are UTC; bytes are base64. Faults come with status 200.
- **JSON**: `POST /api/METHOD` with an object of named parameters, options among them. A struct comes back as it is,
  anything else as `{\"result\": ...}`; bytes are `{\"b64\": ...}`, times RFC 3339; a fault is
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
        let mut places: Vec<_> = self.positional().map(|param| param.name.to_string()).collect();
        let options: Vec<_> = self.options().map(|option| &*option.name).collect();
        if !options.is_empty() {
            places.push(format!("{{{}}}", options.join(", ")));
        }
        format!("{}({})", self.name, places.join(", "))
    }

    /// All that is known about it: how it is called and what it does in the first line, then what it takes and returns.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}", self.usage(), self.help);
        for param in &self.params {
            let (kind, help) = (schema::spelled(&param.schema), schema::description(&param.schema));
            let optional = if param.required { "" } else { ", optional" };
            let _ = write!(text, "\n  {} ({kind}{optional}): {help}", param.name);
            for (name, member) in schema::members(&param.schema).into_iter().flatten() {
                let _ = write!(
                    text,
                    "\n    {name} ({}): {}",
                    schema::spelled(member),
                    schema::description(member)
                );
            }
        }
        let _ = write!(text, "\nreturns {}", self.returns_text());
        for (name, member, required) in self.returned() {
            let optional = if required { "" } else { ", optional" };
            let (kind, help) = (schema::spelled(member), schema::description(member));
            let _ = write!(text, "\n  {name} ({kind}{optional}): {help}{}", nested(member));
        }
        text
    }

    fn returns_text(&self) -> String {
        let kind = schema::spelled(&self.returns.schema);
        if self.returns.help.is_empty() { kind } else { format!("{kind}: {}", self.returns.help) }
    }

    /// The members of what it returns: name, schema, and whether it is always there; in the order of the type.
    fn returned(&self) -> impl Iterator<Item = (&str, &Json, bool)> {
        let schema = &self.returns.schema;
        let order = |name: &str| self.returns.order.iter().position(|known| known == name);
        let mut members: Vec<_> = schema::members(schema).into_iter().flatten().collect();
        members.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
        members.into_iter().map(|(name, member)| (name.as_str(), member, schema::is_required(schema, name)))
    }

    /// A section of `docs/api.md`.
    fn section(&self, page: &mut String) {
        let changes = if self.changes { "" } else { " It changes nothing." };
        let _ = write!(page, "\n### {}\n`{}`\n\n{}{changes}\n", self.name, self.usage(), self.help);
        if !self.params.is_empty() {
            page.push_str("\n| parameter | type | | |\n|---|---|---|---|\n");
        }
        for param in &self.params {
            let place = match param {
                Param { required: true, .. } => "required",
                Param { positional: false, .. } => "option",
                _ => "",
            };
            row(page, &param.name, &param.schema, place);
        }
        let _ = writeln!(page, "\nReturns {}.", self.returns_text());
        for (n, (name, member, required)) in self.returned().enumerate() {
            if n == 0 {
                page.push_str("\n| member | type | | |\n|---|---|---|---|\n");
            }
            row(page, name, member, if required { "" } else { "may be absent" });
        }
    }
}

fn row(page: &mut String, name: &str, of: &Json, place: &str) {
    let help = format!("{}{}", schema::description(of), nested(of)).replace('|', "\\|");
    let _ = writeln!(page, "| `{name}` | {} | {place} | {help} |", schema::spelled(of));
}

/// The members of a struct within.
fn nested(of: &Json) -> String {
    let member = |(name, member): (&String, &Json)| format!("{name}: {}", schema::description(member));
    let members: Vec<_> = schema::members(of).into_iter().flatten().map(member).collect();
    if members.is_empty() { String::new() } else { format!(" {{{}}}", members.join("; ")) }
}

/// The methods as sections, by family, in the order given; names without a family are legacy names.
pub fn sections(methods: &[MethodInfo]) -> String {
    let mut page = String::new();
    let mut family = "";
    for method in methods {
        let its = method.name.split_once('.').map_or(LEGACY, |(family, _)| family);
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

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// Asks for free space.
    #[derive(Debug, Deserialize, JsonSchema, Serialize)]
    struct Ask {
        /// Target
        target: String,
        /// Arguments of the word
        args: Option<Args>,
        /// Seconds to wait | not more
        timeout_s: Option<f64>,
    }

    #[derive(Debug, Deserialize, JsonSchema, Serialize)]
    struct Args {
        /// A folder
        path: Option<String>,
    }

    #[derive(Debug, Deserialize, JsonSchema, Serialize)]
    struct Answer {
        /// The guest
        guest: String,
        /// How long it took, seconds
        after_s: Option<f64>,
        /// Its answer
        answer: Option<crate::Any>,
    }

    crate::method::methods! { Ask => "word.DF"(target, args) -> Vec<Answer>: "", changes; }

    fn ask() -> MethodInfo {
        MethodInfo::of::<Ask>()
    }

    #[test]
    fn the_help_of_a_method_is_complete() {
        insta::assert_snapshot!(ask().text(), @"
        word.DF(target, args, {timeout_s}): Asks for free space.
          target (string): Target
          args (struct, optional): Arguments of the word
            path (string): A folder
          timeout_s (double, optional): Seconds to wait | not more
        returns array of struct
          guest (string): The guest
          after_s (double, optional): How long it took, seconds
          answer (any, optional): Its answer
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
        | `target` | string | required | Target |
        | `args` | struct |  | Arguments of the word {path: A folder} |
        | `timeout_s` | double | option | Seconds to wait \| not more |

        Returns array of struct.

        | member | type | | |
        |---|---|---|---|
        | `guest` | string |  | The guest |
        | `after_s` | double | may be absent | How long it took, seconds |
        | `answer` | any | may be absent | Its answer |
        ");
    }
}
