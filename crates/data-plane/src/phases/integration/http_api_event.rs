//! The events that functions behind HTTP APIs get: format 2.0, and 1.0 as HTTP APIs write it.
//!
//! In format 2.0 what a request does not have is absent; in format 1.0 it is null. What the developer guide's examples leave
//! open follows events of AWS that users have published.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::event::{Writer, client_certificate};
use crate::context::{common_log_time, epoch_millis, protocol};
use crate::exchange::Exchange;
use crate::phases::authorization::http_jwt::claim_text;
use crate::phases::authorization::token::scopes;
use crate::phases::headers::for_integration;
use crate::plan::authorization::Authorization;
use crate::record::{AuthorizerRecord, IdentityRecord, JwtRecord};

/// A request's headers in order, under names that `name` writes, with the length of the body.
fn headers(exchange: &Exchange<'_>, length: u64, name: fn(&str) -> Cow<'_, str>) -> Vec<(String, String)> {
    let headers = for_integration(exchange);
    let sent = headers.iter().map(|header| (header.name_str(), header.value_str().into_owned()));
    let length = std::iter::once(("content-length", length.to_string()));
    sent.chain(length).map(|(own, value)| (name(own).into_owned(), value)).collect()
}

/// How format 2.0 writes a header's name.
fn lower(name: &str) -> Cow<'_, str> {
    Cow::Owned(name.to_ascii_lowercase())
}

/// How format 1.0 writes it: those that the gateway knows in spellings of its own, others as the client does.
fn known(name: &str) -> Cow<'_, str> {
    const CAPITALIZED: [&str; 8] = [
        "Content-Length",
        "Content-Type",
        "Host",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
    ];
    // The standard's request headers; AWS's events show most of them.
    const LOWER: [&str; 32] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "access-control-request-headers",
        "access-control-request-method",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "cookie",
        "date",
        "dnt",
        "forwarded",
        "from",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "origin",
        "pragma",
        "proxy-authorization",
        "range",
        "referer",
        "trailers",
        "upgrade-insecure-requests",
        "via",
        "warning",
        "x-requested-with",
    ];
    let own = CAPITALIZED.into_iter().chain(LOWER).find(|known| known.eq_ignore_ascii_case(name));
    own.map_or(Cow::Borrowed(name), Cow::Borrowed)
}

/// How long the body of a request is that an authorizer sees no body of; nothing if the client did not say.
fn announced_length(exchange: &Exchange<'_>) -> u64 {
    let length = exchange.head.headers.get_str("content-length");
    length.and_then(|length| length.trim().parse().ok()).unwrap_or_default()
}

/// The path as events of format 2.0 show it. HTTP APIs decode it, in both formats, where REST APIs do not, and it ends
/// where a question mark comes out (measured by others at AWS).
fn path(exchange: &Exchange<'_>) -> String {
    decoded(encoded_path(exchange))
}

/// The path as events of format 1.0 show it: behind a custom domain, as the client sent it.
fn path_1(exchange: &Exchange<'_>) -> String {
    match exchange.by_domain && exchange.mapped_path.is_none() {
        true => decoded(exchange.head.path().to_owned()),
        false => path(exchange),
    }
}

fn decoded(path: String) -> String {
    if !path.contains('%') {
        return path;
    }
    let mut path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    path.truncate(path.find('?').unwrap_or(path.len()));
    path
}

/// The path with its stage, unless that is `$default`. A custom domain's base path is no part of it.
fn encoded_path(exchange: &Exchange<'_>) -> String {
    let below = exchange.mapped_path.as_deref().unwrap_or_else(|| exchange.path());
    let at_root = exchange.plan.http_api.as_ref().is_some_and(|http| http.at_root);
    match at_root {
        // Users report that nothing behind a custom domain's base path is shown as nothing.
        true if below.is_empty() && !exchange.by_domain => "/".to_owned(),
        true => below.to_owned(),
        false => format!("/{}{below}", exchange.plan.stage),
    }
}

fn query(exchange: &Exchange<'_>) -> (Vec<(String, String)>, String) {
    match &exchange.mapped_query {
        Some(query) => (crate::exchange::parse_query(query), query.clone()),
        None => (exchange.query().to_vec(), exchange.head.query().unwrap_or_default().to_owned()),
    }
}

fn path_parameters(exchange: &Exchange<'_>) -> Vec<(String, String)> {
    let decode = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
    exchange.path_parameters().map(|(name, value)| (name.to_owned(), decode(value))).collect()
}

