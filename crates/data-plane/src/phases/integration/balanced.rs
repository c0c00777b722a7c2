//! Requests to the targets of a VPC link: what one target fails to answer may go to another.
//!
//! It does if the target cannot have acted upon it: no connection came about, or the request may be repeated and not a
//! byte of an answer had come. A long body may be gone by then: only so much of it is kept (`kept_body`).

use stagedoor_http::{Body, RequestHead, ResponseHead};

use crate::backends::Backends;
use crate::exchange::Exchange;
use crate::forward::{Sender, Waits, is_idempotent};
use crate::kept_body::keep;
use crate::upstream::UpstreamError;

/// As [`crate::worker::Worker::forward`]; the time for the answer's head is for all attempts together, and begins when the
/// sender has done its part.
pub(super) async fn forward(
    exchange: &Exchange<'_>,
    backends: &Backends,
    head: &RequestHead,
    body: Body,
    sender: Option<&Sender>,
    waits: Waits<'_>,
) -> Result<(ResponseHead, Body), UpstreamError> {
    let timeout = waits.head_max;
    let mut tried = Vec::new();
    let mut last = UpstreamError::Overloaded;
    let (mut sent, again) = keep(body);
    loop {
        let Some(chosen) = backends.choose(&tried) else { return Err(last) };
        let upstream = exchange.plan.shown(chosen.upstream);
        let since = sender.map_or(waits.began, Sender::done_since);
        let left = timeout.saturating_sub(since.elapsed());
        let waits = Waits::from_now(waits.timers, left, waits.piece_max);
        let error = match exchange.worker.forward(&upstream, head, sent, sender, waits).await {
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
        match again.body() {
            Some(again) if may_go_elsewhere && tried.len() < backends.retries() => {
                tried.push(chosen.index());
                sent = again;
                last = error;
            }
            _ => return Err(error),
        }
    }
}
