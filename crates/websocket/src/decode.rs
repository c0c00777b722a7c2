//! Frames as they arrive, unmasked and put together to messages.
//!
//! What is wrong is found as soon as it can be: a frame that is too long by its header, text that is no UTF-8 by its
//! first wrong byte. Nothing is read after that.

use bytes::Bytes;

use crate::{Opcode, code};

/// The longest header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: u64 = 125;
/// What a frame's declared length reserves at most before any of it has arrived.
const RESERVED_BYTES_MAX: usize = 4 * 1024;

/// How much a peer may send, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In one frame.
    pub frame_bytes: usize,
    /// In one message, however many frames it has.
    pub message_bytes: usize,
}

/// What has arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message. Its text is UTF-8.
    Text(Bytes),
    /// A ping, which asks for a pong with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The peer's last frame; nothing if it gives no status.
    Close(Option<CloseFrame>),
}

/// What a close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The status code.
    pub status: u16,
    /// Why, in the peer's words; often empty.
    pub reason: String,
}

/// What the peer did wrong. The connection is to be closed with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The status code.
    pub status: u16,
    /// A sentence for the close frame.
    pub reason: &'static str,
}

const fn protocol(reason: &'static str) -> Violation {
    Violation { status: code::PROTOCOL_ERROR, reason }
}

const INVALID_TEXT: Violation = Violation { status: code::INVALID_DATA, reason: "the text is not UTF-8" };
const FRAME_TOO_BIG: Violation = Violation { status: code::TOO_BIG, reason: "Frame is too big" };
const MESSAGE_TOO_BIG: Violation = Violation { status: code::TOO_BIG, reason: "Message is too big" };

/// Takes frames apart.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What has come of a header that is not whole.
    header: [u8; HEADER_BYTES_MAX],
    header_length: u8,
    frame: Option<Frame>,
    /// Whether frames of a message have come and its last one has not.
    in_message: bool,
    message: Vec<u8>,
    /// How much of the message is known to be UTF-8.
    checked: usize,
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    /// How much is still to come.
    left: usize,
    /// Turned so that its first byte belongs to the next byte of the payload.
    mask: [u8; 4],
}

