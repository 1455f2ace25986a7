//! Streamed input and terminals, over real programs.

use super::super::JobError;
use super::*;
use crate::job::INPUT_WINDOW;

fn streamed(program: Program) -> Program {
    option(program, "input", "streamed")
}

impl Bed {
    async fn gives(&self, cmd_id: &str, offset: u64, bytes: &[u8], end: bool) -> InputStatus {
        self.jobs.input(cmd_id, offset, bytes.to_vec(), end).await.unwrap()
    }

    /// Gives all of it, as far as the program reads.
    async fn feeds(&mut self, cmd_id: &str, all: &[u8]) {
        let mut at = 0;
        loop {
            let rest = &all[usize::try_from(at).unwrap()..];
            let now = self.gives(cmd_id, at, rest, true).await;
            if now.end {
                return assert_eq!(now.offset, all.len() as u64);
            }
            at = now.offset;
            while self.taken.get(cmd_id).is_none_or(|taken| taken + INPUT_WINDOW <= at) {
                self.hear().await;
            }
        }
    }
}

#[tokio::test]
async fn input_comes_piece_by_piece_and_twice_is_once() {
    let mut bed = Bed::new().await;
    bed.start("cat", streamed(shell("while read line; do echo \"<$line>\"; done; echo end"))).await;
    assert_eq!(bed.gives("cat", 0, b"one\ntw", false).await.offset, 6);
    assert_eq!(bed.gives("cat", 3, b"\ntw", false).await.offset, 6, "it was there");
    assert_eq!(bed.gives("cat", 9, b"lost", false).await.offset, 6, "a gap is not filled");
    bed.output_of("cat", Part::Out, 6).await;
    assert_eq!(bed.gives("cat", 6, b"o\n", true).await, InputStatus { offset: 8, taken: 6, end: true });
    assert_eq!(bed.end_of("cat").await.state, EndState::Done);
    assert_eq!(bed.text("cat", Part::Out).await, "<one>\n<two>\nend\n");
    let late = bed.jobs.input("cat", 8, b"x".to_vec(), false).await;
    assert!(matches!(late, Err(JobError::NotRunning { .. })), "{late:?}");
}

#[tokio::test]
async fn input_without_end_keeps_its_place_and_is_all_there() {
    let mut bed = Bed::new().await;
    let all: Vec<u8> = (0..=255_u8).cycle().take(5 << 20).collect();
    let digest = sha256_hex(&all);
    bed.start("sum", streamed(program("sha256sum", &[]))).await;
    bed.feeds("sum", &all).await;
    bed.end_of("sum").await;
    assert_eq!(bed.text("sum", Part::Out).await, format!("{digest}  -\n"));
}

#[tokio::test]
async fn the_death_of_the_agent_is_not_the_end_of_the_input() {
    let bed = Bed::new().await;
    bed.start("cat", streamed(program("cat", &[]))).await;
    bed.gives("cat", 0, b"before ", false).await;
    let mut bed = bed.again().await;
    assert_eq!(bed.gives("cat", 0, b"before and after", true).await.offset, 16);
    assert_eq!(bed.end_of("cat").await.state, EndState::Done);
    assert_eq!(bed.text("cat", Part::Out).await, "before and after");
}

#[tokio::test]
async fn a_program_that_does_not_read_holds_nothing_up() {
    let mut bed = Bed::new().await;
    bed.start("deaf", streamed(shell("exec <&-; echo deaf; exec sleep 0.5"))).await;
    bed.output_of("deaf", Part::Out, 5).await;
    bed.feeds("deaf", &vec![b'x'; 3 << 20]).await;
    assert_eq!(bed.end_of("deaf").await.state, EndState::Done);
}

#[tokio::test]
async fn a_terminal_has_a_size_keys_and_one_stream() {
    let mut bed = Bed::new().await;
    let script =
        "tty -s && stty size; echo oops >&2; read name; stty size; echo \"hello $name\"; cat; echo bye";
    bed.start("tty", option(shell(script), "tty", "24x80")).await;
    bed.reads("tty", "oops\r\n").await;
    bed.jobs.resize("tty", 50, 132).await.unwrap();
    bed.gives("tty", 0, b"you\n", false).await;
    bed.reads("tty", "hello you\r\n").await;
    // What a person types to end a line that goes on: nothing more comes.
    bed.gives("tty", 4, b"", true).await;
    let results = bed.end_of("tty").await;
    assert_eq!((results.state, results.exit_code_or_signal, results.err_bytes), (EndState::Done, Some(0), 0));
    let text = bed.text("tty", Part::Out).await;
    assert!(text.contains("24 80\r\noops\r\n"), "{text:?}");
    assert!(text.contains("50 132\r\n") && text.ends_with("bye\r\n"), "{text:?}");
}

#[tokio::test]
async fn control_c_typed_into_a_terminal_interrupts_the_program() {
    let mut bed = Bed::new().await;
    let time = unique_time();
    // A shell that has just begun a program catches the signal for it, and the program may not be there yet.
    bed.start("top", option(shell(&format!("echo ready; exec sleep {time}")), "tty", "24x80")).await;
    bed.reads("top", "ready\r\n").await;
    bed.gives("top", 0, &[3], false).await;
    let results = bed.end_of("top").await;
    assert_eq!((results.finished, results.exit_code_or_signal), (false, Some(2)));
    assert_eq!(processes_with(&time), 0);
}

#[tokio::test]
async fn a_cancel_can_begin_with_any_signal() {
    let mut bed = Bed::new().await;
    bed.start("int", shell("trap 'echo int; exit 7' INT; echo ready; while :; do sleep 0.01; done")).await;
    bed.output_of("int", Part::Out, 6).await;
    assert!(bed.jobs.cancel("int", 2, None).await.unwrap() >= 1);
    let results = bed.end_of("int").await;
    assert_eq!((results.state, results.exit_code_or_signal), (EndState::Cancelled, Some(7)));
    let wrong = bed.jobs.cancel("int", 0, None).await.unwrap_err();
    assert!(wrong.to_string().contains("0 is no signal"), "{wrong}");
}
