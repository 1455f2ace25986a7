//! `vocable guests`, `why` and `events`.

use crate::testing::{FakeAgent, Screen, on, vocable};
use vocable_api::UnixTime;
use vocable_api::agent::{Event, EventPage, Events};
use vocable_api::fault::FaultKind;
use vocable_api::guest::{Advice, Check, Guest, Link, List, Outcome, Refused, State, Verdict, Why};

fn guest(name: &str, state: State, since: f64, ip: &str, reason: &str) -> Guest {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Guest {
        guest: name.to_owned(),
        state,
        since_unix: UnixTime(since),
        ip: text(ip),
        agent_version: text(ip).map(|_| "0.3.0".to_owned()),
        reason: text(reason),
        ..Guest::default()
    }
}

fn fleet() -> FakeAgent {
    let refused = Refused { count: 31, reason: "wrong token".to_owned(), ..Refused::default() };
    let lost = guest("vm2", State::Lost, 1_795_338_114.0, "192.168.56.102", "no beacon for 4m10s");
    FakeAgent::default().replies::<List>(vec![
        guest("pi-04", State::Late, 1_795_338_353.0, "192.168.56.120", "missed 1 beacon"),
        Guest { commands: 1, ..guest("vm1", State::Alive, 1_795_331_164.0, "192.168.56.101", "") },
        Guest { commands: 1, refused: Some(refused), ..lost },
        guest("vm3", State::Never, 1_795_331_164.0, "", ""),
    ])
}

