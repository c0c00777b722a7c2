//! What comes in: frames, and what they ask for.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use super::connection::{Core, STREAM_WINDOW};
use super::error::{Code, Violation};
use super::frame::{self, FrameHead, flag, kind, setting};
use super::hpack::Kind;
use super::inflow::{Inflow, RequestBody};
use super::request::{Builder, LIST_BYTES_MAX, NoRequest, Request};
use super::stream::{Receiving, Stream};
use crate::{Body, RequestHead, ResponseHead};

/// The frames that a header block may be cut into.
const BLOCK_FRAMES_MAX: usize = 16;
/// The bytes that a header block may have: more than a head may count, so that one that is a little too large has an answer.
const BLOCK_BYTES_MAX: usize = 2 * LIST_BYTES_MAX;

/// A header block that has not come to its end.
pub(super) struct Block {
    stream: u32,
    ends_stream: bool,
    is_wrong: bool,
    bytes: Vec<u8>,
    frames: usize,
}

type Received = Result<(), Violation>;

fn lost(code: Code, reason: &'static str) -> Received {
    Err(Violation::Connection(code, reason))
}

impl<F: Future<Output = (ResponseHead, Body)>> Core<F> {
    /// Takes a whole frame.
    ///
    /// # Errors
    /// [`Violation`].
    pub(super) fn receive(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        handle: &mut impl FnMut(RequestHead, Body) -> F,
    ) -> Received {
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return lost(Code::ProtocolError, "a header block is interrupted");
        }
        if !self.has_settings && head.kind != kind::SETTINGS {
            return lost(Code::ProtocolError, "the first frame has no settings");
        }
        match head.kind {
            kind::DATA => self.receive_data(head, payload),
            kind::HEADERS => self.receive_headers(head, payload, handle),
            kind::CONTINUATION => self.receive_continuation(head, payload, handle),
            kind::RST_STREAM => self.receive_reset(head, payload),
            kind::WINDOW_UPDATE => self.receive_window_update(head, payload),
            kind::SETTINGS => self.receive_settings(head, payload),
            kind::PING => self.receive_ping(head, payload),
            kind::GOAWAY if head.stream != 0 => lost(Code::ProtocolError, "GOAWAY on a stream"),
            kind::GOAWAY if payload.len() < 8 => lost(Code::FrameSizeError, "GOAWAY is too short"),
            kind::GOAWAY => {
                self.client_leaves = true;
                Ok(())
            }
            kind::PUSH_PROMISE => lost(Code::ProtocolError, "a client promises nothing"),
            kind::PRIORITY if head.stream == 0 => lost(Code::ProtocolError, "PRIORITY on no stream"),
            kind::PRIORITY if payload.len() != 5 => lost(Code::FrameSizeError, "PRIORITY has five bytes"),
            // What nobody knows is left alone, and so are wishes that nobody grants.
            _ => self.count_idle(),
        }
    }

    /// Counts a frame that asks for nothing.
    fn count_idle(&mut self) -> Received {
        self.idle_frames += 1;
        if self.idle_frames > super::connection::IDLE_FRAMES_MAX {
            return lost(Code::EnhanceYourCalm, "too many frames that ask for nothing");
        }
        Ok(())
    }

    fn receive_headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        handle: &mut impl FnMut(RequestHead, Body) -> F,
    ) -> Received {
        if head.stream.is_multiple_of(2) {
            return lost(Code::ProtocolError, "a client's streams have odd numbers");
        }
        let mut bytes = frame::without_padding(head, payload)?;
        let mut is_wrong = false;
        if head.has(flag::PRIORITY) {
            let Some((priority, rest)) = bytes.split_first_chunk::<5>() else {
                return lost(Code::FrameSizeError, "HEADERS is too short");
            };
            let [a, b, c, d, _] = *priority;
            // A stream that depends on itself.
            is_wrong = u32::from_be_bytes([a, b, c, d]) & frame::MAX == head.stream;
            bytes = rest;
        }
        let ends_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.receive_block(head.stream, ends_stream, is_wrong, bytes, handle);
        }
        let bytes = bytes.to_vec();
        self.block = Some(Block { stream: head.stream, ends_stream, is_wrong, bytes, frames: 1 });
        Ok(())
    }

    fn receive_continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        handle: &mut impl FnMut(RequestHead, Body) -> F,
    ) -> Received {
        let Some(mut block) = self.block.take_if(|block| block.stream == head.stream) else {
            return lost(Code::ProtocolError, "CONTINUATION of nothing");
        };
        block.frames += 1;
        if block.bytes.len() + payload.len() > BLOCK_BYTES_MAX || block.frames > BLOCK_FRAMES_MAX {
            return lost(Code::EnhanceYourCalm, "a header block has no end");
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.receive_block(block.stream, block.ends_stream, block.is_wrong, &block.bytes, handle);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Takes a whole header block. It is decoded whatever becomes of it: the next ones refer to what is in it.
    fn receive_block(
        &mut self,
        id: u32,
        ends_stream: bool,
        is_wrong: bool,
        bytes: &[u8],
        handle: &mut impl FnMut(RequestHead, Body) -> F,
    ) -> Received {
        if id <= self.last {
            return self.receive_trailers(id, ends_stream, bytes);
        }
        let mut builder = Builder::default();
        self.decoder.decode(bytes, |field| builder.take(field))?;
        if self.is_past_end(id) {
            // It has been told that no more requests are taken.
            return Ok(());
        }
        self.last = id;
        let Request { head, length } = match builder.finish() {
            Ok(_) if is_wrong => return Err(Violation::Stream(Code::ProtocolError)),
            Ok(request) => request,
            Err(NoRequest::Malformed) => return Err(Violation::Stream(Code::ProtocolError)),
            Err(NoRequest::TooLarge) => {
                self.respond_too_large(id);
                if !ends_stream {
                    self.reset(id, Code::NoError);
                }
                return self.count_idle();
            }
        };
        if ends_stream && length.is_some_and(|length| length > 0) {
            return Err(Violation::Stream(Code::ProtocolError));
        }
        let Some(place) = self.streams.free_place() else {
            self.reset(id, Code::RefusedStream);
            return self.count_idle();
        };
        let (body, inflow) = if ends_stream {
            (Body::Empty, None)
        } else {
            let inflow = Rc::new(RefCell::new(Inflow::new(length)));
            let body = RequestBody { inflow: Rc::clone(&inflow), place, touched: Rc::clone(&self.touched) };
            (Body::Stream(Box::new(body)), Some(inflow))
        };
        let is_head = head.method == http::Method::HEAD;
        let receiving = Receiving {
            has_ended: ends_stream,
            inflow,
            window: STREAM_WINDOW,
            untold: 0,
            length_left: length,
            dropping: None,
        };
        let handler = Some(Box::pin(handle(head, body)));
        let send_window = self.peer_window;
        self.streams.insert(place, Stream { id, is_head, handler, sending: None, send_window, receiving });
        self.fresh |= 1 << place;
        self.handlers += 1;
        self.requests += 1;
        Ok(())
    }

    /// Fields after a body. They are dropped: no backend of API Gateway ever sees them.
    fn receive_trailers(&mut self, id: u32, ends_stream: bool, bytes: &[u8]) -> Received {
        let mut is_malformed = false;
        self.decoder.decode(bytes, |field| {
            let is_pseudo = matches!(field.kind, Kind::Method | Kind::Path | Kind::Scheme | Kind::Authority);
            is_malformed |= is_pseudo || !field.is_valid;
        })?;
        let Some(place) = self.streams.find(id) else {
            if self.resets.contains(id) {
                return self.count_idle();
            }
            return lost(Code::StreamClosed, "a header block on a stream that is closed");
        };
        let Some(stream) = self.streams.get_mut(place) else { return Ok(()) };
        if stream.receiving.has_ended {
            return Err(Violation::Stream(Code::StreamClosed));
        }
        if is_malformed || !ends_stream {
            return Err(Violation::Stream(Code::ProtocolError));
        }
        self.end_receiving(place)
    }

    fn receive_data(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if head.stream == 0 || head.stream > self.last {
            return lost(Code::ProtocolError, "DATA on a stream that is not open");
        }
        let counted = payload.len();
        self.receive_window -= counted as i64;
        if self.receive_window < 0 {
            return lost(Code::FlowControlError, "more data than the connection takes");
        }
        let data = frame::without_padding(head, payload)?;
        let Some(place) = self.streams.find(head.stream) else {
            self.untold += counted;
            if self.resets.contains(head.stream) {
                return if data.is_empty() { self.count_idle() } else { Ok(()) };
            }
            return Err(Violation::Stream(Code::StreamClosed));
        };
        if data.is_empty() && !head.has(flag::END_STREAM) {
            self.count_idle()?;
        }
        let Some(stream) = self.streams.get_mut(place) else { return Ok(()) };
        let receiving = &mut stream.receiving;
        receiving.window -= counted as i64;
        let code = if receiving.has_ended {
            Some(Code::StreamClosed)
        } else if receiving.window < 0 {
            Some(Code::FlowControlError)
        } else if let Some(left) = &mut receiving.length_left {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    None
                }
                None => Some(Code::ProtocolError),
            }
        } else {
            None
        };
        if let Some(code) = code {
            self.untold += counted;
            return Err(Violation::Stream(code));
        }
        let mut unread = 0;
        match (&receiving.inflow, &mut receiving.dropping) {
            (Some(inflow), _) => {
                unread = data.len();
                inflow.borrow_mut().push(data);
                receiving.untold += counted - unread;
            }
            (None, Some(dropping)) => match dropping.left.checked_sub(data.len()) {
                Some(rest) => {
                    dropping.left = rest;
                    receiving.untold += counted;
                }
                // The client may send what it has room for, and then no more.
                None => dropping.is_over = true,
            },
            (None, None) => {}
        }
        self.untold += counted - unread;
        self.tell_window(place);
        if head.has(flag::END_STREAM) {
            return self.end_receiving(place);
        }
        self.settle(place);
        Ok(())
    }

    /// The request has come to its end.
    fn end_receiving(&mut self, place: usize) -> Received {
        let Some(stream) = self.streams.get_mut(place) else { return Ok(()) };
        stream.receiving.has_ended = true;
        if stream.receiving.length_left.is_some_and(|left| left > 0) {
            return Err(Violation::Stream(Code::ProtocolError));
        }
        if let Some(inflow) = &stream.receiving.inflow {
            inflow.borrow_mut().end();
        }
        self.settle(place);
        Ok(())
    }

    fn receive_reset(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if payload.len() != 4 {
            return lost(Code::FrameSizeError, "RST_STREAM has four bytes");
        }
        if head.stream == 0 || head.stream > self.last {
            return lost(Code::ProtocolError, "RST_STREAM on a stream that is not open");
        }
        let Some(place) = self.streams.find(head.stream) else { return self.count_idle() };
        if self.close(place) {
            // Work that was begun for nothing.
            self.bear_grudge()?;
        }
        Ok(())
    }

    fn receive_window_update(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        let Ok(increment) = payload.try_into().map(u32::from_be_bytes) else {
            return lost(Code::FrameSizeError, "WINDOW_UPDATE has four bytes");
        };
        let increment = i64::from(increment & frame::MAX);
        if head.stream == 0 {
            if increment == 0 {
                return lost(Code::ProtocolError, "WINDOW_UPDATE by nothing");
            }
            self.send_window += increment;
            if self.send_window > i64::from(frame::MAX) {
                return lost(Code::FlowControlError, "the connection's window is too large");
            }
            self.again |= std::mem::take(&mut self.blocked);
            return Ok(());
        }
        if head.stream > self.last {
            return lost(Code::ProtocolError, "WINDOW_UPDATE on a stream that is not open");
        }
        let Some(place) = self.streams.find(head.stream) else { return self.count_idle() };
        let Some(stream) = self.streams.get_mut(place) else { return Ok(()) };
        if increment == 0 {
            return Err(Violation::Stream(Code::ProtocolError));
        }
        stream.send_window += increment;
        if stream.send_window > i64::from(frame::MAX) {
            return Err(Violation::Stream(Code::FlowControlError));
        }
        if stream.sending.is_some() {
            self.again |= 1 << place;
        }
        Ok(())
    }

    fn receive_settings(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if head.stream != 0 {
            return lost(Code::ProtocolError, "SETTINGS on a stream");
        }
        if !payload.len().is_multiple_of(6) || (head.has(flag::ACK) && !payload.is_empty()) {
            return lost(Code::FrameSizeError, "SETTINGS has six bytes for each");
        }
        self.count_idle()?;
        if head.has(flag::ACK) {
            return Ok(());
        }
        self.has_settings = true;
        for (name, value) in frame::settings(payload) {
            match name {
                setting::HEADER_TABLE_SIZE => {
                    self.encoder.set_size_max(usize::try_from(value).unwrap_or(usize::MAX));
                }
                setting::ENABLE_PUSH if value > 1 => {
                    return lost(Code::ProtocolError, "ENABLE_PUSH is 0 or 1");
                }
                setting::INITIAL_WINDOW_SIZE if value > frame::MAX => {
                    return lost(Code::FlowControlError, "INITIAL_WINDOW_SIZE is too large");
                }
                setting::INITIAL_WINDOW_SIZE => self.set_peer_window(i64::from(value))?,
                setting::MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return lost(Code::ProtocolError, "MAX_FRAME_SIZE is out of its range");
                }
                setting::MAX_FRAME_SIZE => {
                    self.peer_payload_max = usize::try_from(value).unwrap_or(frame::PAYLOAD_BYTES_DEFAULT);
                }
                _ => {}
            }
        }
        frame::put_head(&mut self.out, 0, kind::SETTINGS, flag::ACK, 0);
        Ok(())
    }

    /// A new beginning for all windows, those that are open included.
    fn set_peer_window(&mut self, window: i64) -> Received {
        let change = window - self.peer_window;
        self.peer_window = window;
        for stream in self.streams.iter_mut() {
            stream.send_window += change;
            if stream.send_window > i64::from(frame::MAX) {
                return lost(Code::FlowControlError, "INITIAL_WINDOW_SIZE makes a window too large");
            }
        }
        self.again |= self.streams.places();
        Ok(())
    }

    fn receive_ping(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if head.stream != 0 {
            return lost(Code::ProtocolError, "PING on a stream");
        }
        let Ok(payload) = payload.try_into() else {
            return lost(Code::FrameSizeError, "PING has eight bytes");
        };
        self.count_idle()?;
        if head.has(flag::ACK) {
            self.receive_pong(payload);
        } else {
            frame::put_ping(&mut self.out, flag::ACK, payload);
        }
        Ok(())
    }
}
