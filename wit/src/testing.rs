//! A stand-in for the agent, for the unit tests of words: natively compiled, every import of a word
//! comes here. It answers what the test told it to, and remembers what it was asked. It does nothing.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;

use serde_json::{Value, json};

use crate::{Answer, Output, Program, Refusal, Role};

thread_local! {
    static AGENT: RefCell<State> = RefCell::default();
}

/// What the agent is, is to answer, and has been asked.
#[derive(Default)]
pub(crate) struct State {
    role: Option<Role>,
    id: String,
    ip: String,
    sender: Option<String>,
    words: Vec<(String, String)>,
    answers: Vec<(&'static str, Box<dyn Any>)>,
    calls: Vec<Value>,
}

/// The agent of this thread, until it is dropped.
pub struct FakeAgent {
    /// Threads are the tests' own; so is the agent.
    not_send: PhantomData<*const ()>,
}

impl FakeAgent {
    /// Plays a guest of that name.
    pub fn guest(id: &str) -> Self {
        Self::new(Role::Guest, id)
    }

    /// Plays a host of that name.
    pub fn host(id: &str) -> Self {
        Self::new(Role::Host, id)
    }

    fn new(role: Role, id: &str) -> Self {
        AGENT.set(State { role: Some(role), id: id.to_owned(), ..State::default() });
        Self { not_send: PhantomData }
    }

    /// The agent's address.
    #[must_use]
    pub fn ip(self, ip: &str) -> Self {
        AGENT.with_borrow_mut(|agent| agent.ip = ip.to_owned());
        self
    }

    /// Who sent the message being listened to.
    #[must_use]
    pub fn sender(self, id: &str) -> Self {
        AGENT.with_borrow_mut(|agent| agent.sender = Some(id.to_owned()));
        self
    }

    /// A word known here; tell them in the order of their names.
    #[must_use]
    pub fn knows(self, word: &str, version: &str) -> Self {
        AGENT.with_borrow_mut(|agent| agent.words.push((word.to_owned(), version.to_owned())));
        self
    }

    /// The answer to the next call of a function, `"process.run"`. Told several times, they are given
    /// one after the other. Without any, what returns nothing succeeds, and what has to return
    /// something is denied.
    #[must_use]
    pub fn answers<T: 'static>(self, function: &'static str, answer: Answer<T>) -> Self {
        AGENT.with_borrow_mut(|agent| agent.answers.push((function, Box::new(answer))));
        self
    }

    /// Everything the word has asked for, except `about`: `["jobs.signal", "c1", 15]`. A program is an
    /// object of what it has, bytes are text if they can be.
    pub fn calls(&self) -> Vec<Value> {
        AGENT.with_borrow(|agent| agent.calls.clone())
    }

    /// What a program might leave behind: an exit code and text on its standard output.
    pub fn output(code: i32, out: &str) -> Output {
        Output { finished: true, exit_code_or_signal: code, out: out.as_bytes().to_vec(), err: Vec::new() }
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        AGENT.take();
    }
}

/// A function of the contract has been called.
pub(crate) fn called<T: Scripted>(function: &'static str, args: Vec<Value>) -> T {
    AGENT.with_borrow_mut(|agent| {
        if !function.starts_with("about.") {
            agent.calls.push([vec![function.into()], args].concat().into());
        }
        agent.next_answer(function).unwrap_or_else(|| T::unscripted(agent, function))
    })
}

impl State {
    #[allow(clippy::panic, reason = "a test that scripts an answer of the wrong type is to fail there")]
    fn next_answer<T: 'static>(&mut self, function: &str) -> Option<T> {
        let at = self.answers.iter().position(|(name, _)| *name == function)?;
        match self.answers.remove(at).1.downcast() {
            Ok(answer) => Some(*answer),
            Err(_) => panic!("{function} gives {}", std::any::type_name::<T>()),
        }
    }
}

/// What a function gives when the test has not said.
pub(crate) trait Scripted: Sized + 'static {
    fn unscripted(agent: &State, function: &str) -> Self;
}

impl Scripted for () {
    fn unscripted(_: &State, _: &str) -> Self {}
}

impl Scripted for Role {
    fn unscripted(agent: &State, _: &str) -> Self {
        agent.role.unwrap_or(Self::Guest)
    }
}

