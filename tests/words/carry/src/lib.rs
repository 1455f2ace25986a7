//! CARRY: a word that takes a file from one of the host's folders to one of a guest's. For tests of what words may do
//! with files; never installed.

use vocable_word::{
    Answer, Description, Message, Refusal, Value, Word, described, files, from_str, json, word,
};

word!(Carry);

/// What one call reads.
const MOST: u32 = 1 << 20;

impl Word for Carry {
    fn describe() -> Description {
        described!("CARRY", "Takes a file from the host to a guest")
            .parameters(&json!({"type": "object", "required": ["from", "to"], "properties": {
                "from": {"type": "string"}, "to": {"type": "string"}}}))
            .reply(&json!({"description": "what is known of the file where it is now"}))
    }

    fn say(args: Value) -> Answer<Message> {
        let text = |name: &str| args[name].as_str().unwrap_or_default().to_owned();
        let bytes = files::read(&text("from"), 0, MOST)?;
        Ok(Message::new().with_header("into", &text("to")).with_bytes(bytes))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let (to, half) = (message.need("into")?, format!("{}.part", message.need("into")?));
        // Whoever looks sees the old file or the new one.
        files::write(&half, 0, &message.body)?;
        files::rename(&half, to)?;
        let found = files::stat(to)?.ok_or_else(|| Refusal::Failed(format!("{to} is not there")))?;
        Ok(Some(from_str(&found)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_word::testing::FakeAgent;

    #[test]
    fn a_file_is_written_aside_and_renamed() {
        let found: Answer<Option<String>> = Ok(Some("{\"size\":3}".to_owned()));
        let agent = FakeAgent::guest("vm1").answers("files.stat", found);
        let message = Message::new().with_header("into", "in/x").with_bytes(b"abc".to_vec());
        assert_eq!(Carry::listen(message), Ok(Some(json!({"size": 3}))));
        assert_eq!(
            agent.calls()[..2],
            [json!(["files.write", "in/x.part", 0, "abc"]), json!(["files.rename", "in/x.part", "in/x"])]
        );
    }
}
