//! The codec for `tokio_util::codec::Framed`, for whoever would rather have a stream and a sink of frames.

use crate::codec::{CodecError, Decoder, Item, encode};
use crate::frame::{Frame, Version};
use bytes::{BufMut, BytesMut};
use tokio_util::codec;

/// Both directions of a connection.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    decoder: Decoder,
}

impl FrameCodec {
    /// Reads as the decoder does, writes strictly.
    pub const fn new(decoder: Decoder) -> Self {
        Self { decoder }
    }

    /// From the next frame on, reads and writes that version.
    pub const fn set_version(&mut self, version: Version) {
        self.decoder.set_version(version);
    }

    /// The version written: 1.0, the least, until another is set.
    pub const fn version(&self) -> Version {
        match self.decoder.dialect().version {
            Some(version) => version,
            None => Version::V1_0,
        }
    }
}

impl codec::Decoder for FrameCodec {
    type Item = Item;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        Ok(self.decoder.decode(buffer)?)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        let item = self.decoder.decode(buffer)?;
        if item.is_none() {
            self.decoder.finish(buffer)?;
            buffer.clear();
        }
        Ok(item)
    }
}

impl codec::Encoder<&Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: &Frame, buffer: &mut BytesMut) -> Result<(), CodecError> {
        Ok(encode(frame, self.version(), buffer)?)
    }
}

impl codec::Encoder<Item> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, item: Item, buffer: &mut BytesMut) -> Result<(), CodecError> {
        match item {
            Item::Frame(frame) => codec::Encoder::<&Frame>::encode(self, &frame, buffer),
            Item::HeartBeat => {
                buffer.put_u8(b'\n');
                Ok(())
            }
        }
    }
}
