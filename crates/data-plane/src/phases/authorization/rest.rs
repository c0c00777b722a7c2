//! Authorizer functions of REST APIs: `TOKEN` and `REQUEST`.

use std::borrow::Cow;
use std::sync::Arc;

use stagedoor_http::{Header, clock};
use stagedoor_policy::{Caller, Combination, Decision, Verdict, combine};

use super::grant::{Access, AuthorizerError, Grant};
use super::lambda::Reader;
use super::remembered::key_of;
use super::{Call, evaluate, explain, fault, function_denial_message, method_arn, note_call};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::logs::execution::{hidden, lambda_uri, map, text_of};
use crate::phases::integration::event;
use crate::plan::authorization::{AuthorizerInput, IdentitySource, RestLambdaAuthorizer};

pub(super) async fn run(exchange: &mut Exchange<'_>, authorizer: &RestLambdaAuthorizer) -> Result<(), Fault> {
    let arn = method_arn(exchange)?;
    let started = clock::now();
    log_start(exchange, authorizer);
    let (outcome, call) = ask(exchange, authorizer, &arn).await;
    let record = exchange.record.authorizer_mut();
    record.latency = Some(clock::now().saturating_duration_since(started));
    note_call(record, call, &outcome);
    let grant = match outcome.map_err(fault) {
        Ok(grant) => grant,
        Err(fault) => {
            record.error = Some(fault.reason.as_str().into());
            record.status = Some(fault.status().as_u16());
            log_failure(exchange, &fault);
            return Err(fault);
        }
    };
    // Known to templates of gateway responses too, should the request be refused.
    record.principal_id.clone_from(&grant.principal_id);
    record.context.clone_from(&grant.context);
    record.usage_identifier_key.clone_from(&grant.usage_identifier_key);
    record.status = Some(200);
    log_success(exchange);
    let verdict = match &grant.access {
        Access::Policy(policy) => evaluate(policy, exchange, Caller::Anonymous, &arn),
        Access::Simple(allowed) => Verdict {
            decision: if *allowed { Decision::Allow } else { Decision::ExplicitDeny },
            statement: None,
            by_account: false,
        },
    };
    if let Access::Policy(policy) = &grant.access {
        explain(exchange, "authorizer's policy", policy, Caller::Anonymous, &arn);
    }
    combine(Combination::SameAccount, verdict, exchange.resource_verdict)
        .map_err(|denial| Fault::access_denied(function_denial_message(denial, &arn)))
}

/// Calls the function as for a request, and shows what it was sent and what it answered.
///
/// # Errors
/// As [`run`], but nobody is refused by a policy.
pub(super) async fn test(
    exchange: &mut Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
) -> Result<String, Fault> {
    let arn = method_arn(exchange)?;
    log_start(exchange, authorizer);
    let outcome = call_for_test(exchange, authorizer, &arn).await;
    match outcome {
        Ok((grant, policy)) => {
            let record = exchange.record.authorizer_mut();
            record.principal_id = grant.principal_id;
            record.context = grant.context;
            log_success(exchange);
            Ok(policy)
        }
        Err(fault) => {
            log_failure(exchange, &fault);
            Err(fault)
        }
    }
}

async fn call_for_test(
    exchange: &mut Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
    arn: &str,
) -> Result<(Grant, String), Fault> {
    let event = {
        let (_, token) = identity(exchange, authorizer).map_err(fault)?;
        match &authorizer.input {
            AuthorizerInput::Token { .. } => event::token_authorizer(arn, &token),
            AuthorizerInput::Request { .. } => event::request_authorizer(exchange, arn),
        }
    };
    let uri = lambda_uri(&exchange.plan.region, authorizer.core.function_arn());
    exchange.log_data(|_| format!("Endpoint request URI: {uri}"));
    exchange.log_data(|_| format!("Endpoint request body after transformations: {}", text_of(&event)));
    exchange.log_info(|_| format!("Sending request to {uri}"));
    let trace_id = Some(String::from_utf8_lossy(exchange.trace_id()).into_owned());
    let answer = authorizer.core.test(exchange.worker, event, trace_id).await.map_err(fault)?;
    exchange.log_data(|_| format!("Authorizer result body before parsing: {}", text_of(&answer.payload)));
    let grant = Grant::read_rest(&answer).map_err(fault)?;
    let whole: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    Ok((grant, whole.get("policyDocument").map(ToString::to_string).unwrap_or_default()))
}

