//! A connection: what is read is handed to [`super::receive`], what there is to say is gathered and written.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::buffers;
use super::error::{Code, ConnectionError, Violation};
use super::frame::{self, FrameHead, HEAD_BYTES, PAYLOAD_BYTES_DEFAULT, setting};
use super::hpack::{Decoder, Encoder};
use super::inflow::Touched;
use super::notice::{Notice, STREAMS_MAX, places};
use super::receive::Block;
use super::request::LIST_BYTES_MAX;
use super::stream::{Dropping, Stream, Streams};
use crate::{Body, RequestHead, ResponseHead};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a client may send on one stream that has not been read, and on all of a connection's.
pub(super) const STREAM_WINDOW: i64 = 512 * 1024;
const CONNECTION_WINDOW: i64 = 1024 * 1024;
/// What everybody may send before anything is said.
const WINDOW_DEFAULT: i64 = 65_535;
/// Frames that ask for nothing which a client may send between two looks.
pub(super) const IDLE_FRAMES_MAX: u32 = 10_000;
/// By so many a client's streams that came to nothing may outnumber those that were answered.
const GRUDGE_MAX: u32 = 200;
/// Nothing is read while so much waits to be written: the client has to take its answers.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;
/// How often a poll reads before others have their turn.
const READS_MAX: usize = 4;
/// Of a request body that nothing reads any more, so much is read and dropped: what AWS takes, and some.
const DROPPED_BYTES_MAX: usize = 12 * 1024 * 1024;
/// How long that may take.
const DROPPING_TIME_MAX: Duration = Duration::from_secs(2);
/// After so many looks without a frame from the client it is asked whether it is there, and after so many it is not.
const QUIET_LOOKS_PING: u32 = 3;
const QUIET_LOOKS_MAX: u32 = 5;
/// For so many looks a client may take nothing of what is written to it.
const STALLED_LOOKS_MAX: u32 = 6;
/// How long a connection that is over may take to say so, and how much is read meanwhile: to close it before the client has
/// read why would take that away from it.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(1);
const CLOSING_BYTES_MAX: usize = 1024 * 1024;
const IS_THERE: [u8; 8] = *b"is there";
const LAST_CALL: [u8; 8] = *b"lastcall";

/// A connection from a client. `H` begins with the handling of a request; what it gives is polled by the connection until it
/// has an answer, or dropped when the client does not want one any more.
pub struct Connection<S, H, F> {
    io: S,
    handle: H,
    core: Core<F>,
    /// What was read before the connection was this one's.
    read: Bytes,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// How much of the preface has come.
    preface: usize,
    closing: Option<Closing>,
    /// Whether others have gone first since requests were read, and since there was something to write.
    has_read: bool,
    has_waited: bool,
}

struct Closing {
    error: Option<ConnectionError>,
    timer: Pin<Box<Sleep>>,
    is_shut: bool,
    read: usize,
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client has been told that there is an end, and can still send what it sent before it knew.
    Announced,
    /// No stream after this one is looked at.
    After(u32),
}

/// A connection but for its stream of bytes.
pub(super) struct Core<F> {
    pub(super) streams: Streams<F>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    /// What is to be written, and how much of it has been.
    pub(super) out: Vec<u8>,
    pub(super) written: usize,
    pub(super) notice: Arc<Notice>,
    pub(super) touched: Rc<Touched>,
    pub(super) block: Option<Block>,
    pub(super) has_settings: bool,
    /// The client's last stream.
    pub(super) last: u32,
    pub(super) resets: Resets,
    /// How many requests are being handled, and how many there have been.
    pub(super) handlers: usize,
    pub(super) requests: u64,
    /// What the client takes: on a new stream, on all together, and in one frame.
    pub(super) peer_window: i64,
    pub(super) send_window: i64,
    pub(super) peer_payload_max: usize,
    /// What the client may send, and what it may send beside that and has not been told.
    pub(super) receive_window: i64,
    pub(super) untold: usize,
    /// Streams that are new, those that have more to send, and those that wait for the connection's window.
    pub(super) fresh: u128,
    pub(super) again: u128,
    pub(super) blocked: u128,
    /// Streams whose rest is read and dropped, and when to look at them.
    dropping: u128,
    dropping_timer: Option<Pin<Box<Sleep>>>,
    leaving: Leaving,
    pub(super) client_leaves: bool,
    pub(super) idle_frames: u32,
    pub(super) grudge: u32,
    has_heard: bool,
    has_written: bool,
    quiet_looks: u32,
    stalled_looks: u32,
}

