//! BYE: a guest is going, and says why.

use vocable_word::{Answer, Description, Message, Role, Value, Word, about, described, json, roster, word};

word!(Bye);

impl Word for Bye {
    fn describe() -> Description {
        described!("BYE", "Says that a guest is going, and why")
            .on("leaving")
            .listens_on(Role::Host)
            .parameters(&json!({
                "type": "object",
                "properties": {"reason": {"type": "string", "description": "in words a person understands"}}
            }))
    }

    fn say(facts: Value) -> Answer<Message> {
        let here = Message::new().with_header("id", &about::my_id()).with_header("ip", &about::my_ip());
        Ok(here.with_value("reason", &facts["reason"]))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        roster::left(message.need("id")?, message.get("reason").unwrap_or_default())?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    #[test]
    fn the_reason_reaches_the_roster() {
        let _guest = FakeAgent::guest("vm1").ip("10.0.0.2");
        let said = Bye::say(json!({"reason": "shutting down"})).unwrap();

        let host = FakeAgent::host("host").sender("vm1");
        assert_eq!(Bye::listen(said), Ok(None));
        assert_eq!(host.calls(), [json!(["roster.left", "vm1", "shutting down"])]);
    }

    #[test]
    fn who_gives_no_reason_may_go_all_the_same() {
        let host = FakeAgent::host("host").sender("vm1");
        Bye::listen(Message::new().with_header("id", "vm1")).unwrap();
        assert_eq!(host.calls(), [json!(["roster.left", "vm1", ""])]);
    }
}
