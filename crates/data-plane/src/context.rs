//! `$context`: what AWS tells templates, mappings, gateway responses and logs about a request.

use std::borrow::Cow;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::exchange::Exchange;

/// A variable of `$context` by its name, looked up at deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextVariable(usize);

type Getter = for<'e> fn(&'e Exchange<'_>) -> Option<Cow<'e, str>>;

/// Every variable and how to find its value. Those that no phase can know yet are absent, as they are on AWS for a
/// request that has, say, no API key.
const VARIABLES: &[(&str, Getter)] = &[
    ("accountId", |x| Some(Cow::Borrowed(&x.plan.account_id))),
    ("apiId", |x| Some(Cow::Borrowed(&x.plan.api_id))),
    ("awsEndpointRequestId", |x| x.integration_request.endpoint_request_id.as_deref().map(Cow::Borrowed)),
    ("customDomain.basePathMatched", |_| None),
    ("deploymentId", |x| Some(Cow::Borrowed(&x.plan.deployment_id))),
    ("domainName", |x| x.domain_name().map(Cow::Borrowed)),
    ("domainPrefix", |x| x.domain_name()?.split('.').next().map(Cow::Borrowed)),
    ("endpointType", |x| Some(Cow::Borrowed(x.plan.endpoint_type.as_str()))),
    ("error.message", |x| x.fault.as_ref().map(|fault| Cow::Borrowed(&*fault.message))),
    ("error.messageString", |x| x.fault.as_ref().map(|fault| json_string(&fault.message))),
    ("error.responseType", |x| x.fault.as_ref().map(|fault| Cow::Borrowed(fault.kind.as_str()))),
    ("error.validationErrorString", |x| x.fault.as_ref()?.validation_error.as_deref().map(Cow::Borrowed)),
    ("extendedRequestId", |x| Some(String::from_utf8_lossy(&x.extended_request_id))),
    ("httpMethod", |x| Some(Cow::Borrowed(x.head.method.as_str()))),
    ("identity.accountId", |_| None),
    ("identity.apiKey", |_| None),
    ("identity.apiKeyId", |_| None),
    ("identity.caller", |_| None),
    ("identity.clientCert.clientCertPem", |_| None),
    ("identity.clientCert.issuerDN", |_| None),
    ("identity.clientCert.serialNumber", |_| None),
    ("identity.clientCert.subjectDN", |_| None),
    ("identity.clientCert.validity.notAfter", |_| None),
    ("identity.clientCert.validity.notBefore", |_| None),
    ("identity.cognitoAuthenticationProvider", |_| None),
    ("identity.cognitoAuthenticationType", |_| None),
    ("identity.cognitoIdentityId", |_| None),
    ("identity.cognitoIdentityPoolId", |_| None),
    ("identity.principalOrgId", |_| None),
    ("identity.sourceIp", |x| Some(Cow::Owned(x.connection.peer.ip().to_canonical().to_string()))),
    ("identity.user", |_| None),
    ("identity.userAgent", |x| x.header("user-agent")),
    ("identity.userArn", |_| None),
    ("identity.vpcId", |_| None),
    ("identity.vpceId", |_| None),
    ("isCanaryRequest", |_| Some(Cow::Borrowed("false"))),
    ("path", |x| Some(Cow::Owned(x.path_with_stage()))),
    ("protocol", |x| Some(Cow::Borrowed(x.head.version.as_str()))),
    ("requestId", |x| Some(String::from_utf8_lossy(&x.request_id))),
    ("requestTime", |x| Some(Cow::Owned(common_log_time(x.received_at)))),
    ("requestTimeEpoch", |x| Some(Cow::Owned(epoch_millis(x.received_at).to_string()))),
    ("resourceId", |x| Some(Cow::Borrowed(&x.resource()?.id))),
    ("resourcePath", |x| Some(Cow::Borrowed(&x.resource()?.path))),
    ("stage", |x| Some(Cow::Borrowed(&x.plan.stage))),
    ("wafResponseCode", |_| None),
    ("webaclArn", |_| None),
    ("xrayTraceId", |x| {
        std::str::from_utf8(x.trace_id())
            .ok()?
            .split(';')
            .find_map(|part| part.strip_prefix("Root="))
            .map(Cow::Borrowed)
    }),
];

impl ContextVariable {
    /// Looks a name up, without `context.` before it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        VARIABLES.iter().position(|(known, _)| *known == name).map(Self)
    }

    /// The value for a request.
    #[must_use]
    pub fn value<'e>(self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        VARIABLES.get(self.0).and_then(|(_, get)| get(exchange))
    }
}

/// Every variable that has a value for this request, by name.
pub fn all<'e>(exchange: &'e Exchange<'_>) -> impl Iterator<Item = (&'static str, Cow<'e, str>)> {
    VARIABLES.iter().filter_map(move |(name, get)| Some((*name, get(exchange)?)))
}

impl Exchange<'_> {
    /// `$context.domainName`: the host the client asked for, without port.
    #[must_use]
    pub fn domain_name(&self) -> Option<&str> {
        let host = self.head.headers.get_str("host")?;
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
            _ => Some(host),
        }
    }
}

/// A time as `$context.requestTime` shows it: `04/Mar/2020:19:15:17 +0000`.
#[must_use]
pub fn common_log_time(time: SystemTime) -> String {
    let format = format_description!(
        "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    OffsetDateTime::from(time).format(format).unwrap_or_default()
}

/// A time in milliseconds since 1970.
#[must_use]
pub fn epoch_millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn json_string(text: &str) -> Cow<'static, str> {
    Cow::Owned(serde_json::to_string(text).unwrap_or_default())
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
    }
}
