//! Requests that mean harm, against the real endpoint: its memory stays bounded, whoever sends them is refused with a
//! reason where there is somebody to read it, and others are served meanwhile.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::thread;
use vocable_tests::host::Host;
use vocable_tests::http::{Answer, Caller, head};

const MEBI: u64 = 1 << 20;
const GIBI: u64 = 1 << 30;

/// A host, and the memory it had at most before anybody meant harm.
struct Besieged {
    host: Host,
    before: u64,
}

impl Besieged {
    fn start() -> Self {
        let host = Host::start();
        // What a first call costs is no harm done.
        host.call("system.listMethods", json!([])).unwrap();
        let before = host.process().peak_memory();
        Self { host, before }
    }

    /// Somebody else comes, calls and is answered.
    fn serves_others(&self) {
        let mut other = Caller::dial(self.host.api());
        other.posts(&self.host.token(), b"<methodCall><methodName>agent.version</methodName></methodCall>");
        let answer = other.answer().expect("others are not served");
        assert!(answer.status == 200 && answer.body.contains("<name>words_api</name>"), "{answer:?}");
    }

    fn has_grown_at_most(&self, bytes: u64) {
        let grown = self.host.process().peak_memory() - self.before;
        assert!(grown <= bytes, "grown by {} KiB, more than {} KiB", grown / 1024, bytes / 1024);
    }
}

fn call(params: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?><methodCall><methodName>system.listMethods</methodName>{params}</methodCall>"
    )
    .into_bytes()
}

/// A thousand million laughs in a few hundred bytes.
fn laughs() -> Vec<u8> {
    let mut document = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\">".to_owned();
    let mut last = "lol".to_owned();
    for level in 1..10 {
        let name = format!("lol{level}");
        document += &format!("<!ENTITY {name} \"{}\">", format!("&{last};").repeat(10));
        last = name;
    }
    document += &format!("]><methodCall><methodName>&{last};</methodName></methodCall>");
    document.into_bytes()
}

#[test]
fn documents_that_would_explode_are_refused() {
    let besieged = Besieged::start();
    let nested = |open: &str, close: &str, levels: usize| {
        let inner = open.repeat(levels) + &close.repeat(levels);
        call(&format!("<params><param><value>{inner}</value></param></params>"))
    };
    let many = |piece: &str, times: usize| call(&format!("<params>{}</params>", piece.repeat(times)));
    let outside = b"<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><methodCall><methodName>&e;</methodName></methodCall>";
    for (what, document, expected) in [
        ("a thousand million laughs", laughs(), -32700),
        ("a file from outside", outside.to_vec(), -32700),
        ("an unknown entity", b"<methodCall><methodName>&e;</methodName></methodCall>".to_vec(), -32700),
        ("20,000 levels of arrays", nested("<array><data><value>", "</value></data></array>", 20_000), 300),
        (
            "20,000 levels of structs",
            nested("<struct><member><name>a</name><value>", "</value></member></struct>", 20_000),
            300,
        ),
        ("20,000 levels of what nobody knows", nested("<x>", "</x>", 20_000), -32600),
        ("20,000 levels left open", nested("<array><data><value>", "", 20_000), 300),
        ("300,000 parameters", many("<param><value/></param>", 300_000), 300),
    ] {
        let mut caller = Caller::dial(besieged.host.api());
        caller.posts(&besieged.host.token(), &document);
        let answer = caller.answer().unwrap_or_else(|| panic!("{what}: no answer"));
        let fault = answer.fault().unwrap_or_default();
        assert!(answer.status == 200 && fault == expected, "{what}: {answer:?}");
        assert!(answer.body.len() < 1000, "{what}: {answer:?}");
        besieged.serves_others();
    }
    besieged.has_grown_at_most(48 * MEBI);
}