/// Whether a body of this media type is handed on as text. Others have measured at AWS that these are all: forms and types
/// that end with `+json` are base64. A coded body is no text, whatever it is then.
fn is_text(exchange: &Exchange<'_>) -> bool {
    if exchange.head.headers.contains("content-encoding") {
        return false;
    }
    let Some(media_type) = exchange.head.headers.get_str("content-type") else { return false };
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
}

fn write_body(event: &mut Writer, exchange: &Exchange<'_>, body: &[u8]) -> bool {
    if is_text(exchange)
        && let Ok(text) = std::str::from_utf8(body)
    {
        event.text("body", text);
        return false;
    }
    event.text("body", &STANDARD.encode(body));
    true
}

/// Values of one name joined by commas, names in the order in which they came first.
fn joined(pairs: &[(String, String)]) -> Vec<(&str, String)> {
    let mut joined: Vec<(&str, String)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match joined.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(value);
            }
            None => joined.push((name, value.clone())),
        }
    }
    joined
}

fn object<V: AsRef<str>>(event: &mut Writer, name: &str, pairs: &[(&str, V)]) {
    if pairs.is_empty() {
        return;
    }
    event.name(name);
    event.begin();
    for (name, value) in pairs {
        event.text(name, value.as_ref());
    }
    event.end();
}

/// Writes an event of format 2.0.
pub(super) fn write_2(exchange: &Exchange<'_>, body: &[u8]) -> Bytes {
    let mut event = Writer::new(2048 + body.len() * 4 / 3);
    event.begin();
    event.text("version", "2.0");
    request_2(&mut event, exchange, &headers(exchange, body.len() as u64, lower), true);
    let is_base64 = !body.is_empty() && write_body(&mut event, exchange, body);
    parameters_2(&mut event, exchange);
    event.raw("isBase64Encoded", if is_base64 { "true" } else { "false" });
    variables_2(&mut event, exchange);
    event.end();
    event.out.into()
}

/// Writes the event for an authorizer function in format 2.0: the request without its body.
pub(in crate::phases) fn authorizer_2(
    exchange: &Exchange<'_>,
    arn: &str,
    identity: &[Cow<'_, str>],
) -> Bytes {
    let mut event = Writer::new(2048);
    event.begin();
    event.text("version", "2.0");
    event.text("type", "REQUEST");
    event.text("routeArn", arn);
    match identity {
        [] => event.null("identitySource"),
        identity => event.raw("identitySource", &serde_json::to_string(identity).unwrap_or_default()),
    }
    request_2(&mut event, exchange, &headers(exchange, announced_length(exchange), lower), false);
    parameters_2(&mut event, exchange);
    variables_2(&mut event, exchange);
    event.end();
    event.out.into()
}

fn request_2(event: &mut Writer, exchange: &Exchange<'_>, headers: &[(String, String)], authorized: bool) {
    let path = path(exchange);
    let route_key = exchange.resource().map_or("", |resource| &resource.route_key);
    let (query, raw_query) = query(exchange);
    let (cookies, headers): (Vec<_>, Vec<_>) =
        headers.iter().cloned().partition(|(name, _)| name == "cookie");
    event.text("routeKey", route_key);
    event.text("rawPath", &path);
    event.text("rawQueryString", &raw_query);
    let cookies: Vec<&str> = cookies
        .iter()
        .flat_map(|(_, value)| value.split(';'))
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    if !cookies.is_empty() {
        event.raw("cookies", &serde_json::to_string(&cookies).unwrap_or_default());
    }
    object(event, "headers", &joined(&headers));
    object(event, "queryStringParameters", &joined(&query));
    event.name("requestContext");
    context_2(event, exchange, &path, route_key, authorized);
}

fn parameters_2(event: &mut Writer, exchange: &Exchange<'_>) {
    let parameters = path_parameters(exchange);
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    object(event, "pathParameters", &parameters);
}

fn variables_2(event: &mut Writer, exchange: &Exchange<'_>) {
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value)).collect();
    object(event, "stageVariables", &variables);
}

