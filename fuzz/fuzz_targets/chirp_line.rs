//! Any line, whoever sent it: it is understood or refused, and what was understood can be said and understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vocable_chirp::proto::{Entry, Request, Stat, Statfs, escape};

fuzz_target!(|line: &[u8]| {
    for condor in [false, true] {
        if let Ok(request) = Request::parse(line, condor) {
            let said = request.to_string();
            assert!(!said.contains('\n'));
            assert_eq!(Request::parse(said.as_bytes(), false), Ok(request));
        }
    }
    if let Ok(path) = escape::decode(line) {
        assert_eq!(escape::decode(escape::encode(&path).as_bytes()), Ok(path));
    }
    if let Some(entry) = Entry::parse(line) {
        assert!(!entry.name.as_bytes().contains(&b'/') && !matches!(entry.name.as_bytes(), b"." | b".."));
        assert_eq!(Entry::parse(entry.to_string().as_bytes()), Some(entry));
    }
    if let Some(stat) = Stat::parse(line) {
        assert_eq!(Stat::parse(stat.to_string().as_bytes()), Some(stat));
    }
    if let Some(statfs) = Statfs::parse(line) {
        assert_eq!(Statfs::parse(statfs.to_string().as_bytes()), Some(statfs));
    }
});
