//! SIGNAL_CMD: the host has a command signalled, or ended.

use vocable_word::{
    Answer, Description, Message, Refusal, Role, Value, Word, described, from_str, jobs, json, word,
};

word!(SignalCmd);

impl Word for SignalCmd {
    fn describe() -> Description {
        described!("SIGNAL_CMD", "Signals a command on a guest, or ends it")
            .on("signal-requested")
            .listens_on(Role::Guest)
            .parameters(&json!({
                "type": "object",
                "required": ["cmd-id", "signal"],
                "properties": {
                    "cmd-id": {"type": "string"},
                    "signal": {"type": "integer", "description": "its number"},
                    "grace": {
                        "type": ["integer", "null"],
                        "description": "there: what outlives the signal by so many milliseconds is killed; \
                                        null: by the command's own grace"
                    }
                }
            }))
            .reply(&json!({
                "type": "object",
                "properties": {
                    "processes": {"type": "integer", "description": "how many there were"}
                }
            }))
    }

    fn say(args: Value) -> Answer<Message> {
        let message = ["cmd-id", "signal"].into_iter().try_fold(Message::new(), |message, name| {
            if args[name].is_null() {
                return Err(Refusal::Invalid(format!("no {name}")));
            }
            Ok(message.with_value(name, &args[name]))
        })?;
        Ok(match args.get("grace") {
            None => message,
            // A header has no null.
            Some(Value::Null) => message.with_header("grace", "own"),
            Some(grace) => message.with_value("grace", grace),
        })
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let cmd_id = message.need("cmd-id")?;
        message.need("signal")?;
        let signal = message.read("signal")?;
        let processes = match message.get("grace") {
            Some("own") => jobs::cancel(cmd_id, signal, None)?,
            Some(_) => jobs::cancel(cmd_id, signal, Some(message.read("grace")?))?,
            None => {
                let before = processes(&jobs::usage(cmd_id)?);
                jobs::signal(cmd_id, signal)?;
                before
            }
        };
        Ok(Some(json!({"processes": processes})))
    }
}

/// How many processes a usage tells of.
fn processes(usage: &str) -> u32 {
    let told = from_str::<Value>(usage).ok().and_then(|usage| usage["processes"].as_u64());
    told.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    fn message(args: Value) -> Answer<Option<Value>> {
        SignalCmd::listen(SignalCmd::say(args)?)
    }

    #[test]
    fn a_signal_alone_is_sent_and_nothing_else() {
        let guest = FakeAgent::guest("vm1").answers("jobs.usage", Ok(r#"{"processes": 9}"#.to_owned()));
        assert_eq!(message(json!({"cmd-id": "c1", "signal": 2})), Ok(Some(json!({"processes": 9}))));
        assert_eq!(guest.calls(), [json!(["jobs.usage", "c1"]), json!(["jobs.signal", "c1", 2])]);
    }

    #[test]
    fn with_a_grace_the_command_is_ended() {
        let guest =
            FakeAgent::guest("vm1").answers("jobs.cancel", Ok(3_u32)).answers("jobs.cancel", Ok(1_u32));
        let ended = message(json!({"cmd-id": "c1", "signal": 15, "grace": 2500}));
        assert_eq!(ended, Ok(Some(json!({"processes": 3}))));
        message(json!({"cmd-id": "c2", "signal": 15, "grace": null})).unwrap();
        let calls = [json!(["jobs.cancel", "c1", 15, 2500]), json!(["jobs.cancel", "c2", 15, null])];
        assert_eq!(guest.calls(), calls);
    }

    #[test]
    fn nonsense_signals_nobody() {
        let guest = FakeAgent::guest("vm1");
        assert_eq!(message(json!({"cmd-id": "c1"})), Err(Refusal::Invalid("no signal".into())));
        let no_number = message(json!({"cmd-id": "c1", "signal": "TERM"}));
        assert!(matches!(no_number, Err(Refusal::Invalid(text)) if text.starts_with("header signal:")));
        let no_grace = message(json!({"cmd-id": "c1", "signal": 15, "grace": -1}));
        assert!(matches!(no_grace, Err(Refusal::Invalid(text)) if text.starts_with("header grace:")));
        assert!(guest.calls().is_empty());
    }

    #[test]
    fn what_the_agent_refuses_is_refused() {
        let gone = || Refusal::Invalid("command c1 is not running".into());
        let _guest = FakeAgent::guest("vm1").answers("jobs.cancel", Err::<u32, _>(gone()));
        assert_eq!(message(json!({"cmd-id": "c1", "signal": 15, "grace": 0})), Err(gone()));
    }
}
