//! The way of one message, and of a connection's end, through its route.
//!
//! Each is an exchange like a request: it goes through the phases of its route, and what goes wrong becomes an error
//! frame in one place. The plan is the one that is served at the moment, not the one of the handshake.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use stagedoor_http::{Body, Headers, RequestHead, ResponseHead, Version};

use super::connections::Handle;
use super::event::{EventKind, SocketEvent};
use super::metrics::SocketSeries;
use crate::exchange::{Exchange, RequestBody};
use crate::gateway_response::Fault;
use crate::ids;
use crate::pipeline;
use crate::plan::Plan;
use crate::plan::websocket::DISCONNECT;
use crate::record::{AuthorizerRecord, IdentityRecord, ResponseRecord};
use crate::worker::{ConnectionInfo, Worker};

/// An open connection, as its messages see it.
pub(crate) struct Open {
    pub(crate) worker: Rc<Worker>,
    pub(crate) info: ConnectionInfo,
    pub(crate) handle: Arc<Handle>,
    /// Whether it came by a custom domain name.
    pub(crate) by_domain: bool,
    /// Those headers of the handshake that messages need.
    pub(crate) headers: Headers,
    pub(crate) learned: RefCell<Learned>,
    /// What the connection counts in.
    pub(crate) metrics: Arc<SocketSeries>,
}

impl Open {
    /// Whether the domain that the client came by trusts its certificate still: the truststore may have changed since the
    /// handshake. It is asked again only when it has.
    pub(crate) fn is_trusted(&self) -> bool {
        let Some(tls) = self.info.tls.as_ref().filter(|_| self.by_domain) else { return true };
        let Some(name) = tls.server_name.as_deref() else { return true };
        let endpoint = self.info.vpc_endpoint.as_ref().map(|endpoint| &*endpoint.id);
        let published = self.worker.view.load();
        let truststore = published.domains.find(name, endpoint).and_then(|domain| domain.mutual_tls.as_ref());
        truststore.is_none_or(|truststore| tls.client_certificate(truststore).is_ok())
    }
}

/// What the handshake has found out about the client. A message takes it along and gives it back: there is never more
/// than one on its way.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) authorizer: Option<Box<AuthorizerRecord>>,
    pub(crate) identity: Option<Box<IdentityRecord>>,
}

/// Takes a message through its route; what the client is sent for it, if anything.
pub(crate) async fn answer(open: Rc<Open>, text: Bytes) -> Option<Bytes> {
    let published = open.worker.view.load();
    let plan = published.apis.get(&*open.handle.api_id)?.stages.get(&*open.handle.stage)?;
    let kind = EventKind::Message { id: ids::extended_request_id() };
    let mut exchange = begin(&open, plan, kind, text);
    exchange.route = plan.message_route(&exchange);
    let outcome = match exchange.route {
        Some(_) => pipeline::run_phases(&mut exchange).await,
        None => Err(Fault::no_route()),
    };
    let is_two_way =
        exchange.method().and_then(|method| method.socket.as_ref()).is_some_and(|it| it.is_two_way);
    let longest = open.worker.services.websockets.limits.message_bytes_max;
    let outcome = outcome.and_then(|(head, body)| {
        let body = if is_two_way { whole(body) } else { Bytes::new() };
        match body.len() <= longest {
            true => Ok((head, body)),
            false => Err(Fault::internal(format!(
                "the answer has {} bytes, and a message at most {longest}",
                body.len()
            ))),
        }
    });
    let answered = match outcome {
        Ok((head, body)) => {
            finish(&mut exchange, head.status.as_u16(), &body);
            is_two_way.then_some(body)
        }
        Err(fault) => {
            let (status, body) = (fault.status().as_u16(), error_body(&exchange, &fault));
            exchange.fault = Some(fault);
            finish(&mut exchange, status, &body);
            Some(body)
        }
    };
    give_back(&open, exchange);
    answered
}

/// Tells the `$disconnect` route that a connection has ended. Nobody hears of what comes of it.
pub(crate) async fn disconnect(open: Rc<Open>, status: u16, reason: Box<str>) {
    let published = open.worker.view.load();
    let api = published.apis.get(&*open.handle.api_id);
    let Some(plan) = api.and_then(|api| api.stages.get(&*open.handle.stage)) else { return };
    let Some(route) = plan.socket_route(DISCONNECT) else { return };
    let mut exchange = begin(&open, plan, EventKind::Disconnect { status, reason }, Bytes::new());
    exchange.route = Some(route);
    let status = match pipeline::run_phases(&mut exchange).await {
        Ok((head, _)) => head.status.as_u16(),
        Err(fault) => exchange.fault.insert(fault).status().as_u16(),
    };
    finish(&mut exchange, status, &Bytes::new());
}

