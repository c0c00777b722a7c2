//! Authorizer functions of REST APIs: `TOKEN` and `REQUEST`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use stagedoor_http::Header;
use stagedoor_policy::{Caller, Combination, Decision, Denial, Verdict, combine};

use super::grant::{Access, AuthorizerError, Grant};
use super::remembered::key_of;
use super::{evaluate, method_arn};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::integration::event;
use crate::plan::authorization::{AuthorizerInput, IdentitySource, RestLambdaAuthorizer};

pub(super) async fn run(exchange: &mut Exchange<'_>, authorizer: &RestLambdaAuthorizer) -> Result<(), Fault> {
    let arn = method_arn(exchange)?;
    let started = Instant::now();
    let (outcome, called) = ask(exchange, authorizer, &arn).await;
    let record = exchange.record.authorizer_mut();
    record.latency = Some(started.elapsed());
    record.integration_latency = called.then(|| started.elapsed());
    let grant = match outcome {
        Ok(grant) => grant,
        Err(fault) => {
            record.error = Some(fault.reason.as_str().into());
            record.status = Some(fault.status().as_u16());
            return Err(fault);
        }
    };
    // Known to templates of gateway responses too, should the request be refused.
    record.principal_id.clone_from(&grant.principal_id);
    record.context.clone_from(&grant.context);
    record.usage_identifier_key.clone_from(&grant.usage_identifier_key);
    record.status = Some(200);
    let verdict = match &grant.access {
        Access::Policy(policy) => evaluate(policy, exchange, Caller::Anonymous, &arn),
        Access::Simple(allowed) => Verdict {
            decision: if *allowed { Decision::Allow } else { Decision::ExplicitDeny },
            statement: None,
            by_account: false,
        },
    };
    combine(Combination::SameAccount, verdict, exchange.resource_verdict).map_err(|denial| match denial {
        Denial::ExplicitByIdentity => Fault::access_denied(
            "User is not authorized to access this resource with an explicit deny in an identity-based policy",
        ),
        Denial::ImplicitByIdentity | Denial::ImplicitByResource => Fault::access_denied(
            "User is not authorized to access this resource because no identity-based policy allows the \
             execute-api:Invoke action",
        ),
        denial @ Denial::ExplicitByResource => super::denied(denial, "anonymous", &arn),
    })
}

/// The grant for the request's identity, and whether the function had to be called for it.
async fn ask(
    exchange: &Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
    arn: &str,
) -> (Result<Arc<Grant>, Fault>, bool) {
    let (key, token) = match identity(exchange, authorizer) {
        Ok(identity) => identity,
        Err(fault) => return (Err(fault), false),
    };
    let mut called = false;
    let event = || {
        called = true;
        match &authorizer.input {
            AuthorizerInput::Token { .. } => event::token_authorizer(arn, &token),
            AuthorizerInput::Request { .. } => event::request_authorizer(exchange, arn),
        }
    };
    let trace_id = Some(String::from_utf8_lossy(exchange.trace_id()).into_owned());
    let grant = authorizer.core.grant(exchange.worker, &key, trace_id, event, Grant::read_rest).await;
    (grant.map_err(fault), called)
}

/// The key of the request's identity, and its token if it is one.
fn identity<'x>(
    exchange: &'x Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
) -> Result<(String, Cow<'x, str>), Fault> {
    match &authorizer.input {
        AuthorizerInput::Token { header, validation } => {
            let token = exchange.header(header).filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| Fault::unauthorized(format!("there is no header {header}")))?;
            if validation.as_ref().is_some_and(|validation| !validation.is_match(&token)) {
                return Err(Fault::unauthorized(
                    "the token does not match the identity validation expression",
                ));
            }
            let source = IdentitySource::Header(header.clone());
            Ok((key_of(source.values(exchange).iter().map(|value| &**value)), token))
        }
        AuthorizerInput::Request { identity } => {
            if !authorizer.core.remembers() {
                return Ok((String::new(), Cow::Borrowed("")));
            }
            let mut parts = Vec::with_capacity(identity.len() * 2);
            for source in identity {
                let values = source.values(exchange);
                if values.last().is_none_or(|value| value.is_empty()) {
                    return Err(Fault::unauthorized(format!(
                        "the identity source {source:?} is missing or empty"
                    )));
                }
                // The function sees every value, so every value tells callers apart.
                parts.push(Cow::Owned(values.len().to_string()));
                parts.extend(values);
            }
            Ok((key_of(parts.iter().map(|part| &**part)), Cow::Borrowed("")))
        }
    }
}

impl IdentitySource {
    fn values<'x>(&'x self, exchange: &'x Exchange<'_>) -> Vec<Cow<'x, str>> {
        match self {
            Self::Header(name) => {
                let fields = exchange.head.headers.iter().filter(|header| header.is(name));
                fields.map(Header::value_str).collect()
            }
            Self::Query(name) => {
                let parameters = exchange.query().iter().filter(|(candidate, _)| **candidate == **name);
                parameters.map(|(_, value)| Cow::Borrowed(value.as_str())).collect()
            }
            Self::StageVariable(value) => value.iter().map(|value| Cow::Borrowed(&**value)).collect(),
            Self::Context(variable) => {
                variable.iter().filter_map(|variable| variable.value(exchange)).collect()
            }
        }
    }
}

fn fault(error: AuthorizerError) -> Fault {
    match error {
        AuthorizerError::Unauthorized(reason) => Fault::unauthorized(reason),
        AuthorizerError::Configuration(reason) => Fault::authorizer_configuration(reason),
        AuthorizerError::Failure(reason) => Fault::authorizer_failure(reason),
    }
}
