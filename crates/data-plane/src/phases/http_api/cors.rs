//! CORS as the API configures it: the gateway answers preflights that no route takes, and its headers take the place of
//! a backend's.

use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_http::{Body, Headers, ResponseHead};

use crate::exchange::Exchange;
use crate::plan::http_api::cors::Cors;

/// Whether this is a browser that asks whether it may send a request.
#[must_use]
pub fn is_preflight(exchange: &Exchange<'_>) -> bool {
    let headers = &exchange.head.headers;
    exchange.head.method == Method::OPTIONS
        && headers.contains("origin")
        && headers.contains("access-control-request-method")
}

/// The answer to a preflight that no route takes, before its headers.
#[must_use]
pub fn answer_preflight() -> (ResponseHead, Body) {
    (ResponseHead { status: StatusCode::NO_CONTENT, headers: Headers::with_capacity(8) }, Body::Empty)
}

/// Replaces a backend's CORS headers by the API's own. `origin` is the request's; one that is not allowed is told
/// nothing, which makes the browser refuse.
pub fn apply(headers: &mut Headers, origin: Option<&Bytes>, cors: &Cors, is_preflight: bool) {
    const PREFIX: &[u8] = b"access-control-";
    headers.retain(|header| {
        !header.name.get(..PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PREFIX))
    });
    let others = if is_preflight { &cors.preflight } else { &cors.actual };
    add(headers, origin.and_then(|origin| cors.allowed_origin(origin)), others);
}

fn add(headers: &mut Headers, origin: Option<Bytes>, others: &[(&'static str, Bytes)]) {
    let Some(origin) = origin else { return };
    let is_any = &*origin == b"*";
    headers.append("access-control-allow-origin", origin);
    if !is_any {
        // Caches are told so too: another origin would get another answer. AWS writes it here, and in this form.
        headers.append("vary", "origin");
    }
    for (name, value) in others {
        headers.append(*name, value.clone());
    }
}
