//! Answers that reach the client while they are still being made (`responseTransferMode: STREAM`).
//!
//! A function that streams writes its status and headers as JSON, then eight zero bytes, then the body as it comes.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use stagedoor_http::{Body, BodyError, BodyStream};
use stagedoor_shapes::apigateway::EndpointType;
use tokio::time::Sleep;

use super::aws_proxy::{self, Output};
use super::{event, lambda_call, lambda_fault, timed_out};
use crate::exchange::Exchange;
use crate::forward::limit_waits;
use crate::gateway_response::Fault;
use crate::lambda::LambdaChunks;
use crate::plan::integration::LambdaFunction;

/// What stands between a function's headers and the body.
const DELIMITER: [u8; 8] = [0; 8];
/// Where the delimiter has to have come, in bytes from the beginning.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// How long a response may stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Altogether, from the request's arrival. 15 minutes unless set, as on AWS.
    pub lifetime_max: Duration,
    /// Without a byte, in regional and private APIs. 5 minutes unless set, as on AWS.
    pub idle_time_max: Duration,
    /// Without a byte, in edge-optimized APIs. 30 seconds unless set, as on AWS.
    pub edge_idle_time_max: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            lifetime_max: Duration::from_secs(15 * 60),
            idle_time_max: Duration::from_secs(5 * 60),
            edge_idle_time_max: Duration::from_secs(30),
        }
    }
}

impl StreamLimits {
    /// How long the next byte is waited for.
    #[must_use]
    pub fn idle_time_max(&self, endpoint_type: EndpointType) -> Duration {
        match endpoint_type {
            EndpointType::Edge => self.edge_idle_time_max,
            EndpointType::Regional | EndpointType::Private => self.idle_time_max,
        }
    }

    /// Ends a stream that takes too long altogether, counted from when the request came in, or longer than the integration
    /// may take, counted from its call.
    pub(super) fn limit_time(&self, exchange: &Exchange<'_>, timeout: Duration, body: Body) -> Body {
        let called = exchange.record.integration.began.unwrap_or(exchange.started);
        let end = (exchange.started + self.lifetime_max).min(called + timeout);
        let end = Box::pin(tokio::time::sleep_until(end.into()));
        Body::Stream(Box::new(TimeLimited { body, end }))
    }
}

struct TimeLimited {
    body: Body,
    end: Pin<Box<Sleep>>,
}

impl BodyStream for TimeLimited {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        self.body.poll_chunk(context)
    }

    fn remaining(&self) -> Option<u64> {
        self.body.remaining()
    }
}

/// Calls a function whose answer streams, and makes the response as soon as its headers are there.
///
/// # Errors
/// 502 if the function fails before that or writes something else, 504 if it takes too long to.
pub(super) async fn run(exchange: &mut Exchange<'_>, function: &LambdaFunction) -> Result<(), Fault> {
    let body = exchange.whole_body().await?;
    let event = event::write(exchange, &body);
    let call = lambda_call(exchange, function, event, false).await?;
    let began = Instant::now();
    let called = exchange.worker.services.lambda.invoke_streaming(call);
    let begun = async {
        let mut chunks = called.await.map_err(|error| (error.status(), lambda_fault(&error)))?;
        let (metadata, first) = read_metadata(&mut chunks).await.map_err(|fault| (Some(200), fault))?;
        Ok((metadata, first, chunks))
    };
    let begun = tokio::time::timeout(function.timeout, begun).await;
    let record = &mut exchange.record.integration;
    record.ended(began);
    let (metadata, first, chunks) = match begun {
        Ok(Ok(begun)) => {
            record.service_status = Some(200);
            begun
        }
        Ok(Err((status, fault))) => {
            record.service_status = status;
            record.status = status;
            return Err(fault);
        }
        Err(_) => return Err(timed_out(function.timeout)),
    };
    let output = Output::parse_metadata(&metadata).map_err(Fault::malformed_answer)?;
    record.status = Some(output.status.as_u16());
    let body = Body::Stream(Box::new(Chunks { first, chunks }));
    let limits = exchange.worker.services.streams;
    let body = limit_waits(body, limits.idle_time_max(exchange.plan.endpoint_type));
    let body = limits.limit_time(exchange, function.timeout, body);
    aws_proxy::respond(exchange, output.status, output.headers, body);
    Ok(())
}

/// Reads up to the delimiter; gives what stands before it, and what of the body has come already.
async fn read_metadata(chunks: &mut LambdaChunks) -> Result<(Bytes, Bytes), Fault> {
    let mut read = BytesMut::new();
    loop {
        let Some(piece) = chunks.recv().await else {
            return Err(Fault::malformed_answer(
                "the function's answer ended before the eight zero bytes after its headers",
            ));
        };
        let piece = piece.map_err(|error| Fault::malformed_answer(error.to_string()))?;
        // The delimiter may have begun at the end of what came before.
        let looked_at = read.len().saturating_sub(DELIMITER.len() - 1);
        read.extend_from_slice(&piece);
        let rest = read.get(looked_at..).unwrap_or_default();
        if let Some(at) = memchr::memmem::find(rest, &DELIMITER).map(|at| at + looked_at)
            && at <= METADATA_BYTES_MAX
        {
            let metadata = read.split_to(at).freeze();
            let body = read.freeze().split_off(DELIMITER.len());
            return Ok((metadata, body));
        }
        if read.len() > METADATA_BYTES_MAX {
            return Err(Fault::malformed_answer(
                "no eight zero bytes in the first 16 KB of the function's answer",
            ));
        }
    }
}

/// A function's body.
struct Chunks {
    /// What came with the headers; empty once it was handed on.
    first: Bytes,
    chunks: LambdaChunks,
}

impl BodyStream for Chunks {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if !self.first.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
            }
            match ready!(self.chunks.poll_recv(context)) {
                // Pieces of a body are never empty.
                Some(Ok(piece)) => self.first = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Source(error.to_string())))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: Option<(&str, &str)>) {
        let (sender, mut chunks) = tokio::sync::mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        drop(sender);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(read_metadata(&mut chunks)).ok();
        let found = found
            .map(|(metadata, body)| [metadata, body].map(|part| String::from_utf8(part.into()).unwrap()));
        assert_eq!(
            found,
            expected.map(|(metadata, body)| [metadata.to_owned(), body.to_owned()]),
            "{pieces:?}"
        );
    }

    #[test]
    fn headers_end_at_eight_zero_bytes_however_they_come() {
        check(&[b"{}\0\0\0\0\0\0\0\0body"], Some(("{}", "body")));
        check(&[b"{", b"}\0\0\0", b"\0\0\0\0", b"\0body"], Some(("{}", "body")));
        check(&[b"\0\0\0\0\0\0\0\0"], Some(("", "")));
        check(&[b"{}\0\0\0\0\0\0\0"], None);
        check(&[], None);
        let long = [b'x'; METADATA_BYTES_MAX + 1];
        check(&[&long, &DELIMITER], None);
    }
}
