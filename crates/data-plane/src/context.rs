//! `$context`: what AWS tells templates, mappings, gateway responses and logs about a request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;
use stagedoor_http::Version;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::exchange::Exchange;
use crate::logs::{push_in_line, push_number};
use crate::phases::authorization::http_jwt::claim_text;
use crate::phases::authorization::rest_jwt::as_json;
use crate::phases::http_api::fault::status_and_message as http_api_answer;
use crate::record::ClientCertRecord;
use crate::vtl::Side;
use crate::websocket::event::{DIRECTION, EventKind};

/// A variable of `$context` by its name, looked up at deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextVariable {
    /// One of AWS's own, by its place in the table.
    Known(usize),
    /// `authorizer.{property}`, which the authorizer's answer may hold.
    Authorizer(Arc<str>),
    /// `authorizer.claims.{property}`, which a user's token may hold.
    Claim(Arc<str>),
    /// `requestOverride.{part}.{name}` or `responseOverride.…`, which a template may have set.
    Override(Side, Arc<str>),
}

/// A variable's value as it is at hand: as text only where it has to be.
pub(crate) enum Shown<'e> {
    /// Any text.
    Text(Cow<'e, str>),
    /// An identifier or an address that is written here: ASCII, and nothing that would have to be escaped anywhere.
    Token(&'e [u8]),
    Number(u64),
    /// In the form of [`common_log_time`].
    Time(SystemTime),
}

impl<'e> Shown<'e> {
    fn into_text(self) -> Cow<'e, str> {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => String::from_utf8_lossy(token),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Time(time) => Cow::Owned(common_log_time(time)),
        }
    }

    /// Appends it as a part of one line of a log, `-` if it is empty.
    pub(crate) fn write_in_line(&self, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) if text.is_empty() => line.push(b'-'),
            Self::Text(text) => push_in_line(line, text),
            Self::Token(token) => line.extend_from_slice(token),
            Self::Number(number) => push_number(line, *number),
            Self::Time(time) => with_common_log_time(*time, |text| line.extend_from_slice(text.as_bytes())),
        }
    }
}

type Value<'e> = Option<Shown<'e>>;
type Getter = for<'e> fn(&'e Exchange<'_>) -> Value<'e>;

/// When a variable has its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before the integration is called: templates see it.
    Early,
    /// At the end: only logs see it, and gateway responses as far as it goes.
    Late,
}
use When::{Early, Late};

