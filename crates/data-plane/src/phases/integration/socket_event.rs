//! The events that functions behind WebSocket APIs get. What an event does not have is absent.
//!
//! A handshake shows the client's headers and query. A message shows neither; the end of a connection shows four headers,
//! of which three are empty, as AWS does.

use std::borrow::Cow;

use bytes::Bytes;
use stagedoor_http::Header;

use super::event::{Writer, authorizer as write_authorizer, client_certificate};
use crate::context::{common_log_time, epoch_millis};
use crate::exchange::Exchange;
use crate::phases::headers::for_integration;
use crate::record::IdentityRecord;
use crate::websocket::event::{DIRECTION, EventKind, SocketEvent};

/// Writes the event of an exchange.
pub(super) fn write(exchange: &Exchange<'_>, body: &[u8]) -> Bytes {
    let mut event = Writer::new(1024 + body.len() * 9 / 8);
    event.begin();
    if let Some(socket) = &exchange.socket {
        match socket.kind {
            EventKind::Connect => handshake(&mut event, exchange, &[]),
            EventKind::Message { .. } => {}
            EventKind::Disconnect { .. } => last_headers(&mut event, exchange),
        }
        context(&mut event, exchange, socket);
    }
    if !exchange.plan.variables.is_empty() {
        variables(&mut event, exchange);
    }
    if !body.is_empty() {
        event.text("body", &String::from_utf8_lossy(body));
    }
    event.raw("isBase64Encoded", "false");
    event.end();
    event.out.into()
}

/// Writes what an authorizer function sees of a handshake.
pub(super) fn authorizer(event: &mut Writer, exchange: &Exchange<'_>, socket: &SocketEvent) {
    // Only authorizers are shown what belongs to the connection, in these spellings (published events).
    const OF_THE_CONNECTION: [(&str, &str); 3] =
        [("Connection", "upgrade"), ("content-length", "0"), ("Upgrade", "websocket")];
    let query = exchange.query();
    handshake(event, exchange, &OF_THE_CONNECTION);
    if query.is_empty() {
        event.raw("queryStringParameters", "{}");
        event.raw("multiValueQueryStringParameters", "{}");
    }
    variables(event, exchange);
    context(event, exchange, socket);
}

fn handshake(event: &mut Writer, exchange: &Exchange<'_>, more: &[(&'static str, &'static str)]) {
    let headers = for_integration(exchange);
    let headers: Vec<&Header> = headers.iter().collect();
    let more = more.iter().map(|&(name, value)| (name, Cow::Borrowed(value)));
    let named: Vec<_> =
        headers.iter().map(|header| (header.name_str(), header.value_str())).chain(more).collect();
    event.last_values("headers", &named, str::eq_ignore_ascii_case);
    event.all_values("multiValueHeaders", &named, str::eq_ignore_ascii_case);
    let query: Vec<_> =
        exchange.query().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if !query.is_empty() {
        event.last_values("queryStringParameters", &query, |a, b| a == b);
        event.all_values("multiValueQueryStringParameters", &query, |a, b| a == b);
    }
}

fn last_headers(event: &mut Writer, exchange: &Exchange<'_>) {
    let host = exchange.domain_name().unwrap_or_default();
    let named = [("Host", host), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", "")];
    event.last_values("headers", &named, |a, b| a == b);
    event.all_values("multiValueHeaders", &named, |a, b| a == b);
}

fn variables(event: &mut Writer, exchange: &Exchange<'_>) {
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    event.last_values("stageVariables", &variables, |a, b| a == b);
}

fn context(event: &mut Writer, exchange: &Exchange<'_>, socket: &SocketEvent) {
    let plan = exchange.plan;
    event.name("requestContext");
    event.begin();
    event.text("routeKey", exchange.resource().map_or("", |route| &route.route_key));
    if let Some(record) = &exchange.record.authorizer {
        write_authorizer(event, record);
    }
    match &socket.kind {
        EventKind::Connect => {}
        EventKind::Message { id } => event.text("messageId", &String::from_utf8_lossy(id)),
        EventKind::Disconnect { status, .. } => event.raw("disconnectStatusCode", &status.to_string()),
    }
    event.text("eventType", socket.kind.as_str());
    event.text("extendedRequestId", &String::from_utf8_lossy(exchange.extended_request_id()));
    event.text("requestTime", &common_log_time(exchange.received_at));
    event.text("messageDirection", DIRECTION);
    if let EventKind::Disconnect { reason, .. } = &socket.kind {
        event.text("disconnectReason", reason);
    }
    event.text("stage", &plan.stage);
    event.raw("connectedAt", &epoch_millis(socket.connected_at).to_string());
    event.raw("requestTimeEpoch", &epoch_millis(exchange.received_at).to_string());
    event.name("identity");
    identity(event, exchange);
    event.text("requestId", &String::from_utf8_lossy(&exchange.request_id));
    event.text("domainName", exchange.domain_name().unwrap_or_default());
    event.text("connectionId", socket.id.as_str());
    event.text("apiId", &plan.api_id);
    event.end();
}

/// Who is connected. Only what is known is there.
fn identity(event: &mut Writer, exchange: &Exchange<'_>) {
    let unknown = IdentityRecord::default();
    let identity = exchange.record.identity.as_deref().unwrap_or(&unknown);
    event.begin();
    let members = [
        ("accessKey", &identity.access_key),
        ("accountId", &identity.account_id),
        ("apiKey", &identity.api_key),
        ("apiKeyId", &identity.api_key_id),
        ("caller", &identity.caller),
        ("principalOrgId", &identity.principal_org_id),
        ("user", &identity.user),
        ("userArn", &identity.user_arn),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            event.text(name, value);
        }
    }
    client_certificate(event, identity);
    if let Some(agent) = exchange.header("user-agent") {
        event.text("userAgent", &agent);
    }
    event.text("sourceIp", &exchange.source_ip());
    event.end();
}
