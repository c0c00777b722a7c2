//! The events that functions behind HTTP APIs get: format 2.0, and 1.0 as HTTP APIs write it.
//!
//! In format 2.0 what a request does not have is absent; in format 1.0 it is null.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::event::Writer;
use crate::context::{common_log_time, epoch_millis};
use crate::exchange::Exchange;
use crate::phases::headers::for_integration;

/// A request's headers under lower-case names, in order.
fn headers(exchange: &Exchange<'_>, body: &[u8]) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = for_integration(exchange)
        .iter()
        .map(|header| (header.name_str().to_ascii_lowercase(), header.value_str().into_owned()))
        .collect();
    headers.push(("content-length".to_owned(), body.len().to_string()));
    headers
}

/// The path with its stage, unless that is `$default`.
fn path(exchange: &Exchange<'_>) -> String {
    let below = exchange.mapped_path.as_deref().unwrap_or_else(|| exchange.path());
    let at_root = exchange.plan.http_api.as_ref().is_some_and(|http| http.at_root);
    match at_root {
        true if below.is_empty() => "/".to_owned(),
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

/// Whether a body of this media type is handed on as text.
fn is_text(exchange: &Exchange<'_>) -> bool {
    let Some(media_type) = exchange.head.headers.get_str("content-type") else { return false };
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || matches!(essence.as_str(), "application/json" | "application/xml" | "application/javascript")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
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
    let path = path(exchange);
    let route_key = exchange.resource().map_or("", |resource| &resource.route_key);
    let (query, raw_query) = query(exchange);
    let (cookies, headers): (Vec<_>, Vec<_>) =
        headers(exchange, body).into_iter().partition(|(name, _)| name == "cookie");

    event.begin();
    event.text("version", "2.0");
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
    object(&mut event, "headers", &joined(&headers));
    object(&mut event, "queryStringParameters", &joined(&query));
    event.name("requestContext");
    context_2(&mut event, exchange, &path, route_key);
    let is_base64 = !body.is_empty() && write_body(&mut event, exchange, body);
    let parameters = path_parameters(exchange);
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value)).collect();
    object(&mut event, "pathParameters", &parameters);
    event.raw("isBase64Encoded", if is_base64 { "true" } else { "false" });
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value)).collect();
    object(&mut event, "stageVariables", &variables);
    event.end();
    event.out.into()
}

fn context_2(event: &mut Writer, exchange: &Exchange<'_>, path: &str, route_key: &str) {
    let plan = exchange.plan;
    let domain = exchange.domain_name().unwrap_or_default();
    event.begin();
    event.text("accountId", &plan.account_id);
    event.text("apiId", &plan.api_id);
    event.text("domainName", domain);
    event.text("domainPrefix", domain.split('.').next().unwrap_or_default());
    event.name("http");
    event.begin();
    event.text("method", exchange.head.method.as_str());
    event.text("path", path);
    event.text("protocol", exchange.head.version.as_str());
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
    let headers = headers(exchange, body);
    let named: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let (query, _) = query(exchange);
    let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let path = path(exchange);
    let same = |one: &str, other: &str| one == other;

    event.begin();
    event.text("version", "1.0");
    event.text("resource", exchange.resource().map_or("", |resource| &resource.path));
    event.text("path", &path);
    event.text("httpMethod", exchange.head.method.as_str());
    event.last_values("headers", &named, same);
    event.all_values("multiValueHeaders", &named, same);
    event.last_values("queryStringParameters", &query, same);
    event.all_values("multiValueQueryStringParameters", &query, same);
    event.name("requestContext");
    context_1(&mut event, exchange, &path);
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

fn context_1(event: &mut Writer, exchange: &Exchange<'_>, path: &str) {
    let plan = exchange.plan;
    let domain = exchange.domain_name().unwrap_or_default();
    event.begin();
    event.text("accountId", &plan.account_id);
    event.text("apiId", &plan.api_id);
    event.raw("authorizer", r#"{"claims":null,"scopes":null}"#);
    event.text("domainName", domain);
    event.text("domainPrefix", domain.split('.').next().unwrap_or_default());
    event.text("extendedRequestId", &String::from_utf8_lossy(&exchange.extended_request_id));
    event.text("httpMethod", exchange.head.method.as_str());
    event.name("identity");
    event.begin();
    let absent = [
        "accessKey",
        "accountId",
        "caller",
        "cognitoAuthenticationProvider",
        "cognitoAuthenticationType",
        "cognitoIdentityId",
        "cognitoIdentityPoolId",
        "principalOrgId",
    ];
    for name in absent {
        event.null(name);
    }
    event.text("sourceIp", &exchange.source_ip());
    event.null("user");
    event.text("userAgent", &exchange.header("user-agent").unwrap_or_default());
    event.null("userArn");
    event.end();
    event.text("path", path);
    event.text("protocol", exchange.head.version.as_str());
    event.text("requestId", &String::from_utf8_lossy(&exchange.request_id));
    event.text("requestTime", &common_log_time(exchange.received_at));
    event.raw("requestTimeEpoch", &epoch_millis(exchange.received_at).to_string());
    event.null("resourceId");
    event.text("resourcePath", exchange.resource().map_or("", |resource| &resource.path));
    event.text("stage", &plan.stage);
    event.end();
}
