//! Bodies as they stand on an HTTP/1.1 connection: a length, chunks, or everything until the connection closes.

use bytes::{Bytes, BytesMut};

use crate::BodyError;
use crate::head::Framing;

/// A chunk's size line, extensions included, may be this long.
const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// The trailer section may be this long in all.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Takes body bytes off the front of a buffer, without copying them.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers { seen: usize },
    UntilClose,
}

/// What the buffer held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// Body bytes, at least one.
    Chunk(Bytes),
    /// The body has ended; what is left in the buffer belongs to the next message.
    End,
    /// More bytes are needed.
    NeedMore,
}

impl BodyDecoder {
    /// A decoder for a body framed so.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The number of bytes still to come, where the framing tells.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// A good number of bytes to ask the connection for next.
    pub(crate) fn wanted(&self) -> usize {
        const READ_BYTES_MAX: u64 = 128 * 1024;
        let wanted = match self.state {
            State::Length(left) | State::ChunkData(left) => left.saturating_add(2).min(READ_BYTES_MAX),
            State::UntilClose => 32 * 1024,
            _ => 4 * 1024,
        };
        usize::try_from(wanted).unwrap_or(usize::MAX)
    }

    /// Takes what it can from the buffer.
    ///
    /// # Errors
    /// [`BodyError::Framing`] for chunks that are not as RFC 9112 §7.1 says.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(Decoded::End),
                State::Length(left) => {
                    let Some(chunk) = take(buffer, *left) else { return Ok(Decoded::NeedMore) };
                    *left -= chunk.len() as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(Decoded::Chunk(chunk));
                }
                State::UntilClose => {
                    let Some(chunk) = take(buffer, u64::MAX) else { return Ok(Decoded::NeedMore) };
                    return Ok(Decoded::Chunk(chunk));
                }
                State::ChunkSize => match take_line(buffer, CHUNK_LINE_BYTES_MAX)? {
                    None => return Ok(Decoded::NeedMore),
                    Some(line) => {
                        self.state = match chunk_size(&line)? {
                            0 => State::Trailers { seen: 0 },
                            size => State::ChunkData(size),
                        };
                    }
                },
                State::ChunkData(left) => {
                    let Some(chunk) = take(buffer, *left) else { return Ok(Decoded::NeedMore) };
                    *left -= chunk.len() as u64;
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    return Ok(Decoded::Chunk(chunk));
                }
                State::ChunkEnd => {
                    if buffer.len() < 2 {
                        return Ok(Decoded::NeedMore);
                    }
                    if &buffer.split_to(2)[..] != b"\r\n" {
                        return Err(BodyError::Framing("a chunk is longer than its size"));
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailers { seen } => {
                    // Trailer fields are dropped: no backend of API Gateway ever sees them.
                    let left = TRAILER_BYTES_MAX.saturating_sub(*seen);
                    match take_line(buffer, left)? {
                        None => return Ok(Decoded::NeedMore),
                        Some(line) if line.is_empty() => self.state = State::Done,
                        Some(line) => *seen += line.len() + 2,
                    }
                }
            }
        }
    }

    /// What the end of the connection means here: an end only for a body that lasts until then.
    ///
    /// # Errors
    /// [`BodyError::Incomplete`] if bytes are missing.
    pub(crate) fn connection_closed(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Incomplete),
        }
    }
}

/// Up to `limit` bytes from the front, or `None` if the buffer is empty.
fn take(buffer: &mut BytesMut, limit: u64) -> Option<Bytes> {
    if buffer.is_empty() {
        return None;
    }
    let length = usize::try_from(limit).map_or(buffer.len(), |limit| limit.min(buffer.len()));
    Some(buffer.split_to(length).freeze())
}

