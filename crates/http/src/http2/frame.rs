//! Frames as they stand on the wire (RFC 9113 sections 4 and 6).

use super::error::{Code, Violation};

pub(super) const HEAD_BYTES: usize = 9;
/// The longest payload that everybody takes, and that we take.
pub(super) const PAYLOAD_BYTES_DEFAULT: usize = 16 * 1024;
/// The largest window, and the largest stream.
pub(super) const MAX: u32 = 0x7fff_ffff;

pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(super) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn parse(bytes: [u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, w, x, y, z] = bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self { length, kind, flags, stream: u32::from_be_bytes([w, x, y, z]) & MAX }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

pub(super) fn put_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&head(length, kind, flags, stream));
}

pub(super) fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD_BYTES] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or_default().to_be_bytes();
    let [w, x, y, z] = stream.to_be_bytes();
    [a, b, c, kind, flags, w, x, y, z]
}

pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    put_head(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(super) fn put_ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    put_head(out, 8, kind::PING, flags, 0);
    out.extend_from_slice(&payload);
}

pub(super) fn put_goaway(out: &mut Vec<u8>, last: u32, code: Code, reason: &str) {
    put_head(out, 8 + reason.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// The payload without its padding.
///
/// # Errors
/// If there is more padding than payload.
pub(super) fn without_padding(head: FrameHead, payload: &[u8]) -> Result<&[u8], Violation> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    payload
        .split_first()
        .and_then(|(&padding, rest)| rest.get(..rest.len().checked_sub(usize::from(padding))?))
        .ok_or(Violation::Connection(Code::ProtocolError, "a frame has more padding than payload"))
}

/// The settings of a payload, in order.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let (all, _) = payload.as_chunks::<6>();
    all.iter().map(|&[a, b, w, x, y, z]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([w, x, y, z])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(frame: impl FnOnce(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        frame(&mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn frames_are_written_as_the_specification_draws_them() {
        check(
            |out| put_settings(out, &[(3, 100), (4, 65_535)]),
            b"\0\0\x0c\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff",
        );
        check(|out| put_reset(out, 5, Code::StreamClosed), b"\0\0\x04\x03\0\0\0\0\x05\0\0\0\x05");
        check(|out| put_window_update(out, 0, 256), b"\0\0\x04\x08\0\0\0\0\0\0\0\x01\0");
        check(|out| put_ping(out, flag::ACK, *b"12345678"), b"\0\0\x08\x06\x01\0\0\0\x0012345678");
        check(
            |out| put_goaway(out, 7, Code::EnhanceYourCalm, "x"),
            b"\0\0\x09\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x0bx",
        );
    }

    #[test]
    fn padding_is_left_out() {
        let head = |flags| FrameHead { length: 0, kind: kind::DATA, flags, stream: 1 };
        assert_eq!(without_padding(head(flag::PADDED), b"\x02abcd"), Ok(&b"ab"[..]));
        assert_eq!(without_padding(head(flag::PADDED), b"\x02ab"), Ok(&b""[..]));
        assert_eq!(without_padding(head(0), b"\x02ab"), Ok(&b"\x02ab"[..]));
        assert!(without_padding(head(flag::PADDED), b"\x03ab").is_err());
        assert!(without_padding(head(flag::PADDED), b"").is_err());
    }

    proptest! {
        #[test]
        fn heads_are_read_as_written(length in 0_usize..1 << 24, kind: u8, flags: u8, stream in 0..=MAX) {
            let expected = FrameHead { length, kind, flags, stream };
            prop_assert_eq!(FrameHead::parse(head(length, kind, flags, stream)), expected);
        }
    }
}