/// The streams that were reset last. The client may not know yet.
#[derive(Default)]
pub(super) struct Resets {
    ids: Vec<u32>,
    next: usize,
}

impl Resets {
    fn add(&mut self, id: u32) {
        match self.ids.get_mut(self.next) {
            Some(oldest) => *oldest = id,
            None => self.ids.push(id),
        }
        self.next = (self.next + 1) % STREAMS_MAX;
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }
}

impl<S, H, F> Connection<S, H, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: FnMut(RequestHead, Body) -> F,
    F: Future<Output = (ResponseHead, Body)>,
{
    /// A connection over a stream, from which `read` has been read already.
    pub fn new(io: S, read: Bytes, handle: H) -> Self {
        Self {
            io,
            handle,
            core: Core::new(),
            read,
            partial: Vec::new(),
            preface: 0,
            closing: None,
            has_read: false,
            has_waited: false,
        }
    }

    /// How many requests have no answer yet.
    pub fn in_flight(&self) -> usize {
        self.core.handlers
    }

    /// How many requests there have been.
    pub fn requests(&self) -> u64 {
        self.core.requests
    }

    /// Lets what is under way come to its end, and takes no more requests.
    pub fn shut_down(&mut self) {
        if self.core.leaving == Leaving::No {
            self.core.leaving = Leaving::Announced;
            frame::put_goaway(&mut self.core.out, frame::MAX, Code::NoError, "");
            frame::put_ping(&mut self.core.out, 0, LAST_CALL);
        }
    }

    /// To be called every ten seconds, and [`Self::poll`] after it.
    ///
    /// # Errors
    /// [`ConnectionError::Unresponsive`]: nobody is there any more.
    pub fn look(&mut self) -> Result<(), ConnectionError> {
        let core = &mut self.core;
        core.idle_frames = 0;
        core.grudge /= 2;
        core.quiet_looks = if std::mem::take(&mut core.has_heard) { 0 } else { core.quiet_looks + 1 };
        let is_stalled = !core.out.is_empty() && !core.has_written;
        core.has_written = false;
        core.stalled_looks = if is_stalled { core.stalled_looks + 1 } else { 0 };
        if core.quiet_looks >= QUIET_LOOKS_MAX || core.stalled_looks >= STALLED_LOOKS_MAX {
            return Err(ConnectionError::Unresponsive);
        }
        if core.quiet_looks == QUIET_LOOKS_PING {
            frame::put_ping(&mut core.out, 0, IS_THERE);
        }
        core.receive_pong(LAST_CALL);
        Ok(())
    }

    /// Does all that can be done now. Ready when the connection is over.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.core.notice.begin(context.waker());
        if self.core.out.capacity() == 0 {
            self.core.out = buffers::lend_write();
        }
        let polled = self.drive(context);
        if self.core.out.is_empty() {
            buffers::give_back_write(std::mem::take(&mut self.core.out));
        }
        if self.core.notice.end() || self.core.touched.any() {
            context.waker().wake_by_ref();
        }
        polled
    }

    fn drive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if self.closing.is_none() {
            let error = match ready!(self.serve(context)) {
                Ok(()) => None,
                Err(ConnectionError::Violation { code, reason }) => {
                    frame::put_goaway(&mut self.core.out, self.core.last, code, reason);
                    Some(ConnectionError::Violation { code, reason })
                }
                Err(error) => return Poll::Ready(Err(error)),
            };
            for place in places(self.core.streams.places()) {
                self.core.close(place);
            }
            let timer = Box::pin(sleep(CLOSING_TIME_MAX));
            self.closing = Some(Closing { error, timer, is_shut: false, read: 0 });
        }
        self.poll_close(context)
    }

    /// Ready when nothing is left to do but to close. What was woken meanwhile is done in the next poll, so that others go on
    /// first (see [`crate::turn`]); and so are requests that have just been read, and what there is to write.
    fn serve(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut may_read = true;
        for _ in 0..READS_MAX {
            if self.core.out.len() >= UNWRITTEN_BYTES_MAX {
                break;
            }
            match self.poll_read(context) {
                Poll::Ready(Ok(true)) => {}
                // The client has closed the connection.
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    may_read = false;
                    break;
                }
            }
        }
        if self.core.fresh != 0 && !std::mem::replace(&mut self.has_read, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_read = false;
        self.core.poll_streams();
        self.core.return_windows();
        self.core.poll_dropping(context);
        let waits = self.core.has_room() && !self.core.out.is_empty();
        if waits && !std::mem::replace(&mut self.has_waited, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = false;
        let may_send = self.poll_write(context)?;
        if may_send || (may_read && self.core.out.len() < UNWRITTEN_BYTES_MAX) {
            context.waker().wake_by_ref();
        }
        if self.core.is_done() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Reads once, and takes all frames that are whole. False at the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, ConnectionError>> {
        let mut buffer = buffers::lend_read();
        let read = self.poll_read_into(context, &mut buffer);
        buffers::give_back_read(buffer);
        read
    }

    fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<bool, ConnectionError>> {
        let mut room = ReadBuf::new(buffer);
        room.put_slice(&self.partial);
        let kept = self.partial.len();
        if self.read.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(context, &mut room))?;
        } else {
            let length = self.read.len().min(room.remaining());
            room.put_slice(&self.read.split_to(length));
        }
        let mut bytes = room.filled();
        if bytes.len() == kept {
            return Poll::Ready(Ok(false));
        }
        self.partial.clear();
        self.core.has_heard = true;
        self.take_preface(&mut bytes)?;
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
            let head = FrameHead::parse(*head);
            if head.length > PAYLOAD_BYTES_DEFAULT {
                return Poll::Ready(Err(too_long()));
            }
            let Some((payload, rest)) = rest.split_at_checked(head.length) else { break };
            self.take_frame(head, payload)?;
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Poll::Ready(Ok(true))
    }

    fn take_preface(&mut self, bytes: &mut &[u8]) -> Result<(), ConnectionError> {
        let left = PREFACE.get(self.preface..).unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
        let (come, rest) = bytes.split_at(left.len().min(bytes.len()));
        if !left.starts_with(come) {
            return Err(violation(Code::ProtocolError, "the connection does not begin as HTTP/2 does"));
        }
        self.preface += come.len();
        *bytes = rest;
        Ok(())
    }

    fn take_frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let taken = match self.core.receive(head, payload, &mut self.handle) {
            Err(Violation::Stream(code)) => {
                self.core.reset(head.stream, code);
                self.core.bear_grudge()
            }
            taken => taken,
        };
        match taken {
            Err(Violation::Connection(code, reason)) => Err(violation(code, reason)),
            _ => Ok(()),
        }
    }

    /// Writes what there is. True if there is more to do since it is gone.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let core = &mut self.core;
        if core.out.is_empty() {
            return Ok(false);
        }
        while let Some(left) = core.out.get(core.written..).filter(|left| !left.is_empty()) {
            match Pin::new(&mut self.io).poll_write(context, left) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    core.written += written;
                    core.has_written = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    core.out.drain(..core.written);
                    core.written = 0;
                    return Ok(false);
                }
            }
        }
        core.out.clear();
        core.written = 0;
        // What the stream keeps back leaves when it can.
        if let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(context) {
            flushed?;
        }
        Ok(core.again != 0)
    }

    /// Says what is left to say, and then that nothing more comes.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let written = self.poll_write(context);
        let Some(closing) = &mut self.closing else { return Poll::Ready(Ok(())) };
        let over = |closing: &mut Closing| Poll::Ready(closing.error.take().map_or(Ok(()), Err));
        if written.is_err() || closing.timer.as_mut().poll(context).is_ready() {
            return over(closing);
        }
        if !self.core.out.is_empty() {
            return Poll::Pending;
        }
        if !closing.is_shut {
            if ready!(Pin::new(&mut self.io).poll_shutdown(context)).is_err() {
                return over(closing);
            }
            closing.is_shut = true;
        }
        if closing.error.is_none() {
            return over(closing);
        }
        let mut buffer = buffers::lend_read();
        let mut room = ReadBuf::new(&mut buffer);
        let mut is_over = false;
        while !is_over {
            room.clear();
            match Pin::new(&mut self.io).poll_read(context, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => closing.read += room.filled().len(),
                Poll::Ready(Err(_)) => is_over = true,
            }
            is_over |= room.filled().is_empty() || closing.read > CLOSING_BYTES_MAX;
        }
        buffers::give_back_read(buffer);
        if is_over { over(closing) } else { Poll::Pending }
    }
}

