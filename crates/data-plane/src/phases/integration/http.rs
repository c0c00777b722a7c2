//! `HTTP`: a backend that sees what mappings and templates make of the request, and nothing of it beside.

use bytes::Bytes;
use stagedoor_http::{RequestHead, Version};

use super::{call_backend, whole_answer};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::headers::is_dropped_from_mapped_requests;
use crate::phases::transformation::{IntegrationAnswer, Selector, encode_query};
use crate::plan::integration::HttpIntegration;

/// Calls the backend and reads its whole answer.
///
/// # Errors
/// 504 if it cannot be reached or does not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, integration: &HttpIntegration) -> Result<(), Fault> {
    let endpoint = &integration.endpoint;
    let mut outgoing = std::mem::take(&mut exchange.integration_request);
    let query = encode_query(outgoing.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let target = endpoint.uri.target(exchange, &outgoing.path, Some(&query));

    let mut headers = std::mem::take(&mut outgoing.headers);
    headers.retain(|header| !is_dropped_from_mapped_requests(&header.name));
    let defaults: [(&'static str, Bytes); 5] = [
        ("Host", endpoint.uri.upstream.authority.clone().into_bytes()),
        ("Accept", Bytes::from_static(b"application/json")),
        ("User-Agent", exchange.plan.user_agent.clone()),
        ("X-Amzn-Apigateway-Api-Id", exchange.plan.api_id_header.clone()),
        ("X-Amzn-Trace-Id", exchange.trace_id().clone()),
    ];
    for (name, value) in defaults {
        if !headers.contains(name) {
            headers.append(name, value);
        }
    }
    // A request without a body names no type of its own: AWS's backends see none, even where the client named one.
    if !outgoing.body.is_empty() && !headers.contains("Content-Type") {
        let content_type = outgoing.media_type.take().unwrap_or_else(|| {
            exchange
                .head
                .headers
                .get("content-type")
                .cloned()
                .unwrap_or(Bytes::from_static(b"application/json"))
        });
        headers.append("Content-Type", content_type);
    }
    let head = RequestHead {
        method: endpoint.method.clone().unwrap_or_else(|| exchange.head.method.clone()),
        target,
        version: Version::Http11,
        headers,
    };
    let body = std::mem::take(&mut outgoing.body);
    exchange.integration_request = outgoing;
    let (head, body) = call_backend(exchange, endpoint, head, body.into(), endpoint.timeout).await?;
    let body = whole_answer(exchange, &head, body, endpoint.timeout).await?;
    let selector = Some(Selector::Status(head.status));
    exchange.integration_answer = Some(IntegrationAnswer { selector, headers: head.headers, body });
    Ok(())
}