/// Who called, as the route's authorization has found out. A route that is open has no such member.
fn authorizer(event: &mut Writer, exchange: &Exchange<'_>) {
    let record = exchange.record.authorizer.as_deref();
    match exchange.method().map(|method| &method.authorization) {
        Some(Authorization::Jwt(_)) => {
            let Some(jwt) = record.and_then(|record| record.jwt.as_ref()) else { return };
            event.name("authorizer");
            event.begin();
            event.name("jwt");
            event.begin();
            claims(event, jwt);
            event.end();
            event.end();
        }
        Some(Authorization::HttpLambda(_)) => {
            let Some(record) = record else { return };
            event.name("authorizer");
            event.begin();
            if record.context.is_empty() {
                event.null("lambda");
            } else {
                event.raw("lambda", &serde_json::to_string(&record.context).unwrap_or_default());
            }
            event.end();
        }
        Some(Authorization::Iam) => {
            let Some(identity) = &exchange.record.identity else { return };
            event.name("authorizer");
            event.begin();
            event.name("iam");
            event.begin();
            event.optional("accessKey", identity.access_key.as_deref());
            event.optional("accountId", identity.account_id.as_deref());
            event.optional("callerId", identity.caller.as_deref());
            // Nobody here has an identity of an identity pool.
            event.null("cognitoIdentity");
            event.optional("principalOrgId", identity.principal_org_id.as_deref());
            event.optional("userArn", identity.user_arn.as_deref());
            event.optional("userId", identity.user.as_deref());
            event.end();
            event.end();
        }
        _ => {}
    }
}

/// The claims of a token as text, and its scopes.
fn claims(event: &mut Writer, jwt: &JwtRecord) {
    event.name("claims");
    event.begin();
    for (name, claim) in jwt.claims.iter() {
        if let Some(text) = claim_text(claim) {
            event.text(name, &text);
        }
    }
    event.end();
    // Only a route that asks for scopes learns them apart from the claims.
    if jwt.scopes.is_empty() {
        event.null("scopes");
    } else {
        event.raw("scopes", &serde_json::to_string(&scopes(&jwt.claims)).unwrap_or_default());
    }
}

fn context_2(event: &mut Writer, exchange: &Exchange<'_>, path: &str, route_key: &str, authorized: bool) {
    let plan = exchange.plan;
    let domain = exchange.domain_name().unwrap_or_default();
    event.begin();
    event.text("accountId", &plan.account_id);
    event.text("apiId", &plan.api_id);
    if let Some(identity) = exchange.record.identity.as_deref().filter(|it| it.client_cert.is_some()) {
        event.name("authentication");
        event.begin();
        client_certificate(event, identity);
        event.end();
    }
    if authorized {
        authorizer(event, exchange);
    }
    event.text("domainName", domain);
    event.text("domainPrefix", domain.split('.').next().unwrap_or_default());
    event.name("http");
    event.begin();
    event.text("method", exchange.head.method.as_str());
    event.text("path", path);
    event.text("protocol", protocol(exchange));
    event.text("sourceIp", &exchange.source_ip());
    event.text("userAgent", &exchange.header("user-agent").unwrap_or_default());
    event.end();
    event.text("requestId", &String::from_utf8_lossy(&exchange.request_id));
    event.text("routeKey", route_key);
    event.text("stage", &plan.stage);
    event.text("time", &common_log_time(exchange.received_at));
    event.raw("timeEpoch", &epoch_millis(exchange.received_at).to_string());
    event.end();
}

/// Writes an event of format 1.0.
pub(super) fn write_1(exchange: &Exchange<'_>, body: &[u8]) -> Bytes {
    let mut event = Writer::new(2048 + body.len() * 4 / 3);
    let headers = headers(exchange, body.len() as u64, known);
    let named: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let (query, _) = query(exchange);
    let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let path = path_1(exchange);
    let same = str::eq_ignore_ascii_case;

    event.begin();
    event.text("version", "1.0");
    event.text("resource", exchange.resource().map_or("", |resource| &resource.path));
    event.text("path", &path);
    event.text("httpMethod", exchange.head.method.as_str());
    event.last_values("headers", &named, same);
    event.all_values("multiValueHeaders", &named, same);
    let same = |one: &str, other: &str| one == other;
    event.last_values("queryStringParameters", &query, same);
    event.all_values("multiValueQueryStringParameters", &query, same);
    event.name("requestContext");
    context_1(&mut event, exchange, &path, true);
    let parameters = path_parameters(exchange);
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    event.last_values("pathParameters", &parameters, same);
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value)).collect();
    event.last_values("stageVariables", &variables, same);
    let mut is_base64 = false;
    if body.is_empty() {
        event.null("body");
    } else {
        is_base64 = write_body(&mut event, exchange, body);
    }
    event.raw("isBase64Encoded", if is_base64 { "true" } else { "false" });
    event.end();
    event.out.into()
}