fn log_start(exchange: &mut Exchange<'_>, authorizer: &RestLambdaAuthorizer) {
    exchange.log_info(|x| {
        format!(
            "Starting authorizer: {} for request: {}",
            authorizer.id,
            String::from_utf8_lossy(&x.request_id)
        )
    });
    exchange.log_data(|x| {
        let shown = match &authorizer.input {
            AuthorizerInput::Token { header, .. } => hidden(&x.header(header).unwrap_or_default()),
            AuthorizerInput::Request { identity } => {
                let parts: Vec<(String, String)> = identity
                    .iter()
                    .filter_map(|source| {
                        let value = source.values(x).pop()?;
                        Some((source.expression()?, hidden(&value)))
                    })
                    .collect();
                map(parts.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            }
        };
        format!("Incoming identity: {shown}")
    });
}

fn log_success(exchange: &mut Exchange<'_>) {
    exchange.log_info(|x| {
        let principal = x.record.authorizer.as_ref().and_then(|record| record.principal_id.as_deref());
        format!("Using valid authorizer policy for principal: {}", hidden(principal.unwrap_or_default()))
    });
    exchange.log_info(|_| "Successfully completed authorizer execution".to_owned());
}

fn log_failure(exchange: &mut Exchange<'_>, fault: &Fault) {
    if fault.status().as_u16() == 401 {
        exchange.log_error(|x| format!("Unauthorized request: {}", String::from_utf8_lossy(&x.request_id)));
        return;
    }
    exchange.log_error(|_| format!("Execution failed due to configuration error: {}", fault.reason));
    exchange.log_error(|_| fault.error_type().to_owned());
}

/// The grant for the request's identity, and the call of the function if there had to be one.
async fn ask(
    exchange: &Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
    arn: &str,
) -> (Result<Arc<Grant>, AuthorizerError>, Option<Call>) {
    let (key, token) = match identity(exchange, authorizer) {
        Ok(identity) => identity,
        Err(error) => return (Err(error), None),
    };
    let mut call = None;
    let event = |id: &str| {
        call = Some(Call::begin(id));
        match &authorizer.input {
            AuthorizerInput::Token { .. } => event::token_authorizer(arn, &token),
            AuthorizerInput::Request { .. } => event::request_authorizer(exchange, arn),
        }
    };
    let trace_id = Some(String::from_utf8_lossy(exchange.trace_id()).into_owned());
    let read: Reader = if exchange.socket.is_some() { Grant::read_socket } else { Grant::read_rest };
    let grant = authorizer.core.grant(exchange.worker, &key, trace_id, event, read).await;
    (grant, call)
}

/// The key of the request's identity, and its token if it is one.
fn identity<'x>(
    exchange: &'x Exchange<'_>,
    authorizer: &RestLambdaAuthorizer,
) -> Result<(String, Cow<'x, str>), AuthorizerError> {
    match &authorizer.input {
        AuthorizerInput::Token { header, validation } => {
            let mut values = exchange.head.headers.iter().filter(|field| field.is(header));
            let token = values.next().map(Header::value_str).filter(|token| !token.is_empty());
            // Of two tokens the backend might believe the other one.
            let token = token.filter(|_| values.next().is_none());
            let token = token
                .ok_or_else(|| AuthorizerError::Unauthorized(format!("there is not one header {header}")))?;
            if validation.as_ref().is_some_and(|validation| !validation.fits(&token)) {
                return Err(AuthorizerError::Unauthorized(
                    "the token does not match the identity validation expression".to_owned(),
                ));
            }
            Ok((key_of([&*token]), token))
        }
        AuthorizerInput::Request { identity } => {
            // A WebSocket API remembers nothing, and checks all the same.
            if !authorizer.core.remembers() && exchange.socket.is_none() {
                return Ok((String::new(), Cow::Borrowed("")));
            }
            let mut parts = Vec::with_capacity(identity.len() * 2);
            for source in identity {
                let values = source.values(exchange);
                if values.last().is_none_or(|value| value.is_empty()) {
                    let reason = "an identity source is missing or empty".to_owned();
                    return Err(AuthorizerError::Unauthorized(reason));
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
    /// The expression of a source of the request, as it is defined.
    fn expression(&self) -> Option<String> {
        match self {
            Self::Header(name) => Some(format!("method.request.header.{name}")),
            Self::Query(name) => Some(format!("method.request.querystring.{name}")),
            Self::StageVariable(_) | Self::Context(_) => None,
        }
    }

    /// Every value that a request has there, in order.
    pub(super) fn values<'x>(&'x self, exchange: &'x Exchange<'_>) -> Vec<Cow<'x, str>> {
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
