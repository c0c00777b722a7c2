//! What the execution log says about the call of an integration.

use bytes::Bytes;
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, encode};

use super::{body_fault, upstream_fault};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::lambda::{LambdaAnswer, LambdaError};
use crate::logs::execution::{headers as shown, lambda_uri, text_of};
use crate::plan::MAX_PAYLOAD_BYTES;
use crate::plan::integration::LambdaFunction;
use crate::upstream::{Scheme, Upstream, UpstreamError};

/// Says what goes to a backend. A body that is still arriving is read whole if it is to be shown.
///
/// # Errors
/// A [`Fault`] if it is too large or breaks off.
pub(super) async fn http_request(
    exchange: &mut Exchange<'_>,
    upstream: &Upstream,
    head: &RequestHead,
    body: Body,
) -> Result<Body, Fault> {
    if exchange.record.log.is_none() {
        return Ok(body);
    }
    let scheme = if upstream.scheme == Scheme::Https { "https" } else { "http" };
    let uri = format!("{scheme}://{}{}", upstream.authority, head.target.as_str());
    let body = if exchange.logs_data() {
        let refused = |error| upstream_fault(UpstreamError::RequestBody(error));
        let bytes = body.collect(MAX_PAYLOAD_BYTES).await.map_err(refused)?;
        exchange.log_data(|_| format!("Endpoint request URI: {uri}"));
        exchange.log_data(|_| format!("Endpoint request headers: {}", shown(head.headers.iter())));
        exchange.log_data(|_| format!("Endpoint request body after transformations: {}", text_of(&bytes)));
        Body::from(bytes)
    } else {
        body
    };
    exchange.log_info(|_| format!("Sending request to {uri}"));
    Ok(body)
}

/// Says that an endpoint has answered.
pub(super) fn received(exchange: &mut Exchange<'_>) {
    exchange.log_info(|x| {
        let record = &x.record.integration;
        let status = record.service_status.or(record.status).unwrap_or_default();
        let latency = record.latency.unwrap_or_default().as_millis();
        format!("Received response. Status: {status}, Integration latency: {latency} ms")
    });
}

/// Says what a backend answered. A body that is still arriving is read whole if it is to be shown.
///
/// # Errors
/// A [`Fault`] if it is too large or breaks off.
pub(super) async fn http_response(
    exchange: &mut Exchange<'_>,
    head: &ResponseHead,
    body: Body,
) -> Result<Body, Fault> {
    if !exchange.logs_data() {
        return Ok(body);
    }
    let body = body.collect(MAX_PAYLOAD_BYTES).await;
    let body = body.map_err(body_fault)?;
    response(exchange, &head.headers, &body);
    Ok(body.into())
}

fn response(exchange: &mut Exchange<'_>, headers: &Headers, body: &Bytes) {
    exchange.log_data(|_| format!("Endpoint response headers: {}", shown(headers.iter())));
    exchange.log_data(|_| format!("Endpoint response body before transformations: {}", text_of(body)));
}

/// Says what goes to a function. Lambda's protocol is not spoken here, so the headers are those of AWS's requests
/// without their signature.
pub(super) fn lambda_request(exchange: &mut Exchange<'_>, function: &LambdaFunction, payload: &Bytes) {
    if exchange.record.log.is_none() {
        return;
    }
    let uri = lambda_uri(&exchange.plan.region, &function.arn);
    exchange.log_data(|_| format!("Endpoint request URI: {uri}"));
    exchange.log_data(|x| {
        let time = time::OffsetDateTime::from(x.received_at);
        let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        let mut headers = Headers::with_capacity(8);
        headers.append("X-Amz-Date", time.format(format).unwrap_or_default());
        headers.append("x-amzn-apigateway-api-id", x.plan.api_id_header.clone());
        headers.append("Accept", "application/json");
        headers.append("User-Agent", x.plan.user_agent.clone());
        headers.append("Host", format!("lambda.{}.amazonaws.com", x.plan.region));
        headers.append("X-Amzn-Trace-Id", x.trace_id().clone());
        headers.append("x-amzn-lambda-integration-tag", x.request_id.clone());
        if let Some(source) = function.source_arn(x.head.method.as_str()) {
            headers.append("X-Amz-Source-Arn", source);
        }
        format!("Endpoint request headers: {}", shown(headers.iter()))
    });
    exchange.log_data(|_| format!("Endpoint request body after transformations: {}", text_of(payload)));
    exchange.log_info(|_| format!("Sending request to {uri}"));
}

/// Says what a function answered.
pub(super) fn lambda_response(exchange: &mut Exchange<'_>, answer: &LambdaAnswer) {
    received(exchange);
    if exchange.logs_data() {
        response(exchange, &lambda_headers(exchange, answer), &answer.payload);
    }
}

/// Says how Lambda refused an event.
pub(super) fn refused_event(exchange: &mut Exchange<'_>, error: &LambdaError) {
    received(exchange);
    if !exchange.logs_data() {
        return;
    }
    let body = serde_json::json!({"Type": "User", "message": error.to_string()}).to_string();
    let mut headers = lambda_headers_of(exchange, body.len());
    headers.append("x-amzn-ErrorType", "InvalidRequestContentException");
    response(exchange, &headers, &body.into());
}

/// Of the headers of Lambda's answer the one that conversions of its payload look at.
pub(super) fn lambda_media_type(answer: &LambdaAnswer) -> Headers {
    let mut headers = Headers::new();
    if !answer.payload.is_empty() {
        headers.append("Content-Type", "application/json");
    }
    headers
}

/// The headers of Lambda's answer to a call, which is not made in its protocol here.
pub(super) fn lambda_headers(exchange: &Exchange<'_>, answer: &LambdaAnswer) -> Headers {
    let mut headers = lambda_headers_of(exchange, answer.payload.len());
    if let Some(error) = &answer.function_error {
        headers.append("X-Amz-Function-Error", error.clone());
    }
    if !answer.executed_version.is_empty() {
        headers.append("X-Amz-Executed-Version", answer.executed_version.clone());
    }
    headers.append("X-Amzn-Trace-Id", exchange.trace_id().clone());
    headers
}

fn lambda_headers_of(exchange: &Exchange<'_>, length: usize) -> Headers {
    let mut headers = Headers::with_capacity(10);
    headers.append("Date", encode::http_date());
    // Of a call that nobody waits for there is nothing.
    if length > 0 {
        headers.append("Content-Type", "application/json");
    }
    headers.append("Content-Length", length.to_string());
    headers.append("Connection", "keep-alive");
    if let Some(id) = &exchange.record.integration.request_id {
        headers.append("x-amzn-RequestId", id.to_string());
    }
    headers.append("x-amzn-Remapped-Content-Length", "0");
    headers
}