#[test]
fn a_gibibyte_is_refused_before_it_is_sent() {
    let besieged = Besieged::start();
    let host = &besieged.host;
    let piece = vec![b'x'; 64 * 1024];

    // Announced, and it asks before it sends: nothing has to be sent at all.
    let length = format!("Content-Length: {GIBI}");
    let mut polite = Caller::dial(host.api());
    polite.sends(head(&host.token(), &[&length, "Expect: 100-continue"]).as_bytes());
    let answer = polite.answer().unwrap();
    assert_eq!((answer.status, answer.fault()), (200, Some(300)), "{answer:?}");
    assert_eq!(polite.is_hung_up_on().len(), 0);

    // Announced, and sent all the same: read over for a while, so that the client sees the answer, then cut off.
    let mut bold = Caller::dial(host.api());
    bold.sends(head(&host.token(), &[&length]).as_bytes());
    let took = bold.pours(&piece, GIBI);
    assert!(took < 128 * MEBI, "took {} MiB", took / MEBI);
    besieged.serves_others();

    // Not announced, in chunks.
    let mut sly = Caller::dial(host.api());
    sly.sends(head(&host.token(), &["Transfer-Encoding: chunked"]).as_bytes());
    let chunk = [b"10000\r\n", piece.as_slice(), b"\r\n"].concat();
    let took = sly.pours(&chunk, GIBI);
    assert!(took < 128 * MEBI, "took {} MiB", took / MEBI);
    besieged.serves_others();

    // Without the token nothing is read.
    let mut stranger = Caller::dial(host.api());
    let head = format!("POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n{length}\r\n\r\n");
    stranger.sends(head.as_bytes());
    assert_eq!(stranger.answer().unwrap().status, 401);
    let took = stranger.pours(&piece, GIBI);
    assert!(took < 32 * MEBI, "took {} MiB", took / MEBI);
    // One body of full length, in a buffer that grew by doubling.
    besieged.has_grown_at_most(48 * MEBI);
}

#[test]
fn many_large_bodies_at_a_time_share_a_bounded_memory() {
    let host = Host::with(&["api.max_request = \"1MiB\""]);
    host.call("system.listMethods", json!([])).unwrap();
    let besieged = Besieged { before: host.process().peak_memory(), host };
    let piece = vec![b'x'; 64 * 1024];
    let chunk = [b"10000\r\n", piece.as_slice(), b"\r\n"].concat();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut caller = Caller::dial(besieged.host.api());
                caller.sends(head(&besieged.host.token(), &["Transfer-Encoding: chunked"]).as_bytes());
                let took = caller.pours(&chunk, GIBI);
                assert!(took < 16 * MEBI, "took {} MiB", took / MEBI);
            });
        }
        for _ in 0..8 {
            besieged.serves_others();
        }
    });
    besieged.serves_others();
    // 4 bodies and their buffers' growth; and what 64 connections have read ahead.
    besieged.has_grown_at_most(32 * MEBI);
}

#[test]
fn slow_senders_keep_nobody_waiting() {
    let besieged = Besieged::start();
    let host = &besieged.host;
    let whole = head(&host.token(), &["Content-Length: 100"]);
    let mut slow: Vec<_> = (0..300)
        .map(|number| {
            let mut caller = Caller::dial(host.api());
            // Some stop within the head, some within the body.
            let part = if number % 2 == 0 { whole.len() / 2 } else { whole.len() };
            assert!(caller.sends(&whole.as_bytes()[..part]));
            caller
        })
        .collect();
    for byte in "<methodCall>".bytes() {
        for caller in slow.iter_mut().skip(1).step_by(2) {
            assert!(caller.sends(&[byte]), "given up too early");
        }
        besieged.serves_others();
    }
    assert!(slow.iter_mut().all(Caller::is_kept));
    besieged.has_grown_at_most(16 * MEBI);
}

