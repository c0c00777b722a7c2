//! Answers: their heads, and their bodies as the client takes them.

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;

use super::connection::Core;
use super::error::Code;
use super::frame::{self, HEAD_BYTES, flag, kind};
use super::hpack::Encoder;
use super::notice::places;
use super::stream::Sending;
use crate::encode::{is_framing_field, with_date};
use crate::{Body, Header, ResponseHead, clock};

/// Bodies are not asked for more while so much waits to be written.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// The most that a frame carries, so that streams take turns.
const PIECE_BYTES_MAX: usize = frame::PAYLOAD_BYTES_DEFAULT;

impl<F: Future<Output = (ResponseHead, Body)>> Core<F> {
    /// Polls the streams that have something to do.
    pub(super) fn poll_streams(&mut self) {
        let ready = self.notice.take() | std::mem::take(&mut self.fresh);
        for place in places(ready) {
            self.poll_stream(place);
        }
        while self.again != 0 && self.has_room() {
            for place in places(std::mem::take(&mut self.again)) {
                self.send_piece(place);
            }
        }
    }

    fn poll_stream(&mut self, place: usize) {
        let Some((stream, waker)) = self.streams.with_waker(place) else { return };
        if let Some(handler) = &mut stream.handler {
            let mut context = Context::from_waker(waker);
            let Poll::Ready((head, body)) = handler.as_mut().poll(&mut context) else { return };
            stream.handler = None;
            self.handlers = self.handlers.saturating_sub(1);
            self.grudge = self.grudge.saturating_sub(1);
            self.respond(place, &head, body);
        } else if stream.sending.is_some() {
            self.again |= 1 << place;
        }
    }

    /// Writes an answer's head, and begins with its body.
    fn respond(&mut self, place: usize, head: &ResponseHead, mut body: Body) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        let length = body.remaining();
        if stream.is_head || matches!(head.status.as_u16(), 204 | 304) {
            body = Body::Empty;
        }
        let is_end = body.is_empty();
        let start = self.out.len();
        frame::put_head(&mut self.out, 0, kind::HEADERS, 0, stream.id);
        let said = if is_end && !stream.is_head { None } else { length.filter(|length| *length > 0) };
        put_fields(&mut self.encoder, &mut self.out, head, said, stream.is_head);
        end_block(&mut self.out, start, self.peer_payload_max, stream.id, is_end);
        if !is_end {
            stream.sending = Some(Sending { body, chunk: Bytes::new(), left: length });
            self.again |= 1 << place;
        }
        self.settle(place);
    }

    /// Answers a request whose head is too large, which no handler gets to see.
    pub(super) fn respond_too_large(&mut self, id: u32) {
        // What is sent has a date.
        let _ = clock::now();
        let start = self.out.len();
        frame::put_head(&mut self.out, 0, kind::HEADERS, 0, id);
        let head = ResponseHead {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            headers: crate::Headers::new(),
        };
        put_fields(&mut self.encoder, &mut self.out, &head, None, false);
        end_block(&mut self.out, start, self.peer_payload_max, id, true);
    }

    /// Whether bodies may be asked for more.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT_BYTES_MAX
    }

    /// Sends one piece of a body, if there is one and the client takes it.
    fn send_piece(&mut self, place: usize) {
        if !self.has_room() {
            self.again |= 1 << place;
            return;
        }
        let Some((stream, waker)) = self.streams.with_waker(place) else { return };
        let Some(sending) = &mut stream.sending else { return };
        if sending.chunk.is_empty() && sending.left != Some(0) {
            // What the client does not take is not asked for.
            if stream.send_window <= 0 {
                return;
            }
            if self.send_window <= 0 {
                self.blocked |= 1 << place;
                return;
            }
            match sending.body.poll_chunk(&mut Context::from_waker(waker)) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(chunk))) => {
                    if let Some(left) = &mut sending.left {
                        let Some(rest) = left.checked_sub(chunk.len() as u64) else {
                            return self.break_off(place);
                        };
                        *left = rest;
                    } else if sending.body.remaining() == Some(0) {
                        sending.left = Some(0);
                    }
                    sending.chunk = chunk;
                }
                // Less than was said is as wrong as more.
                Poll::Ready(None) if sending.left.is_none() => sending.left = Some(0),
                Poll::Ready(None | Some(Err(_))) => return self.break_off(place),
            }
        }
        let window = stream.send_window.min(self.send_window).max(0);
        let window = usize::try_from(window).unwrap_or_default();
        let length = sending.chunk.len().min(window).min(PIECE_BYTES_MAX.min(self.peer_payload_max));
        if length == 0 && !sending.chunk.is_empty() {
            if stream.send_window > 0 {
                self.blocked |= 1 << place;
            }
            return;
        }
        let is_end = sending.left == Some(0) && length == sending.chunk.len();
        let flags = if is_end { flag::END_STREAM } else { 0 };
        frame::put_head(&mut self.out, length, kind::DATA, flags, stream.id);
        self.out.extend_from_slice(&sending.chunk.split_to(length));
        stream.send_window -= length as i64;
        self.send_window -= length as i64;
        if is_end {
            stream.sending = None;
            self.settle(place);
        } else {
            self.again |= 1 << place;
        }
    }

    /// Ends a stream whose answer cannot be sent whole, so that the client sees that.
    fn break_off(&mut self, place: usize) {
        if let Some(stream) = self.streams.get_mut(place) {
            let id = stream.id;
            self.reset(id, Code::InternalError);
        }
    }
}

