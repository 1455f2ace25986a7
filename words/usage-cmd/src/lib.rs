//! USAGE_CMD: the host asks what commands use while they run.

use vocable_word::{
    Answer, Description, Map, Message, Refusal, Role, Value, Word, described, from_str, from_value, jobs,
    json, word,
};

word!(UsageCmd);

impl Word for UsageCmd {
    fn describe() -> Description {
        described!("USAGE_CMD", "Tells what running commands use now")
            .on("usage-requested")
            .listens_on(Role::Guest)
            .parameters(&json!({
                "type": "object",
                "required": ["cmd-ids"],
                "properties": {"cmd-ids": {"type": "array", "items": {"type": "string"}}}
            }))
            .reply(&json!({
                "type": "object",
                "description": "by command: an object of what it uses, or the reason why nobody knows",
                "additionalProperties": {"type": ["object", "string"]}
            }))
    }

    fn say(args: Value) -> Answer<Message> {
        if !args["cmd-ids"].is_array() {
            return Err(Refusal::Invalid("no cmd-ids".to_owned()));
        }
        Ok(Message::new().with_json(&args["cmd-ids"]))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let ids: Vec<String> =
            from_value(message.json()?).map_err(|error| Refusal::Invalid(format!("cmd-ids: {error}")))?;
        let mut told = Map::new();
        for id in ids {
            let usage = match jobs::usage(&id) {
                Ok(usage) => from_str(&usage).unwrap_or_else(|_| usage.into()),
                // Not being granted it concerns all of them.
                Err(Refusal::Denied(why)) => return Err(Refusal::Denied(why)),
                Err(Refusal::Failed(why) | Refusal::Invalid(why)) => why.into(),
            };
            told.insert(id, usage);
        }
        Ok(Some(told.into()))
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    #[test]
    fn each_command_is_asked_about_and_one_that_is_over_spoils_nothing() {
        let guest = FakeAgent::guest("vm1")
            .answers("jobs.usage", Ok(r#"{"cpu_s": 1.5}"#.to_owned()))
            .answers("jobs.usage", Err::<String, _>(Refusal::Invalid("command b is not running".into())));
        let told = UsageCmd::listen(UsageCmd::say(json!({"cmd-ids": ["a", "b"]})).unwrap());
        assert_eq!(told, Ok(Some(json!({"a": {"cpu_s": 1.5}, "b": "command b is not running"}))));
        assert_eq!(guest.calls(), [json!(["jobs.usage", "a"]), json!(["jobs.usage", "b"])]);
    }

    #[test]
    fn nonsense_is_refused() {
        let guest = FakeAgent::guest("vm1");
        assert_eq!(UsageCmd::say(json!({})), Err(Refusal::Invalid("no cmd-ids".into())));
        let numbers = UsageCmd::listen(Message::new().with_json(&json!([1])));
        assert!(matches!(numbers, Err(Refusal::Invalid(_))));
        assert!(guest.calls().is_empty());
    }
}