/// Writes the event for an authorizer function in format 1.0: the request without its body. What is not there is empty, not
/// null.
pub(in crate::phases) fn authorizer_1(
    exchange: &Exchange<'_>,
    arn: &str,
    identity: &[Cow<'_, str>],
) -> Bytes {
    let mut event = Writer { nothing: "{}", ..Writer::new(2048) };
    let headers = headers(exchange, announced_length(exchange), known);
    let named: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let query: Vec<_> = exchange.query().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let path = path_1(exchange);
    let same = |one: &str, other: &str| one == other;
    let source = identity.join(",");
    let source = (!identity.is_empty()).then_some(source.as_str());

    event.begin();
    event.text("version", "1.0");
    event.text("type", "REQUEST");
    event.text("methodArn", arn);
    event.optional("identitySource", source);
    event.optional("authorizationToken", source);
    event.text("resource", exchange.resource().map_or("", |resource| &resource.path));
    event.text("path", &path);
    event.text("httpMethod", exchange.head.method.as_str());
    event.last_values("headers", &named, str::eq_ignore_ascii_case);
    event.last_values("queryStringParameters", &query, same);
    let parameters = path_parameters(exchange);
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    event.last_values("pathParameters", &parameters, same);
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value)).collect();
    event.last_values("stageVariables", &variables, same);
    event.name("requestContext");
    context_1(&mut event, exchange, &path, false);
    event.end();
    event.out.into()
}

/// What the authorizer said: a token's claims and scopes, which a function's context stands beside. An open route has no
/// such member.
fn authorizer_member_1(event: &mut Writer, record: Option<&AuthorizerRecord>) {
    let Some(record) = record else { return };
    event.name("authorizer");
    event.begin();
    match &record.jwt {
        Some(jwt) => claims(event, jwt),
        None => {
            event.null("claims");
            event.null("scopes");
            if let Some(id) = &record.principal_id {
                event.text("principalId", id);
            }
            let written = ["claims", "scopes", "principalId"];
            for (name, value) in record.context.iter().filter(|(name, _)| !written.contains(&name.as_str())) {
                event.raw(name, &value.to_string());
            }
        }
    }
    event.end();
}

fn context_1(event: &mut Writer, exchange: &Exchange<'_>, path: &str, authorized: bool) {
    let plan = exchange.plan;
    let domain = exchange.domain_name().unwrap_or_default();
    event.begin();
    event.text("accountId", &plan.account_id);
    event.text("apiId", &plan.api_id);
    if authorized {
        authorizer_member_1(event, exchange.record.authorizer.as_deref());
    }
    event.text("domainName", domain);
    event.text("domainPrefix", domain.split('.').next().unwrap_or_default());
    event.text("extendedRequestId", &String::from_utf8_lossy(exchange.extended_request_id()));
    event.text("httpMethod", exchange.head.method.as_str());
    event.name("identity");
    event.begin();
    let unknown = IdentityRecord::default();
    let identity = exchange.record.identity.as_deref().unwrap_or(&unknown);
    event.optional("accessKey", identity.access_key.as_deref());
    event.optional("accountId", identity.account_id.as_deref());
    event.optional("caller", identity.caller.as_deref());
    event.null("cognitoAmr");
    event.optional("cognitoAuthenticationProvider", identity.cognito_authentication_provider.as_deref());
    event.optional("cognitoAuthenticationType", identity.cognito_authentication_type.as_deref());
    event.optional("cognitoIdentityId", identity.cognito_identity_id.as_deref());
    event.optional("cognitoIdentityPoolId", identity.cognito_identity_pool_id.as_deref());
    event.optional("principalOrgId", identity.principal_org_id.as_deref());
    event.text("sourceIp", &exchange.source_ip());
    event.optional("user", identity.user.as_deref());
    event.text("userAgent", &exchange.header("user-agent").unwrap_or_default());
    event.optional("userArn", identity.user_arn.as_deref());
    client_certificate(event, identity);
    event.end();
    event.text("path", path);
    event.text("protocol", protocol(exchange));
    event.text("requestId", &String::from_utf8_lossy(&exchange.request_id));
    event.text("requestTime", &common_log_time(exchange.received_at));
    event.raw("requestTimeEpoch", &epoch_millis(exchange.received_at).to_string());
    event.text("resourceId", exchange.resource().map_or("", |resource| &resource.route_key));
    event.text("resourcePath", exchange.resource().map_or("", |resource| &resource.path));
    event.text("stage", &plan.stage);
    event.end();
}