/// Every variable and how to find its value. One that has none is absent, as it is on AWS for a request that has, say,
/// no API key.
const VARIABLES: &[(&str, When, Getter)] = &[
    ("accountId", Early, |x| text(&x.plan.account_id)),
    ("apiId", Early, |x| text(&x.plan.api_id)),
    ("authenticate.error", Late, |x| of(&x.record.authenticate.as_ref()?.error)),
    ("authenticate.latency", Late, |x| milliseconds(x.record.authenticate.as_ref()?.latency)),
    ("authenticate.status", Late, |x| number(x.record.authenticate.as_ref()?.status)),
    ("authorize.error", Late, |x| of(&x.record.authorize.as_ref()?.error)),
    ("authorize.latency", Late, |x| milliseconds(x.record.authorize.as_ref()?.latency)),
    ("authorize.status", Late, |x| number(x.record.authorize.as_ref()?.status)),
    ("authorizer.error", Late, |x| of(&x.record.authorizer.as_ref()?.error)),
    ("authorizer.integrationLatency", Early, |x| {
        milliseconds(x.record.authorizer.as_ref()?.integration_latency)
    }),
    ("authorizer.integrationStatus", Late, |x| number(x.record.authorizer.as_ref()?.integration_status)),
    ("authorizer.latency", Late, |x| milliseconds(x.record.authorizer.as_ref()?.latency)),
    ("authorizer.principalId", Early, |x| of(&x.record.authorizer.as_ref()?.principal_id)),
    ("authorizer.requestId", Late, |x| of(&x.record.authorizer.as_ref()?.request_id)),
    ("authorizer.status", Late, |x| number(x.record.authorizer.as_ref()?.status)),
    ("awsEndpointRequestId", Early, |x| of(&x.record.integration.request_id)),
    ("awsEndpointRequestId2", Early, |x| of(&x.record.integration.request_id_2)),
    ("cipherSuite", Late, |x| owned(x.connection.tls.as_ref()?.cipher_suite()?)),
    ("connectedAt", Early, |x| count(epoch_millis(x.socket.as_ref()?.connected_at))),
    ("connectionId", Early, |x| text(x.socket.as_ref()?.id.as_str())),
    ("customDomain.basePathMatched", Early, |x| of(&x.record.base_path)),
    ("customDomain.routingRuleIdMatched", Early, |x| of(&x.record.routing_rule)),
    ("deploymentId", Early, |x| text(&x.plan.deployment_id)),
    ("disconnectReason", Early, |x| match &x.socket.as_ref()?.kind {
        EventKind::Disconnect { reason, .. } => text(reason),
        _ => None,
    }),
    ("disconnectStatusCode", Early, |x| match x.socket.as_ref()?.kind {
        EventKind::Disconnect { status, .. } => number(Some(status)),
        _ => None,
    }),
    ("domainName", Early, |x| text(x.domain_name()?)),
    ("domainPrefix", Early, |x| x.domain_name()?.split('.').next().and_then(text)),
    ("endpointType", Early, |x| text(x.plan.endpoint_type.as_str())),
    ("error.message", Early, |x| text(error_message(x)?)),
    ("error.messageString", Early, |x| {
        let fault = x.fault.as_ref()?;
        owned(match x.plan.http_api {
            Some(_) => Json::from(http_api_answer(fault).1).to_string(),
            None => fault.message_json(),
        })
    }),
    ("error.responseType", Early, |x| text(x.fault.as_ref()?.kind.as_str())),
    ("error.validationErrorString", Early, |x| x.fault.as_ref()?.validation_error.as_deref().and_then(text)),
    ("eventType", Early, |x| text(x.socket.as_ref()?.kind.as_str())),
    ("extendedRequestId", Early, |x| token(x.extended_request_id())),
    ("httpMethod", Early, |x| token(x.head.method.as_str().as_bytes())),
    ("identity.accountId", Early, |x| of(&x.record.identity.as_ref()?.account_id)),
    ("identity.apiKey", Early, |x| of(&x.record.identity.as_ref()?.api_key)),
    ("identity.apiKeyId", Early, |x| of(&x.record.identity.as_ref()?.api_key_id)),
    ("identity.caller", Early, |x| of(&x.record.identity.as_ref()?.caller)),
    ("identity.clientCert.clientCertPem", Early, |x| text(&client_cert(x)?.pem)),
    ("identity.clientCert.issuerDN", Early, |x| text(&client_cert(x)?.issuer_dn)),
    ("identity.clientCert.serialNumber", Early, |x| text(&client_cert(x)?.serial_number)),
    ("identity.clientCert.subjectDN", Early, |x| text(&client_cert(x)?.subject_dn)),
    ("identity.clientCert.validity.notAfter", Early, |x| text(&client_cert(x)?.not_after)),
    ("identity.clientCert.validity.notBefore", Early, |x| text(&client_cert(x)?.not_before)),
    ("identity.cognitoAuthenticationProvider", Early, |x| {
        of(&x.record.identity.as_ref()?.cognito_authentication_provider)
    }),
    ("identity.cognitoAuthenticationType", Early, |x| {
        of(&x.record.identity.as_ref()?.cognito_authentication_type)
    }),
    ("identity.cognitoIdentityId", Early, |x| of(&x.record.identity.as_ref()?.cognito_identity_id)),
    ("identity.cognitoIdentityPoolId", Early, |x| of(&x.record.identity.as_ref()?.cognito_identity_pool_id)),
    ("identity.principalOrgId", Early, |x| of(&x.record.identity.as_ref()?.principal_org_id)),
    ("identity.sourceIp", Early, |x| {
        if x.is_test { owned(x.source_ip()) } else { token(x.connection.peer_ip()) }
    }),
    ("identity.user", Early, |x| of(&x.record.identity.as_ref()?.user)),
    ("identity.userAgent", Early, |x| x.header("user-agent").map(Shown::Text)),
    ("identity.userArn", Early, |x| of(&x.record.identity.as_ref()?.user_arn)),
    ("identity.vpcId", Early, |x| of(&x.record.identity.as_ref()?.vpc_id)),
    ("identity.vpceId", Early, |x| of(&x.record.identity.as_ref()?.vpce_id)),
    ("integration.error", Late, |x| of(&x.record.integration.error)),
    ("integration.integrationStatus", Late, |x| number(x.record.integration.service_status)),
    ("integration.latency", Late, |x| milliseconds(x.record.integration.latency)),
    ("integration.requestId", Late, |x| of(&x.record.integration.request_id)),
    ("integration.responseTransferMode", Late, |x| {
        let integration =
            &x.method().filter(|_| x.plan.http_api.is_none() && x.socket.is_none())?.integration;
        text(if integration.streams() { "STREAMED" } else { "BUFFERED" })
    }),
    ("integration.status", Late, |x| number(x.record.integration.status)),
    ("integration.timeToAllHeaders", Late, |x| milliseconds(x.record.integration.latency)),
    ("integrationErrorMessage", Late, |x| of(&x.record.integration.error)),
    ("integrationLatency", Late, |x| milliseconds(x.record.integration.latency)),
    ("integrationStatus", Late, |x| {
        number(x.record.integration.service_status.or(x.record.integration.status))
    }),
    ("isCanaryRequest", Early, |x| text(if x.plan.is_canary? { "true" } else { "false" })),
    ("messageDirection", Early, |x| x.socket.as_ref().and_then(|_| text(DIRECTION))),
    ("messageId", Early, |x| match &x.socket.as_ref()?.kind {
        EventKind::Message { id } => token(id),
        _ => None,
    }),
    ("operationName", Early, |x| text(x.method()?.operation_name.as_deref()?)),
    ("path", Early, |x| owned(x.path_with_stage())),
    ("protocol", Early, |x| token(protocol(x).as_bytes())),
    ("requestId", Early, |x| token(&x.request_id)),
    ("requestTime", Early, |x| Some(Shown::Time(x.received_at))),
    ("requestTimeEpoch", Early, |x| {
        let millis = epoch_millis(x.received_at);
        // HTTP APIs' has seconds, as published logs show, though their events have milliseconds.
        let time = if x.plan.http_api.is_some() { millis / 1000 } else { millis };
        count(time)
    }),
    ("resourceId", Early, |x| text(&x.resource()?.id)),
    // HTTP APIs take it in access logs, where it has no value.
    ("resourcePath", Early, |x| text(&x.resource().filter(|_| x.plan.http_api.is_none())?.path)),
    ("responseLatency", Late, |x| milliseconds(x.record.response.latency)),
    ("responseLength", Late, |x| x.record.response.length.map(Shown::Number)),
    ("routeKey", Early, |x| text(&x.resource().filter(|route| !route.route_key.is_empty())?.route_key)),
    ("stage", Early, |x| text(&x.plan.stage)),
    ("status", Late, |x| number(Some(x.record.response.status).filter(|&status| status > 0))),
    ("tlsVersion", Late, |x| owned(x.connection.tls.as_ref()?.version()?)),
    ("waf.error", Late, |x| of(&x.record.waf.as_ref()?.step.error)),
    ("waf.latency", Late, |x| milliseconds(x.record.waf.as_ref()?.step.latency)),
    ("waf.status", Late, |x| number(x.record.waf.as_ref()?.step.status)),
    ("wafResponseCode", Early, |x| text(x.record.waf.as_ref()?.response_code?)),
    ("webaclArn", Early, |x| of(&x.plan.web_acl_arn)),
    ("xrayTraceId", Early, |x| {
        std::str::from_utf8(x.trace_id())
            .ok()?
            .split(';')
            .find_map(|part| part.strip_prefix("Root="))
            .and_then(text)
    }),
];