fn begin<'a>(open: &'a Open, plan: &'a Plan, kind: EventKind, text: Bytes) -> Exchange<'a> {
    let head = RequestHead {
        method: Method::POST,
        target: "/".into(),
        version: Version::Http11,
        headers: open.headers.clone(),
    };
    let mut exchange = Exchange::new(&open.worker, &open.info, plan, 1..1, head, Body::Empty);
    exchange.keep_one_id();
    exchange.body = RequestBody::Whole(text);
    exchange.socket = Some(SocketEvent { id: open.handle.id, connected_at: open.handle.connected_at, kind });
    let mut learned = open.learned.borrow_mut();
    exchange.record.authorizer = learned.authorizer.take();
    exchange.record.identity = learned.identity.take();
    exchange
}

fn give_back(open: &Open, exchange: Exchange<'_>) {
    let (authorizer, identity) = (exchange.record.authorizer, exchange.record.identity);
    *open.learned.borrow_mut() = Learned { authorizer, identity };
}

/// Integrations of WebSocket APIs read their answers whole.
fn whole(body: Body) -> Bytes {
    match body {
        Body::Full(bytes) => bytes,
        Body::Empty | Body::Stream(_) => Bytes::new(),
    }
}

/// What a client is told of a fault.
pub(crate) fn error_body(exchange: &Exchange<'_>, fault: &Fault) -> Bytes {
    let connection = exchange.socket.as_ref().map_or("", |socket| socket.id.as_str());
    let request = String::from_utf8_lossy(&exchange.request_id);
    let message = fault.message_json();
    format!(r#"{{"message": {message}, "connectionId":"{connection}", "requestId":"{request}"}}"#).into()
}

/// The one place where an event ends: logs and metrics are written from the exchange here.
pub(crate) fn finish(exchange: &mut Exchange<'_>, status: u16, body: &Bytes) {
    let worker = exchange.worker.number;
    if let Some(websocket) = &exchange.plan.websocket {
        websocket.metrics.event(worker, exchange);
    }
    if let Some(metrics) = exchange.method().and_then(|method| method.socket.as_ref()?.metrics.as_ref()) {
        metrics.event(worker, exchange);
        if let Some(SocketEvent { kind: EventKind::Message { .. }, .. }) = &exchange.socket {
            metrics.message(worker, exchange.read_body().len());
        }
    }
    let latency = exchange.started.elapsed();
    exchange.record.response =
        ResponseRecord { status, latency: Some(latency), length: Some(body.len() as u64) };
    exchange.log_end(status);
    if let Some(log) = &exchange.plan.access_log {
        log.log(exchange, Body::from(body.clone()));
    }
    let socket = exchange.socket.as_ref();
    let (connection, event) = socket.map_or(("", ""), |it| (it.id.as_str(), it.kind.as_str()));
    let route = exchange.resource().map_or("", |route| &route.route_key);
    if let Some(fault) = exchange.fault.as_ref().filter(|fault| fault.is_misconfiguration()) {
        // The client is told no more than that something is wrong.
        tracing::warn!(
            target: "request",
            api = &*exchange.plan.api_id,
            stage = &*exchange.plan.stage,
            connection,
            event,
            route,
            request_id = std::str::from_utf8(&exchange.request_id).unwrap_or_default(),
            reason = fault.reason_to_log(),
            "the API's own configuration or function made the event fail",
        );
    }
    tracing::debug!(
        target: "request",
        api = &*exchange.plan.api_id,
        stage = &*exchange.plan.stage,
        connection,
        event,
        route,
        status,
        latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
        reason = exchange.fault.as_ref().map(Fault::reason_to_log),
    );
}

/// The answer to a handshake that a fault ends.
pub(crate) fn refusal(exchange: &Exchange<'_>, fault: &Fault) -> (ResponseHead, Body) {
    let mut headers = Headers::with_capacity(5);
    headers.append("x-amzn-RequestId", exchange.request_id.clone());
    headers.append("x-amzn-ErrorType", fault.shown_error_type());
    headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
    headers.append("Content-Type", "application/json");
    (ResponseHead { status: fault.status(), headers }, error_body(exchange, fault).into())
}
