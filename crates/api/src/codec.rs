//! Between messages and the bytes of a gRPC frame.
//!
//! tonic's own codec writes a message into the frame's shared buffer a byte at a time, and moves that buffer on after each
//! field that it reads. A batch of 8,190 transfers has 150,000 fields. Here a message is written into a vector of its own
//! and copied once, and read from the slice that holds all of it. The bytes are the same: a test compares them.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::{Buf, BufMut};
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

/// `application/grpc+proto`: what the generated services and clients use.
#[derive(Debug)]
pub struct Codec<T, U> {
    of: PhantomData<fn(T) -> U>,
}

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Codec { of: PhantomData }
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = Writer<T>;
    type Decoder = Reader<U>;

    fn encoder(&mut self) -> Writer<T> {
        Writer { of: PhantomData }
    }

    fn decoder(&mut self) -> Reader<U> {
        Reader { of: PhantomData }
    }
}

/// Writes messages into frames.
#[derive(Debug)]
pub struct Writer<T> {
    of: PhantomData<fn(T)>,
}

impl<T: Message> Encoder for Writer<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let bytes = message.encode_to_vec();
        frame.reserve(bytes.len());
        frame.put_slice(&bytes);
        Ok(())
    }
}

/// Reads messages from frames.
#[derive(Debug)]
pub struct Reader<U> {
    of: PhantomData<fn() -> U>,
}

impl<U: Message + Default> Decoder for Reader<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, frame: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let length = frame.remaining();
        let whole = frame.chunk();
        // tonic collects a frame in one piece; another buffer would be read as it comes.
        let read = if whole.len() == length {
            let read = U::decode(whole);
            frame.advance(length);
            read
        } else {
            U::decode(frame)
        };
        // The status and words of tonic's own codec.
        read.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Transfer, TransferBatchRequest, Uuid};
    use http_body_util::{BodyExt, Full};
    use prost::bytes::Bytes;
    use tonic::Streaming;
    use tonic::codec::{Codec as _, EncodeBody};
    use tonic::codegen::tokio_stream;
    use tonic_prost::ProstCodec;

    fn batch(count: u64) -> TransferBatchRequest {
        let id = |low: u64| Some(Uuid { high: low.rotate_left(17), low });
        let transfer = |number: u64| Transfer {
            id: id(number + 1),
            debit_account: id(number * 3 + 7),
            credit_account: None,
            amount: number << (number % 60),
            amount_high: u32::try_from(number % 9).expect("small"),
            currency: 978,
            reference: "r".repeat(usize::try_from(number % 140).expect("small")),
        };
        TransferBatchRequest { transfers: (0..count).map(transfer).collect(), linked: count % 2 == 1 }
    }

    async fn written(encoder: impl Encoder<Item = TransferBatchRequest, Error = Status>, count: u64) -> Bytes {
        let messages = tokio_stream::iter([Ok(batch(count)), Ok(batch(1))]);
        let body = EncodeBody::new_client(encoder, messages, None, None);
        body.collect().await.expect("a body in memory").to_bytes()
    }

    type Read = Result<Vec<TransferBatchRequest>, (tonic::Code, String)>;

    async fn read(
        decoder: impl Decoder<Item = TransferBatchRequest, Error = Status> + Send + 'static,
        frames: Bytes,
    ) -> Read {
        let mut messages = Streaming::new_request(decoder, Full::new(frames), None, None);
        let mut all = Vec::new();
        loop {
            match messages.message().await {
                Ok(Some(message)) => all.push(message),
                Ok(None) => return Ok(all),
                Err(status) => return Err((status.code(), status.message().to_owned())),
            }
        }
    }

    fn ours() -> Codec<TransferBatchRequest, TransferBatchRequest> {
        Codec::default()
    }

    fn tonics() -> ProstCodec<TransferBatchRequest, TransferBatchRequest> {
        ProstCodec::default()
    }

    #[tokio::test]
    async fn frames_are_those_of_tonics_own_codec() {
        for count in [0, 1, 2, 500, 8_190] {
            let frames = written(ours().encoder(), count).await;
            assert_eq!(frames, written(tonics().encoder(), count).await);
            let expected = Ok(vec![batch(count), batch(1)]);
            assert_eq!(read(ours().decoder(), frames).await, expected);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_in_the_same_words() {
        let frames = written(ours().encoder(), 3).await;
        let mut refused = 0;
        for place in 0..frames.len() {
            let mut damaged = frames.to_vec();
            damaged[place] ^= 0x07;
            let damaged = Bytes::from(damaged);
            let answer = read(ours().decoder(), damaged.clone()).await;
            assert_eq!(answer, read(tonics().decoder(), damaged).await, "byte {place}");
            refused += u32::from(answer.is_err());
        }
        assert!(refused > 20, "{refused} of {} were refused", frames.len());
    }
}
