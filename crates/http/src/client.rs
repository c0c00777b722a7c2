//! The client's side of an HTTP/1.1 connection.
//!
//! A request and its answer run in the task that asked: no task of its own, no channel. The answer's body reads from
//! the connection as it is asked for, and hands the connection back when it has come to its end.

use std::cell::{Ref, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::encode;
use crate::framing::{BodyDecoder, Decoded};
use crate::head::{self, Framing, HeadError, HeadScanner};
use crate::transport::Transport;
use crate::{Body, BodyError, BodyStream, RequestHead, ResponseHead, turn};

/// A body up to this size leaves in one write with its head.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// A connection to a server, with no request under way.
#[derive(Debug)]
pub struct ClientConnection<S>(Rc<RefCell<Transport<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> turn::Writer for RefCell<Transport<S>> {
    fn queued_by(&self, waker: &Waker) {
        self.borrow_mut().queued_by(waker);
    }

    fn write(&self) {
        self.borrow_mut().write_queued();
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection was closed or failed before the first byte of an answer. On a connection that has been used
    /// before this may be no more than the server's idle limit.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
    /// What came is not an answer.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The request's body could not be had.
    #[error(transparent)]
    RequestBody(BodyError),
}

/// Where a connection goes that can be used again.
pub trait Recycle<S> {
    /// Takes the connection.
    fn recycle(&mut self, connection: ClientConnection<S>);
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> ClientConnection<S> {
    /// A connection over a stream.
    #[must_use]
    pub fn new(io: S) -> Self {
        Self(Rc::new(RefCell::new(Transport::new(io))))
    }

    /// Whether an idle connection is still open and silent, as far as is known without waiting. `may_have_news` is the
    /// cheap question, whether it is worth while to look.
    pub fn is_usable(&self, may_have_news: impl FnOnce(&S) -> bool) -> bool {
        let mut transport = self.0.borrow_mut();
        if !transport.buffer.is_empty() {
            return false;
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        !may_have_news(&transport.io) || transport.poll_fill_head(&mut context).is_pending()
    }

    /// The stream under the connection.
    #[must_use]
    pub fn stream(&self) -> Ref<'_, S> {
        Ref::map(self.0.borrow(), |transport| &transport.io)
    }

    /// Sends a request and waits for the head of its answer. Interim (1xx) answers are dropped.
    ///
    /// # Errors
    /// [`SendError`]; the connection is gone then.
    pub async fn send(
        self,
        head: &RequestHead,
        body: Body,
        recycle: impl Recycle<S> + 'static,
    ) -> Result<(ResponseHead, Body), SendError> {
        let framing = encode::framing_for(body.remaining());
        let mut upload = Upload {
            body: Body::Empty,
            chunk: Bytes::new(),
            line_end: &[],
            chunked: framing == Framing::Chunked,
            state: Uploading::LastBytes,
        };
        let is_short = {
            let transport = &mut *self.0.borrow_mut();
            encode::request_head(&mut transport.out, head, framing);
            match body {
                Body::Full(bytes) if bytes.len() <= COPY_BYTES_MAX => transport.out.extend_from_slice(&bytes),
                Body::Full(bytes) => upload.chunk = bytes,
                Body::Empty => {}
                stream @ Body::Stream(_) => {
                    upload.body = stream;
                    upload.state = Uploading::Body;
                }
            }
            transport.is_queued = upload.chunk.is_empty() && upload.state == Uploading::LastBytes;
            transport.is_queued
        };
        if is_short {
            turn::write_last(Rc::clone(&self.0) as Rc<dyn turn::Writer>).await;
        } else {
            turn::others_first().await;
        }
        let mut scanner = HeadScanner::default();
        let mut answered = false;
        let parsed = poll_fn(|context| {
            // A server may answer before it has read the whole request, so both directions move in each poll.
            let transport = &mut *self.0.borrow_mut();
            if let Poll::Ready(Err(error)) = upload.poll(context, transport) {
                return Poll::Ready(Err(SendError::RequestBody(error)));
            }
            loop {
                while let Some(bytes) = scanner.take_head(&mut transport.buffer)? {
                    let parsed = head::parse_response(&bytes, &head.method)?;
                    if parsed.head.status == StatusCode::SWITCHING_PROTOCOLS {
                        // What follows is not HTTP, and nothing here ever asks for that.
                        return Poll::Ready(Err(
                            HeadError::Malformed("an unasked switch of protocols").into()
                        ));
                    }
                    if !parsed.head.status.is_informational() {
                        return Poll::Ready(Ok(parsed));
                    }
                }
                match ready!(transport.poll_fill_head(context)) {
                    Ok(0) if answered => {
                        return Poll::Ready(Err(SendError::Io(io::ErrorKind::UnexpectedEof.into())));
                    }
                    Ok(0) => return Poll::Ready(Err(SendError::Closed)),
                    Ok(_) => answered = true,
                    Err(error) if !answered && is_reset(&error) => {
                        return Poll::Ready(Err(SendError::Closed));
                    }
                    Err(error) => return Poll::Ready(Err(SendError::Io(error))),
                }
            }
        })
        .await?;
        let decoder = BodyDecoder::new(parsed.framing);
        let mut rest =
            ResponseBody { connection: Some(self), decoder, upload, keep_alive: parsed.keep_alive, recycle };
        Ok((parsed.head, rest.if_at_hand().unwrap_or_else(|| Body::Stream(Box::new(rest)))))
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// A request's body on its way out.
struct Upload {
    body: Body,
    chunk: Bytes,
    /// What has to follow the chunk.
    line_end: &'static [u8],
    chunked: bool,
    state: Uploading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Uploading {
    Body,
    /// The body has been read to its end; its last bytes may still have to be written.
    LastBytes,
    Done,
    /// The server does not take it any more. Its answer may be there all the same.
    Refused,
}

impl Upload {
    /// Moves as much as can be moved. The only error is that of the body's source.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        transport: &mut Transport<S>,
    ) -> Poll<Result<(), BodyError>> {
        while matches!(self.state, Uploading::Body | Uploading::LastBytes) {
            if transport.is_queued {
                return Poll::Pending;
            }
            let written =
                ready!(transport.poll_write(context, &mut (&mut self.chunk).chain(&mut self.line_end)));
            self.state = match (written, self.state) {
                (Err(_), _) => Uploading::Refused,
                (Ok(()), Uploading::LastBytes) => Uploading::Done,
                (Ok(()), state) => state,
            };
            if self.state != Uploading::Body {
                break;
            }
            match ready!(self.body.poll_chunk(context)) {
                Some(chunk) => {
                    self.chunk = chunk?;
                    if self.chunked {
                        encode::chunk_size(&mut transport.out, self.chunk.len());
                        self.line_end = b"\r\n";
                    }
                }
                None => {
                    if self.chunked {
                        self.line_end = b"0\r\n\r\n";
                    }
                    self.state = Uploading::LastBytes;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of an answer that is still arriving.
struct ResponseBody<S, R> {
    connection: Option<ClientConnection<S>>,
    decoder: BodyDecoder,
    upload: Upload,
    keep_alive: bool,
    recycle: R,
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Recycle<S>> ResponseBody<S, R> {
    /// The whole body, if it came together with its head.
    fn if_at_hand(&mut self) -> Option<Body> {
        let body = {
            let buffer = &mut self.connection.as_ref()?.0.borrow_mut().buffer;
            if self.decoder.remaining()? > buffer.len() as u64 {
                return None;
            }
            match self.decoder.decode(buffer) {
                Ok(Decoded::Chunk(chunk)) => Body::Full(chunk),
                _ => Body::Empty,
            }
        };
        self.recycle_if_done();
        Some(body)
    }

    fn recycle_if_done(&mut self) {
        if self.decoder.is_done()
            && self.keep_alive
            && self.upload.state == Uploading::Done
            && let Some(connection) =
                self.connection.take_if(|connection| connection.0.borrow().buffer.is_empty())
        {
            self.recycle.recycle(connection);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Recycle<S>> BodyStream for ResponseBody<S, R> {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(connection) = &self.connection else { return Poll::Ready(None) };
        let mut transport = connection.0.borrow_mut();
        // The answer may have begun before the request was all sent.
        if let Poll::Ready(Err(error)) = self.upload.poll(context, &mut transport) {
            return Poll::Ready(Some(Err(error)));
        }
        let chunk = loop {
            match self.decoder.decode(&mut transport.buffer)? {
                Decoded::Chunk(chunk) => break Some(Ok(chunk)),
                Decoded::End => break None,
                Decoded::NeedMore => {}
            }
            if ready!(transport.poll_fill(context, self.decoder.wanted()))? == 0 {
                self.decoder.connection_closed()?;
                return Poll::Ready(None);
            }
        };
        drop(transport);
        self.recycle_if_done();
        Poll::Ready(chunk)
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.remaining()
    }
}