impl Scripted for String {
    fn unscripted(agent: &State, function: &str) -> Self {
        if function == "about.my_id" { agent.id.clone() } else { agent.ip.clone() }
    }
}

impl Scripted for Option<String> {
    fn unscripted(agent: &State, _: &str) -> Self {
        agent.sender.clone()
    }
}

impl Scripted for Vec<(String, String)> {
    fn unscripted(agent: &State, _: &str) -> Self {
        agent.words.clone()
    }
}

impl<T: Outcome> Scripted for Answer<T> {
    fn unscripted(_: &State, function: &str) -> Self {
        T::of(function)
    }
}

/// What a function that can refuse gives when the test has not said.
pub(crate) trait Outcome: Sized + 'static {
    fn of(function: &str) -> Answer<Self> {
        Err(Refusal::Denied(format!("{function}: the test has no answer for it")))
    }
}

impl Outcome for () {
    fn of(_: &str) -> Answer<Self> {
        Ok(())
    }
}

impl Outcome for Option<String> {
    fn of(_: &str) -> Answer<Self> {
        Ok(None)
    }
}

impl Outcome for Output {}
impl Outcome for String {}
impl Outcome for u32 {}
impl Outcome for Vec<u8> {}

/// How an argument is remembered.
pub(crate) trait Shown {
    fn shown(&self) -> Value;
}

impl Shown for &str {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for &[u8] {
    fn shown(&self) -> Value {
        std::str::from_utf8(self).map_or_else(|_| json!(self), Value::from)
    }
}

impl Shown for i32 {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for bool {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for u16 {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for Option<u32> {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for u32 {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for u64 {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for &Program {
    fn shown(&self) -> Value {
        let mut shown = json!({ "cmd": self.cmd });
        let pairs = |pairs: &[(String, String)]| pairs.iter().cloned().map(|(n, v)| (n, v.into())).collect();
        let parts = [
            ("args", !self.args.is_empty(), json!(self.args)),
            ("env", !self.env.is_empty(), Value::Object(pairs(&self.env))),
            ("path", self.path.is_some(), json!(self.path)),
            ("options", !self.options.is_empty(), Value::Object(pairs(&self.options))),
        ];
        for (name, _, value) in parts.into_iter().filter(|(_, there, _)| *there) {
            shown[name] = value;
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{about, jobs, log, process, store};

    #[test]
    fn answers_come_in_their_order_and_calls_are_remembered() {
        let agent = FakeAgent::guest("vm1")
            .answers("process.run", Ok(FakeAgent::output(0, "one")))
            .answers("process.run", Err::<Output, _>(Refusal::Failed("two".into())));
        let run = || process::run(&Program::new("df", &[]));
        assert_eq!(run().map(|output| output.out), Ok(b"one".to_vec()));
        assert_eq!(run(), Err(Refusal::Failed("two".into())));
        assert_eq!(run(), Err(Refusal::Denied("process.run: the test has no answer for it".into())));
        log::info("done");
        let calls = agent.calls();
        assert_eq!(calls[2..], [json!(["process.run", {"cmd": "df"}]), json!(["log.info", "done"])]);
    }

    #[test]
    fn an_agent_knows_where_it_is() {
        let agent = FakeAgent::host("host").ip("10.0.0.1").sender("vm1").knows("AINT", "0.1.0");
        assert_eq!((about::my_role(), about::my_id().as_str()), (Role::Host, "host"));
        assert_eq!((about::my_ip().as_str(), about::sender()), ("10.0.0.1", Some("vm1".into())));
        assert_eq!(about::words(), [("AINT".into(), "0.1.0".into())]);
        assert!(agent.calls().is_empty());
    }

    #[test]
    fn what_returns_nothing_succeeds_and_the_store_is_empty() {
        assert_eq!(jobs::signal("c1", 15), Ok(()));
        assert_eq!(store::get("key"), Ok(None));
    }

    #[test]
    #[should_panic(expected = "process.run gives")]
    fn an_answer_of_the_wrong_type_fails_the_test() {
        let _agent = FakeAgent::guest("vm1").answers("process.run", Ok("text"));
        let _ = process::run(&Program::new("df", &[]));
    }
}
