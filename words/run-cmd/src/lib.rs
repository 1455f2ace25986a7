//! RUN_CMD: the host asks a guest to run a program.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use vocable_word::{
    Answer, Description, Map, Message, Program, Refusal, Role, Value, Word, described, from_value, jobs,
    json, serde, word,
};

word!(RunCmd);

/// What a command is made of: members of the arguments, and headers of the message.
const PARTS: [&str; 6] = ["cmd-id", "cmd", "args", "env", "path", "options"];
/// Bytes of a header. What is longer, such as standard input, is in the body: brokers take lines of 8 KiB, and
/// escaping can double a value.
const LONGEST_HEADER: usize = 4000;

impl Word for RunCmd {
    fn describe() -> Description {
        described!("RUN_CMD", "Runs a program on a guest")
            .on("run-requested")
            .listens_on(Role::Guest)
            .parameters(&json!({
                "type": "object",
                "required": ["cmd-id", "cmd"],
                "properties": {
                    "cmd-id": {"type": "string", "description": "names the command; the same id never runs twice"},
                    "cmd": {"type": "string", "description": "the program; no shell reads it"},
                    "args": {"type": "array", "items": {"type": "string"}},
                    "env": {"type": "object", "additionalProperties": {"type": "string"}},
                    "path": {"type": "string", "description": "the working directory"},
                    "options": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "what the guest's agent offers: stdin (base64), timeout and so on"
                    }
                }
            }))
    }

    fn say(args: Value) -> Answer<Message> {
        let (long, short): (Vec<_>, Vec<_>) = PARTS.into_iter().partition(|part| is_long(&args[*part]));
        let message =
            short.into_iter().fold(Message::new(), |message, part| message.with_value(part, &args[part]));
        let long: Map<_, _> = long.into_iter().map(|part| (part.to_owned(), args[part].clone())).collect();
        Ok(if long.is_empty() { message } else { message.with_json(&long.into()) })
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let mut long: Map<String, Value> =
            if message.body.is_empty() { Map::new() } else { message.json()? };
        let env: BTreeMap<String, String> = part(&message, &mut long, "env")?;
        let options: BTreeMap<String, String> = part(&message, &mut long, "options")?;
        let program = Program {
            cmd: message.need("cmd")?.to_owned(),
            args: part(&message, &mut long, "args")?,
            env: env.into_iter().collect(),
            path: message.get("path").map(str::to_owned),
            options: options.into_iter().collect(),
        };
        jobs::start(message.need("cmd-id")?, &program)?;
        Ok(None)
    }
}

fn is_long(value: &Value) -> bool {
    // What has to be found before the body is read stays in the headers, whatever its length.
    !value.is_string() && value.to_string().len() > LONGEST_HEADER
}

/// A part of the command, wherever it travelled.
fn part<T: DeserializeOwned + Default>(
    message: &Message,
    long: &mut Map<String, Value>,
    name: &str,
) -> Answer<T> {
    match long.remove(name) {
        Some(value) => from_value(value).map_err(|error| Refusal::Invalid(format!("{name}: {error}"))),
        None => message.read(name),
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    #[test]
    fn what_is_too_long_for_a_header_travels_in_the_body() {
        let guest = FakeAgent::guest("vm1");
        let long = "x".repeat(100_000);
        let command = json!({"cmd-id": "c1", "cmd": "cat", "args": ["-"], "options": {"stdin": long}});
        let said = RunCmd::say(command).unwrap();
        assert!(said.headers.iter().all(|(_, value)| value.len() <= LONGEST_HEADER));
        assert_eq!(RunCmd::listen(said), Ok(None));
        let program = json!({"cmd": "cat", "args": ["-"], "options": {"stdin": long}});
        assert_eq!(guest.calls(), [json!(["jobs.start", "c1", program])]);
    }

    #[test]
    fn what_the_host_says_the_guest_starts() {
        let guest = FakeAgent::guest("vm1");
        let command = json!({
            "cmd-id": "c1", "cmd": "/bin/echo", "args": ["a b", "ü"], "env": {"LANG": "C"}, "path": "/tmp",
            "options": {"stdin": "aGVsbG8="}
        });
        let said = RunCmd::say(command).unwrap();
        assert_eq!(said.need("args"), Ok(r#"["a b","ü"]"#));
        assert_eq!(RunCmd::listen(said), Ok(None));
        let program = json!({
            "cmd": "/bin/echo", "args": ["a b", "ü"], "env": {"LANG": "C"}, "path": "/tmp",
            "options": {"stdin": "aGVsbG8="}
        });
        assert_eq!(guest.calls(), [json!(["jobs.start", "c1", program])]);
    }

    #[test]
    fn a_bare_command_needs_no_more_than_an_id_and_a_program() {
        let guest = FakeAgent::guest("vm1");
        let said = RunCmd::say(json!({"cmd-id": "c1", "cmd": "true"})).unwrap();
        assert_eq!(said.headers.len(), 2);
        RunCmd::listen(said).unwrap();
        assert_eq!(guest.calls(), [json!(["jobs.start", "c1", {"cmd": "true"}])]);
    }

    #[test]
    fn nonsense_is_refused_and_starts_nothing() {
        let guest = FakeAgent::guest("vm1");
        let said = |args| RunCmd::listen(RunCmd::say(args).unwrap());
        let missing = said(json!({"cmd-id": "c1"}));
        assert_eq!(missing, Err(Refusal::Invalid("the message has no header cmd".into())));
        let no_list = said(json!({"cmd-id": "c1", "cmd": "true", "args": "-a"}));
        assert!(matches!(no_list, Err(Refusal::Invalid(text)) if text.starts_with("header args:")));
        assert!(guest.calls().is_empty());
    }

    #[test]
    fn what_the_agent_refuses_is_refused() {
        let no = || Refusal::Invalid("no such option: fly".into());
        let _guest = FakeAgent::guest("vm1").answers("jobs.start", Err::<(), _>(no()));
        let said = RunCmd::say(json!({"cmd-id": "c1", "cmd": "true", "options": {"fly": "high"}})).unwrap();
        assert_eq!(RunCmd::listen(said), Err(no()));
    }
}
