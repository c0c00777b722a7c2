//! Requests to the targets of a VPC link: what one target fails to answer may go to another.
//!
//! It does if the target cannot have acted upon it: no connection came about, or the request may be repeated and not a
//! byte of an answer had come. A body that streams is gone by then and is never sent twice.

use std::time::{Duration, Instant};

use stagedoor_http::{Body, RequestHead, ResponseHead};

use crate::backends::Backends;
use crate::exchange::Exchange;
use crate::forward::is_idempotent;
use crate::upstream::UpstreamError;

/// As [`crate::worker::Worker::forward`]; `timeout` is for all attempts together.
pub(super) async fn forward(
    exchange: &Exchange<'_>,
    backends: &Backends,
    head: &RequestHead,
    mut body: Body,
    timeout: Duration,
    body_wait_max: Duration,
) -> Result<(ResponseHead, Body), UpstreamError> {
    let began = Instant::now();
    let mut tried = Vec::new();
    let mut last = UpstreamError::Overloaded;
    loop {
        let again = match &body {
            Body::Empty => Some(Body::Empty),
            Body::Full(bytes) => Some(Body::Full(bytes.clone())),
            Body::Stream(_) => None,
        };
        let Some(chosen) = backends.choose(&tried) else { return Err(last) };
        let upstream = exchange.plan.shown(chosen.upstream);
        let left = timeout.saturating_sub(began.elapsed());
        let error = match exchange.worker.forward(&upstream, head, body, left, body_wait_max).await {
            Ok((head, body)) => return Ok((head, chosen.answered(body))),
            Err(error) => error,
        };
        let may_go_elsewhere = match &error {
            // The client's fault.
            UpstreamError::RequestBody(_) => return Err(error),
            UpstreamError::Timeout(_) => {
                chosen.failed();
                return Err(UpstreamError::Timeout(timeout));
            }
            UpstreamError::Connect { .. } | UpstreamError::Tls { .. } => true,
            UpstreamError::Closed => is_idempotent(&head.method),
            UpstreamError::Broken(_) | UpstreamError::Protocol(_) | UpstreamError::Overloaded => false,
        };
        chosen.failed();
        match again {
            Some(again) if may_go_elsewhere && tried.len() < backends.retries() => {
                tried.push(chosen.index());
                body = again;
                last = error;
            }
            _ => return Err(error),
        }
    }
}