fn violation(code: Code, reason: &'static str) -> ConnectionError {
    ConnectionError::Violation { code, reason }
}

fn too_long() -> ConnectionError {
    violation(Code::FrameSizeError, "a frame is longer than was agreed on")
}

impl<F> Drop for Core<F> {
    /// Whoever still reads a request's body finds out that it has broken off.
    fn drop(&mut self) {
        for place in places(self.streams.places()) {
            self.close(place);
        }
    }
}

impl<F> Core<F> {
    fn new() -> Self {
        let notice = Arc::<Notice>::default();
        let mut core = Self {
            streams: Streams::new(Arc::clone(&notice)),
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            out: Vec::new(),
            written: 0,
            touched: Rc::new(Touched::new(Arc::clone(&notice))),
            notice,
            block: None,
            has_settings: false,
            last: 0,
            resets: Resets::default(),
            handlers: 0,
            requests: 0,
            peer_window: WINDOW_DEFAULT,
            send_window: WINDOW_DEFAULT,
            peer_payload_max: PAYLOAD_BYTES_DEFAULT,
            receive_window: CONNECTION_WINDOW,
            untold: 0,
            fresh: 0,
            again: 0,
            blocked: 0,
            dropping: 0,
            dropping_timer: None,
            leaving: Leaving::No,
            client_leaves: false,
            idle_frames: 0,
            grudge: 0,
            has_heard: true,
            has_written: false,
            quiet_looks: 0,
            stalled_looks: 0,
        };
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, STREAMS_MAX as u32),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
            (setting::MAX_HEADER_LIST_SIZE, LIST_BYTES_MAX as u32),
        ];
        frame::put_settings(&mut core.out, &settings);
        frame::put_window_update(&mut core.out, 0, (CONNECTION_WINDOW - WINDOW_DEFAULT) as u32);
        core
    }

    /// Whether the connection has come to its end in good order.
    fn is_done(&self) -> bool {
        let is_leaving = self.client_leaves || matches!(self.leaving, Leaving::After(_));
        is_leaving && self.streams.is_empty() && self.out.is_empty()
    }

    /// Whether a stream is too late to be looked at.
    pub(super) fn is_past_end(&self, id: u32) -> bool {
        matches!(self.leaving, Leaving::After(last) if id > last)
    }

    pub(super) fn receive_pong(&mut self, payload: [u8; 8]) {
        if self.leaving == Leaving::Announced && payload == LAST_CALL {
            self.leaving = Leaving::After(self.last);
            frame::put_goaway(&mut self.out, self.last, Code::NoError, "");
        }
    }

    /// Counts a stream that came to nothing by the client's doing.
    pub(super) fn bear_grudge(&mut self) -> Result<(), Violation> {
        self.grudge += 1;
        if self.grudge > GRUDGE_MAX {
            return Err(Violation::Connection(
                Code::EnhanceYourCalm,
                "too many streams that come to nothing",
            ));
        }
        Ok(())
    }

    /// Ends a stream.
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        frame::put_reset(&mut self.out, id, code);
        self.resets.add(id);
        if let Some(place) = self.streams.find(id) {
            self.close(place);
        }
    }

    /// Forgets a stream, whose handler is dropped if it has one: true then.
    pub(super) fn close(&mut self, place: usize) -> bool {
        let Some(stream) = self.streams.remove(place) else { return false };
        let keep = !(1 << place);
        self.fresh &= keep;
        self.again &= keep;
        self.blocked &= keep;
        self.dropping &= keep;
        if let Some(inflow) = &stream.receiving.inflow {
            let mut inflow = inflow.borrow_mut();
            self.untold += inflow.take_consumed() + inflow.unread();
            inflow.break_off();
        }
        let Stream { handler, .. } = stream;
        if handler.is_some() {
            self.handlers = self.handlers.saturating_sub(1);
        }
        handler.is_some()
    }

    /// Forgets a stream on which nothing is left to do.
    pub(super) fn settle(&mut self, place: usize) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        if !stream.is_answered() {
            return;
        }
        let id = stream.id;
        if stream.receiving.has_ended {
            self.close(place);
        } else if stream.receiving.dropping.as_ref().is_some_and(|dropping| dropping.is_over) {
            self.reset(id, Code::NoError);
        }
    }

    /// Looks at what handlers have read of the bodies, and lets clients send as much again.
    fn return_windows(&mut self) {
        for place in places(self.touched.take()) {
            let Some(stream) = self.streams.get_mut(place) else { continue };
            let receiving = &mut stream.receiving;
            let Some(inflow) = &receiving.inflow else { continue };
            let (mut free, unwanted) = {
                let mut inflow = inflow.borrow_mut();
                (inflow.take_consumed(), inflow.unwanted())
            };
            if let Some(unwanted) = unwanted {
                free += unwanted;
                receiving.inflow = None;
                if !receiving.has_ended {
                    let until = Instant::now() + DROPPING_TIME_MAX;
                    receiving.dropping = Some(Dropping { until, left: DROPPED_BYTES_MAX, is_over: false });
                    self.dropping |= 1 << place;
                    self.dropping_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                }
            }
            receiving.untold += free;
            self.untold += free;
            self.tell_window(place);
        }
        if self.untold as i64 >= CONNECTION_WINDOW / 2 {
            let untold = std::mem::take(&mut self.untold);
            self.receive_window += untold as i64;
            frame::put_window_update(&mut self.out, 0, u32::try_from(untold).unwrap_or_default());
        }
    }

    /// Tells the client what it may send on a stream, once that is worth a frame.
    pub(super) fn tell_window(&mut self, place: usize) {
        let Some(stream) = self.streams.get_mut(place) else { return };
        let receiving = &mut stream.receiving;
        if receiving.untold as i64 >= STREAM_WINDOW / 2 && !receiving.has_ended {
            let untold = std::mem::take(&mut receiving.untold);
            receiving.window += untold as i64;
            frame::put_window_update(&mut self.out, stream.id, u32::try_from(untold).unwrap_or_default());
        }
    }

    /// Ends the reading of what nobody wants when its time is over.
    fn poll_dropping(&mut self, context: &mut Context<'_>) {
        loop {
            let Some(timer) = &mut self.dropping_timer else { return };
            if timer.as_mut().poll(context).is_pending() {
                return;
            }
            let now = Instant::now();
            let mut next: Option<Instant> = None;
            for place in places(self.dropping) {
                let Some(stream) = self.streams.get_mut(place) else { continue };
                let Some(dropping) = &mut stream.receiving.dropping else { continue };
                if dropping.is_over || dropping.until <= now {
                    dropping.is_over = true;
                    self.dropping &= !(1 << place);
                    self.settle(place);
                } else {
                    next = Some(next.map_or(dropping.until, |next| next.min(dropping.until)));
                }
            }
            self.dropping_timer = next.map(|until| Box::pin(sleep_until(until)));
        }
    }
}
