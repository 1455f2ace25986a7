//! DF: how full the file systems of a machine are. A word that is not built in: drop the component into
//! a `words.d` directory.

use vocable_word::{
    Answer, Description, Message, Output, Program, Refusal, Value, Word, described, json, process, word,
};

word!(Df);

impl Word for Df {
    fn describe() -> Description {
        let bytes = || json!({"type": "number", "format": "bytes"});
        described!("DF", "Tells how full the file systems of a machine are")
            .parameters(&json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "only the file system that holds this; without it, all"}
                }
            }))
            .reply(&json!({
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "filesystem": {"type": "string"},
                        "mount": {"type": "string"},
                        "size": bytes(),
                        "used": bytes(),
                        "free": bytes()
                    }
                }
            }))
    }

    fn listen(message: Message) -> Answer<Option<Value>> {
        let args: Value = if message.body.is_empty() { Value::Null } else { message.json()? };
        let mut program = Program::new("df", &["-kP"]);
        program
            .args
            .extend(args["path"].as_str().into_iter().flat_map(|path| ["--".to_owned(), path.to_owned()]));
        let output = process::run(&program)?;
        let table = String::from_utf8_lossy(&output.out);
        let rows: Vec<Value> = table.lines().skip(1).filter_map(file_system).collect();
        // df goes on after a file system that does not answer, so what it did tell is good.
        if rows.is_empty() { Err(failure(&output)) } else { Ok(Some(rows.into())) }
    }
}

/// One line of the table. Only the last column, the mount point, may contain spaces.
fn file_system(line: &str) -> Option<Value> {
    let mut rest = line;
    let mut column = || {
        let (column, after) = rest.trim_start().split_once(char::is_whitespace)?;
        rest = after;
        Some(column)
    };
    let (filesystem, size, used, free, _percent) = (column()?, column()?, column()?, column()?, column()?);
    let bytes = |kibibytes: &str| kibibytes.parse::<u64>().ok()?.checked_mul(1024);
    Some(json!({
        "filesystem": filesystem,
        "mount": rest.trim(),
        "size": bytes(size)?,
        "used": bytes(used)?,
        "free": bytes(free)?
    }))
}

fn failure(output: &Output) -> Refusal {
    let said = String::from_utf8_lossy(&output.err);
    Refusal::Failed(format!("df ended with {}: {}", output.exit_code_or_signal, said.trim()))
}

#[cfg(test)]
mod tests {
    use vocable_word::testing::FakeAgent;

    use super::*;

    const TABLE: &str = "\
Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/vda1         10255636  4112288   5600792      43% /
nas:/our data            -        -         -        - /mnt/gone
//nas/share           2048     1024      1024      50% /mnt/our data
";

    #[test]
    fn the_table_becomes_numbers_of_bytes() {
        let guest = FakeAgent::guest("vm1").answers("process.run", Ok(FakeAgent::output(0, TABLE)));
        let rows = Df::listen(Message::new()).unwrap().unwrap();
        assert_eq!(
            rows,
            json!([
                {"filesystem": "/dev/vda1", "mount": "/", "size": 10_501_771_264_u64, "used": 4_210_982_912_u64,
                 "free": 5_735_211_008_u64},
                {"filesystem": "//nas/share", "mount": "/mnt/our data", "size": 2_097_152, "used": 1_048_576,
                 "free": 1_048_576}
            ])
        );
        assert_eq!(guest.calls(), [json!(["process.run", {"cmd": "df", "args": ["-kP"]}])]);
    }

    #[test]
    fn a_path_is_never_taken_for_an_option() {
        let guest = FakeAgent::guest("vm1").answers("process.run", Ok(FakeAgent::output(0, TABLE)));
        Df::listen(Df::say(json!({"path": "-h"})).unwrap()).unwrap();
        assert_eq!(guest.calls()[0][1]["args"], json!(["-kP", "--", "-h"]));
    }

    #[test]
    fn when_df_fails_its_own_words_come_back() {
        let gone = Output {
            finished: true,
            exit_code_or_signal: 1,
            out: Vec::new(),
            err: b"df: /nowhere: No such file or directory\n".to_vec(),
        };
        let _guest = FakeAgent::guest("vm1").answers("process.run", Ok(gone));
        let text = "df ended with 1: df: /nowhere: No such file or directory";
        assert_eq!(Df::listen(Message::new()), Err(Refusal::Failed(text.into())));
    }
}
