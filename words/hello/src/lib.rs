//! HELLO: a guest has come, and tells what it is.

use vocable_word::{
    Answer, Description, Map, Message, Role, Value, Word, about, described, from_str, json, roster, word,
};

word!(Hello);

/// Headers that are no facts: who it is, where it is, and the core's own.
const NOT_FACTS: [&str; 8] = ["id", "ip", "to", "from", "message-id", "in-reply-to", "asked", "refusal"];

/// Bytes of one fact: it travels in one line of a header, of which brokers take 8 KiB. What is longer is left out and named,
/// or the guest would never be heard to have come.
const LONGEST: usize = 6 * 1024;

impl Word for Hello {
    fn describe() -> Description {
        described!("HELLO", "Says that a guest is here, and what it is")
            .on("connected")
            .listens_on(Role::Host)
            .parameters(&json!({
                "type": "object",
                "properties": {
                    "agent": {"type": "string", "description": "version of the agent"},
                    "mac": {"type": "string", "description": "08:00:27:0A:0B:0C"},
                    "boot-id": {"type": "string"},
                    "jobs": {"type": "array", "items": {"type": "string"},
                        "description": "the commands that the guest has yet to tell something of"}
                },
                "additionalProperties": true
            }))
    }

    fn say(facts: Value) -> Answer<Message> {
        let here = Message::new().with_header("id", &about::my_id()).with_header("ip", &about::my_ip());
        let words = ("words".to_owned(), json!(about::words()));
        let facts = facts.as_object().cloned().unwrap_or_default().into_iter().chain([words]);
        let (told, omitted): (Vec<_>, Vec<_>) =
            facts.filter(|(name, _)| is_fact(name)).partition(|(_, fact)| fact.to_string().len() <= LONGEST);
        let message = told.iter().fold(here, |message, (name, fact)| message.with_value(name, fact));
        let omitted: Vec<_> = omitted.into_iter().map(|(name, _)| name).collect();
        Ok(if omitted.is_empty() { message } else { message.with_value("omitted", &json!(omitted)) })
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let facts = message.headers.iter().rev().filter(|(name, _)| is_fact(name));
        let facts: Map<String, Value> = facts.map(|(name, text)| (name.clone(), fact(text))).collect();
        roster::joined(message.need("id")?, message.need("ip")?, &Value::from(facts).to_string())?;
        Ok(None)
    }
}

fn is_fact(name: &str) -> bool {
    !NOT_FACTS.contains(&name)
}

/// A list or an object comes as JSON; all else is text, however much it looks like a number.
fn fact(text: &str) -> Value {
    match from_str(text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::{Refusal, testing::FakeAgent};

    use super::*;

    #[test]
    fn what_is_too_long_for_a_header_is_left_out_and_named() {
        let jobs: Vec<_> = (0..1000).map(|n| format!("job{n}.vm1")).collect();
        let _guest = FakeAgent::guest("vm1");
        let said = Hello::say(json!({"agent": "0.3.0", "jobs": jobs})).unwrap();
        assert!(said.headers.iter().all(|(name, _)| name != "jobs"));
        assert_eq!(said.need("omitted"), Ok(r#"["jobs"]"#));
        assert_eq!(said.need("agent"), Ok("0.3.0"));
    }

    #[test]
    fn a_guest_tells_who_it_is_and_what_it_knows() {
        let _guest = FakeAgent::guest("vm1").ip("10.0.0.2").knows("BEAT", "0.1.0");
        let said = Hello::say(json!({"agent": "0.3.0", "mac": "08:00:27:0A:0B:0C", "id": "vm2"})).unwrap();
        assert_eq!((said.need("id"), said.need("ip")), (Ok("vm1"), Ok("10.0.0.2")));
        assert_eq!((said.need("agent"), said.need("words")), (Ok("0.3.0"), Ok(r#"[["BEAT","0.1.0"]]"#)));
        assert!(said.body.is_empty());
    }

    #[test]
    fn a_host_enters_it_in_the_roster_with_all_it_told() {
        let host = FakeAgent::host("host").sender("vm1");
        let message = Message::new()
            .with_header("id", "vm1")
            .with_header("ip", "10.0.0.2")
            .with_header("boot-id", "17")
            .with_header("boot-id", "of repeated headers the first counts")
            .with_header("message-id", "m1")
            .with_header("words", r#"[["BEAT","0.1.0"]]"#);
        assert_eq!(Hello::listen(message), Ok(None));
        let facts = r#"{"boot-id":"17","words":[["BEAT","0.1.0"]]}"#;
        assert_eq!(host.calls(), [json!(["roster.joined", "vm1", "10.0.0.2", facts])]);
    }

    #[test]
    fn who_claims_to_be_another_is_refused_by_the_roster() {
        let no = || Refusal::Denied("roster: vm1 is not vm2".into());
        let _host = FakeAgent::host("host").sender("vm1").answers("roster.joined", Err::<(), _>(no()));
        let message = Message::new().with_header("id", "vm2").with_header("ip", "10.0.0.2");
        assert_eq!(Hello::listen(message), Err(no()));
    }
}
