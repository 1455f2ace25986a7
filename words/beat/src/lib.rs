//! BEAT: a guest is alive.

use vocable_word::{Answer, Description, Message, Role, Value, Word, about, described, roster, word};

word!(Beat);

impl Word for Beat {
    fn describe() -> Description {
        described!("BEAT", "Says that a guest is alive").on("beacon").listens_on(Role::Host)
    }

    fn say(_: Value) -> Answer<Message> {
        Ok(Message::new().with_header("id", &about::my_id()).with_header("ip", &about::my_ip()))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        roster::alive(message.need("id")?)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::{json, testing::FakeAgent};

    use super::*;

    #[test]
    fn what_the_guest_says_the_host_writes_down() {
        let _guest = FakeAgent::guest("vm1").ip("10.0.0.2");
        let said = Beat::say(json!({})).unwrap();
        assert_eq!((said.need("id"), said.need("ip")), (Ok("vm1"), Ok("10.0.0.2")));

        let host = FakeAgent::host("host").sender("vm1");
        assert_eq!(Beat::listen(said), Ok(None));
        assert_eq!(host.calls(), [json!(["roster.alive", "vm1"])]);
    }
}
