//! prost's codec with one limit more. A message within the limit of bytes can still hold millions of empty elements, of
//! two bytes on the wire and hundreds in memory; they are counted before anything is built.

use std::sync::LazyLock;

use prost::bytes::Buf as _;
use prost::encoding::decode_varint;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::proto::DESCRIPTORS;
use super::status::undecodable;
use crate::limits;

/// How deep prost itself goes.
const DEPTH: usize = 100;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

/// prost's codec, for messages with a bounded number of elements.
#[derive(Debug)]
pub struct Bounded<T, U>(ProstCodec<T, U>);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Counting<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(self.0.decoder())
    }
}

/// prost's decoder, after a count.
#[derive(Debug)]
pub struct Counting<U>(ProstDecoder<U>);

impl<U: Message + Name + Default> Decoder for Counting<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let mut room = limits::ELEMENTS;
        let counted = POOL
            .get_message_by_name(&U::full_name())
            .is_none_or(|message| count(&message, buffer.chunk(), &mut room, DEPTH));
        if !counted {
            let description = format!("The request has over {} elements.", limits::ELEMENTS);
            return Err(undecodable(Code::InvalidArgument, &description));
        }
        self.0.decode(buffer)
    }
}

/// Counts the elements down. Whether there was room for all; what is malformed is left for prost to refuse.
fn count(message: &MessageDescriptor, mut bytes: &[u8], room: &mut usize, depth: usize) -> bool {
    while let Some((field, content, rest)) = next(bytes) {
        bytes = rest;
        let Some(content) = content else { continue };
        let Some(left) = room.checked_sub(1) else { return false };
        *room = left;
        let kind = message.get_field(field).map(|field| field.kind());
        let Some(Kind::Message(inner)) = kind else { continue };
        if depth > 0 && !count(&inner, content, room, depth - 1) {
            return false;
        }
    }
    true
}

/// A field's number, its content where it has a length, and what follows.
type Field<'b> = (u32, Option<&'b [u8]>, &'b [u8]);

/// The number of the next field, its content where it has a length (texts, bytes, messages), and what follows.
fn next(mut bytes: &[u8]) -> Option<Field<'_>> {
    if bytes.is_empty() {
        return None;
    }
    let key = decode_varint(&mut bytes).ok()?;
    let field = u32::try_from(key >> 3).ok()?;
    let fixed = |length: usize| bytes.get(length..).map(|rest| (field, None, rest));
    match key & 7 {
        0 => decode_varint(&mut bytes).ok().map(|_| (field, None, bytes)),
        1 => fixed(8),
        2 => {
            let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            let (content, rest) = bytes.split_at_checked(length)?;
            Some((field, Some(content), rest))
        }
        5 => fixed(4),
        _ => None,
    }
}