/// A line without its CR LF, once it is there.
fn take_line(buffer: &mut BytesMut, length_max: usize) -> Result<Option<Bytes>, BodyError> {
    match memchr::memchr(b'\n', buffer) {
        None if buffer.len() > length_max => {
            Err(BodyError::Framing("a chunk size or trailer line is too long"))
        }
        None => Ok(None),
        Some(feed) if feed > length_max => {
            Err(BodyError::Framing("a chunk size or trailer line is too long"))
        }
        Some(feed) => {
            let mut line = buffer.split_to(feed + 1);
            if feed == 0 || line.get(feed - 1) != Some(&b'\r') {
                return Err(BodyError::Framing("a line does not end in CR LF"));
            }
            line.truncate(feed - 1);
            Ok(Some(line.freeze()))
        }
    }
}

/// Hexadecimal digits, then perhaps extensions, which are ignored but for control characters, which hide smuggling.
fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let wrong = BodyError::Framing("a chunk size is no hexadecimal number");
    let (digits, extension) = match memchr::memchr(b';', line) {
        Some(at) => line.split_at(at),
        None => (line, &[][..]),
    };
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong);
    }
    if !crate::is_valid_value(extension) {
        return Err(BodyError::Framing("a chunk extension holds control characters"));
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes a body that arrives in the given pieces: the body and what is left over, or the error.
    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut decoder, mut buffer, mut body) = (BodyDecoder::new(framing), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Decoded::Chunk(chunk) =
                decoder.decode(&mut buffer).map_err(|error| error.to_string())?
            {
                body.extend_from_slice(&chunk);
            }
        }
        decoder.connection_closed().map_err(|error| error.to_string())?;
        Ok((body, buffer.to_vec()))
    }

    fn check(framing: Framing, wire: &str, expected: Result<(&str, &str), &str>) {
        let expected = expected
            .map(|(body, rest)| (body.as_bytes().to_vec(), rest.as_bytes().to_vec()))
            .map_err(|reason| reason.to_owned());
        let bytes: Vec<&[u8]> = wire.as_bytes().chunks(1).collect();
        for pieces in [&[wire.as_bytes()][..], &bytes[..]] {
            let decoded = decode(framing, pieces)
                .map_err(|reason| reason.replace("the body is not framed as HTTP asks: ", ""));
            assert_eq!(decoded, expected, "for {wire:?}");
        }
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        check(Framing::None, "next", Ok(("", "next")));
        check(Framing::Length(3), "abcnext", Ok(("abc", "next")));
        check(Framing::UntilClose, "abc", Ok(("abc", "")));
        check(
            Framing::Chunked,
            "3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\nnext",
            Ok(("abc0123456789", "next")),
        );
        check(Framing::Chunked, "0\r\nTrailer: dropped\r\n\r\nnext", Ok(("", "next")));
    }

    #[test]
    fn wrong_framing_is_refused() {
        let incomplete = "the sender closed the connection before the body was complete";
        let number = "a chunk size is no hexadecimal number";
        check(Framing::Length(5), "abc", Err(incomplete));
        check(Framing::Chunked, "3\r\nabc\r\n", Err(incomplete));
        check(Framing::Chunked, "3\r\nabcd\r\n0\r\n\r\n", Err("a chunk is longer than its size"));
        check(Framing::Chunked, "3\nabc\r\n0\r\n\r\n", Err("a line does not end in CR LF"));
        check(Framing::Chunked, "x\r\n", Err(number));
        check(Framing::Chunked, "0x3\r\n", Err(number));
        check(Framing::Chunked, "-3\r\n", Err(number));
        check(Framing::Chunked, " 3\r\n", Err(number));
        check(Framing::Chunked, "\r\n", Err(number));
        check(Framing::Chunked, "ffffffffffffffff\r\n", Err(number));
    }

    proptest! {
        #[test]
        fn chunks_carry_any_body_however_it_is_cut(body in proptest::collection::vec(any::<u8>(), 0..200), size in 1usize..50, cut in 1usize..20) {
            let mut wire = Vec::new();
            for chunk in body.chunks(size) {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
            prop_assert_eq!(decode(Framing::Chunked, &pieces), Ok((body, Vec::new())));
        }

        #[test]
        fn no_bytes_make_it_panic(wire in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(Framing::Chunked, &[&wire]);
        }
    }
}