/// `$context.error.message`: what the client is told.
fn error_message<'a>(exchange: &'a Exchange<'_>) -> Option<&'a str> {
    let fault = exchange.fault.as_ref()?;
    Some(match exchange.plan.http_api {
        Some(_) => http_api_answer(fault).1,
        None => &fault.message,
    })
}

/// `$context.protocol`. HTTP APIs tell of HTTP/2 as if it were HTTP/1.1, as published logs show.
#[must_use]
pub fn protocol(exchange: &Exchange<'_>) -> &'static str {
    match exchange.head.version {
        Version::Http2 if exchange.plan.http_api.is_some() => Version::Http11.as_str(),
        version => version.as_str(),
    }
}

fn text(value: &str) -> Value<'_> {
    Some(Shown::Text(Cow::Borrowed(value)))
}

fn owned(value: String) -> Value<'static> {
    Some(Shown::Text(Cow::Owned(value)))
}

fn token(value: &[u8]) -> Value<'_> {
    Some(Shown::Token(value))
}

fn of(value: &Option<Box<str>>) -> Value<'_> {
    text(value.as_deref()?)
}

fn number(value: Option<u16>) -> Value<'static> {
    count(value?.into())
}

fn count(value: u128) -> Value<'static> {
    Some(Shown::Number(u64::try_from(value).unwrap_or(u64::MAX)))
}

