//! RUN_CMD once more, in place of the one that is built in: every command finds `LOUD=1` in its environment. For
//! tests; never installed.

use std::collections::BTreeMap;

use vocable_word::{Answer, Description, Message, Program, Value, Word, jobs, word};

word!(Loud);

const PARTS: [&str; 6] = ["cmd-id", "cmd", "args", "env", "path", "options"];

impl Word for Loud {
    fn describe() -> Description {
        Description::new("RUN_CMD", "Runs a program on a guest, loudly", "9.9.9").on("run-requested")
    }

    fn say(args: Value) -> Answer<Message> {
        Ok(PARTS.iter().fold(Message::new(), |message, part| message.with_value(part, &args[*part])))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let mut env: BTreeMap<String, String> = message.read("env")?;
        env.insert("LOUD".to_owned(), "1".to_owned());
        let options: BTreeMap<String, String> = message.read("options")?;
        let program = Program {
            cmd: message.need("cmd")?.to_owned(),
            args: message.read("args")?,
            env: env.into_iter().collect(),
            path: message.get("path").map(str::to_owned),
            options: options.into_iter().collect(),
        };
        jobs::start(message.need("cmd-id")?, &program)?;
        Ok(None)
    }
}
