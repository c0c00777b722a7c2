//! Signed calls of AWS's services: the client that service integrations of all kinds of APIs are built on.

use std::time::Duration;

use bytes::Bytes;
use stagedoor_http::ResponseHead;
use time::OffsetDateTime;

use super::{keys, log, upstream_fault, whole_answer};
use crate::exchange::Exchange;
use crate::forward::Waits;
use crate::gateway_response::Fault;
use crate::plan::aws_services::AwsService;
pub(super) use crate::service_request::ServiceRequest;

/// Signs a request, sends it and reads the whole answer.
///
/// # Errors
/// A [`Fault`] if there are no keys to sign with, or if the service cannot be reached, does not answer in time or answers
/// too much.
pub(super) async fn call(
    exchange: &mut Exchange<'_>,
    service: &AwsService,
    request: ServiceRequest,
    timeout: Duration,
) -> Result<(ResponseHead, Bytes), Fault> {
    let keys = keys(exchange, &service.signer).await?;
    let credential = keys.as_deref().unwrap_or(&service.credential);
    let head = request.signed(service, credential, OffsetDateTime::now_utc());
    let body = log::http_request(exchange, &service.upstream, &head, request.body.into()).await?;
    let waits = Waits::from_now(&exchange.connection.timers, timeout, timeout);
    let answered = exchange.worker.forward(&service.upstream, &head, body, None, waits).await;
    let record = &mut exchange.record.integration;
    record.ended(waits.began);
    let (head, body) = answered.map_err(upstream_fault)?;
    record.status = Some(head.status.as_u16());
    record.service_status = record.status;
    let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| head.headers.get_str(name));
    record.request_id = id.map(Into::into);
    record.request_id_2 = head.headers.get_str("x-amz-id-2").map(Into::into);
    log::received(exchange);
    let body = whole_answer(exchange, &head, body, timeout).await?;
    Ok((head, body))
}
