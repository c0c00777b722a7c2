//! AWS's event stream encoding (`application/vnd.amazon.eventstream`): the frames of a streamed invocation.
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use bytes::{BufMut, Bytes, BytesMut};

/// A header value that is a text.
const STRING: u8 = 7;
/// Lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// The largest piece of a result in one frame, in bytes.
pub(super) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// One frame that carries an event.
pub(super) fn event(event_type: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let mut headers = BytesMut::new();
    for (name, value) in
        [(":message-type", "event"), (":event-type", event_type), (":content-type", content_type)]
    {
        // All are constants, far below the lengths that these fields hold.
        headers.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        headers.put_slice(name.as_bytes());
        headers.put_u8(STRING);
        headers.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        headers.put_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + headers.len() + payload.len() + CHECKSUM_BYTES;
    let mut frame = BytesMut::with_capacity(total);
    frame.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    frame.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
    frame.put_u32(crc32fast::hash(&frame));
    frame.put_slice(&headers);
    frame.put_slice(payload);
    frame.put_u32(crc32fast::hash(&frame));
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_lengths_and_checksums() {
        let frame = event("PayloadChunk", "application/octet-stream", b"hi");
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) as usize, frame.len());
        assert_eq!(word(8), crc32fast::hash(&frame[..8]));
        assert_eq!(word(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        let payload = 12 + word(4) as usize;
        assert_eq!(&frame[payload..frame.len() - 4], b"hi");
    }
}
