//! The task of one connection, from the handshake to its end.
//!
//! Nearly all connections are idle nearly all the time, so an idle one holds a socket, a timer and a few words: what is
//! read is read into memory of the worker's, and what is written is written from there. Only what the socket does not take
//! at once is kept, and as long as something is kept nothing more is read, so that a client that does not read cannot make
//! memory grow.
//!
//! Messages are answered one after the other, in the order in which they came. While one is being answered the next few
//! are read, pings are answered, and what others post is sent.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use stagedoor_websocket::{Decoder, Limits, Received, Violation, code};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::WebSocketLimits;
use super::connections::Mail;
use super::message::{self, Open};
use crate::worker::OpenConnection;

/// How much one read takes.
const READ_BYTES: usize = 64 * 1024;
/// How many messages are read ahead of the one that is being answered.
const WAITING_MAX: usize = 16;
/// How many messages a connection has answered before others get their turn.
const BEGUN_MAX: usize = 32;
/// How long a client may take nothing of what it is sent.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long a client has to answer a close frame, and to read what it was sent before.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
const GOING_AWAY: &str = "Going away";
const NOT_TRUSTED: &str = "The client's certificate is not trusted any more";

/// Why a connection ended, in the words of `$disconnect`.
struct End {
    status: u16,
    reason: Box<str>,
}

impl End {
    fn new(status: u16, reason: &str) -> Self {
        Self { status, reason: reason.into() }
    }

    /// The words for a status that came without any.
    fn without_reason(status: u16) -> Self {
        Self::new(
            status,
            match status {
                code::NORMAL => "Connection Closed Normally",
                code::GOING_AWAY => GOING_AWAY,
                code::NO_STATUS => "Client-side close frame status not set",
                code::ABNORMAL => "Connection Closed Abnormally",
                _ => "",
            },
        )
    }
}

type Answer = Pin<Box<dyn Future<Output = Option<Bytes>>>>;

/// Serves a connection until it is closed, and tells its `$disconnect` route.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: S, read: Bytes, open: Rc<Open>) {
    let _counted = OpenConnection::new(&open.worker);
    let mut socket = Socket::new(stream, read, Rc::clone(&open));
    let mut timer = pin!(tokio::time::sleep_until(socket.next_deadline()));
    let end = poll_fn(|context| socket.poll(context, timer.as_mut())).await;
    let Socket { stream, running, waiting, opened, .. } = socket;
    drop(stream);
    open.metrics.ended(open.worker.number, opened.elapsed());
    // What came before the end is answered before it is told, though nobody reads the answers.
    Box::pin(async move {
        if let Some(running) = running {
            running.await;
        }
        for text in waiting {
            message::answer(Rc::clone(&open), text).await;
        }
        message::disconnect(open, end.status, end.reason).await;
    })
    .await;
}

/// Ends a connection whose client has gone during the handshake, after its `$connect` route let it in.
pub(crate) async fn abandon(open: Rc<Open>) {
    let _counted = OpenConnection::new(&open.worker);
    open.worker.services.websockets.connections.remove(&open.handle);
    let End { status, reason } = End::without_reason(code::ABNORMAL);
    message::disconnect(open, status, reason).await;
}

/// Where a connection is in its life.
#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// Our close frame is written or waits to be; the client's is waited for.
    Closing {
        until: Instant,
    },
    /// The client broke the protocol. What it sent before is answered, and nothing more is read.
    Failing {
        until: Instant,
    },
    /// The client has been told that it broke the protocol. Whatever it sends is dropped.
    Refused {
        until: Instant,
    },
    /// The client's close frame has come. Ours is the last thing to be written.
    Closed {
        until: Instant,
    },
}

