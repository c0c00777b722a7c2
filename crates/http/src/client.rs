//! The client's side of an HTTP/1.1 connection.
//!
//! A request and its answer run in the task that asked: no task of its own, no channel. The answer's body reads from
//! the connection as it is asked for, and hands the connection back when it has come to its end.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
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
pub struct ClientConnection<S> {
    transport: Transport<S>,
    out: BytesMut,
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
        Self { transport: Transport::new(io), out: BytesMut::new() }
    }

    /// Whether an idle connection is still open and silent, as far as is known without waiting. `may_have_news` is the
    /// cheap question, whether it is worth while to look.
    pub fn is_usable(&mut self, may_have_news: impl FnOnce(&S) -> bool) -> bool {
        if !self.transport.buffer.is_empty() {
            return false;
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        !may_have_news(&self.transport.io) || self.transport.poll_fill_head(&mut context).is_pending()
    }

    /// The stream under the connection.
    pub fn stream(&self) -> &S {
        &self.transport.io
    }

    /// Sends a request and waits for the head of its answer. Interim (1xx) answers are dropped.
    ///
    /// # Errors
    /// [`SendError`]; the connection is gone then.
    pub async fn send(
        mut self,
        head: &RequestHead,
        body: Body,
        recycle: impl Recycle<S> + 'static,
    ) -> Result<(ResponseHead, Body), SendError> {
        self.out.clear();
        let framing = encode::framing_for(body.remaining());
        encode::request_head(&mut self.out, head, framing);
        let mut upload = Upload {
            body: Body::Empty,
            chunk: Bytes::new(),
            line_end: &[],
            chunked: framing == Framing::Chunked,
            state: Uploading::Body,
        };
        match body {
            Body::Full(bytes) if bytes.len() <= COPY_BYTES_MAX => self.out.extend_from_slice(&bytes),
            Body::Full(bytes) => upload.chunk = bytes,
            Body::Empty => {}
            stream @ Body::Stream(_) => upload.body = stream,
        }
        turn::others_first().await;
        let mut scanner = HeadScanner::default();
        let mut answered = false;
        let parsed = poll_fn(|context| {
            // A server may answer before it has read the whole request, so both directions move in each poll.
            if let Poll::Ready(Err(error)) = upload.poll(context, &mut self.transport, &mut self.out) {
                return Poll::Ready(Err(SendError::RequestBody(error)));
            }
            loop {
                while let Some(bytes) = scanner.take_head(&mut self.transport.buffer)? {
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
                match ready!(self.transport.poll_fill_head(context)) {
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
        out: &mut BytesMut,
    ) -> Poll<Result<(), BodyError>> {
        while matches!(self.state, Uploading::Body | Uploading::LastBytes) {
            let mut bytes = (&mut *out).chain(&mut self.chunk).chain(&mut self.line_end);
            let mut written = ready!(transport.poll_write_all(context, &mut bytes));
            if written.is_ok() && self.state == Uploading::LastBytes {
                written = ready!(transport.poll_flush(context));
                self.state = Uploading::Done;
            }
            if written.is_err() {
                self.state = Uploading::Refused;
            }
            if self.state != Uploading::Body {
                break;
            }
            match self.body.poll_chunk(context) {
                Poll::Pending => {
                    let _ = transport.poll_flush(context);
                    return Poll::Pending;
                }
                Poll::Ready(Some(chunk)) => {
                    self.chunk = chunk?;
                    if self.chunked {
                        encode::chunk_size(out, self.chunk.len());
                        self.line_end = b"\r\n";
                    }
                }
                Poll::Ready(None) => {
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
        let connection = self.connection.as_mut()?;
        let length = self.decoder.remaining()?;
        if length > connection.transport.buffer.len() as u64 {
            return None;
        }
        let body = match self.decoder.decode(&mut connection.transport.buffer) {
            Ok(Decoded::Chunk(chunk)) => Body::Full(chunk),
            _ => Body::Empty,
        };
        self.recycle_if_done();
        Some(body)
    }

    fn recycle_if_done(&mut self) {
        if self.decoder.is_done()
            && self.keep_alive
            && self.upload.state == Uploading::Done
            && let Some(connection) =
                self.connection.take_if(|connection| connection.transport.buffer.is_empty())
        {
            self.recycle.recycle(connection);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Recycle<S>> BodyStream for ResponseBody<S, R> {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        // The answer may have begun before the request was all sent.
        if let Poll::Ready(Err(error)) =
            self.upload.poll(context, &mut connection.transport, &mut connection.out)
        {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.decoder.decode(&mut connection.transport.buffer)? {
                Decoded::Chunk(chunk) => {
                    self.recycle_if_done();
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Decoded::End => {
                    self.recycle_if_done();
                    return Poll::Ready(None);
                }
                Decoded::NeedMore => {}
            }
            if ready!(connection.transport.poll_fill(context, self.decoder.wanted()))? == 0 {
                self.decoder.connection_closed()?;
                return Poll::Ready(None);
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.remaining()
    }
}