impl Decoder {
    /// Whether nothing has arrived that is not whole.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.header_length == 0 && self.frame.is_none() && !self.in_message
    }

    /// Takes the next whole thing out of `input`; nothing once all of that is used up.
    ///
    /// # Errors
    /// A [`Violation`], after which nothing more is to be decoded.
    pub fn decode(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Received>, Violation> {
        loop {
            let Some(mut frame) = self.frame else {
                match self.read_header(input, limits)? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
                continue;
            };
            let (now, rest) = input.split_at(frame.left.min(input.len()));
            *input = rest;
            let is_control = matches!(frame.opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
            let target = if is_control { &mut self.control } else { &mut self.message };
            if target.capacity() - target.len() < frame.left {
                // What is declared and has not come costs the peer nothing, so it must not cost much here.
                target.reserve(frame.left.min(now.len().max(RESERVED_BYTES_MAX)));
            }
            let begin = target.len();
            target.extend_from_slice(now);
            unmask(target.get_mut(begin..).unwrap_or_default(), &mut frame.mask);
            frame.left -= now.len();
            if !is_control {
                self.check_text()?;
            }
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            self.frame = None;
            if is_control {
                let payload = std::mem::take(&mut self.control);
                return match frame.opcode {
                    Opcode::Ping => Ok(Some(Received::Ping(payload.into()))),
                    Opcode::Pong => Ok(Some(Received::Pong)),
                    _ => close_frame(&payload).map(|frame| Some(Received::Close(frame))),
                };
            }
            if frame.is_final {
                self.in_message = false;
                if std::mem::take(&mut self.checked) < self.message.len() {
                    return Err(INVALID_TEXT);
                }
                return Ok(Some(Received::Text(std::mem::take(&mut self.message).into())));
            }
            self.in_message = true;
        }
    }

    fn read_header(&mut self, input: &mut &[u8], limits: Limits) -> Result<Option<Frame>, Violation> {
        loop {
            let have = usize::from(self.header_length);
            let wanted = header_length(self.header.get(..have).unwrap_or_default());
            if have == wanted {
                break;
            }
            let (now, rest) = input.split_at((wanted - have).min(input.len()));
            if now.is_empty() {
                return Ok(None);
            }
            *input = rest;
            if let Some(room) = self.header.get_mut(have..have + now.len()) {
                room.copy_from_slice(now);
            }
            self.header_length += u8::try_from(now.len()).unwrap_or_default();
            if self.header_length >= 2 {
                self.check_start()?;
            }
        }
        let (frame, length) = self.parse_header();
        self.header_length = 0;
        if !matches!(frame.opcode, Opcode::Text | Opcode::Continuation) {
            return Ok(Some(frame));
        }
        if length > limits.frame_bytes as u64 {
            return Err(FRAME_TOO_BIG);
        }
        if length + self.message.len() as u64 > limits.message_bytes as u64 {
            return Err(MESSAGE_TOO_BIG);
        }
        Ok(Some(frame))
    }

    /// Checks what the first two bytes tell.
    fn check_start(&self) -> Result<(), Violation> {
        let [first, second, ..] = self.header;
        if first & 0x70 != 0 {
            return Err(protocol("a reserved bit is set"));
        }
        let opcode = first & 0x0f;
        match opcode {
            0 if !self.in_message => return Err(protocol("a continuation of nothing")),
            1 | 2 if self.in_message => return Err(protocol("a message begins before the last has ended")),
            2 => {
                return Err(Violation {
                    status: code::UNSUPPORTED,
                    reason: "Binary frames are not supported",
                });
            }
            0 | 1 | 8..=10 => {}
            _ => return Err(protocol("an opcode that is reserved")),
        }
        if opcode >= 8 && (first & 0x80 == 0 || u64::from(second & 0x7f) > CONTROL_BYTES_MAX) {
            return Err(protocol("a control frame is fragmented or too long"));
        }
        if second & 0x80 == 0 { Err(protocol("a frame is not masked")) } else { Ok(()) }
    }

    /// Reads a header that is whole and checked, and the payload's length.
    fn parse_header(&self) -> (Frame, u64) {
        let [first, second, two @ .., _, _, _, _] = self.header;
        let (length, mask_at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([two[0], two[1]])), 4),
            127 => (u64::from_be_bytes(two), 10),
            length => (u64::from(length), 2),
        };
        let mask = self.header.get(mask_at..).and_then(|rest| rest.first_chunk()).copied();
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            _ => Opcode::Pong,
        };
        let left = usize::try_from(length).unwrap_or(usize::MAX);
        let frame = Frame { opcode, is_final: first & 0x80 != 0, left, mask: mask.unwrap_or_default() };
        (frame, length)
    }

    /// Checks what has come of a message since the last time. A character may still be incomplete at its end.
    fn check_text(&mut self) -> Result<(), Violation> {
        let new = self.message.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(new) {
            Ok(_) => self.checked = self.message.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(INVALID_TEXT),
        }
        Ok(())
    }
}

/// How long a header is, as far as it can be told from its beginning.
fn header_length(begin: &[u8]) -> usize {
    match begin.get(1).map(|second| second & 0x7f) {
        None => 2,
        Some(126) => 2 + 2 + 4,
        Some(127) => 2 + 8 + 4,
        Some(_) => 2 + 4,
    }
}

fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len() % 4);
}

