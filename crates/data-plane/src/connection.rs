//! A client's connection, from its first byte to its last: HTTP/1.1, or HTTP/2 where the client begins with that.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use stagedoor_http::head::HeadError;
use stagedoor_http::server::{Incoming, IncomingError, ServerConnection};
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, clock, turn};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domains::VpcEndpoint;
use crate::edge::{self, Edge};
use crate::forward::limit_waits;
use crate::gateway_response::HEADERS_TOO_LARGE;
use crate::http2;
use crate::ids;
use crate::phases;
use crate::pipeline;
use crate::websocket;
use crate::websocket::upgrade::Outcome;
use crate::worker::{ConnectionInfo, Fallback, OpenConnection, Worker};

/// How long a connection may be open without a request.
pub(crate) const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// How long a request's head may take from its first byte, and what nobody wanted of a body from its response.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long each next piece of a request's body may take.
pub(crate) const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a connection is read from after its last response, so that the client can read that.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// What a listener's connections have in common.
pub(crate) struct Listening {
    pub(crate) fallback: Option<Arc<dyn Fallback>>,
    pub(crate) tls: bool,
    pub(crate) vpc_endpoint: Option<Arc<VpcEndpoint>>,
}

/// Serves one connection until it closes.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    stream: S,
    info: ConnectionInfo,
) {
    if worker.drain.has_begun() {
        return;
    }
    let _open = OpenConnection::new(&worker);
    let mut connection = ServerConnection::new(stream);
    let mut drained = pin!(worker.drain.begins());
    // One timer for the connection's whole life: it is moved on when it fires, not for every request.
    let mut timer = pin!(tokio::time::sleep(HEAD_TIME_MAX));
    let mut waiting_since = Instant::now();
    // What wakes a task once will do so whichever of its requests it waits for.
    let mut is_woken_by_both = false;
    loop {
        let incoming = std::future::poll_fn(|context| {
            if let Poll::Ready(incoming) = connection.poll_next(context) {
                return Poll::Ready(Some(incoming));
            }
            if !std::mem::replace(&mut is_woken_by_both, true) {
                let _ = (drained.as_mut().poll(context), timer.as_mut().poll(context));
            }
            let is_drained = worker.drain.has_begun() && connection.poll_written(context).is_ready();
            if is_drained || timer.is_elapsed() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await;
        let Some(incoming) = incoming else {
            // What has begun to arrive is waited for a little; what has not is not.
            let wait_max = if connection.has_begun() { HEAD_TIME_MAX } else { IDLE_TIME_MAX };
            if !timer.is_elapsed() || waiting_since.elapsed() >= wait_max {
                if connection.has_unread() {
                    // To close now could take the last response away from the client.
                    let _ = tokio::time::timeout(LINGER_TIME_MAX, connection.linger()).await;
                }
                return;
            }
            timer.as_mut().reset((waiting_since + wait_max).into());
            is_woken_by_both = false;
            continue;
        };
        let (head, body) = match incoming {
            Ok(Incoming::Request(head, body)) => {
                let body = limit_waits(body, BODY_WAIT_MAX);
                turn::others_first().await;
                match answer(&worker, &listening, &info, head, body).await {
                    Outcome::Response(head, body) => (head, body),
                    Outcome::Upgrade(head, open) => {
                        if let Ok(Some((stream, read))) = connection.switch_protocols(&head).await {
                            tokio::task::spawn_local(websocket::connection::run(stream, read, open));
                        } else {
                            tokio::task::spawn_local(websocket::connection::abandon(open));
                        }
                        return;
                    }
                }
            }
            Ok(Incoming::Http2) => {
                if let Some((stream, read)) = connection.into_parts() {
                    http2::serve(Rc::clone(&worker), listening, stream, read, info).await;
                }
                return;
            }
            Err(IncomingError::Head(error)) => {
                let _ = clock::now();
                refuse(&error)
            }
            Ok(Incoming::Closed) | Err(IncomingError::Io(_)) => return,
        };
        if worker.drain.has_begun() {
            connection.close_after_response();
        }
        let is_at_hand = !matches!(body, Body::Stream(_));
        match connection.respond(head, body).await {
            // Whoever made the answer has read the clock, and it was sent at once.
            Ok(true) => waiting_since = if is_at_hand { clock::last() } else { clock::now() },
            Ok(false) => {
                if connection.has_unread() {
                    let _ = tokio::time::timeout(LINGER_TIME_MAX, connection.linger()).await;
                }
                return;
            }
            Err(error) => {
                tracing::debug!(peer = %info.peer, %error, "response not sent whole");
                return;
            }
        }
    }
}

/// Answers one request, whichever protocol it came by.
pub(crate) async fn answer(
    worker: &Rc<Worker>,
    listening: &Listening,
    info: &ConnectionInfo,
    head: RequestHead,
    body: Body,
) -> Outcome {
    let published = worker.view.load();
    let (head, body) = match (edge::resolve(&published, &head, info), &listening.fallback) {
        (Edge::Healthy, _) => healthy(),
        (Edge::Api(target), _) if target.plan.websocket.is_some() => {
            // On its own, because it is large and few requests are such.
            return Box::pin(websocket::upgrade::connect(worker, info, target, head, body)).await;
        }
        (Edge::Api(target), _) => {
            let (head, body) = pipeline::serve(worker, info, target, head, body).await;
            return Outcome::Response(head, body);
        }
        (Edge::NotApiTraffic, Some(fallback)) => {
            drop(published);
            fall_back(&**fallback, info, head, body).await
        }
        (Edge::NotFound, _) => phases::http_api::fault::not_found(),
        (Edge::NotApiTraffic | Edge::Refused, _) => pipeline::refuse_unknown(),
    };
    // What is sent has a date.
    let _ = clock::now();
    Outcome::Response(head, body)
}

/// What API Gateway itself answers at `/ping` and `/sping` of a custom domain.
fn healthy() -> (ResponseHead, Body) {
    let mut headers = Headers::new();
    headers.append("x-amzn-RequestId", ids::request_id());
    headers.append("Content-Type", "text/plain");
    (ResponseHead { status: StatusCode::OK, headers }, "healthy".into())
}

async fn fall_back(
    fallback: &dyn Fallback,
    info: &ConnectionInfo,
    head: RequestHead,
    body: Body,
) -> (ResponseHead, Body) {
    let limit = fallback.body_limit(&head);
    let body = match body.collect(limit.bytes_max).await {
        Ok(body) => body,
        Err(stagedoor_http::BodyError::TooLarge { .. }) if limit.is_refused_anyway => Bytes::new(),
        Err(stagedoor_http::BodyError::TooLarge { .. }) => {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Too Long");
        }
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Some(request) = to_http_request(head, body) else {
        return plain(StatusCode::BAD_REQUEST, "Bad Request");
    };
    let (parts, body) = fallback.handle(request, info).await.into_parts();
    let mut headers = Headers::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        headers.append(name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    }
    (ResponseHead { status: parts.status, headers }, body.into())
}

fn to_http_request(head: RequestHead, body: Bytes) -> Option<http::Request<Bytes>> {
    let mut request = http::Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = http::Uri::try_from(head.target.as_str()).ok()?;
    for header in &head.headers {
        let name = HeaderName::from_bytes(&header.name).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(&header.value).ok()?);
    }
    Some(request)
}

/// The answer to bytes that are no request.
fn refuse(error: &HeadError) -> (ResponseHead, Body) {
    let status = match error {
        HeadError::Malformed(_) => StatusCode::BAD_REQUEST,
        HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        HeadError::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
        HeadError::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    };
    let (mut head, body) = match error {
        HeadError::TooLarge => plain(status, HEADERS_TOO_LARGE),
        _ => plain(status, &error.to_string()),
    };
    head.headers.append("x-amzn-RequestId", ids::request_id());
    if status.is_client_error() {
        head.headers.append("x-amzn-ErrorType", "BadRequestException");
    }
    head.headers.append("x-amz-apigw-id", ids::extended_request_id());
    (head, body)
}

fn plain(status: StatusCode, message: &str) -> (ResponseHead, Body) {
    let mut headers = Headers::new();
    headers.append("Content-Type", "application/json");
    (ResponseHead { status, headers }, serde_json::json!({ "message": message }).to_string().into())
}
