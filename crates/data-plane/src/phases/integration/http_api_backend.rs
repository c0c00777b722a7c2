//! `HTTP_PROXY` of HTTP APIs: the fastest thing there is. Headers are filtered in place, bodies are never touched.
//!
//! Where a request came from is told in the standard `Forwarded` header, which takes in what older proxies said in
//! `X-Forwarded-*`.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use bytes::Bytes;
use stagedoor_http::{Headers, NameSet, RequestHead, Target, Version};

use super::http_proxy::{begin, limit};
use super::{begun_answer, call_backend};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::headers::is_dropped_from_requests;
use crate::plan::MAX_PAYLOAD_BYTES;
use crate::plan::http_api::BackendIntegration;
use crate::worker::ConnectionInfo;

/// Forwards the request.
///
/// # Errors
/// 503 if the backend cannot be reached or does not answer in time; 413 if the body turns out to be over 10 MB.
pub(super) async fn run(exchange: &mut Exchange<'_>, backend: &BackendIntegration) -> Result<(), Fault> {
    let endpoint = &backend.endpoint;
    let target = target(exchange, backend);
    let body = limit(begin(exchange.take_body()).await?);
    let head = RequestHead {
        method: endpoint.method.clone().unwrap_or_else(|| exchange.head.method.clone()),
        target,
        version: Version::Http11,
        headers: request_headers(exchange, backend),
    };
    let (mut head, body) = call_backend(exchange, endpoint, head, body, endpoint.timeout).await?;
    if body.remaining().is_some_and(|length| length > MAX_PAYLOAD_BYTES) {
        return Err(Fault::configuration("the integration's answer is larger than 10,485,760 bytes"));
    }
    let body = begun_answer(exchange, body, endpoint.timeout).await?;
    head.headers.retain(|header| !is_dropped_from_responses(&header.name));
    exchange.response = Some((head, limit(body)));
    Ok(())
}

fn target(exchange: &Exchange<'_>, backend: &BackendIntegration) -> Target {
    let query = exchange.mapped_query.as_deref().or_else(|| exchange.head.query());
    match &exchange.mapped_path {
        None if backend.is_private => {
            let mut target = exchange.path_with_stage();
            append_query(&mut target, query);
            target.into()
        }
        None => backend.endpoint.uri.target(exchange, &[], query),
        Some(path) => {
            let mut target =
                percent_encoding::utf8_percent_encode(path, crate::plan::uri::MAPPED_PATH).to_string();
            append_query(&mut target, query);
            target.into()
        }
    }
}

fn append_query(target: &mut String, query: Option<&str>) {
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        target.push('?');
        target.push_str(query);
    }
}

fn request_headers(exchange: &mut Exchange<'_>, backend: &BackendIntegration) -> Headers {
    let trace_id = exchange.trace_id().clone();
    let forwarded = forwarded(exchange);
    let mut headers = exchange.take_headers();
    let original_host = exchange.original_host.as_ref();
    headers.retain(|header| !is_dropped_from_requests(&header.name) && !is_replaced(&header.name));
    // A private integration is no host of its own: it sees the one that the client asked for.
    let own_host = || {
        let client_host = original_host.filter(|_| backend.is_private);
        client_host.cloned().unwrap_or_else(|| backend.endpoint.uri.upstream.authority.clone().into_bytes())
    };
    headers.append("Host", exchange.mapped_host.clone().unwrap_or_else(own_host));
    headers.append("Forwarded", forwarded);
    headers.append("Via", "HTTP/1.1 AmazonAPIGateway");
    headers.append("X-Amzn-Trace-Id", trace_id);
    headers
}

/// `by=…;for=…;host=…;proto=…`, after what came with the request. It is the same for nearly all of a connection's requests.
fn forwarded(exchange: &Exchange<'_>) -> Bytes {
    let host = exchange.original_host.as_deref().unwrap_or_default();
    let headers = &exchange.head.headers;
    if headers.contains("forwarded") || headers.contains("x-forwarded-for") {
        let mut elements = Vec::with_capacity(128);
        earlier_elements(&mut elements, headers);
        write_own_element(&mut elements, exchange.connection, host);
        return elements.into();
    }
    let mut last = exchange.connection.forwarded.borrow_mut();
    match &*last {
        Some((of_host, forwarded)) if *of_host == host => forwarded.clone(),
        _ => {
            let mut element = Vec::with_capacity(128);
            write_own_element(&mut element, exchange.connection, host);
            let forwarded = Bytes::from(element);
            // A copy: the connection must not hold on to the whole head.
            *last = Some((Bytes::copy_from_slice(host), forwarded.clone()));
            forwarded
        }
    }
}

fn write_own_element(elements: &mut Vec<u8>, connection: &ConnectionInfo, host: &[u8]) {
    let proto: &[u8] = if connection.tls.is_some() { b"https" } else { b"http" };
    for (name, value) in [
        (&b"by="[..], &**connection.local_ip()),
        (b";for=", connection.peer_ip()),
        (b";host=", host),
        (b";proto=", proto),
    ] {
        elements.extend_from_slice(name);
        elements.extend_from_slice(&quoted(value));
    }
}

/// What a request says of the way it came before: as it is, and what older proxies wrote in the standard form.
fn earlier_elements(elements: &mut Vec<u8>, headers: &Headers) {
    for value in headers.get_all("forwarded") {
        elements.extend_from_slice(value);
        elements.extend_from_slice(b", ");
    }
    for clients in headers.get_all("x-forwarded-for") {
        let clients = clients.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        for client in clients.filter(|client| !client.is_empty()) {
            elements.extend_from_slice(b"for=");
            elements.extend_from_slice(&quoted(client));
            for (name, member) in [("x-forwarded-host", &b";host="[..]), ("x-forwarded-proto", b";proto=")] {
                if let Some(value) = headers.get(name) {
                    elements.extend_from_slice(member);
                    elements.extend_from_slice(&quoted(value));
                }
            }
            elements.extend_from_slice(b", ");
        }
    }
}

/// A value as RFC 7239 wants it: quoted if it is more than a token, addresses of version 6 in brackets.
fn quoted(value: &[u8]) -> Cow<'_, [u8]> {
    let is_ipv6 = || std::str::from_utf8(value).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    if value.contains(&b':') && is_ipv6() {
        return [b"\"[", value, b"]\""].concat().into();
    }
    // AWS leaves ports and hosts as they are; what would end the value is not let through.
    if !value.iter().any(|byte| b"\";, \\".contains(byte)) {
        return Cow::Borrowed(value);
    }
    let inside = value.iter().copied().filter(|byte| !b"\"\\".contains(byte));
    std::iter::once(b'"').chain(inside).chain([b'"']).collect()
}

/// Whether the gateway writes this header itself, or tells its content in another.
fn is_replaced(name: &[u8]) -> bool {
    const REPLACED: NameSet = NameSet::of(&[
        "host",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-amzn-trace-id",
    ]);
    REPLACED.contains(name)
}

fn is_dropped_from_responses(name: &[u8]) -> bool {
    const DROPPED: NameSet = NameSet::of(&[
        "connection",
        "content-length",
        "transfer-encoding",
        "keep-alive",
        "trailer",
        "apigw-requestid",
    ]);
    DROPPED.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_forwarded() {
        let check = |value: &str, expected: &str| assert_eq!(&*quoted(value.as_bytes()), expected.as_bytes());
        check("1.2.3.4", "1.2.3.4");
        check("::1", "\"[::1]\"");
        check("a.test:8080", "a.test:8080");
        check("a;proto=x", "\"a;proto=x\"");
        check("a\"b c", "\"ab c\"");
    }
}