fn milliseconds(value: Option<Duration>) -> Value<'static> {
    count(value?.as_millis())
}

fn client_cert<'e>(exchange: &'e Exchange<'_>) -> Option<&'e ClientCertRecord> {
    exchange.record.identity.as_ref()?.client_cert.as_deref()
}

/// A value of an authorizer's answer or a token as text: AWS hands all of them on as strings.
pub(crate) fn stringified(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

impl ContextVariable {
    /// Looks a name up, without `context.` before it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(index) = VARIABLES.iter().position(|(known, ..)| *known == name) {
            return Some(Self::Known(index));
        }
        if let Some(claim) = name.strip_prefix("authorizer.claims.") {
            return (!claim.is_empty()).then(|| Self::Claim(claim.into()));
        }
        if let Some(property) = name.strip_prefix("authorizer.") {
            // `$context.authorizer.claims` itself is null on AWS.
            let is_one = !property.is_empty() && !property.contains('.') && property != "claims";
            return is_one.then(|| Self::Authorizer(property.into()));
        }
        let sides = [("requestOverride.", Side::Request), ("responseOverride.", Side::Response)];
        sides.into_iter().find_map(|(prefix, side)| {
            let path = name.strip_prefix(prefix)?;
            Some(Self::Override(side, path.into()))
        })
    }

    /// The value for a request, as text.
    #[must_use]
    pub fn value<'e>(&self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        self.shown(exchange).map(Shown::into_text)
    }

    /// The value for a request.
    pub(crate) fn shown<'e>(&self, exchange: &'e Exchange<'_>) -> Option<Shown<'e>> {
        let Self::Known(index) = self else { return self.others(exchange).map(Shown::Text) };
        let (name, _, get) = VARIABLES.get(*index)?;
        match exchange.additional_context.get(*name) {
            Some(value) => text(value),
            None => get(exchange),
        }
    }

    /// The value of what is not AWS's own: somebody else has made it.
    fn others<'e>(&self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        let authorizer = || exchange.record.authorizer.as_deref();
        match self {
            Self::Known(_) => None,
            Self::Authorizer(name) => stringified(authorizer()?.context.get(&**name)?),
            Self::Claim(name) => {
                let authorizer = authorizer()?;
                match (&authorizer.jwt, &authorizer.verified) {
                    (Some(jwt), _) => jwt.claims.get(&**name).and_then(claim_text),
                    (None, Some(claims)) => Some(Cow::Owned(as_json(claims.get(&**name)?))),
                    (None, None) => stringified(authorizer.claims.as_ref()?.get(&**name)?),
                }
            }
            Self::Override(side, path) => {
                exchange.templates.as_ref()?.overridden(*side, path).map(Cow::Owned)
            }
        }
    }

    /// Whether its value comes from the request's headers, which an integration that streams takes with it.
    #[must_use]
    pub fn uses_request_headers(&self) -> bool {
        const FROM_HEADERS: [&str; 4] = ["domainName", "domainPrefix", "identity.userAgent", "xrayTraceId"];
        match self {
            Self::Known(index) => VARIABLES.get(*index).is_some_and(|(name, ..)| FROM_HEADERS.contains(name)),
            Self::Authorizer(_) | Self::Claim(_) | Self::Override(..) => false,
        }
    }
}

