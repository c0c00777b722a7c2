//! `@connections`: what a backend does to connections, `{stage}/@connections/{connectionId}` of the API's own addresses.
//!
//! Every request is signed, and its signer needs `execute-api:ManageConnections`. What is answered to whom was taken from
//! AWS's model of the service (`apigatewaymanagementapi`) and from answers that users have published: a connection that is
//! gone is answered without a body, one whose id is none with 400, and paths that are none of the service's with 404.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead};
use stagedoor_shapes::apigateway::GatewayResponseType as Kind;
use time::OffsetDateTime;
use time::macros::format_description;

use super::connections::{ConnectionDetails, PostError};
use crate::edge::Target;
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::authorization;
use crate::worker::{ConnectionInfo, Worker};

/// The first segment of the path below a stage, decoded.
const SEGMENT: &str = "@connections";
/// A close frame's status and reason when a connection is deleted.
const DELETED: (u16, &str) = (1000, "Connection Closed Normally");

/// What is answered.
enum Answer {
    /// Nothing but a status.
    Done(StatusCode),
    Details(ConnectionDetails),
    /// A failure: its status, the name of it, and what is said.
    Failure(StatusCode, &'static str, Option<String>),
}

/// Whether a path below a stage is one of this service's.
pub(crate) fn is_meant(below: &str) -> bool {
    below.split('/').nth(1).is_some_and(|segment| decoded(segment) == SEGMENT)
}

/// Answers a request about a connection.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    info: &ConnectionInfo,
    target: Target<'_>,
    head: RequestHead,
    body: Body,
) -> (ResponseHead, Body) {
    let mut exchange = Exchange::new(worker, info, target.plan, target.path.clone(), head, body);
    exchange.note_way(&target);
    let answer = answer(&mut exchange).await.unwrap_or_else(|fault| failure(&fault));
    let mut headers = Headers::with_capacity(5);
    headers.append("x-amzn-RequestId", exchange.request_id.clone());
    headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
    let (status, error, body) = match answer {
        Answer::Done(status) => (status, None, None),
        Answer::Details(details) => (StatusCode::OK, None, Some(shown(&details))),
        Answer::Failure(status, error, message) => (status, Some(error), message),
    };
    if let Some(error) = error {
        headers.append("x-amzn-ErrorType", error);
    }
    if body.is_some() {
        headers.append("Content-Type", "application/json");
    }
    tracing::debug!(
        target: "request",
        api = &*exchange.plan.api_id,
        stage = &*exchange.plan.stage,
        method = exchange.head.method.as_str(),
        path = exchange.path(),
        status = status.as_u16(),
        error,
    );
    (ResponseHead { status, headers }, body.map_or(Body::Empty, Body::from))
}

async fn answer(exchange: &mut Exchange<'_>) -> Result<Answer, Fault> {
    let method = exchange.head.method.clone();
    let path = exchange.path().strip_prefix('/').unwrap_or_default();
    let id = path.split_once('/').map(|(_, id)| decoded(id)).filter(|id| !id.is_empty());
    let known = matches!(method, Method::POST | Method::GET | Method::DELETE);
    let Some(id) = id.filter(|_| known) else {
        let message = format!("No method found matching route {} for http method {method}.", decoded(path));
        return Ok(refused(StatusCode::NOT_FOUND, "NotFoundException", &message));
    };
    authorization::manage_connections(exchange, &id).await?;
    let body = if method == Method::POST { exchange.whole_body().await? } else { Bytes::new() };
    let websockets = &exchange.worker.services.websockets;
    if body.len() > websockets.limits.message_bytes_max {
        return Ok(too_large());
    }
    if !is_id(&id) {
        let message = format!("Invalid connectionId: {id}");
        return Ok(refused(StatusCode::BAD_REQUEST, "BadRequestException", &message));
    }
    let Some(connection) = websockets.connections.find(&exchange.plan.api_id, &exchange.plan.stage, &id)
    else {
        return Ok(gone());
    };
    if method == Method::GET {
        return Ok(Answer::Details(connection.details()));
    }
    if method == Method::DELETE {
        connection.close(DELETED.0, DELETED.1);
        return Ok(Answer::Done(StatusCode::NO_CONTENT));
    }
    Ok(match connection.post(as_text(body)) {
        Ok(()) => Answer::Done(StatusCode::OK),
        Err(PostError::Gone) => gone(),
        Err(PostError::Full) => {
            Answer::Failure(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", None)
        }
    })
}

/// What is sent is text: bytes that are none become replacement characters.
fn as_text(body: Bytes) -> Bytes {
    match std::str::from_utf8(&body) {
        Ok(_) => body,
        Err(_) => String::from_utf8_lossy(&body).into_owned().into(),
    }
}

/// Whether a text has the form of a connection's id.
fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    text.strip_suffix('=').is_some_and(|id| id.len() == 15 && id.bytes().all(letter))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn gone() -> Answer {
    Answer::Failure(StatusCode::GONE, "GoneException", None)
}

fn too_large() -> Answer {
    let message = "The data has exceeded the maximum size allowed.";
    refused(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", message)
}

fn refused(status: StatusCode, error: &'static str, message: &str) -> Answer {
    Answer::Failure(status, error, Some(json!({ "message": message }).to_string()))
}

fn failure(fault: &Fault) -> Answer {
    match fault.kind {
        Kind::RequestTooLarge => too_large(),
        // As in REST APIs, the word has a capital letter here and nowhere else.
        Kind::AccessDenied => {
            let body = json!({ "Message": fault.message }).to_string();
            Answer::Failure(fault.status(), fault.shown_error_type(), Some(body))
        }
        _ => refused(fault.status(), fault.shown_error_type(), &fault.message),
    }
}

fn shown(details: &ConnectionDetails) -> String {
    let time = |time| {
        let format =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        OffsetDateTime::from(time).format(format).unwrap_or_default()
    };
    json!({
        "connectedAt": time(details.connected_at),
        "identity": { "sourceIp": details.source_ip.to_string(), "userAgent": details.user_agent },
        "lastActiveAt": time(details.last_active_at),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_and_ids() {
        let check = |below: &str, expected: bool| assert_eq!(super::is_meant(below), expected, "{below}");
        check("/@connections/L0SM9cOFvHcCIhw=", true);
        check("/%40connections/L0SM9cOFvHcCIhw%3D", true);
        check("/@connections", true);
        check("/@connection", false);
        check("@connections/x", false);
        check("", false);
        let check = |id: &str, expected: bool| assert_eq!(super::is_id(id), expected, "{id}");
        check("L0SM9cOFvHcCIhw=", true);
        check("WDGT8fY4joECJrQ=test", false);
        check("L0SM9cOFvHcCIhw", false);
        check("L0SM9cOFvHcCIh\u{e9}=", false);
    }
}
