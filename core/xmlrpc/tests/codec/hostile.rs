//! Whatever bytes come in, the answer is a value or a short refusal.

use proptest::{collection, prelude::*, sample};
use vocable_xmlrpc::{Limits, parse_call, parse_response};

/// Pieces that get further into the parser than random bytes do.
const PIECES: &[&str] = &[
    "<?xml version='1.0' encoding='UTF-8'?>",
    "<?xml",
    "?>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<methodCall>",
    "</methodCall>",
    "<methodName>",
    "</methodName>",
    "<params>",
    "</params>",
    "<param>",
    "</param>",
    "<value>",
    "</value>",
    "<value/>",
    "<int>",
    "</int>",
    "<i8>",
    "</i8>",
    "<double>",
    "</double>",
    "<boolean>1</boolean>",
    "<string>",
    "</string>",
    "<dateTime.iso8601>",
    "</dateTime.iso8601>",
    "<base64>",
    "</base64>",
    "<array>",
    "</array>",
    "<data>",
    "</data>",
    "<struct>",
    "</struct>",
    "<member>",
    "</member>",
    "<name>",
    "</name>",
    "<nil/>",
    "<ex:nil/>",
    "<fault>",
    "</fault>",
    "<methodResponse>",
    "</methodResponse>",
    "&amp;",
    "&#13;",
    "&#x0;",
    "&x;",
    "&",
    ";",
    "<",
    ">",
    "\"",
    "a='b'",
    " ",
    "\r\n",
    "1",
    "-",
    "1e999",
    "20260101T00:00:00",
    "AAEC",
    "ü",
    "\u{1}",
];

proptest! {
    #[test]
    fn any_bytes(bytes in collection::vec(any::<u8>(), 0..400)) {
        refused_shortly(&bytes)?;
    }

    #[test]
    fn any_pieces(pieces in collection::vec(sample::select(PIECES), 0..40)) {
        refused_shortly(pieces.concat().as_bytes())?;
    }

    #[test]
    fn any_value_inside_a_call(pieces in collection::vec(sample::select(PIECES), 0..12)) {
        let inner = pieces.concat();
        let document = format!(
            "<methodCall><methodName>m</methodName><params><param><value>{inner}</value></param></params></methodCall>"
        );
        refused_shortly(document.as_bytes())?;
    }
}

/// Parses as both kinds of document; a refusal is one line and repeats no more than 80 characters.
fn refused_shortly(document: &[u8]) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    let refusals = [parse_call(document, &limits).err(), parse_response(document, &limits).err()];
    for refusal in refusals.into_iter().flatten() {
        let fault = refusal.fault();
        prop_assert!(fault.slug().is_some(), "{fault}");
        prop_assert!(fault.text().chars().count() <= 200, "{fault}");
    }
    Ok(())
}
