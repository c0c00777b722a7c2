//! `HTTP_PROXY`: the client's request goes to the backend and the backend's answer to the client, both as they
//! arrive. This is the hottest path there is: headers are filtered in place and bodies are never touched.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use stagedoor_http::{
    Body, BodyError, BodyStream, Headers, NameSet, RequestHead, ResponseHead, Target, Version,
};
use stagedoor_shapes::apigateway::EndpointType;

use super::{Begun, begun_answer, body_fault, call_backend, log};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::content_encoding::Coding;
use crate::phases::content_handling;
use crate::phases::headers::{
    canonicalize, forwarded_port, is_dropped_from_mapped_requests, is_dropped_from_requests,
    is_remapped_by_proxy, remapped_name,
};
use crate::phases::transformation::{append_valid, check_mapped_body, encode_query, mapped_query};
use crate::plan::MAX_PAYLOAD_BYTES;
use crate::plan::integration::{HttpEndpoint, HttpProxyIntegration};

/// What a payload without a content type is.
const DEFAULT_TYPE: &str = "application/json";
/// A body of unknown length that has arrived by the time it is sent is sent with its length, up to this size.
const WHOLE_BYTES_MAX: usize = 64 * 1024;

/// Forwards the request.
///
/// # Errors
/// 504 if the backend cannot be reached or does not answer in time; 413 if the body turns out to be over 10 MB.
pub(super) async fn run(exchange: &mut Exchange<'_>, proxy: &HttpProxyIntegration) -> Result<(), Fault> {
    let endpoint = &proxy.endpoint;
    if proxy.needs_body || proxy.content_handling.is_some() {
        let body = exchange.whole_body().await?;
        let is_binary = exchange.plan.binary_media_types.contains(&exchange.content_type());
        let body = content_handling::request(body, is_binary, proxy.content_handling)?;
        exchange.body = crate::exchange::RequestBody::Whole(body);
        if proxy.needs_body {
            check_mapped_body(exchange)?;
        }
    }
    // The backend takes the headers.
    let types = &exchange.plan.binary_media_types;
    let accepts_binary = !types.is_empty() && types.contains(&exchange.accepted_type());
    let target = target(exchange, proxy);
    let mapped = mapped_headers(exchange, proxy);
    let body = begin(exchange.take_body()).await?;
    let body = limit(body);
    let head = RequestHead {
        method: endpoint.method.clone().unwrap_or_else(|| exchange.head.method.clone()),
        target,
        version: Version::Http11,
        headers: request_headers(exchange, endpoint, mapped),
    };
    let streams = exchange.worker.services.streams;
    let body_wait_max = match proxy.streams {
        true => streams.idle_time_max(exchange.plan.endpoint_type),
        false => endpoint.timeout,
    };
    let (mut head, mut body) = call_backend(exchange, endpoint, head, body, body_wait_max).await?;
    if !proxy.streams && body.remaining().is_some_and(|length| length > MAX_PAYLOAD_BYTES) {
        return Err(Fault::configuration("the integration's answer is larger than 10,485,760 bytes"));
    }
    body = if proxy.streams {
        // A coding is the backend's own business then.
        streams.limit_time(exchange, endpoint.timeout, body)
    } else {
        let body = begun_answer(exchange, body, endpoint.timeout).await?;
        let body = limit(undo_coding(&mut head.headers, body));
        let body = log::http_response(exchange, &head, body).await?;
        convert(exchange, accepts_binary, &head, body).await?
    };
    respond(exchange, &mut head);
    exchange.response = Some((head, body));
    Ok(())
}

/// Makes text of a binary answer for a client that accepts none, and binary of text for one that accepts it. An answer of
/// the kind that the client accepts is passed on as it comes.
async fn convert(
    exchange: &Exchange<'_>,
    accepts_binary: bool,
    head: &ResponseHead,
    body: Body,
) -> Result<Body, Fault> {
    let types = &exchange.plan.binary_media_types;
    if types.is_empty() || body.is_empty() {
        return Ok(body);
    }
    let answered = head.headers.get_str("content-type").unwrap_or(DEFAULT_TYPE);
    let is_binary = types.contains(answered.split(';').next().unwrap_or_default().trim());
    if is_binary == accepts_binary {
        return Ok(body);
    }
    let body = body.collect(MAX_PAYLOAD_BYTES).await.map_err(body_fault)?;
    content_handling::response(body, is_binary, accepts_binary, None).map(Body::from)
}

fn target(exchange: &Exchange<'_>, proxy: &HttpProxyIntegration) -> Target {
    let uri = &proxy.endpoint.uri;
    if proxy.query.is_empty() {
        return uri.target(exchange, &[], exchange.head.query());
    }
    // A mapped parameter takes the place of the client's own of that name.
    let mapped = mapped_query(&proxy.query, exchange);
    let own = exchange.query().iter().filter(|(name, _)| mapped.iter().all(|(taken, _)| taken != name));
    let query = encode_query(own.chain(&mapped).map(|(name, value)| (name.as_str(), value.as_str())));
    uri.target(exchange, &[], Some(&query))
}

fn mapped_headers(exchange: &Exchange<'_>, proxy: &HttpProxyIntegration) -> Headers {
    let mut mapped = Headers::new();
    for (name, source) in &proxy.headers {
        if !is_dropped_from_mapped_requests(name) {
            for value in source.values(exchange) {
                append_valid(&mut mapped, name, &value);
            }
        }
    }
    mapped
}