struct Socket<S> {
    stream: S,
    open: Rc<Open>,
    decoder: Decoder,
    /// What has been read and not been decoded.
    undecoded: Bytes,
    /// The message that is being answered.
    running: Option<Answer>,
    /// Those that come after it.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// What the stream has not taken yet, and how much of it it has.
    unwritten: Vec<u8>,
    written: usize,
    /// How much of it was posted by others.
    posted_bytes: usize,
    must_flush: bool,
    must_shut: bool,
    broken: Option<io::Error>,
    last_frame: Instant,
    opened: Instant,
    /// Since when the stream has taken nothing.
    stalled_since: Option<Instant>,
    phase: Phase,
    end: Option<End>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn new(stream: S, undecoded: Bytes, open: Rc<Open>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            open,
            decoder: Decoder::default(),
            undecoded,
            running: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            unwritten: Vec::new(),
            written: 0,
            posted_bytes: 0,
            must_flush: false,
            must_shut: false,
            broken: None,
            last_frame: now,
            opened: now,
            stalled_since: None,
            phase: Phase::Open,
            end: None,
        }
    }

    fn limits(&self) -> &WebSocketLimits {
        &self.open.worker.services.websockets.limits
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    fn may_answer(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Failing { .. })
    }

    fn next_deadline(&self) -> Instant {
        let limits = self.limits();
        let of_phase = match self.phase {
            Phase::Open => (self.last_frame + limits.idle_time_max).min(self.opened + limits.lifetime_max),
            Phase::Failing { until }
            | Phase::Closing { until }
            | Phase::Refused { until }
            | Phase::Closed { until } => until,
        };
        self.stalled_since.map_or(of_phase, |since| of_phase.min(since + STALL_MAX))
    }

    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        loop {
            if let Poll::Ready(outcome) = self.poll_io(context) {
                if let Err(error) = outcome {
                    tracing::debug!(peer = %self.open.info.peer, %error, "a WebSocket connection broke");
                }
                return Poll::Ready(self.leave());
            }
            let deadline = self.next_deadline();
            // It is moved on when it fires, not for every frame.
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            if now < deadline {
                timer.as_mut().reset(deadline);
                continue;
            }
            let is_stalled = self.stalled_since.is_some_and(|since| now >= since + STALL_MAX);
            if matches!(self.phase, Phase::Failing { .. }) && !is_stalled {
                self.refuse();
                timer.as_mut().reset(self.next_deadline());
                continue;
            }
            if !self.is_open() || is_stalled {
                return Poll::Ready(self.leave());
            }
            self.close(End::new(code::GOING_AWAY, GOING_AWAY));
            timer.as_mut().reset(self.next_deadline());
        }
    }

    /// Everything but time. Ready once nothing is left to do, or nothing can be done.
    fn poll_io(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut begun = 0;
        loop {
            if self.poll_write(context)?.is_pending() {
                // What is being answered goes on meanwhile. Nothing more is read.
                self.poll_running(context);
                return Poll::Pending;
            }
            if self.must_shut {
                ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
                self.must_shut = false;
            }
            if let Phase::Closed { .. } = self.phase {
                return Poll::Ready(Ok(()));
            }
            if self.take_mail(context) || self.poll_running(context) {
                continue;
            }
            if self.begin_next() {
                begun += 1;
                if begun == BEGUN_MAX {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            if matches!(self.phase, Phase::Failing { .. }) && self.running.is_none() {
                self.refuse();
                continue;
            }
            if !self.may_read() {
                return Poll::Pending;
            }
            ready!(self.poll_read(context))?;
        }
    }

    fn may_read(&self) -> bool {
        !matches!(self.phase, Phase::Failing { .. })
            && self.waiting.len() < WAITING_MAX
            && self.waiting_bytes <= self.limits().message_bytes_max
    }

    /// Sends what others left. True if that may have left something to be written.
    fn take_mail(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_open() {
            return false;
        }
        match self.open.handle.next_mail(context) {
            None => false,
            Some(Mail::Message(_)) if !self.open.is_trusted() => {
                self.shut_out();
                true
            }
            Some(Mail::Message(text)) => {
                self.posted_bytes += text.len();
                self.send(context, &text);
                true
            }
            Some(Mail::Close(status, reason)) => {
                self.close(End::new(status, reason));
                true
            }
        }
    }

    /// Goes on answering a message. True if it is answered.
    fn poll_running(&mut self, context: &mut Context<'_>) -> bool {
        let Some(running) = &mut self.running else { return false };
        let Poll::Ready(answer) = running.as_mut().poll(context) else { return false };
        self.running = None;
        if let (Some(text), true) = (answer, self.may_answer()) {
            self.send(context, &text);
            self.open.handle.touch();
        }
        true
    }

    fn begin_next(&mut self) -> bool {
        if self.running.is_some() || !self.may_answer() {
            return false;
        }
        if !self.waiting.is_empty() && !self.open.is_trusted() {
            self.shut_out();
            return true;
        }
        let Some(text) = self.waiting.pop_front() else { return false };
        self.waiting_bytes -= text.len();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        self.running = Some(Box::pin(message::answer(Rc::clone(&self.open), text)));
        true
    }

    /// Reads once, and deals with what has come.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = std::mem::take(&mut self.undecoded);
        if !before.is_empty() {
            self.received(&before);
            return Poll::Ready(Ok(()));
        }
        let mut buffer = self.open.worker.read_buffer.take();
        buffer.resize(READ_BYTES, 0);
        let mut read = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut self.stream).poll_read(context, &mut read);
        let length = read.filled().len();
        if let Poll::Ready(Ok(())) = outcome {
            self.received(buffer.get(..length).unwrap_or_default());
        }
        self.open.worker.read_buffer.replace(buffer);
        match ready!(outcome) {
            Ok(()) if length == 0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            outcome => Poll::Ready(outcome),
        }
    }

    fn received(&mut self, mut bytes: &[u8]) {
        self.last_frame = Instant::now();
        let WebSocketLimits { frame_bytes_max, message_bytes_max, .. } = *self.limits();
        let limits = Limits { frame_bytes: frame_bytes_max, message_bytes: message_bytes_max };
        while !bytes.is_empty() && matches!(self.phase, Phase::Open | Phase::Closing { .. }) {
            if !self.may_read() {
                self.undecoded = Bytes::copy_from_slice(bytes);
                return;
            }
            match self.decoder.decode(&mut bytes, limits) {
                Ok(None) => return,
                Ok(Some(Received::Text(text))) if self.is_open() => {
                    self.open.metrics.message(self.open.worker.number, text.len());
                    self.waiting_bytes += text.len();
                    self.waiting.push_back(text);
                    self.open.handle.touch();
                }
                Ok(Some(Received::Ping(payload))) if self.is_open() => {
                    stagedoor_websocket::pong(&mut self.unwritten, &payload);
                }
                Ok(Some(Received::Text(_) | Received::Ping(_) | Received::Pong)) => {}
                Ok(Some(Received::Close(frame))) => {
                    let status = frame.as_ref().map(|frame| frame.status);
                    if self.is_open() {
                        self.forget();
                        self.end = Some(match frame {
                            Some(frame) if !frame.reason.is_empty() => End::new(frame.status, &frame.reason),
                            Some(frame) => End::without_reason(frame.status),
                            None => End::without_reason(code::NO_STATUS),
                        });
                        stagedoor_websocket::close(&mut self.unwritten, status, "");
                    }
                    self.must_shut = true;
                    self.phase = Phase::Closed { until: Instant::now() + CLOSE_TIME_MAX };
                }
                Err(Violation { status, reason }) => {
                    self.decoder = Decoder::default();
                    let until = Instant::now() + CLOSE_TIME_MAX;
                    if self.is_open() {
                        self.forget();
                        self.end = Some(End::new(status, reason));
                        self.phase = Phase::Failing { until };
                    } else {
                        self.must_shut = true;
                        self.phase = Phase::Refused { until };
                    }
                }
            }
        }
    }

    /// Begins to close the connection.
    fn close(&mut self, end: End) {
        self.forget();
        stagedoor_websocket::close(&mut self.unwritten, Some(end.status), &end.reason);
        self.phase = Phase::Closing { until: Instant::now() + CLOSE_TIME_MAX };
        self.end = Some(end);
    }

    /// Ends the connection of a client that the truststore of its domain trusts no longer. What it has sent is not heard.
    fn shut_out(&mut self) {
        self.waiting = VecDeque::new();
        self.waiting_bytes = 0;
        self.close(End::new(code::POLICY, NOT_TRUSTED));
    }

    /// Tells a client that it broke the protocol.
    fn refuse(&mut self) {
        if let Some(end) = self.end.take() {
            self.close(end);
        }
        self.must_shut = true;
        self.phase = Phase::Refused { until: Instant::now() + CLOSE_TIME_MAX };
    }

    /// Nobody finds the connection from now on.
    fn forget(&self) {
        self.open.worker.services.websockets.connections.remove(&self.open.handle);
    }

    fn leave(&mut self) -> End {
        self.forget();
        self.end.take().unwrap_or_else(|| End::without_reason(code::ABNORMAL))
    }

    /// Sends a message. Nothing may be unwritten when others are, so that they stay in order.
    fn send(&mut self, context: &mut Context<'_>, text: &[u8]) {
        self.last_frame = Instant::now();
        self.open.metrics.message(self.open.worker.number, text.len());
        let frame_bytes_max = self.limits().frame_bytes_max;
        if self.unwritten.is_empty() {
            // Most messages are taken by the stream at once, and then need no memory of their own.
            let mut buffer = self.open.worker.write_buffer.take();
            stagedoor_websocket::message(&mut buffer, text, frame_bytes_max);
            match Pin::new(&mut self.stream).poll_write(context, &buffer) {
                Poll::Ready(Ok(written)) => {
                    self.must_flush = true;
                    self.unwritten.extend_from_slice(buffer.get(written..).unwrap_or_default());
                }
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Pending => self.unwritten.extend_from_slice(&buffer),
            }
            buffer.clear();
            if buffer.capacity() <= READ_BYTES {
                self.open.worker.write_buffer.replace(buffer);
            }
        } else {
            stagedoor_websocket::message(&mut self.unwritten, text, frame_bytes_max);
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        while let Some(rest) = self.unwritten.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            self.stalled_since = None;
            self.must_flush = true;
        }
        if self.written > 0 {
            (self.unwritten, self.written) = (Vec::new(), 0);
        }
        if self.posted_bytes > 0 {
            self.open.handle.sent(std::mem::take(&mut self.posted_bytes));
        }
        if self.must_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}
