//! `AWS` with a service other than Lambda: mappings and templates make the request, which is signed, and templates
//! make the response of the service's answer.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use stagedoor_http::NameSet;

use super::aws_service::{ServiceRequest, call};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::headers::is_dropped_from_mapped_requests;
use crate::phases::transformation::{IntegrationAnswer, Selector, encode_query};
use crate::plan::aws_uri::{AwsIntegration, S3};

/// S3 signs a path as its own clients encode it, whatever the request line says.
const OBJECT_NAME: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Asks the service and reads its whole answer.
///
/// # Errors
/// 504 if it cannot be reached or does not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, integration: &AwsIntegration) -> Result<(), Fault> {
    let request = request(exchange, integration);
    let (head, body) = call(exchange, &integration.service, request, integration.timeout).await?;
    let selector = Some(Selector::Status(head.status));
    exchange.integration_answer = Some(IntegrationAnswer { selector, headers: head.headers, body });
    Ok(())
}

fn request(exchange: &mut Exchange<'_>, integration: &AwsIntegration) -> ServiceRequest {
    let mut outgoing = std::mem::take(&mut exchange.integration_request);
    let query = encode_query(outgoing.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let target = integration.uri.target(exchange, &outgoing.path, Some(&query));
    let (path, query) = (target.path(), target.query().unwrap_or_default());
    let path = match &*integration.service.signing_name {
        S3 => {
            let bytes: Vec<u8> = percent_decode_str(path).collect();
            percent_encode(&bytes, OBJECT_NAME).to_string()
        }
        _ => path.to_owned(),
    };
    let mut headers: Vec<(String, String)> = outgoing
        .headers
        .iter()
        .filter(|header| !is_dropped_from_mapped_requests(&header.name) && !is_written_here(&header.name))
        .map(|header| (text(&header.name), text(&header.value)))
        .collect();
    let mut add = |name: &str, value: String| {
        if !headers.iter().any(|(taken, _)| taken.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value));
        }
    };
    let mut media_type = outgoing.media_type.take().map(|value| text(&value));
    if let Some((target, protocol)) = &integration.target {
        add("X-Amz-Target", target.to_string());
        media_type = Some(protocol.to_string());
    }
    let media_type = media_type.or_else(|| exchange.head.headers.get_str("content-type").map(str::to_owned));
    add("Content-Type", media_type.unwrap_or_else(|| "application/json".to_owned()));
    add("Accept", "application/json".to_owned());
    add("User-Agent", text(&exchange.plan.user_agent));
    add("X-Amzn-Apigateway-Api-Id", text(&exchange.plan.api_id_header));
    add("X-Amzn-Trace-Id", text(exchange.trace_id()));
    let method = integration.method.clone().unwrap_or_else(|| exchange.head.method.clone());
    let body = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => Bytes::new(),
        _ => std::mem::take(&mut outgoing.body),
    };
    let request = ServiceRequest { method, path, query: query.to_owned(), headers, body };
    exchange.integration_request = outgoing;
    request
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the gateway writes this header itself: it frames the body, or belongs to the signature.
fn is_written_here(name: &[u8]) -> bool {
    const WRITTEN: NameSet = NameSet::of(&[
        "host",
        "authorization",
        "content-length",
        "transfer-encoding",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ]);
    WRITTEN.contains(name)
}