#[test]
fn guests_are_listed_with_what_is_wrong() {
    insta::assert_snapshot!(vocable(&fleet(), &["guests"]), @r#"
    NAME   STATE  SINCE  ADDRESS         AGENT  CMDS  NOTE
    pi-04  late   11s    192.168.56.120  0.3.0     0  missed 1 beacon
    vm1    alive  2h     192.168.56.101  0.3.0     1
    vm2    lost   4m10s  192.168.56.102  0.3.0     1  no beacon for 4m10s; login refused 31 times: wrong token
    vm3    never  -      -               -         0
    ------- stderr
    4 guests: 1 alive, 1 late, 1 lost, 1 never joined
    hint: vocable why pi-04 vm2 vm3
    "#);
    insta::assert_snapshot!(on(&Screen::default().of_width(80), &fleet(), &["list", "vm2,vm3"]), @r#"
    NAME  STATE  SINCE  ADDRESS         AGENT  CMDS  NOTE
    vm2   lost   4m10s  192.168.56.102  0.3.0     1  no beacon for 4m10s; login ref~
    vm3   never  -      -               -         0
    ------- stderr
    2 guests: 1 lost, 1 never joined
    hint: vocable why vm2 vm3
    "#);
    insta::assert_snapshot!(vocable(&fleet(), &["guests", "vm*", "--state", "alive"]), @r#"
    NAME  STATE  SINCE  ADDRESS         AGENT  CMDS  NOTE
    vm1   alive  2h     192.168.56.101  0.3.0     1
    ------- stderr
    vm1: alive
    "#);
    assert_eq!(vocable(&fleet(), &["guests", "-q", "vm*"]), "vm1\nvm2\nvm3\n");
    insta::assert_snapshot!(vocable(&fleet(), &["guests", "--json", "vm1"]), @r#"{"guests":[{"agent_version":"0.3.0","commands":1,"guest":"vm1","ip":"192.168.56.101","since":"1970-01-01T00:00:00Z","since_unix":1795331164.0,"state":"alive"}]}"#);
}

fn nobody_is(name: &str) -> FakeAgent {
    let kind = FaultKind::NoSuchGuest;
    fleet().refuses("guest.select", kind.code(), &format!("{}: no guest is called {name:?}", kind.slug()))
}

#[test]
fn no_guests_are_a_note() {
    let nobody = || FakeAgent::default().replies::<List>(Vec::new());
    insta::assert_snapshot!(vocable(&nobody(), &["guests"]), @r#"
    ------- stderr
    note: no guests
    "#);
    assert_eq!(vocable(&nobody(), &["guests", "--json"]), "{\"guests\":[]}\n");
    insta::assert_snapshot!(vocable(&nobody_is("vm9"), &["guests", "vm9"]), @r#"
    ------- stderr
    error[no-such-guest]: no guest is called "vm9"
      hint: did you mean vm1 or vm2?
    ------- exit code 1
    "#);
}

fn check(link: Link, result: Outcome, text: &str) -> Check {
    Check { link, result, text: text.to_owned() }
}

fn lost() -> Verdict {
    let advice = |command: &str, text: &str| Advice { command: command.to_owned(), text: text.to_owned() };
    Verdict {
        subject: "vm2".to_owned(),
        well: false,
        verdict: "vm2 was lost 4m10s ago: its connection ended".to_owned(),
        cause: Some(Link::Session),
        checks: vec![
            check(Link::Session, Outcome::Bad, "no connection; ended 4m10s ago"),
            check(Link::Identity, Outcome::Ok, "logged in under its own name"),
            check(Link::Commands, Outcome::Unknown, "1 is under way"),
        ],
        advice: vec![
            advice("vocable-guest on vm2", "see whether it runs there"),
            advice("vocable token new vm2", ""),
        ],
    }
}

fn well() -> Verdict {
    Verdict {
        subject: "vm1".to_owned(),
        well: true,
        verdict: "vm1 is well".to_owned(),
        checks: vec![check(Link::Session, Outcome::Ok, "connected for 2h")],
        ..Verdict::default()
    }
}

#[test]
fn why_shows_the_evidence_and_what_to_do() {
    let agent = || FakeAgent::default().replies::<Why>(lost());
    insta::assert_snapshot!(on(&Screen::default().utf8(), &agent(), &["why", "vm2"]), @"
    vm2 was lost 4m10s ago: its connection ended

      ✗ session   no connection; ended 4m10s ago
      ✓ identity  logged in under its own name
      ? commands  1 is under way

    do
      vocable-guest on vm2    see whether it runs there
      vocable token new vm2
    ------- exit code 1
    ");
    insta::assert_snapshot!(vocable(&agent(), &["why", "vm2"]), @"
    vm2 was lost 4m10s ago: its connection ended

      NO session   no connection; ended 4m10s ago
      ok identity  logged in under its own name
      ?  commands  1 is under way

    do
      vocable-guest on vm2    see whether it runs there
      vocable token new vm2
    ------- exit code 1
    ");
    insta::assert_snapshot!(vocable(&agent(), &["why", "--json", "vm2"]), @r#"
    {"cause":"session","checks":[{"link":"session","result":"bad","text":"no connection; ended 4m10s ago"},{"link":"identity","result":"ok","text":"logged in under its own name"},{"link":"commands","result":"unknown","text":"1 is under way"}],"do":[{"command":"vocable-guest on vm2","text":"see whether it runs there"},{"command":"vocable token new vm2","text":""}],"subject":"vm2","verdict":"vm2 was lost 4m10s ago: its connection ended","well":false}
    ------- exit code 1
    "#);
}

#[test]
fn why_of_who_is_well_is_short() {
    let agent = || FakeAgent::default().replies::<Why>(well());
    assert_eq!(vocable(&agent(), &["why", "vm1"]), "vm1 is well\n");
    insta::assert_snapshot!(vocable(&agent(), &["why", "vm1", "--all"]), @r#"
    vm1 is well

      ok session  connected for 2h
    "#);
}

#[test]
fn why_without_a_name_asks_about_all_that_are_not_well() {
    let agent = fleet().replies::<Why>(lost()).replies::<Why>(lost()).replies::<Why>(lost());
    vocable(&agent, &["why"]);
    insta::assert_snapshot!(agent.calls(), @r#"
    guest.list()
    guest.why("pi-04")
    guest.why("vm2")
    guest.why("vm3")
    "#);
    let agent = FakeAgent::default().replies::<List>(vec![guest("vm1", State::Alive, 0.0, "", "")]);
    insta::assert_snapshot!(vocable(&agent, &["why"]), @r#"
    ------- stderr
    vm1 is well
    "#);
}

#[test]
fn why_of_globs_asks_about_each() {
    let agent = fleet().replies::<Why>(well()).replies::<Why>(lost()).replies::<Why>(well());
    insta::assert_snapshot!(vocable(&agent, &["why", "vm*"]), @"
    vm1 is well

    vm2 was lost 4m10s ago: its connection ended

      NO session   no connection; ended 4m10s ago
      ok identity  logged in under its own name
      ?  commands  1 is under way

    do
      vocable-guest on vm2    see whether it runs there
      vocable token new vm2

    vm1 is well
    ------- exit code 1
    ");
}

fn event(seq: u64, time: f64, kind: &str, guest: &str, text: &str) -> Event {
    Event {
        seq,
        time_unix: UnixTime(time),
        kind: kind.to_owned(),
        guest: Some(guest.to_owned()),
        text: text.to_owned(),
        ..Event::default()
    }
}

fn page(next: u64, events: impl Into<Vec<Event>>) -> EventPage {
    EventPage { next, events: events.into(), ..EventPage::default() }
}

fn happened() -> FakeAgent {
    let done = event(4813, 1_795_338_130.377, "cmd.done", "vm1", "exit 0");
    FakeAgent::default()
        .replies::<Events>(page(
            4814,
            [
                event(4811, 1_795_338_104.12, "guest.late", "vm2", "missed 1 beacon"),
                event(4812, 1_795_338_114.118, "guest.lost", "vm2", "no heart-beat for 20 s"),
                Event { cmd_id: Some("k7mq2x.vm1".to_owned()), ..done },
            ],
        ))
        .replies::<Events>(page(4814, []))
}

#[test]
fn events_are_told_with_their_numbers() {
    let agent = happened();
    insta::assert_snapshot!(vocable(&agent, &["events", "--no-follow"]), @r#"
    2026-11-22T09:01:44.120+00:00  #4811  guest.late    vm2         missed 1 beacon
    2026-11-22T09:01:54.118+00:00  #4812  guest.lost    vm2         no heart-beat for 20 s
    2026-11-22T09:02:10.377+00:00  #4813  cmd.done      k7mq2x.vm1  exit 0
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    agent.events(0.0, 0.0)
    agent.events(4814.0, 0.0)
    "#);
    insta::assert_snapshot!(vocable(&happened(), &["events", "--no-follow", "--kind", "guest.*", "--since", "4m15s"]), @"2026-11-22T09:01:54.118+00:00  #4812  guest.lost    vm2         no heart-beat for 20 s");
    insta::assert_snapshot!(vocable(&happened(), &["events", "--no-follow", "--kind", "cmd.done", "--json"]), @r#"{"cmd_id":"k7mq2x.vm1","guest":"vm1","kind":"cmd.done","seq":4813,"text":"exit 0","time":"1970-01-01T00:00:00Z","time_unix":1795338130.377}"#);
}

#[test]
fn events_go_on_until_somebody_ends_them() {
    let agent = FakeAgent::default().replies::<Events>(page(7, [])).replies::<Events>(page(7, [])).refuses(
        "agent.events",
        305,
        "stopping: the host agent is stopping",
    );
    insta::assert_snapshot!(vocable(&agent, &["events"]), @r#"
    ------- stderr
    error[stopping]: the host agent is stopping
    ------- exit code 1
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    agent.events(9007199254740992, 0.0)
    agent.events(7.0, 20.0)
    agent.events(7.0, 20.0)
    "#);
}

#[test]
fn a_gap_is_said_and_is_no_success() {
    let gap = || {
        FakeAgent::default()
            .replies::<Events>(EventPage { dropped: 212, ..page(213, [event(212, 0.0, "x", "vm1", "y")]) })
            .replies::<Events>(page(213, []))
    };
    insta::assert_snapshot!(vocable(&gap(), &["events", "--no-follow", "--since", "#1"]), @"
    1970-01-01T00:00:00.000+00:00  #212   x             vm1         y
    ------- stderr
    warning: dropped 212 events: the agent keeps only the last ones
    ------- exit code 1
    ");
    insta::assert_snapshot!(vocable(&gap(), &["events", "--no-follow", "--since", "#1", "--json"]), @r#"
    {"dropped":212,"kind":"dropped"}
    {"guest":"vm1","kind":"x","seq":212,"text":"y","time":"1970-01-01T00:00:00Z","time_unix":0.0}
    ------- exit code 1
    "#);
}
