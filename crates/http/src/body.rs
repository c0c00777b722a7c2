//! Message bodies: nothing, bytes at hand, or a stream.
//!
//! Everything here is single-threaded on purpose: a worker owns its connections, so a body need not be `Send`.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

/// A stream of body bytes, such as the body of a message that is still arriving.
pub trait BodyStream {
    /// The next piece, or `None` at the end. Pieces are never empty.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// The number of bytes still to come, where it is known.
    fn remaining(&self) -> Option<u64>;
}

/// Why a body ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection it arrived on failed.
    #[error("the connection failed while a body was arriving: {0}")]
    Io(#[from] std::io::Error),
    /// The sender closed the connection before the body was whole.
    #[error("the sender closed the connection before the body was complete")]
    Incomplete,
    /// The body's framing is wrong, such as a chunk size that is no number.
    #[error("the body is not framed as HTTP asks: {0}")]
    Framing(&'static str),
    /// The body is larger than the limit it was read with.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// No byte arrived for too long.
    #[error("no byte of the body arrived for too long")]
    TimedOut,
    /// The payload does not have the coding that it claims.
    #[error("the payload is not coded as its Content-Encoding says: {0}")]
    Undecodable(String),
    /// The stream's source failed in a way of its own.
    #[error("{0}")]
    Source(String),
}

/// A message body.
#[derive(Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// All of it, at hand.
    Full(Bytes),
    /// Still arriving, or being produced.
    Stream(Box<dyn BodyStream>),
}

impl Body {
    /// The number of bytes still to come, where it is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.remaining(),
        }
    }

    /// Whether it is known that no byte will come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining() == Some(0)
    }

    /// The next piece, or `None` at the end.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(self) {
                Self::Full(bytes) if bytes.has_remaining() => Poll::Ready(Some(Ok(bytes))),
                _ => Poll::Ready(None),
            },
            Self::Stream(stream) => stream.poll_chunk(context),
        }
    }

    /// The next piece, or `None` at the end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    /// All of it in one piece.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as it is known to exceed `limit` bytes; the stream's own errors.
    pub async fn collect(mut self, limit: u64) -> Result<Bytes, BodyError> {
        if self.remaining().is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge { limit });
        }
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Bytes::new()) };
        if first.len() as u64 > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let Some(second) = self.chunk().await.transpose()? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            if (whole.len() + chunk.len()) as u64 > limit {
                return Err(BodyError::TooLarge { limit });
            }
            whole.extend_from_slice(&chunk);
            next = self.chunk().await.transpose()?;
        }
        Ok(whole.freeze())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => formatter.write_str("Empty"),
            Self::Full(bytes) => write!(formatter, "Full({} bytes)", bytes.len()),
            Self::Stream(stream) => write!(formatter, "Stream({:?} bytes to come)", stream.remaining()),
        }
    }
}
