//! Any message as a packet of a stream: read or refused, and what was read is written the same.
#![no_main]

use vocable_streams::Packet;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(packet) = Packet::decode(bytes::Bytes::copy_from_slice(body)) {
        assert_eq!(packet.encode(), body);
    }
});
