//! The events that Lambda functions get for a request (payload format 1.0), written without a tree in between.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stagedoor_http::Header;

use crate::context::{common_log_time, epoch_millis};
use crate::exchange::Exchange;
use crate::phases::authorization::rest_jwt::as_json;
use crate::phases::headers::for_integration;
use crate::record::{AuthorizerRecord, IdentityRecord};

/// Writes the event for a request whose body is `body`.
pub(super) fn write(exchange: &Exchange<'_>, body: &[u8]) -> Bytes {
    let mut event = Writer::new(2048 + body.len() * 4 / 3);
    event.begin();
    request(&mut event, exchange);
    let is_binary = !body.is_empty() && exchange.plan.binary_media_types.contains(&exchange.content_type());
    match (body, is_binary) {
        ([], _) => event.null("body"),
        (body, true) => event.text("body", &STANDARD.encode(body)),
        (body, false) => event.text("body", &String::from_utf8_lossy(body)),
    }
    event.raw("isBase64Encoded", if is_binary { "true" } else { "false" });
    event.end();
    event.out.into()
}

/// Writes the event for an authorizer function that sees a header.
pub(in crate::phases) fn token_authorizer(method_arn: &str, token: &str) -> Bytes {
    let mut event = Writer::new(256 + token.len());
    event.begin();
    event.text("type", "TOKEN");
    event.text("methodArn", method_arn);
    event.text("authorizationToken", token);
    event.end();
    event.out.into()
}

/// Writes the event for an authorizer function that sees the request, but for its body.
pub(in crate::phases) fn request_authorizer(exchange: &Exchange<'_>, method_arn: &str) -> Bytes {
    let mut event = Writer { nothing: "{}", ..Writer::new(2048) };
    event.begin();
    event.text("type", "REQUEST");
    event.text("methodArn", method_arn);
    match &exchange.socket {
        Some(socket) => super::socket_event::authorizer(&mut event, exchange, socket),
        None => request(&mut event, exchange),
    }
    event.end();
    event.out.into()
}

fn request(event: &mut Writer, exchange: &Exchange<'_>) {
    let headers = for_integration(exchange);
    let headers: Vec<&Header> = headers.iter().collect();
    let named: Vec<_> = headers.iter().map(|header| (header.name_str(), header.value_str())).collect();
    let query: Vec<_> =
        exchange.query().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // Behind a custom domain functions see the path as the client sent it, with its base path.
    let path = if exchange.by_domain { exchange.head.path() } else { exchange.path() };
    let path = path.trim_start_matches('/');

    event.text("resource", exchange.resource().map_or("", |resource| &resource.path));
    event.text("path", &format!("/{path}"));
    event.text("httpMethod", exchange.head.method.as_str());
    event.last_values("headers", &named, str::eq_ignore_ascii_case);
    event.all_values("multiValueHeaders", &named, str::eq_ignore_ascii_case);
    event.last_values("queryStringParameters", &query, |a, b| a == b);
    event.all_values("multiValueQueryStringParameters", &query, |a, b| a == b);
    let path_parameters: Vec<_> = exchange.path_parameters().collect();
    event.last_values("pathParameters", &path_parameters, |a, b| a == b);
    let variables: Vec<_> =
        exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    event.last_values("stageVariables", &variables, |a, b| a == b);
    event.name("requestContext");
    request_context(event, exchange);
}

fn request_context(event: &mut Writer, exchange: &Exchange<'_>) {
    let plan = exchange.plan;
    let domain = exchange.domain_name().unwrap_or_default();
    event.begin();
    event.text("resourceId", exchange.resource().map_or("", |resource| &resource.id));
    event.text("resourcePath", exchange.resource().map_or("", |resource| &resource.path));
    // Only a method whose definition names an operation has this member.
    if let Some(name) = exchange.method().and_then(|method| method.operation_name.as_deref()) {
        event.text("operationName", name);
    }
    event.text("httpMethod", exchange.head.method.as_str());
    event.text("extendedRequestId", &String::from_utf8_lossy(exchange.extended_request_id()));
    event.text("requestTime", &common_log_time(exchange.received_at));
    event.text("path", &exchange.path_with_stage());
    event.text("accountId", &plan.account_id);
    event.text("protocol", exchange.head.version.as_str());
    event.text("stage", &plan.stage);
    event.text("domainPrefix", domain.split('.').next().unwrap_or_default());
    event.raw("requestTimeEpoch", &epoch_millis(exchange.received_at).to_string());
    event.text("requestId", &String::from_utf8_lossy(&exchange.request_id));
    event.name("identity");
    event.begin();
    let unknown = IdentityRecord::default();
    let identity = exchange.record.identity.as_deref().unwrap_or(&unknown);
    event.optional("cognitoIdentityPoolId", identity.cognito_identity_pool_id.as_deref());
    event.optional("accountId", identity.account_id.as_deref());
    event.optional("cognitoIdentityId", identity.cognito_identity_id.as_deref());
    event.optional("caller", identity.caller.as_deref());
    // Only a method that wants a key has these members.
    for (name, value) in [("apiKey", &identity.api_key), ("apiKeyId", &identity.api_key_id)] {
        if let Some(value) = value {
            event.text(name, value);
        }
    }
    event.text("sourceIp", &exchange.source_ip());
    event.optional("principalOrgId", identity.principal_org_id.as_deref());
    event.optional("accessKey", identity.access_key.as_deref());
    event.optional("cognitoAuthenticationType", identity.cognito_authentication_type.as_deref());
    event.optional("cognitoAuthenticationProvider", identity.cognito_authentication_provider.as_deref());
    event.optional("userArn", identity.user_arn.as_deref());
    match exchange.header("user-agent") {
        Some(agent) => event.text("userAgent", &agent),
        None => event.null("userAgent"),
    }
    event.optional("user", identity.user.as_deref());
    // Only private APIs and domains with mutual TLS have these.
    for (name, value) in [("vpcId", &identity.vpc_id), ("vpceId", &identity.vpce_id)] {
        if let Some(value) = value {
            event.text(name, value);
        }
    }
    client_certificate(event, identity);
    event.end();
    if let Some(record) = &exchange.record.authorizer {
        authorizer(event, record);
    }
    event.text("domainName", domain);
    event.text("deploymentId", &plan.deployment_id);
    event.text("apiId", &plan.api_id);
    event.end();
}

