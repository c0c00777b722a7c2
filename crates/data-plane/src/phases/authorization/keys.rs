//! What conditions and variables of policies can ask about a request: `aws:SourceIp` and the other keys that AWS
//! documents for API Gateway.

use std::borrow::Cow;
use std::time::SystemTime;

use stagedoor_policy::{ContextKeys, Values};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::iam::{AccessKey, Identity};
use crate::exchange::Exchange;

/// A request as policies see it.
pub(super) struct RequestKeys<'x, 'a>(pub(super) &'x Exchange<'a>);

/// Whoever signed a request, as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'i> {
    /// Who it is.
    pub identity: &'i Identity,
    /// When a temporary key was given out.
    pub issued_at: Option<SystemTime>,
    /// Whether the key is a temporary one.
    pub is_temporary: bool,
}

/// The value of a key that depends on who signed a request. Requests that nobody signed have one as well.
#[must_use]
pub fn of_signer<'i>(signer: Option<Signer<'i>>, key: &str) -> Values<'i> {
    let Some(Signer { identity, issued_at, is_temporary }) = signer else {
        return match key {
            "aws:principaltype" => Values::One(Cow::Borrowed("Anonymous")),
            _ => Values::Absent,
        };
    };
    let one = |value: &'i str| Values::One(Cow::Borrowed(value));
    match key {
        "aws:principalarn" => one(&identity.principal_arn),
        "aws:principalaccount" => one(&identity.account_id),
        "aws:principaltype" => one(identity.kind),
        "aws:userid" if !identity.user_id.is_empty() => one(&identity.user_id),
        "aws:tokenissuetime" => issued_at.map_or(Values::Absent, written),
        // Nobody here shows a second factor. The key is there for temporary keys alone, as AWS documents it.
        "aws:multifactorauthpresent" if is_temporary => one("false"),
        "aws:username" => identity.user_name.as_deref().map_or(Values::Absent, one),
        key => {
            let tag = key.strip_prefix("aws:principaltag/").and_then(|tag| identity.tags.get(tag));
            tag.map_or(Values::Absent, |tag| one(tag))
        }
    }
}

/// The value of a key that depends on the time alone.
#[must_use]
pub fn of_time(time: SystemTime, key: &str) -> Option<Values<'static>> {
    match key {
        "aws:currenttime" => Some(written(time)),
        "aws:epochtime" => {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Some(Values::One(Cow::Owned(since.as_secs().to_string())))
        }
        _ => None,
    }
}

/// A time as policies write it, to the second.
fn written(time: SystemTime) -> Values<'static> {
    let time = OffsetDateTime::from(time);
    let time = time.replace_nanosecond(0).unwrap_or(time);
    Values::from_option(time.format(&Rfc3339).ok().map(Cow::Owned))
}

impl ContextKeys for RequestKeys<'_, '_> {
    fn values(&self, key: &str) -> Values<'_> {
        let exchange = self.0;
        let endpoint = exchange.vpc_endpoint();
        let one = |value: Option<Cow<'_, str>>| {
            Values::from_option(value.map(|value| Cow::Owned(value.into_owned())))
        };
        match key {
            // A request through a VPC endpoint has an address of its network, under a name of its own.
            "aws:sourceip" if endpoint.is_none() => Values::One(Cow::Owned(exchange.source_ip())),
            "aws:vpcsourceip" if endpoint.is_some() => Values::One(Cow::Owned(exchange.source_ip())),
            "aws:sourcevpce" => {
                Values::from_option(endpoint.map(|endpoint| Cow::Borrowed(endpoint.id.as_str())))
            }
            "aws:sourcevpc" => {
                Values::from_option(endpoint.and_then(|endpoint| endpoint.vpc.as_deref()).map(Cow::Borrowed))
            }
            "aws:useragent" => one(exchange.header("user-agent")),
            "aws:referer" => one(exchange.header("referer")),
            "aws:securetransport" => {
                Values::One(Cow::Borrowed(if exchange.connection.tls.is_some() { "true" } else { "false" }))
            }
            "execute-api:viadomainarn" => {
                Values::from_option(exchange.record.domain_arn.as_deref().map(Cow::Borrowed))
            }
            "aws:requestedregion" => Values::One(Cow::Borrowed(&exchange.plan.region)),
            _ => of_time(exchange.received_at, key)
                .unwrap_or_else(|| of_signer(exchange.caller.as_deref().map(AccessKey::signer), key)),
        }
    }
}
