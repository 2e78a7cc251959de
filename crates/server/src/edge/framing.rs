//! The messages of a gRPC call, as far as bounds go: how long they say they are, before they are read
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! A message has a byte that says whether it is compressed, four bytes of length, and its content. Whoever decodes it makes
//! room for what the length says; so that is counted when the length is here, and not when the content is.

use api::code::Code;
use api::problem::Problem;

use super::bounds::{MessageRule, Requests};
use super::in_flight::{Charge, Full};

const PREFIX_BYTES: usize = 5;

/// Where the bytes of a call have come to.
#[derive(Debug)]
pub(super) struct Framing {
    rule: MessageRule,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Of the message that is being read.
    left: usize,
    messages: usize,
    /// Of one message after the other only the largest is held.
    charged: usize,
}

impl Framing {
    pub(super) fn new(rule: MessageRule) -> Framing {
        Framing { rule, prefix: [0; PREFIX_BYTES], prefix_bytes: 0, left: 0, messages: 0, charged: 0 }
    }

    /// Looks at the next bytes.
    pub(super) fn see(&mut self, mut bytes: &[u8], charge: &Charge) -> Result<(), Problem> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (PREFIX_BYTES - self.prefix_bytes).min(bytes.len());
            self.prefix[self.prefix_bytes..self.prefix_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.prefix_bytes += taken;
            bytes = &bytes[taken..];
            if self.prefix_bytes == PREFIX_BYTES {
                self.prefix_bytes = 0;
                self.begin_message(charge)?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self, charge: &Charge) -> Result<(), Problem> {
        let [compressed, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length) as usize;
        self.messages += 1;
        if self.messages > 1 && self.rule.requests == Requests::One {
            return Err(Problem::new(Code::MalformedMessage, "the call takes one message, and a second one came"));
        }
        match compressed {
            0 => {}
            1 => return Err(compressed_problem("the message is marked as compressed")),
            other => {
                let detail = format!("the message begins with {other}, where 0 says that it is not compressed");
                return Err(Problem::new(Code::MalformedMessage, detail));
            }
        }
        if length > self.rule.bytes_max {
            let detail = format!(
                "the message has {length} bytes, and this call takes {}; send less at once",
                self.rule.bytes_max
            );
            return Err(Problem::new(Code::BodyTooLarge, detail).with("limit_bytes", self.rule.bytes_max));
        }
        charge.grow(length.saturating_sub(self.charged)).map_err(Full::problem)?;
        self.charged = self.charged.max(length);
        self.left = length;
        Ok(())
    }
}

/// Of content in an encoding.
pub(super) fn compressed_problem(what: &str) -> Problem {
    let detail = format!("{what}, and content is taken only as it is: send it uncompressed");
    Problem::new(Code::UnsupportedEncoding, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::in_flight::{Level, Of};

    fn charge(max: usize) -> Charge {
        let levels = [Of::Connection, Of::Source, Of::Node].map(|of| Level::new(of, max));
        Charge::begin(levels, 0).expect("nothing is counted yet")
    }

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![7; length as usize]);
        bytes
    }

    const ONE: MessageRule = MessageRule { bytes_max: 100, requests: Requests::One };
    const MANY: MessageRule = MessageRule { bytes_max: 100, requests: Requests::Many };

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let bytes = [message(100), message(0), message(60)].concat();
        for size in 1..bytes.len() {
            let charge = charge(1000);
            let mut framing = Framing::new(MANY);
            for piece in bytes.chunks(size) {
                framing.see(piece, &charge).expect("nothing is too large");
            }
            assert_eq!((framing.messages, framing.left, framing.charged), (3, 0, 100), "pieces of {size}");
        }
    }

    #[test]
    fn what_is_too_large_or_compressed_or_too_much_is_refused_before_it_is_read() {
        let refused = |rule: MessageRule, bytes: &[u8], max: usize| {
            Framing::new(rule).see(bytes, &charge(max)).map_err(|problem| problem.code)
        };
        assert_eq!(refused(ONE, &message(101)[..5], 1000), Err(Code::BodyTooLarge));
        assert_eq!(refused(ONE, &message(100)[..5], 99), Err(Code::Overloaded));
        assert_eq!(refused(ONE, &[1, 0, 0, 0, 1], 1000), Err(Code::UnsupportedEncoding));
        assert_eq!(refused(ONE, &[7, 0, 0, 0, 1], 1000), Err(Code::MalformedMessage));
        assert_eq!(refused(ONE, &[message(1), message(1)].concat(), 1000), Err(Code::MalformedMessage));
        assert_eq!(refused(ONE, &message(100), 1000), Ok(()));
    }
}
