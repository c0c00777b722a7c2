//! Frames on their way out. A server masks nothing.

use crate::Opcode;

/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;

fn frame(out: &mut Vec<u8>, opcode: Opcode, is_final: bool, payload: &[u8]) {
    out.push(if is_final { 0x80 } else { 0 } | opcode as u8);
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Writes a text message, in frames of at most `frame_bytes_max` bytes. The text has to be UTF-8.
///
/// A frame may end in the middle of a character, which the protocol allows.
pub fn message(out: &mut Vec<u8>, text: &[u8], frame_bytes_max: usize) {
    out.reserve(text.len() + 10);
    let mut pieces = text.chunks(frame_bytes_max.max(1)).peekable();
    let mut opcode = Opcode::Text;
    let Some(_) = pieces.peek() else { return frame(out, opcode, true, &[]) };
    while let Some(piece) = pieces.next() {
        frame(out, opcode, pieces.peek().is_none(), piece);
        opcode = Opcode::Continuation;
    }
}

/// Writes the answer to a ping.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Pong, true, payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload));
}

/// Writes a ping.
pub fn ping(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Ping, true, payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload));
}

/// Writes a close frame. Without a status its payload is empty.
pub fn close(out: &mut Vec<u8>, status: Option<u16>, reason: &str) {
    let Some(status) = status else { return frame(out, Opcode::Close, true, &[]) };
    let reason = reason.get(..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)).unwrap_or_default();
    frame(out, Opcode::Close, true, &[&status.to_be_bytes(), reason.as_bytes()].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out.get(..expected.len().min(out.len())), Some(expected));
    }

    #[test]
    fn frames() {
        check(|out| message(out, b"Hello", 32_768), b"\x81\x05Hello");
        check(|out| message(out, b"", 32_768), b"\x81\x00");
        check(|out| message(out, b"Hello", 3), b"\x01\x03Hel\x80\x02lo");
        check(|out| message(out, &[b'x'; 126], 32_768), b"\x81\x7e\x00\x7ex");
        check(|out| message(out, &[b'x'; 65_536], 65_536), b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00x");
        check(|out| pong(out, b"Hi"), b"\x8a\x02Hi");
        check(|out| ping(out, b""), b"\x89\x00");
        check(|out| close(out, None, "unheard"), b"\x88\x00");
        check(|out| close(out, Some(1001), "Going away"), b"\x88\x0c\x03\xe9Going away");
        check(|out| close(out, Some(1001), &"é".repeat(100)), b"\x88\x7c\x03\xe9\xc3\xa9");
    }
}