/// The fields of an answer's head. `length` is what is said of its body's.
fn put_fields(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    head: &ResponseHead,
    length: Option<u64>,
    keeps_length: bool,
) {
    encoder.begin(out);
    // To the client an interim status would be the promise of another answer.
    let status = if head.status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { head.status };
    encoder.status(out, status);
    let (mut is_dated, mut says_length) = (false, false);
    for header in &head.headers {
        if is_framing_field(header) || is_of_http1(header) {
            // A response to HEAD keeps the length that its body would have had.
            if !keeps_length || says_length || !header.is("content-length") {
                continue;
            }
            says_length = true;
        }
        match header.name.len() {
            4 => is_dated |= header.is("date"),
            // A secret of one client must not be found out by another that shares the connection.
            10 if header.is("set-cookie") => {
                Encoder::never_indexed(out, &header.name, &header.value);
                continue;
            }
            _ => {}
        }
        encoder.field(out, &header.name, &header.value);
    }
    if !is_dated {
        with_date(|date| encoder.field(out, b"date", date.as_bytes()));
    }
    if let Some(length) = length
        && !says_length
    {
        encoder.field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
    }
}

/// Fields of HTTP/1.1's connections beside those that it writes itself (RFC 9113 section 8.2.2).
fn is_of_http1(header: &Header) -> bool {
    match header.name.len() {
        7 => header.is("upgrade"),
        16 => header.is("proxy-connection"),
        _ => false,
    }
}

/// Fills in the head of the frame at `start`, whose payload is the block that stands behind it. A block that is longer than
/// the client takes goes on in further frames.
fn end_block(out: &mut Vec<u8>, start: usize, payload_max: usize, id: u32, is_end: bool) {
    let length = out.len().saturating_sub(start + HEAD_BYTES);
    let first = length.min(payload_max);
    let stream_flags = if is_end { flag::END_STREAM } else { 0 };
    let block_flags = if first == length { flag::END_HEADERS } else { 0 };
    let head = frame::head(first, kind::HEADERS, stream_flags | block_flags, id);
    if let Some(place) = out.get_mut(start..start + HEAD_BYTES) {
        place.copy_from_slice(&head);
    }
    if first < length {
        let rest = out.split_off(start + HEAD_BYTES + first);
        let mut pieces = rest.chunks(payload_max).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            frame::put_head(out, piece.len(), kind::CONTINUATION, flags, id);
            out.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_blocks_go_on_in_further_frames() {
        let check = |length: usize, expected: &[(usize, u8, u8)]| {
            let mut out = b"before".to_vec();
            frame::put_head(&mut out, 0, kind::HEADERS, 0, 1);
            out.extend(std::iter::repeat_n(b'x', length));
            end_block(&mut out, 6, 10, 1, true);
            let (mut rest, mut frames) = (&out[6..], Vec::new());
            while let Some((head, after)) = rest.split_first_chunk() {
                let head = frame::FrameHead::parse(*head);
                frames.push((head.length, head.kind, head.flags));
                assert!(after[..head.length].iter().all(|byte| *byte == b'x'));
                rest = &after[head.length..];
            }
            assert_eq!(frames, expected);
        };
        check(10, &[(10, 1, 5)]);
        check(11, &[(10, 1, 1), (1, 9, 4)]);
        check(30, &[(10, 1, 1), (10, 9, 0), (10, 9, 4)]);
    }
}
