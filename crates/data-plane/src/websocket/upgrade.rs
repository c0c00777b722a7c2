//! The handshake: a client's request waits for the authorizer and the integration of `$connect`, and becomes a connection
//! or an answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, Version};

use super::connections::{ConnectionId, Handle};
use super::event::{EventKind, SocketEvent};
use super::management;
use super::message::{Learned, Open, finish, refusal};
use crate::edge::{self, Target};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::pipeline;
use crate::plan::websocket::CONNECT;
use crate::worker::{ConnectionInfo, Worker};

/// The headers of a handshake that messages need: for `$context`, and for keys.
const KEPT: [&str; 2] = ["host", "user-agent"];
/// The header of an API key.
const KEY: &str = "x-api-key";

/// What becomes of a request to a WebSocket API.
pub(crate) enum Outcome {
    /// It is answered.
    Response(ResponseHead, Body),
    /// It becomes a connection, once this head is written.
    Upgrade(ResponseHead, Rc<Open>),
}

/// Takes a request to a stage of a WebSocket API.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    info: &ConnectionInfo,
    target: Target<'_>,
    head: RequestHead,
    body: Body,
) -> Outcome {
    let below = head.path().get(target.path.clone()).unwrap_or_default();
    if management::is_meant(below) {
        let (head, body) = management::serve(worker, info, target, head, body).await;
        return Outcome::Response(head, body);
    }
    if !matches!(below, "" | "/") {
        let (head, body) = pipeline::refuse_unknown();
        return Outcome::Response(head, body);
    }
    let accept = match check(&head) {
        Ok(accept) => accept,
        Err(refused) => return refused,
    };
    let (plan, by_domain) = (target.plan, target.via.is_some());
    let offered = head.headers.get("sec-websocket-protocol").cloned();
    let wants_key = plan.websocket.as_ref().is_some_and(|websocket| websocket.wants_key);
    let by_path = plan.websocket.as_ref().filter(|_| target.via.is_none() && edge::is_by_path(&head));
    let mut kept_headers = Headers::with_capacity(2);
    for header in &head.headers {
        if KEPT.iter().any(|name| header.is(name)) || (wants_key && header.is(KEY)) {
            let own_host =
                by_path.filter(|_| header.is("host")).map(|websocket| websocket.own_host.as_bytes());
            // A copy, so that the whole head is not kept with it.
            let value = Bytes::copy_from_slice(own_host.unwrap_or(&header.value));
            kept_headers.append(Bytes::copy_from_slice(&header.name), value);
        }
    }
    let user_agent = kept_headers.get("user-agent").cloned();

    let mut exchange = Exchange::new(worker, info, plan, target.path.clone(), head, body);
    exchange.keep_one_id();
    exchange.note_way(&target);
    let id = ConnectionId::unique();
    let connected_at = exchange.received_at;
    exchange.socket = Some(SocketEvent { id, connected_at, kind: EventKind::Connect });
    exchange.route = plan.socket_route(CONNECT);
    let websockets = &worker.services.websockets;
    let outcome = if url_length(&exchange.head) > websockets.limits.url_characters_max {
        Err(Fault::uri_too_long("the URL of the handshake is too long"))
    } else if !websockets.admit().await {
        Err(Fault::throttled())
    } else if exchange.route.is_some() {
        pipeline::run(&mut exchange).await
    } else {
        // An API need not know who connects.
        Ok((ResponseHead { status: StatusCode::OK, headers: Headers::new() }, Body::Empty))
    };
    let answered = match outcome {
        Ok(answered) => answered,
        Err(fault) => {
            let (head, body) = refusal(&exchange, &fault);
            exchange.fault = Some(fault);
            finish(&mut exchange, head.status.as_u16(), &Bytes::new());
            return Outcome::Response(head, body);
        }
    };
    let (answered, body) = answered;
    finish(&mut exchange, answered.status.as_u16(), &Bytes::new());
    if !answered.status.is_success() {
        let mut headers = Headers::with_capacity(3);
        headers.append("x-amzn-RequestId", exchange.request_id.clone());
        headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
        if let Some(media_type) = answered.headers.get("content-type") {
            headers.append("Content-Type", media_type.clone());
        }
        return Outcome::Response(ResponseHead { status: answered.status, headers }, body);
    }
    let mut headers = Headers::with_capacity(4);
    headers.append("Upgrade", "websocket");
    headers.append("Connection", "upgrade");
    headers.append("Sec-WebSocket-Accept", accept);
    // A protocol that the client did not offer would end the connection on its side.
    if let (Some(protocol), Some(_)) = (answered.headers.get("sec-websocket-protocol"), offered) {
        headers.append("Sec-WebSocket-Protocol", protocol.clone());
    }
    let Some(metrics) = plan.websocket.as_ref().map(|websocket| Arc::clone(&websocket.metrics)) else {
        let (head, body) = pipeline::refuse_unknown();
        return Outcome::Response(head, body);
    };
    let stage = (&*plan.api_id, &*plan.stage);
    let source_ip = info.peer.ip().to_canonical();
    let queue = websockets.limits.queue_bytes_max;
    let handle = Arc::new(Handle::new(id, stage, source_ip, user_agent, connected_at, queue));
    // Whoever is told of the id by the `$connect` integration meets the connection from here on.
    websockets.connections.insert(Arc::clone(&handle));
    let learned = Learned { authorizer: exchange.record.authorizer, identity: exchange.record.identity };
    let open = Open {
        worker: Rc::clone(worker),
        info: info.clone(),
        handle,
        by_domain,
        headers: kept_headers,
        learned: RefCell::new(learned),
        metrics,
    };
    Outcome::Upgrade(ResponseHead { status: StatusCode::SWITCHING_PROTOCOLS, headers }, Rc::new(open))
}

/// How long the URL is that a client connects to: scheme, host, path and query.
fn url_length(head: &RequestHead) -> usize {
    let host = head.headers.get("host").map_or(0, Bytes::len);
    // The scheme is AWS's only one, whether or not something before this ends TLS.
    "wss://".len() + host + head.target.as_str().len()
}

/// Checks that a request asks for the protocol and version that there are, and makes the answer to its key.
fn check(head: &RequestHead) -> Result<String, Outcome> {
    let has = |name: &str, wanted: &str| {
        let values = head.headers.get_all(name).filter_map(|value| std::str::from_utf8(value).ok());
        let mut tokens = values.flat_map(|value| value.split(','));
        tokens.any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let is_upgrade = head.method == Method::GET
        && head.version == Version::Http11
        && has("upgrade", "websocket")
        && has("connection", "upgrade");
    if !is_upgrade || head.headers.get_str("sec-websocket-version") != Some("13") {
        let (mut head, body) = plain(StatusCode::UPGRADE_REQUIRED, "Upgrade Required");
        head.headers.append("Upgrade", "websocket");
        head.headers.append("Sec-WebSocket-Version", "13");
        return Err(Outcome::Response(head, body));
    }
    let accept = head.headers.get("sec-websocket-key").and_then(|key| stagedoor_websocket::accept_key(key));
    accept.ok_or_else(|| {
        let (head, body) = plain(StatusCode::BAD_REQUEST, "Bad Request");
        Outcome::Response(head, body)
    })
}

fn plain(status: StatusCode, message: &str) -> (ResponseHead, Body) {
    let mut headers = Headers::with_capacity(4);
    headers.append("Content-Type", "application/json");
    (ResponseHead { status, headers }, serde_json::json!({ "message": message }).to_string().into())
}
