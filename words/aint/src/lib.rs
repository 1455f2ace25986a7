//! AINT: ain't a word. Tells what could not be understood, and which words are known instead.

use vocable_word::{
    Answer, Description, Deserialize, Message, Value, Word, about, described, from_value, json, log, word,
};

word!(Aint);

/// What was not understood, and what would have been.
#[derive(Deserialize)]
#[serde(crate = "vocable_word::serde")]
struct Unknown {
    word: String,
    known: Option<Vec<(String, String)>>,
}

impl Word for Aint {
    fn describe() -> Description {
        described!("AINT", "Says that a word is not known, and which ones are").on("unknown-word").parameters(
            &json!({
                "type": "object",
                "required": ["word"],
                "properties": {
                    "word": {"type": "string", "description": "what was not understood"},
                    "known": {"type": "array", "description": "[name, version] of the words known"}
                }
            }),
        )
    }

    fn say(facts: Value) -> Answer<Message> {
        let Unknown { word, known } = from_value(facts)?;
        let known = known.unwrap_or_else(about::words);
        let known: Vec<_> = known.iter().map(|(name, version)| format!("{name} {version}")).collect();
        Ok(Message::new()
            .with_json(&json!(format!("{word} ain't a word here; known are {}", known.join(", ")))))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let told: String = message.json()?;
        let sender = about::sender().unwrap_or_else(|| "somebody".to_owned());
        log::warn(&format!("{sender}: {told}"));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::{Refusal, testing::FakeAgent};

    use super::*;

    #[test]
    fn the_ignorant_one_tells_and_the_other_logs_it() {
        let facts = json!({"word": "DFF", "known": [["AINT", "0.1.0"], ["DF", "1.2.0"]]});
        let said = Aint::say(facts).unwrap();
        let told = "DFF ain't a word here; known are AINT 0.1.0, DF 1.2.0";
        assert_eq!(said.json(), Ok(json!(told)));

        let host = FakeAgent::host("host").sender("vm1");
        assert_eq!(Aint::listen(said), Ok(None));
        assert_eq!(host.calls(), [json!(["log.warn", format!("vm1: {told}")])]);
    }

    #[test]
    fn which_words_are_known_it_can_find_out_by_itself() {
        let _guest = FakeAgent::guest("vm1").knows("BEAT", "0.1.0");
        let said = Aint::say(json!({"word": "DFF"})).unwrap();
        assert_eq!(said.json(), Ok(json!("DFF ain't a word here; known are BEAT 0.1.0")));
    }

    #[test]
    fn it_has_to_be_told_what_was_not_understood() {
        assert!(matches!(Aint::say(json!({})), Err(Refusal::Invalid(_))));
    }
}
