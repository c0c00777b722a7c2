//! The server's side of an HTTP/1.1 connection.
//!
//! One task owns the connection: it takes a request, has it answered, writes the answer, and goes on to the next.
//! The request's body reads from the same connection while the request is being handled, which is why the stream is
//! shared behind a `RefCell`; a borrow never outlives one poll.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BufMut, Bytes};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::encode::{self, ResponseContext};
use crate::framing::{BodyDecoder, Decoded};
use crate::head::{self, Framing, HeadError, HeadScanner};
use crate::transport::Transport;
use crate::{Body, BodyError, BodyStream, Headers, RequestHead, ResponseHead, Version, turn};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// An unread rest of a request body up to this size is read and dropped, so that the connection can stay open.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// A body up to this size is copied behind its head: one short copy is cheaper than a second slice for the kernel.
const COPY_BYTES_MAX: usize = 4 * 1024;

/// A connection from a client.
pub struct ServerConnection<S> {
    shared: Rc<RefCell<Inbound<S>>>,
    scanner: HeadScanner,
    first: bool,
    /// How much of the last request's body has been read and dropped.
    dropped: u64,
    method: Method,
    version: Version,
    keep_alive: bool,
}

/// What came in.
pub enum Incoming {
    /// A request.
    Request(RequestHead, Body),
    /// The client speaks HTTP/2: take the stream with [`ServerConnection::into_parts`].
    Http2,
    /// The client closed the connection between two requests.
    Closed,
}

/// Why no request came in.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// What came is not a request that can be understood one way only. It still can be answered.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The connection failed, or was closed in the middle of a head.
    #[error(transparent)]
    Io(#[from] io::Error),
}

struct Inbound<S> {
    transport: Transport<S>,
    decoder: BodyDecoder,
    /// What is left to write of `100 Continue` before the body can be expected.
    continue_left: &'static [u8],
    /// A body whose framing was wrong, or that broke off, ends the connection.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> turn::Writer for RefCell<Inbound<S>> {
    fn queued_by(&self, waker: &Waker) {
        self.borrow_mut().transport.queued_by(waker);
    }

    fn write(&self) {
        let transport = &mut self.borrow_mut().transport;
        // It stays in the task that owns the connection.
        transport.waker = transport.write_queued();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> ServerConnection<S> {
    /// A connection over a stream.
    #[must_use]
    pub fn new(io: S) -> Self {
        let transport = Transport::new(io);
        let decoder = BodyDecoder::new(Framing::None);
        let inbound = Inbound { transport, decoder, continue_left: &[], broken: false };
        Self {
            shared: Rc::new(RefCell::new(inbound)),
            scanner: HeadScanner::default(),
            first: true,
            dropped: 0,
            method: Method::GET,
            version: Version::Http11,
            keep_alive: false,
        }
    }

    /// Whether part of a request has arrived, and the rest of it has not.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_unread()
    }

    /// Whether part of the last request's body has not been read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let inbound = self.shared.borrow();
        !inbound.decoder.is_done() || !inbound.transport.buffer.is_empty()
    }

    /// Ready when the last response has been written. [`Self::poll_next`] does that, or the end of the turn.
    pub fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let transport = &self.shared.borrow().transport;
        if transport.out.is_empty() {
            return Poll::Ready(());
        }
        if transport.is_queued {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The next request. What is left of the last response is written first, and what is still to come of the last
    /// request's body is read and dropped.
    ///
    /// # Errors
    /// [`IncomingError::Head`] asks for an answer with [`Self::respond`], which then closes the connection.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, IncomingError>> {
        {
            let transport = &mut self.shared.borrow_mut().transport;
            if transport.has_unwritten() {
                ready!(transport.poll_write(context, &mut &[][..]))?;
            }
        }
        if !ready!(self.poll_drain(context)) {
            return Poll::Ready(Ok(Incoming::Closed));
        }
        let mut inbound = self.shared.borrow_mut();
        loop {
            let buffer = &mut inbound.transport.buffer;
            if self.first && !buffer.is_empty() {
                if buffer.starts_with(HTTP2_PREFACE) {
                    return Poll::Ready(Ok(Incoming::Http2));
                }
                if !HTTP2_PREFACE.starts_with(buffer) {
                    self.first = false;
                }
            }
            let head = match self.first {
                true => None,
                false => self.scanner.take_head(buffer).inspect_err(|_| self.keep_alive = false)?,
            };
            if let Some(head) = head {
                let parsed = head::parse_request(&head).inspect_err(|_| self.keep_alive = false)?;
                self.method = parsed.head.method.clone();
                self.version = parsed.head.version;
                self.keep_alive = parsed.keep_alive;
                inbound.decoder = BodyDecoder::new(parsed.framing);
                self.dropped = 0;
                inbound.continue_left = if parsed.expect_continue { CONTINUE } else { &[] };
                let body = match parsed.framing {
                    Framing::None => Body::Empty,
                    _ => Body::Stream(Box::new(RequestBody { shared: Rc::clone(&self.shared) })),
                };
                return Poll::Ready(Ok(Incoming::Request(parsed.head, body)));
            }
            if ready!(inbound.transport.poll_fill_head(context))? == 0 {
                return Poll::Ready(match inbound.transport.buffer.is_empty() {
                    true => Ok(Incoming::Closed),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                });
            }
        }
    }