fn request_headers(exchange: &mut Exchange<'_>, endpoint: &HttpEndpoint, mapped: Headers) -> Headers {
    let trace_id = exchange.trace_id().clone();
    let port = forwarded_port(exchange);
    // Backends are told where a request came from. What was recorded of them came through a backend that hides these
    // three headers, and tells nothing about it.
    let mut forwarded_for = exchange.connection.peer_ip().clone();
    for value in exchange.head.headers.get_all("x-forwarded-for").rev() {
        forwarded_for = [value, &b", "[..], &forwarded_for].concat().into();
    }

    let mut headers = exchange.take_headers();
    // A coding has been undone when the request came in.
    headers.retain(|header| {
        !is_dropped_from_requests(&header.name)
            && !is_replaced(&header.name)
            && !header.is("content-encoding")
    });
    if exchange.plan.endpoint_type == EndpointType::Edge {
        headers = canonicalize(headers);
    }
    headers.append("Host", endpoint.uri.upstream.authority.clone().into_bytes());
    headers.append("X-Forwarded-For", forwarded_for);
    headers.append("X-Forwarded-Port", port);
    headers.append("X-Forwarded-Proto", if exchange.connection.tls.is_some() { "https" } else { "http" });
    headers.append("X-Amzn-Trace-Id", trace_id);
    headers.append("X-Amzn-Apigateway-Api-Id", exchange.plan.api_id_header.clone());
    for header in &mapped {
        headers.remove(header.name_str());
    }
    headers.extend(mapped);
    headers
}

/// Whether the gateway writes this header itself, or hides it from backends (`Via`, recorded).
fn is_replaced(name: &[u8]) -> bool {
    const REPLACED: NameSet = NameSet::of(&[
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-amzn-trace-id",
        "x-amzn-apigateway-api-id",
    ]);
    REPLACED.contains(name)
}

/// AWS hides the coding of a payload from the other side. A coding that cannot be undone here has to be told after all.
fn undo_coding(headers: &mut Headers, body: Body) -> Body {
    let Some(coding) = headers.get("content-encoding").and_then(|name| Coding::parse(name)) else {
        return body;
    };
    headers.remove("content-encoding");
    coding.undo(body)
}

/// Waits for a body of unknown length to begin. One that has arrived whole by then, or is none, is sent as such: AWS tells
/// every backend the length, and there are backends that know nothing else.
pub(super) async fn begin(mut body: Body) -> Result<Body, Fault> {
    if body.remaining().is_some() {
        return Ok(body);
    }
    let Some(first) = body.chunk().await else { return Ok(Body::Empty) };
    let mut arrived = BytesMut::from(first.map_err(unread)?);
    while arrived.len() < WHOLE_BYTES_MAX {
        match poll_fn(|context| Poll::Ready(body.poll_chunk(context))).await {
            Poll::Pending => break,
            Poll::Ready(None) => return Ok(arrived.freeze().into()),
            Poll::Ready(Some(next)) => arrived.extend_from_slice(&next.map_err(unread)?),
        }
    }
    Ok(Body::Stream(Box::new(Begun { first: arrived.freeze(), rest: body })))
}

fn unread(error: BodyError) -> Fault {
    match error {
        BodyError::Undecodable(detail) => Fault::undecodable_body(detail),
        error => Fault::client_gone(error),
    }
}

fn respond(exchange: &Exchange<'_>, head: &mut ResponseHead) {
    // An answer to HEAD tells the length of a body that is not there.
    let is_head = exchange.head.method == http::Method::HEAD;
    let length = is_head.then(|| head.headers.get("content-length").cloned()).flatten();
    head.headers.retain_mut(|header| {
        // A backend behind another gateway has an id of its own (recorded).
        if is_remapped_by_proxy(&header.name) || header.is("x-amzn-requestid") {
            header.name = remapped_name(&header.name);
            return true;
        }
        !is_dropped_from_responses(&header.name)
    });
    head.headers.prepend([
        ("x-amzn-RequestId", exchange.request_id.clone()),
        ("x-amz-apigw-id", exchange.extended_request_id().clone()),
    ]);
    if let Some(length) = length {
        head.headers.append("Content-Length", length);
    }
}

fn is_dropped_from_responses(name: &[u8]) -> bool {
    const DROPPED: NameSet =
        NameSet::of(&["transfer-encoding", "via", "keep-alive", "x-amz-apigw-id", "trailer"]);
    DROPPED.contains(name)
}

/// A body of unknown length may not grow beyond AWS's limit either.
pub(super) fn limit(body: Body) -> Body {
    match body {
        Body::Stream(stream) if stream.remaining().is_none() => {
            Body::Stream(Box::new(Limited { stream, left: MAX_PAYLOAD_BYTES }))
        }
        body => body,
    }
}

struct Limited {
    stream: Box<dyn BodyStream>,
    /// Bytes that may still come.
    left: u64,
}

impl BodyStream for Limited {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = std::task::ready!(self.stream.poll_chunk(context));
        if let Some(Ok(bytes)) = &chunk {
            match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLarge { limit: MAX_PAYLOAD_BYTES }))),
            }
        }
        Poll::Ready(chunk)
    }

    fn remaining(&self) -> Option<u64> {
        self.stream.remaining()
    }
}
