//! What lists show of a command: a program and results may have a mebibyte each, and lists hold a thousand of them.
//! What is more is told of one command at a time.

use super::{Failure, Program};
use crate::shape::{Bounds, bounded, omitted, shortened};
use serde_json::Value;
use vocable_protocol::ReportedResults;

/// Bytes of one text: a program, a path, all arguments together.
const TEXT: usize = 1024;
const ARGUMENTS: usize = 64;
/// Bytes of one member of the results, and what it may be made of: 1000 of them still fit into one XML-RPC answer.
const MEMBER: usize = 4096;
const MEMBER_BOUNDS: Bounds = Bounds { depth: 8, values: 128 };
/// Bytes of a failure's message.
const MESSAGE: usize = 2048;

/// The beginning of a program; none if all of it is short.
pub(super) fn program(program: &Program) -> Option<Program> {
    let options = |it: &std::collections::BTreeMap<String, String>| {
        it.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    let path = program.path.as_ref().map_or(0, String::len);
    let arguments: usize = program.args.iter().map(String::len).sum();
    let is_short = program.cmd.len() <= TEXT
        && path <= TEXT
        && arguments <= TEXT
        && program.args.len() <= ARGUMENTS
        && options(&program.env) + options(&program.options) <= TEXT;
    if is_short {
        return None;
    }
    let mut left = TEXT;
    let begin = |argument: &String| {
        let begin = (left > 0).then(|| shortened(argument, left))?;
        left = left.saturating_sub(argument.len().max(1));
        Some(begin)
    };
    // Environment and options are not listed at all.
    Some(Program {
        cmd: shortened(&program.cmd, TEXT),
        args: program.args.iter().take(ARGUMENTS).map_while(begin).collect(),
        path: program.path.as_deref().map(|path| shortened(path, TEXT)),
        shortened: true,
        ..Program::default()
    })
}

/// The results as they are listed; none if that is all of them.
pub(super) fn results(results: &ReportedResults) -> Option<ReportedResults> {
    let digest = |text: &Option<String>| text.as_deref().map(|text| shortened(text, MEMBER));
    let shown = ReportedResults {
        finished: results.finished,
        exit_code_or_signal: results.exit_code_or_signal,
        resources: results.resources.as_ref().map(member),
        left_out: results.left_out.as_ref().map(member),
        out_sha256: digest(&results.out_sha256),
        err_sha256: digest(&results.err_sha256),
        ..ReportedResults::default()
    };
    (shown != *results).then_some(shown)
}

fn member(value: &Value) -> Value {
    let bounded = match value {
        Value::Object(_) | Value::Array(_) => bounded(value.clone(), MEMBER_BOUNDS),
        Value::String(text) if text.len() > MEMBER => shortened(text, MEMBER).into(),
        plain => plain.clone(),
    };
    match bounded.to_string().len() {
        long if long > 2 * MEMBER => omitted("too long for a list"),
        _ => bounded,
    }
}

pub(super) fn failure(failure: &Failure) -> Failure {
    Failure { code: shortened(&failure.code, 64), message: shortened(&failure.message, MESSAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_short_is_listed_whole() {
        let short =
            Program { cmd: "ls".into(), args: vec!["-l".into(), String::new()], ..Program::default() };
        assert_eq!(program(&short), None);
        let told = json!({"finished": true, "exitCodeOrSignal": 0, "resources": {"ru_utime": 0.5}});
        assert_eq!(results(&ReportedResults::of(told.as_object().unwrap().clone())), None);
    }

    #[test]
    fn of_what_is_long_the_beginning_is_listed() {
        let args = ["a".repeat(1000), "b".repeat(1000), "c".into()].to_vec();
        let shown = program(&Program { cmd: "ls".into(), args, ..Program::default() }).unwrap();
        assert!(shown.shortened);
        assert_eq!(shown.args.len(), 2);
        assert_eq!(shown.args.iter().map(String::len).sum::<usize>(), 1000 + 24);
        assert_eq!(program(&shown), None, "it is short now");
        let many = Program { args: vec![String::new(); 100_000], ..Program::default() };
        assert_eq!(program(&many).unwrap().args.len(), ARGUMENTS);
    }

    #[test]
    fn of_results_only_what_lists_show_is_left() {
        let nested: Value = (0..40).fold(json!(1), |inside, _| json!([inside]));
        let told = json!({"finished": true, "exitCodeOrSignal": 0, "novel": "x".repeat(1000),
            "resources": {"ru_utime": 1.5, "odd": nested}, "out_sha256": "y".repeat(100_000)});
        let shown = results(&ReportedResults::of(told.as_object().unwrap().clone())).unwrap();
        let resources = shown.resources.as_ref().unwrap();
        assert_eq!(resources["ru_utime"], 1.5);
        assert!(resources.to_string().contains("nested deeper"), "{shown:?}");
        assert!(serde_json::to_string(&shown).unwrap().len() < 6000);
        assert_eq!(results(&shown), None, "they are short now");
    }
}