    /// Says that the connection closes after the next response, whatever the client wished.
    pub fn close_after_response(&mut self) {
        self.keep_alive = false;
    }

    /// Writes a response. True means that the connection can take another request; what is short is then written at the
    /// end of the turn, and a failure told by [`Self::poll_next`]. An interim (1xx) status ends no exchange; 500 goes out
    /// in its place.
    ///
    /// # Errors
    /// [`RespondError`]: the connection has to be dropped, so that the client sees that the response is not whole.
    pub async fn respond(&mut self, mut head: ResponseHead, mut body: Body) -> Result<bool, RespondError> {
        if head.status.is_informational() {
            // To the client this would be the promise of another answer: it would take the next one for this.
            head = ResponseHead { status: StatusCode::INTERNAL_SERVER_ERROR, headers: Headers::new() };
            body = Body::Empty;
            self.keep_alive = false;
        }
        let left_out = if self.method == Method::HEAD { body.remaining().unwrap_or(0) } else { 0 };
        if self.method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304) {
            body = Body::Empty;
        }
        let mut framing = encode::framing_for(body.remaining());
        if framing == Framing::Chunked && self.version == Version::Http10 {
            framing = Framing::UntilClose;
            self.keep_alive = false;
        }
        self.keep_alive &= self.can_drain();
        let keep_alive = self.keep_alive;
        let context = ResponseContext { method: &self.method, left_out, version: self.version, keep_alive };
        let is_short = {
            let transport = &mut self.shared.borrow_mut().transport;
            encode::response_head(&mut transport.out, &head, framing, context);
            if let Body::Full(bytes) = &body
                && bytes.len() <= COPY_BYTES_MAX
            {
                transport.out.extend_from_slice(bytes);
                body = Body::Empty;
            }
            matches!(body, Body::Empty)
        };
        if is_short && keep_alive {
            if !std::mem::replace(&mut self.shared.borrow_mut().transport.is_queued, true) {
                turn::write_last(Rc::clone(&self.shared) as Rc<dyn turn::Writer>).await;
            }
            return Ok(true);
        }
        turn::others_first().await;
        match body {
            Body::Empty => self.write(&[][..]).await?,
            Body::Full(bytes) => self.write(bytes).await?,
            Body::Stream(_) => self.write_stream(body, framing).await?,
        }
        Ok(keep_alive)
    }

    async fn write_stream(&mut self, mut body: Body, framing: Framing) -> Result<(), RespondError> {
        let mut left = body.remaining();
        loop {
            // The head leaves together with the first piece if that is there already.
            let next = match poll_fn(|context| Poll::Ready(body.poll_chunk(context))).await {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.write(&[][..]).await?;
                    body.chunk().await
                }
            };
            let Some(chunk) = next.transpose().map_err(RespondError::Body)? else { break };
            if framing == Framing::Chunked {
                encode::chunk_size(&mut self.shared.borrow_mut().transport.out, chunk.len());
                self.write(chunk.chain(&b"\r\n"[..])).await?;
            } else {
                if let Some(left) = &mut left {
                    *left = left.checked_sub(chunk.len() as u64).ok_or(RespondError::Length)?;
                }
                self.write(chunk).await?;
                if left == Some(0) {
                    break;
                }
            }
        }
        if framing == Framing::Chunked {
            self.shared.borrow_mut().transport.out.extend_from_slice(b"0\r\n\r\n");
        }
        if left.is_some_and(|left| left > 0) {
            return Err(RespondError::Length);
        }
        self.write(&[][..]).await?;
        Ok(())
    }

    /// Writes what is in `out`, then `more`.
    async fn write(&mut self, mut more: impl Buf) -> io::Result<()> {
        if more.remaining() <= COPY_BYTES_MAX {
            self.shared.borrow_mut().transport.out.put(&mut more);
        }
        poll_fn(|context| self.shared.borrow_mut().transport.poll_write(context, &mut more)).await
    }

    /// Whether what is unread of the request's body is little enough to be read and dropped.
    fn can_drain(&self) -> bool {
        let inbound = self.shared.borrow();
        let little = inbound.decoder.remaining().is_some_and(|left| left <= DRAIN_BYTES_MAX);
        !inbound.broken && (inbound.decoder.is_done() || (little && inbound.continue_left.is_empty()))
    }

    /// Reads and drops what is unread of the last request's body; false if that cannot be done.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.shared.borrow().decoder.is_done() {
            return Poll::Ready(true);
        }
        let mut rest = RequestBody { shared: Rc::clone(&self.shared) };
        while let Some(chunk) = ready!(rest.poll_chunk(context)) {
            self.dropped += chunk.as_ref().map_or(DRAIN_BYTES_MAX, |chunk| chunk.len() as u64);
            if chunk.is_err() || self.dropped > DRAIN_BYTES_MAX {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }

    /// Says that nothing more will be sent, then reads and drops what the client still sends, so that it can read the
    /// last response before its own writes fail. The caller limits how long.
    pub async fn linger(&mut self) {
        let shut = poll_fn(|context| {
            std::pin::Pin::new(&mut self.shared.borrow_mut().transport.io).poll_shutdown(context)
        });
        if shut.await.is_err() {
            return;
        }
        poll_fn(|context| {
            let mut inbound = self.shared.borrow_mut();
            loop {
                inbound.transport.buffer.clear();
                match ready!(inbound.transport.poll_fill(context, DRAIN_BYTES_MAX as usize)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        })
        .await;
    }

    /// Writes the head that makes the connection one of another protocol (101), and gives the stream away with what has
    /// been read from it; `None` if a request's body is still held somewhere.
    ///
    /// # Errors
    /// What the connection failed with.
    pub async fn switch_protocols(mut self, head: &ResponseHead) -> io::Result<Option<(S, Bytes)>> {
        encode::switching_head(&mut self.shared.borrow_mut().transport.out, head);
        self.write(&[][..]).await?;
        // A response before this one may have waited for the end of the turn.
        while self.shared.borrow().transport.is_queued {
            turn::others_first().await;
        }
        Ok(self.into_parts())
    }

    /// The stream, and the bytes that were read from it and belong to nothing yet; `None` while a request's body is
    /// still held somewhere.
    #[must_use]
    pub fn into_parts(self) -> Option<(S, Bytes)> {
        let inbound = Rc::into_inner(self.shared)?.into_inner();
        Some((inbound.transport.io, inbound.transport.buffer.freeze()))
    }
}

/// Why a response could not be sent whole.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    /// The client's connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The body's source failed.
    #[error("the response body broke off: {0}")]
    Body(BodyError),
    /// The body's source gave more or fewer bytes than it had said.
    #[error("the response body is not as long as it was said to be")]
    Length,
}

/// The body of the request that is being handled.
struct RequestBody<S> {
    shared: Rc<RefCell<Inbound<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> BodyStream for RequestBody<S> {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let inbound = &mut *self.shared.borrow_mut();
        if inbound.broken {
            return Poll::Ready(Some(Err(BodyError::Incomplete)));
        }
        if !inbound.continue_left.is_empty() {
            ready!(inbound.transport.poll_write(context, &mut inbound.continue_left))?;
        }
        loop {
            let decoded = inbound.decoder.decode(&mut inbound.transport.buffer);
            match decoded.inspect_err(|_| inbound.broken = true)? {
                Decoded::Chunk(chunk) => return Poll::Ready(Some(Ok(chunk))),
                Decoded::End => return Poll::Ready(None),
                Decoded::NeedMore => {}
            }
            match ready!(inbound.transport.poll_fill(context, inbound.decoder.wanted())) {
                Ok(1..) => {}
                Ok(0) => {
                    inbound.broken = true;
                    return Poll::Ready(Some(Err(BodyError::Incomplete)));
                }
                Err(error) => {
                    inbound.broken = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.shared.borrow().decoder.remaining()
    }
}
