//! INPUT_CMD: standard input for a command that runs, as raw bytes with their offset; and the size of its
//! terminal, which travels the same way so that keys and sizes stay in their order. The guest says with
//! it how much the command has read.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use vocable_word::{
    Answer, Description, Message, Refusal, Value, Word, commands, described, from_str, jobs, json, word,
};

word!(InputCmd);

impl Word for InputCmd {
    fn describe() -> Description {
        described!("INPUT_CMD", "Gives a running command standard input")
            .on("input-requested")
            .on("job-input")
            .hears_bytes()
            .parameters(&json!({
                "type": "object",
                "required": ["cmd-id"],
                "properties": {
                    "cmd-id": {"type": "string"},
                    "offset": {"type": "integer", "minimum": 0, "description": "where the input belongs"},
                    "input": {"type": "string", "description": "base64"},
                    "end": {"type": "boolean", "description": "nothing comes after it"},
                    "rows": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "columns": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "taken": {
                        "type": "integer", "minimum": 0,
                        "description": "of a guest: so much of its input the command has read"
                    }
                }
            }))
            .reply(&json!({
                "type": "object",
                "properties": {
                    "offset": {"type": "integer", "description": "up to here the guest has it"},
                    "taken": {"type": "integer", "description": "up to here the command has read it"}
                }
            }))
    }

    fn say(args: Value) -> Answer<Message> {
        let cmd_id = args["cmd-id"].as_str().ok_or_else(|| Refusal::Invalid("no cmd-id".to_owned()))?;
        let message = Message::new().with_header("cmd-id", cmd_id);
        if !args["taken"].is_null() {
            return Ok(message.with_value("taken", &args["taken"]));
        }
        if !args["rows"].is_null() {
            return Ok(message.with_value("rows", &args["rows"]).with_value("columns", &args["columns"]));
        }
        if args["offset"].is_null() {
            return Err(Refusal::Invalid("neither offset nor rows nor taken".to_owned()));
        }
        let input = BASE64_STANDARD.decode(args["input"].as_str().unwrap_or_default());
        let input = input.map_err(|error| Refusal::Invalid(format!("input: {error}")))?;
        Ok(message.with_value("offset", &args["offset"]).with_value("end", &args["end"]).with_bytes(input))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let cmd_id = message.need("cmd-id")?;
        if message.get("taken").is_some() {
            commands::input_taken(cmd_id, message.read("taken")?)?;
            return Ok(None);
        }
        if message.get("rows").is_some() {
            message.need("columns")?;
            jobs::resize(cmd_id, message.read("rows")?, message.read("columns")?)?;
            return Ok(None);
        }
        // Input in the wrong place would damage it, so its place is not optional.
        message.need("offset")?;
        let taken = jobs::input(cmd_id, message.read("offset")?, &message.body, message.read("end")?)?;
        from_str(&taken).map(Some).map_err(|error| Refusal::Failed(format!("jobs.input: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    #[test]
    fn input_travels_as_raw_bytes_with_its_place() {
        let args = json!({"cmd-id": "c1", "offset": 7, "input": "AP8K", "end": true});
        let said = InputCmd::say(args).unwrap();
        assert_eq!(said.body, [0, 0xff, b'\n']);

        let answer = r#"{"offset": 10, "taken": 7}"#.to_owned();
        let guest = FakeAgent::guest("vm1").answers("jobs.input", Ok(answer));
        assert_eq!(InputCmd::listen(said), Ok(Some(json!({"offset": 10, "taken": 7}))));
        assert_eq!(guest.calls(), [json!(["jobs.input", "c1", 7, [0, 255, 10], true])]);
    }

    #[test]
    fn the_size_of_a_terminal_arrives() {
        let guest = FakeAgent::guest("vm1");
        let said = InputCmd::say(json!({"cmd-id": "c1", "rows": 24, "columns": 80})).unwrap();
        assert_eq!(InputCmd::listen(said), Ok(None));
        assert_eq!(guest.calls(), [json!(["jobs.resize", "c1", 24, 80])]);
    }

    #[test]
    fn the_host_hears_what_was_read() {
        let host = FakeAgent::host("host").sender("vm1");
        let said = InputCmd::say(json!({"cmd-id": "c1", "taken": 5_000_000_000_u64})).unwrap();
        assert_eq!(InputCmd::listen(said), Ok(None));
        assert_eq!(host.calls(), [json!(["commands.input_taken", "c1", 5_000_000_000_u64])]);
    }

    #[test]
    fn input_without_a_place_and_no_base64_are_invalid() {
        let guest = FakeAgent::guest("vm1");
        let homeless = Message::new().with_header("cmd-id", "c1").with_text("lost");
        let missing = Refusal::Invalid("the message has no header offset".into());
        assert_eq!(InputCmd::listen(homeless), Err(missing));
        for args in [json!({"cmd-id": "c1", "offset": 0, "input": "*"}), json!({"cmd-id": "c1"}), json!({})] {
            assert!(matches!(InputCmd::say(args), Err(Refusal::Invalid(_))));
        }
        assert!(guest.calls().is_empty());
    }
}