#[test]
fn text_that_is_none_is_told_as_such() {
    let besieged = Besieged::start();
    let text = |bytes: &[u8]| {
        let open = b"<methodCall><methodName>word.ask</methodName><params><param><value><string>";
        [open, bytes, b"</string></value></param></params></methodCall>"].concat()
    };
    let declared = |encoding: &str| {
        format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?><methodCall><methodName>a</methodName></methodCall>")
            .into_bytes()
    };
    for (what, document, fault) in [
        ("no UTF-8", text(b"\xff\xfe\xfa"), -32702),
        ("an overlong slash", text(b"\xc0\xaf"), -32702),
        ("half of a pair", text(b"\xed\xa0\x80"), -32702),
        ("a text that is cut", text(b"\xe2\x82"), -32702),
        ("a zero", text(b"a\0b"), -32702),
        ("a zero by number", text(b"&#0;"), -32700),
        ("a letter that there is not", text(b"&#x110000;"), -32700),
        ("an encoding nobody knows", declared("x-klingon"), -32701),
        ("nothing", Vec::new(), -32700),
        ("noise", vec![0xa5; 100_000], -32700),
        ("a greeting", b"hello".to_vec(), -32700),
    ] {
        let mut caller = Caller::dial(besieged.host.api());
        caller.posts(&besieged.host.token(), &document);
        let answer = caller.answer().unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((answer.status, answer.fault()), (200, Some(fault)), "{what}: {answer:?}");
        // The connection is as good as before.
        caller.posts(&besieged.host.token(), &call(""));
        assert!(caller.answer().is_some_and(|answer| answer.fault().is_none()), "{what}");
    }
    besieged.has_grown_at_most(16 * MEBI);
}

#[test]
fn lengths_that_are_wrong_end_the_connection_and_call_nothing() {
    let besieged = Besieged::start();
    let host = &besieged.host;
    let document = String::from_utf8(call("")).unwrap();
    let with = |fields: &[&str], body: &str| head(&host.token(), fields) + body;
    let length = document.len();
    // Each, and the statuses that come before the agent hangs up.
    for (what, bytes, statuses) in [
        ("no number", with(&["Content-Length: many"], &document), vec![400]),
        ("less than nothing", with(&["Content-Length: -5"], &document), vec![400]),
        ("a plus", with(&[&format!("Content-Length: +{length}")], &document), vec![400]),
        ("beyond 64 bits", with(&["Content-Length: 99999999999999999999"], &document), vec![400]),
        ("two lengths", with(&["Content-Length: 5", "Content-Length: 6"], &document), vec![400]),
        ("more than comes", with(&[&format!("Content-Length: {}", length + 1)], &document), vec![400]),
        ("a chunk of no size", with(&["Transfer-Encoding: chunked"], "size\r\n"), vec![400]),
        ("a chunk of all sizes", with(&["Transfer-Encoding: chunked"], "ffffffffffffffffff\r\n"), vec![400]),
        ("a chunk that goes on", with(&["Transfer-Encoding: chunked"], "2\r\nabcd\r\n0\r\n\r\n"), vec![400]),
        ("another coding", with(&["Transfer-Encoding: gzip"], &document), vec![400]),
        ("no HTTP", "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03 hello\r\n\r\n".to_owned(), vec![400]),
        ("no line's end", "x".repeat(200_000), vec![431]),
        ("too many fields", with(&vec!["a: b"; 1000], ""), vec![431]),
        ("a field without end", with(&[&format!("a: {}", "b".repeat(100_000))], ""), vec![431]),
    ] {
        let mut caller = Caller::dial(host.api());
        caller.sends(bytes.as_bytes());
        caller.is_done();
        let answers = caller.is_hung_up_on();
        let came: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(came, statuses, "{what}: {answers:?}");
        besieged.serves_others();
    }
    besieged.has_grown_at_most(16 * MEBI);
}

/// A request inside of the body of another one, for those who disagree about where that ends.
#[test]
fn a_request_in_a_request_is_not_seen() {
    let besieged = Besieged::start();
    let host = &besieged.host;
    let hidden = head(&host.token(), &["Content-Length: 0"]);
    let both =
        head(&host.token(), &["Content-Length: 5", "Transfer-Encoding: chunked"]) + "0\r\n\r\n" + &hidden;
    let mut caller = Caller::dial(host.api());
    caller.sends(both.as_bytes());
    caller.is_done();
    let answers = caller.is_hung_up_on();
    // The chunks are believed, which end at once, and the connection with them.
    let faults: Vec<_> = answers.iter().map(Answer::fault).collect();
    assert_eq!(faults, [Some(-32700)], "{answers:?}");
    besieged.serves_others();
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out() {
    const IDLE: usize = 3000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let besieged = Besieged::start();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        idle.push(Caller::dial(besieged.host.api()));
        if number % 500 == 0 {
            besieged.serves_others();
        }
    }
    besieged.serves_others();
    // A call that was there before them is answered too.
    besieged.host.call("agent.version", json!([])).unwrap();
    besieged.has_grown_at_most(64 * MEBI);
}
