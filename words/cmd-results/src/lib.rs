//! CMD_RESULTS: a guest tells how a command goes. While it runs, pieces of its output, as raw bytes
//! with their offset; at the end the results, as JSON.

use vocable_word::{
    Answer, Description, Map, Message, Refusal, Role, Value, Word, commands, described, from_value, jobs,
    json, word,
};

word!(CmdResults);

impl Word for CmdResults {
    fn describe() -> Description {
        described!("CMD_RESULTS", "Tells how a command goes, and how it has ended")
            .on("job-output")
            .on("job-ended")
            .listens_on(Role::Host)
            .hears_bytes_beside("part")
            .parameters(&json!({
                "type": "object",
                "required": ["cmd-id"],
                "properties": {
                    "cmd-id": {"type": "string"},
                    "part": {"enum": ["out", "err"], "description": "which of the two has grown"},
                    "offset": {"type": "integer", "minimum": 0},
                    "length": {"type": "integer", "minimum": 1, "description": "how many bytes to tell"},
                    "results": {
                        "type": "object",
                        "description": "finished, exitCodeOrSignal, resources, out and err \
                                        (text, or b64 for what is not), and whatever else is known"
                    }
                }
            }))
    }

    fn say(args: Value) -> Answer<Message> {
        let cmd_id = args["cmd-id"].as_str().ok_or_else(|| Refusal::Invalid("no cmd-id".to_owned()))?;
        let message = Message::new().with_header("cmd-id", cmd_id);
        if args["part"].is_null() {
            say_end(message, cmd_id, &args)
        } else {
            say_piece(message, cmd_id, args.clone())
        }
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let cmd_id = message.need("cmd-id")?;
        match message.get("part") {
            Some(part) => commands::output(cmd_id, part, offset(&message)?, &message.body)?,
            None => commands::finished(cmd_id, &results(&message, cmd_id)?.to_string())?,
        }
        Ok(None)
    }
}

/// Where a piece of output begins and how long it is.
#[derive(vocable_word::Deserialize)]
#[serde(crate = "vocable_word::serde")]
struct Piece {
    part: String,
    offset: u64,
    length: u32,
}

fn say_piece(message: Message, cmd_id: &str, args: Value) -> Answer<Message> {
    let Piece { part, offset, length } = from_value(args)?;
    let bytes = jobs::read(cmd_id, &part, offset, length)?;
    if bytes.is_empty() {
        return Err(Refusal::Failed(format!("{cmd_id} has no byte of {part} at {offset}")));
    }
    Ok(message.with_header("part", &part).with_header("offset", &offset.to_string()).with_bytes(bytes))
}

fn say_end(message: Message, cmd_id: &str, args: &Value) -> Answer<Message> {
    let results = args["results"].as_object();
    let mut results = results.ok_or_else(|| Refusal::Invalid("neither part nor results".to_owned()))?.clone();
    results.insert("cmd-id".to_owned(), cmd_id.into());
    Ok(message.with_json(&results.into()))
}

/// The offset is not optional: a piece in the wrong place would damage the output.
fn offset(message: &Message) -> Answer<u64> {
    message.need("offset")?;
    message.read("offset")
}

/// The results, which must be those of the command that the header names.
fn results(message: &Message, cmd_id: &str) -> Answer<Value> {
    let mut results: Map<String, Value> = message.json()?;
    match results.entry("cmd-id").or_insert_with(|| cmd_id.into()).as_str() {
        Some(inside) if inside == cmd_id => Ok(results.into()),
        _ => Err(Refusal::Invalid(format!("header and body name different commands, not both {cmd_id}"))),
    }
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    #[test]
    fn a_piece_of_output_travels_as_raw_bytes_with_its_place() {
        let guest = FakeAgent::guest("vm1").answers("jobs.read", Ok(vec![0, 0xff, b'\n']));
        let said = CmdResults::say(json!({"cmd-id": "c1", "part": "err", "offset": 7, "length": 3})).unwrap();
        assert_eq!(said.body, [0, 0xff, b'\n']);
        assert_eq!(guest.calls(), [json!(["jobs.read", "c1", "err", 7, 3])]);

        let host = FakeAgent::host("host").sender("vm1");
        assert_eq!(CmdResults::listen(said), Ok(None));
        assert_eq!(host.calls(), [json!(["commands.output", "c1", "err", 7, [0, 255, 10]])]);
    }

    #[test]
    fn the_end_travels_as_json_and_facts_nobody_foresaw_are_passed_on() {
        let host = FakeAgent::host("host").sender("vm1");
        let results = json!({"finished": true, "exitCodeOrSignal": 3, "out": {"b64": "/w=="}, "novel": [1]});
        let said = CmdResults::say(json!({"cmd-id": "c1", "results": results})).unwrap();
        assert_eq!(said.need("cmd-id"), Ok("c1"));
        CmdResults::listen(said).unwrap();
        let calls = host.calls();
        assert_eq!((&calls[0][0], &calls[0][1]), (&json!("commands.finished"), &json!("c1")));
        let told: Value = vocable_word::from_str(calls[0][2].as_str().unwrap()).unwrap();
        let expected = json!({
            "cmd-id": "c1", "finished": true, "exitCodeOrSignal": 3, "out": {"b64": "/w=="}, "novel": [1]
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn output_that_is_not_there_is_not_told() {
        let _guest = FakeAgent::guest("vm1").answers("jobs.read", Ok(Vec::<u8>::new()));
        let said = CmdResults::say(json!({"cmd-id": "c1", "part": "out", "offset": 7, "length": 3}));
        assert_eq!(said, Err(Refusal::Failed("c1 has no byte of out at 7".into())));
    }

    #[test]
    fn a_piece_without_a_place_or_the_results_of_another_are_invalid() {
        let host = FakeAgent::host("host").sender("vm1");
        let piece = Message::new().with_header("cmd-id", "c1").with_header("part", "out").with_text("lost");
        assert_eq!(
            CmdResults::listen(piece),
            Err(Refusal::Invalid("the message has no header offset".into()))
        );
        let other = Message::new().with_header("cmd-id", "c1").with_json(&json!({"cmd-id": "c2"}));
        assert!(matches!(CmdResults::listen(other), Err(Refusal::Invalid(_))));
        assert!(host.calls().is_empty());
    }
}