/// Every variable that templates see and that has a value for this request, by name. What an authorizer added is not
/// among them: its names are its own.
pub fn all<'e>(exchange: &'e Exchange<'_>) -> impl Iterator<Item = (&'static str, Cow<'e, str>)> {
    let early = VARIABLES.iter().filter(|(_, when, _)| *when == Early);
    early.filter_map(move |(name, _, get)| Some((*name, get(exchange)?.into_text())))
}

impl Exchange<'_> {
    /// `$context.domainName`: the host the client asked for, without port.
    #[must_use]
    pub fn domain_name(&self) -> Option<&str> {
        if self.is_test {
            return Some("testPrefix.testDomainName");
        }
        if let Some(websocket) = &self.plan.websocket
            && !self.by_domain
            && crate::edge::is_by_path(&self.head)
        {
            // Whoever calls back builds an address of it; any name could stand in the header.
            return Some(&websocket.own_host);
        }
        let host = self.head.headers.get_str("host")?;
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
            _ => Some(host),
        }
    }
}

thread_local! {
    /// The last second that was shown as text. All requests of a second show the same.
    static SHOWN: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// A time as `$context.requestTime` shows it: `04/Mar/2020:19:15:17 +0000`.
#[must_use]
pub fn common_log_time(time: SystemTime) -> String {
    with_common_log_time(time, str::to_owned)
}

fn with_common_log_time<T>(time: SystemTime, show: impl FnOnce(&str) -> T) -> T {
    let second = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SHOWN.with_borrow_mut(|(shown, text)| {
        if *shown != second {
            let format = format_description!(
                "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
            );
            *text = OffsetDateTime::from(time).format(format).unwrap_or_default();
            *shown = second;
        }
        show(text)
    })
}

/// A time in milliseconds since 1970.
#[must_use]
pub fn epoch_millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn request_times() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_583_349_317_135);
        assert_eq!(common_log_time(time), "04/Mar/2020:19:15:17 +0000");
        assert_eq!(epoch_millis(time), 1_583_349_317_135);
    }

    #[test]
    fn names_are_looked_up_whole() {
        assert!(ContextVariable::parse("identity.sourceIp").is_some());
        assert!(ContextVariable::parse("identity").is_none());
        assert!(ContextVariable::parse("sourceIp").is_none());
        assert_eq!(
            ContextVariable::parse("authorizer.claims.sub"),
            Some(ContextVariable::Claim("sub".into()))
        );
        assert_eq!(ContextVariable::parse("authorizer.key"), Some(ContextVariable::Authorizer("key".into())));
        assert!(ContextVariable::parse("authorizer.claims").is_none());
        assert!(ContextVariable::parse("authorizer.").is_none());
    }
}
