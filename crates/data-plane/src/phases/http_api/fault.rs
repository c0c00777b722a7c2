//! The answers of HTTP APIs to requests that fail. They have no gateway responses: nothing can change these.

use http::StatusCode;
use stagedoor_http::{Body, Headers, ResponseHead};
use stagedoor_shapes::apigateway::GatewayResponseType as Kind;

use crate::gateway_response::Fault;

/// The answer to a fault.
#[must_use]
pub fn respond(fault: &Fault) -> (ResponseHead, Body) {
    let (status, message) = status_and_message(fault);
    let (mut head, body) = answer(status, message);
    if let Some(challenge) = &fault.challenge {
        head.headers.append("www-authenticate", bytes::Bytes::from(challenge.0.clone()));
    }
    (head, body)
}

/// What is answered to a fault, which logs tell too.
#[must_use]
pub fn status_and_message(fault: &Fault) -> (StatusCode, &str) {
    match fault.kind {
        Kind::ResourceNotFound => (StatusCode::NOT_FOUND, "Not Found"),
        Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Kind::AccessDenied
        | Kind::MissingAuthenticationToken
        | Kind::InvalidSignature
        | Kind::ExpiredToken
        | Kind::InvalidApiKey
        | Kind::WafFiltered => (StatusCode::FORBIDDEN, "Forbidden"),
        Kind::IntegrationFailure | Kind::IntegrationTimeout => {
            (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        Kind::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        Kind::Throttled | Kind::QuotaExceeded => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        Kind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type"),
        Kind::BadRequestBody | Kind::BadRequestParameters | Kind::Default4xx => {
            (fault.own_status().unwrap_or(StatusCode::BAD_REQUEST), &*fault.message)
        }
        Kind::AuthorizerFailure
        | Kind::AuthorizerConfigurationError
        | Kind::ApiConfigurationError
        | Kind::Default5xx => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

/// The answer to a request for nothing that is served.
#[must_use]
pub fn not_found() -> (ResponseHead, Body) {
    let (mut head, body) = answer(StatusCode::NOT_FOUND, "Not Found");
    head.headers.append("apigw-requestid", crate::ids::extended_request_id());
    (head, body)
}

fn answer(status: StatusCode, message: &str) -> (ResponseHead, Body) {
    let mut headers = Headers::with_capacity(4);
    headers.append("content-type", "application/json");
    (ResponseHead { status, headers }, serde_json::json!({ "message": message }).to_string().into())
}