/// The client's certificate, if it had to have one.
pub(super) fn client_certificate(event: &mut Writer, identity: &IdentityRecord) {
    let Some(certificate) = &identity.client_cert else { return };
    event.name("clientCert");
    event.begin();
    event.text("clientCertPem", &certificate.pem);
    event.text("subjectDN", &certificate.subject_dn);
    event.text("issuerDN", &certificate.issuer_dn);
    event.text("serialNumber", &certificate.serial_number);
    event.name("validity");
    event.begin();
    event.text("notBefore", &certificate.not_before);
    event.text("notAfter", &certificate.not_after);
    event.end();
    event.end();
}

/// What the authorizer said: the claims of a token, or what its function answered.
pub(super) fn authorizer(event: &mut Writer, record: &AuthorizerRecord) {
    event.name("authorizer");
    event.begin();
    if let Some(claims) = &record.claims {
        event.raw("claims", &serde_json::to_string(claims).unwrap_or_default());
    } else if let Some(claims) = &record.verified {
        event.raw("claims", &as_json(&**claims));
    } else {
        if let Some(id) = &record.principal_id {
            event.text("principalId", id);
        }
        for (name, value) in record.context.iter().filter(|(name, _)| *name != "principalId") {
            event.raw(name, &value.to_string());
        }
        let latency = record.integration_latency.unwrap_or_default().as_millis();
        event.raw("integrationLatency", &latency.to_string());
    }
    event.end();
}

/// Writes JSON objects member by member.
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    /// What stands for an object without members: `null`, or for authorizers `{}`.
    pub(super) nothing: &'static str,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), nothing: "null" }
    }

    pub(super) fn begin(&mut self) {
        self.out.push(b'{');
    }

    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    pub(super) fn name(&mut self, name: &str) {
        if self.out.last().is_some_and(|&last| last != b'{') {
            self.out.push(b',');
        }
        self.string(name);
        self.out.push(b':');
    }

    fn string(&mut self, text: &str) {
        // Writing to memory does not fail, and every text can be written.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    pub(super) fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }

    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.null(name),
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    /// An object with the last value of each name, `null` for none at all.
    pub(super) fn last_values<V: AsRef<str>>(
        &mut self,
        name: &str,
        pairs: &[(&str, V)],
        same: fn(&str, &str) -> bool,
    ) {
        self.grouped(name, pairs, same, |writer, values| {
            if let Some(last) = values.next_back() {
                writer.string(last);
            }
        });
    }

    /// An object with all values of each name, `null` for none at all.
    pub(super) fn all_values<V: AsRef<str>>(
        &mut self,
        name: &str,
        pairs: &[(&str, V)],
        same: fn(&str, &str) -> bool,
    ) {
        self.grouped(name, pairs, same, |writer, values| {
            let mut separator = b'[';
            for value in values {
                writer.out.push(separator);
                writer.string(value);
                separator = b',';
            }
            writer.out.push(b']');
        });
    }

    fn grouped<V: AsRef<str>>(
        &mut self,
        name: &str,
        pairs: &[(&str, V)],
        same: fn(&str, &str) -> bool,
        write: impl Fn(&mut Self, &mut dyn DoubleEndedIterator<Item = &str>),
    ) {
        if pairs.is_empty() {
            return self.raw(name, self.nothing);
        }
        self.name(name);
        self.begin();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| same(earlier, name)) {
                continue;
            }
            self.name(name);
            let values = pairs.iter().filter(|(candidate, _)| same(candidate, name));
            write(self, &mut values.map(|(_, value)| value.as_ref()));
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_grouped() {
        let check = |pairs: &[(&str, &str)], same: fn(&str, &str) -> bool, expected: &str| {
            let mut writer = Writer::new(0);
            writer.begin();
            writer.last_values("l", pairs, same);
            writer.all_values("a", pairs, same);
            writer.end();
            assert_eq!(String::from_utf8(writer.out).unwrap(), expected);
        };
        check(&[], |a, b| a == b, r#"{"l":null,"a":null}"#);
        check(
            &[("x", "1"), ("y", "\"\n"), ("x", "2"), ("X", "3")],
            |a, b| a == b,
            r#"{"l":{"x":"2","y":"\"\n","X":"3"},"a":{"x":["1","2"],"y":["\"\n"],"X":["3"]}}"#,
        );
        check(
            &[("Accept", "1"), ("ACCEPT", "2")],
            str::eq_ignore_ascii_case,
            r#"{"l":{"Accept":"2"},"a":{"Accept":["1","2"]}}"#,
        );
    }
}
