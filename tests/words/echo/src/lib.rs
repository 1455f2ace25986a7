//! ECHO: a word that answers what it is told. For tests of what clients send and what they get back; never installed.

use vocable_word::{Answer, Description, Message, Value, Word, described, json, word};

word!(Echo);

impl Word for Echo {
    fn describe() -> Description {
        described!("ECHO", "Answers what it is told")
            .parameters(&json!({"description": "anything"}))
            .reply(&json!({"description": "the same"}))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        message.json().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_word::testing::FakeAgent;

    #[test]
    fn what_it_is_told_comes_back() {
        let _guest = FakeAgent::guest("vm1");
        let told = json!({"list": [1, 0.5, "ü", true], "bytes": {"b64": "AA=="}});
        assert_eq!(Echo::listen(Echo::say(told.clone()).unwrap()), Ok(Some(told)));
    }
}
