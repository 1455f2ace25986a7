//! One packet as bytes: a kind, the stream's number, and what belongs to the kind. Pure.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest name of a service, and the longest reason of a reset, bytes.
const MAX_TEXT: usize = 256;

/// What travels in one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Which stream: a number chosen by whoever opened it.
    pub stream: u64,
    /// What about it.
    pub kind: Kind,
}

/// What a packet says of its stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// There shall be a stream to that service; the opener takes so many bytes before it gives credit.
    Open {
        /// Whom it is for.
        service: String,
        /// The opener's window.
        window: u32,
    },
    /// Bytes, and how many went before them.
    Data {
        /// Where in the stream they belong.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// So many bytes more may be sent.
    Credit(u32),
    /// Nothing more will be sent this way.
    Close,
    /// The stream is over, both ways, and why.
    Reset(String),
}

/// A message that is no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a packet of a stream")]
pub struct MalformedPacket;

impl Packet {
    /// As the body of a message.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(24);
        let mut begin = |tag: u8| {
            out.put_u8(tag);
            out.put_u64(self.stream);
        };
        match &self.kind {
            Kind::Open { service, window } => {
                begin(1);
                out.put_u32(*window);
                out.extend_from_slice(service.as_bytes());
            }
            Kind::Data { offset, bytes } => {
                begin(2);
                out.put_u64(*offset);
                out.extend_from_slice(bytes);
            }
            Kind::Credit(bytes) => {
                begin(3);
                out.put_u32(*bytes);
            }
            Kind::Close => begin(4),
            Kind::Reset(why) => {
                begin(5);
                let end = why.floor_char_boundary(MAX_TEXT);
                out.extend_from_slice(why.get(..end).unwrap_or_default().as_bytes());
            }
        }
        out.freeze()
    }

    /// From the body of a message.
    ///
    /// # Errors
    /// [`MalformedPacket`], whatever is wrong with it.
    pub fn decode(mut body: Bytes) -> Result<Self, MalformedPacket> {
        let tag = body.try_get_u8().map_err(|_| MalformedPacket)?;
        let stream = body.try_get_u64().map_err(|_| MalformedPacket)?;
        let kind = match tag {
            1 => {
                let window = body.try_get_u32().map_err(|_| MalformedPacket)?;
                Kind::Open { service: text(&body)?, window }
            }
            2 => Kind::Data { offset: body.try_get_u64().map_err(|_| MalformedPacket)?, bytes: body },
            3 => {
                let bytes = body.try_get_u32().map_err(|_| MalformedPacket)?;
                body.is_empty().then_some(Kind::Credit(bytes)).ok_or(MalformedPacket)?
            }
            4 => body.is_empty().then_some(Kind::Close).ok_or(MalformedPacket)?,
            5 => Kind::Reset(text(&body)?),
            _ => return Err(MalformedPacket),
        };
        Ok(Self { stream, kind })
    }
}

fn text(bytes: &[u8]) -> Result<String, MalformedPacket> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_TEXT);
    text.map(str::to_owned).ok_or(MalformedPacket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            ("[a-z ü]{0,40}", any::<u32>()).prop_map(|(service, window)| Kind::Open { service, window }),
            (any::<u64>(), any::<Vec<u8>>())
                .prop_map(|(offset, bytes)| Kind::Data { offset, bytes: bytes.into() }),
            any::<u32>().prop_map(Kind::Credit),
            Just(Kind::Close),
            "[ -~]{0,80}".prop_map(Kind::Reset),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(stream: u64, kind in kinds()) {
            let packet = Packet { stream, kind };
            prop_assert_eq!(Packet::decode(packet.encode()), Ok(packet));
        }

        #[test]
        fn nothing_hurts_the_reader(body: Vec<u8>) {
            if let Ok(packet) = Packet::decode(body.clone().into()) {
                prop_assert_eq!(packet.encode(), Bytes::from(body));
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let packet = Packet { stream: 1, kind: Kind::Reset("ü".repeat(500)) };
        assert_eq!(Packet::decode(packet.encode()).unwrap().kind, Kind::Reset("ü".repeat(128)));
    }
}