fn close_frame(payload: &[u8]) -> Result<Option<CloseFrame>, Violation> {
    let Some((status, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(protocol("half a status")),
        };
    };
    let status = u16::from_be_bytes(*status);
    // RFC 6455, section 7.4, and what IANA has registered since.
    if !matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(protocol("a status that must not be sent"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| INVALID_TEXT)?;
    Ok(Some(CloseFrame { status, reason: reason.to_owned() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { frame_bytes: 1000, message_bytes: 1500 };

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Decodes bytes that arrive in pieces of a size.
    fn decode(bytes: &[u8], piece: usize) -> (Vec<Received>, Option<u16>) {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for mut piece in bytes.chunks(piece) {
            loop {
                match decoder.decode(&mut piece, LIMITS) {
                    Ok(Some(received)) => found.push(received),
                    Ok(None) => break,
                    Err(violation) => return (found, Some(violation.status)),
                }
            }
            assert!(piece.is_empty());
        }
        (found, None)
    }

    fn check(frames: &[(u8, &[u8])], expected: &[Received], violation: Option<u16>) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        for piece in [1, 3, 7, bytes.len()] {
            assert_eq!(decode(&bytes, piece), (expected.to_vec(), violation), "{frames:?} {piece}");
        }
    }

    fn text(text: &str) -> Received {
        Received::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn messages() {
        check(&[(0x81, b"Hello")], &[text("Hello")], None);
        check(&[(0x81, b"")], &[text("")], None);
        check(&[(0x01, b"Hel"), (0x80, b"lo"), (0x81, b"x")], &[text("Hello"), text("x")], None);
        let ping = Received::Ping(Bytes::from_static(b"p"));
        check(&[(0x01, b"a"), (0x89, b"p"), (0x00, b"b"), (0x80, b"c")], &[ping, text("abc")], None);
        check(&[(0x8a, b"x"), (0x88, b"")], &[Received::Pong, Received::Close(None)], None);
        let close = CloseFrame { status: 1000, reason: "bye".into() };
        check(&[(0x88, b"\x03\xe8bye")], &[Received::Close(Some(close))], None);
        check(&[(0x01, b"\xc3"), (0x80, b"\xa9")], &[text("é")], None);
        let long = "x".repeat(1000);
        check(&[(0x81, long.as_bytes())], &[text(&long)], None);
    }

    #[test]
    fn violations() {
        check(&[(0x82, b"x")], &[], Some(1003));
        check(&[(0xc1, b"x")], &[], Some(1002));
        check(&[(0x83, b"x")], &[], Some(1002));
        check(&[(0x8b, b"x")], &[], Some(1002));
        check(&[(0x80, b"x")], &[], Some(1002));
        check(&[(0x01, b"x"), (0x81, b"y")], &[], Some(1002));
        check(&[(0x01, b"x"), (0x82, b"y")], &[], Some(1002));
        check(&[(0x09, b"x")], &[], Some(1002));
        check(&[(0x89, &[0; 126])], &[], Some(1002));
        check(&[(0x88, b"x")], &[], Some(1002));
        check(&[(0x88, b"\x03\xed")], &[], Some(1002));
        check(&[(0x88, b"\x03\xe8\xff")], &[], Some(1007));
        check(&[(0x81, b"\xc3")], &[], Some(1007));
        check(&[(0x01, b"a\xffb")], &[], Some(1007));
        check(&[(0x01, b"\xf4\x90")], &[], Some(1007));
        check(&[(0x81, &[b'x'; 1001])], &[], Some(1009));
        check(&[(0x01, &[b'x'; 1000]), (0x00, &[b'x'; 501])], &[], Some(1009));
        assert_eq!(decode(b"\x81\x05Hello", 7), (vec![], Some(1002)));
        // Told by the header alone.
        assert_eq!(decode(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14), (vec![], Some(1009)));
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let mut decoder = Decoder::default();
        let bytes = frame(0x81, &[b'x'; 500]);
        assert!(decoder.decode(&mut &bytes[..], LIMITS).is_ok_and(|found| found.is_some()));
        assert!(decoder.is_idle());
        assert_eq!(decoder.message.capacity() + decoder.control.capacity(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_the_same_however_they_arrive(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20
        ) {
            prop_assert_eq!(decode(&bytes, piece), decode(&bytes, bytes.len().max(1)));
        }

        #[test]
        fn what_is_sent_in_pieces_arrives_whole(
            messages in proptest::collection::vec("\\PC{0,200}", 0..5), cut in 1_usize..300, piece in 1_usize..50
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                let mut pieces: Vec<&[u8]> = message.as_bytes().chunks(cut).collect();
                if pieces.is_empty() {
                    pieces.push(b"");
                }
                let last = pieces.len() - 1;
                for (index, piece) in pieces.iter().enumerate() {
                    let opcode = if index == 0 { 1 } else { 0 };
                    bytes.extend(frame(opcode | if index == last { 0x80 } else { 0 }, piece));
                }
            }
            let expected: Vec<_> = messages.iter().map(|message| text(message)).collect();
            prop_assert_eq!(decode(&bytes, piece), (expected, None));
        }

        #[test]
        fn own_messages_are_read_back(text in "\\PC{0,400}", frame_bytes in 1_usize..500) {
            let mut out = Vec::new();
            crate::message(&mut out, text.as_bytes(), frame_bytes);
            // Own frames are not masked; a client's would be.
            let (mut at, mut whole) = (0, Vec::new());
            while at < out.len() {
                let (length, begin) = match out[at + 1] {
                    126 => (usize::from(u16::from_be_bytes([out[at + 2], out[at + 3]])), at + 4),
                    length => (usize::from(length), at + 2),
                };
                prop_assert!(length <= frame_bytes);
                whole.extend_from_slice(&out[begin..begin + length]);
                at = begin + length;
            }
            prop_assert_eq!(whole, text.as_bytes());
        }
    }
}
