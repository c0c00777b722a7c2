//! The way back to who invoked: a whole result, or pieces as the function writes them and then how it ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::error::InvokeError;
use crate::outcome::InvocationOutput;

/// How many pieces wait for a slow caller until the function has to wait too.
const PIECES_MAX: usize = 16;

/// What a streaming invocation gives.
#[derive(Debug)]
pub enum StreamedOutput {
    /// The function does not stream, or failed before it gave anything.
    Whole(InvocationOutput),
    /// The function has begun to answer.
    Stream(StreamedInvocation),
}

/// A result that arrives in pieces. Dropping it lets the function go on; what it writes is thrown away.
#[derive(Debug)]
pub struct StreamedInvocation {
    /// The version that runs.
    pub executed_version: String,
    /// The `Content-Type` that the runtime gave.
    pub content_type: Option<String>,
    pieces: mpsc::Receiver<Bytes>,
    end: Option<oneshot::Receiver<StreamEnd>>,
}

/// How a streamed result ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// `Unhandled` if the function failed after it had begun to answer.
    pub function_error: Option<String>,
    /// The description of that error: JSON.
    pub error: Bytes,
    /// The last 4 KB of the log in base64, if it was asked for.
    pub log_tail: Option<String>,
}

impl StreamedInvocation {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    /// How it ended. Pieces that were not taken are lost.
    pub async fn end(self) -> StreamEnd {
        let Some(end) = self.end else { return StreamEnd::default() };
        end.await.unwrap_or_else(|_| lost())
    }

    /// The next piece, or `None` at the end; an error is the last.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamEnd>>> {
        if let Some(piece) = ready!(self.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let end = ready!(Pin::new(end).poll(context)).unwrap_or_else(|_| lost());
        self.end = None;
        Poll::Ready(end.function_error.is_some().then_some(Err(end)))
    }
}

/// The end of a stream that nobody told.
fn lost() -> StreamEnd {
    let error = r#"{"errorType":"ServiceException","errorMessage":"functions are shutting down"}"#;
    StreamEnd {
        function_error: Some("Unhandled".to_owned()),
        error: Bytes::from_static(error.as_bytes()),
        log_tail: None,
    }
}

/// Who waits for an invocation.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Nobody: not known yet, or told already.
    Later,
    /// For the whole result.
    Whole(oneshot::Sender<Result<InvocationOutput, InvokeError>>),
    /// For pieces.
    Stream(oneshot::Sender<Result<StreamedOutput, InvokeError>>),
    /// Has got the pieces' channel, and waits for the end.
    Streaming(oneshot::Sender<StreamEnd>),
}

impl Reply {
    /// Whether nobody waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Later => false,
            Self::Whole(reply) => reply.is_closed(),
            Self::Stream(reply) => reply.is_closed(),
            Self::Streaming(reply) => reply.is_closed(),
        }
    }

    /// The channel for the pieces of a result that the function begins to stream; none for a caller who wants it whole.
    pub(crate) fn begin_stream(
        &mut self,
        executed_version: &str,
        content_type: Option<String>,
    ) -> Option<mpsc::Sender<Bytes>> {
        if !matches!(self, Self::Stream(_)) {
            return None;
        }
        let (end, ended) = oneshot::channel();
        let Self::Stream(reply) = std::mem::replace(self, Self::Streaming(end)) else { return None };
        let (sink, pieces) = mpsc::channel(PIECES_MAX);
        let stream = StreamedInvocation {
            executed_version: executed_version.to_owned(),
            content_type,
            pieces,
            end: Some(ended),
        };
        // Without a caller the pieces go nowhere, and the function does not notice.
        let _ = reply.send(Ok(StreamedOutput::Stream(stream)));
        Some(sink)
    }

    /// Tells the outcome.
    pub(crate) fn send(self, result: Result<InvocationOutput, InvokeError>) {
        match self {
            Self::Later => {}
            Self::Whole(reply) => drop(reply.send(result)),
            Self::Stream(reply) => drop(reply.send(result.map(StreamedOutput::Whole))),
            Self::Streaming(end) => {
                let end_of = |output: InvocationOutput| StreamEnd {
                    error: if output.function_error.is_some() { output.payload } else { Bytes::new() },
                    function_error: output.function_error,
                    log_tail: output.log_tail,
                };
                drop(end.send(result.map_or_else(|_| lost(), end_of)));
            }
        }
    }
}
