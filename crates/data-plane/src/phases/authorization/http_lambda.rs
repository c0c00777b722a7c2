//! Authorizer functions of HTTP APIs, formats 1.0 and 2.0.
//!
//! Other than in REST APIs, an identity source that is missing refuses the request whether grants are remembered or
//! not, and a function has ten seconds.

use std::borrow::Cow;
use std::sync::Arc;

use stagedoor_http::clock;
use stagedoor_policy::{Caller, Decision};

use super::grant::{Access, AuthorizerError, Grant};
use super::lambda::{LambdaAuthorizer, Reader};
use super::remembered::key_of;
use super::{Call, evaluate, explain, fault, method_arn, note_call};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::integration::http_api_event as event;
use crate::plan::authorization::IdentitySource;

/// An HTTP API's authorizer function.
#[derive(Debug)]
pub struct HttpLambdaAuthorizer {
    /// How it is called and remembered.
    pub core: LambdaAuthorizer,
    /// What the decision depends on.
    pub identity: Box<[IdentitySource]>,
    /// Whether its events are in format 2.0.
    pub version_2: bool,
    /// Whether it answers yes or no instead of with a policy.
    pub is_simple: bool,
}

pub(super) async fn run(exchange: &mut Exchange<'_>, authorizer: &HttpLambdaAuthorizer) -> Result<(), Fault> {
    let started = clock::now();
    let arn = method_arn(exchange)?;
    let (outcome, call) = ask(exchange, authorizer, &arn).await;
    let record = exchange.record.authorizer_mut();
    record.latency = Some(clock::now().saturating_duration_since(started));
    note_call(record, call, &outcome);
    let grant = match outcome {
        Ok(grant) => grant,
        Err(error) => {
            let told = told(&error);
            let fault = fault(error);
            record.error = Some(told.unwrap_or_else(|| fault.reason.as_str().into()));
            record.status = Some(fault.status().as_u16());
            return Err(fault);
        }
    };
    record.principal_id.clone_from(&grant.principal_id);
    record.context.clone_from(&grant.context);
    record.status = Some(200);
    let allowed = match &grant.access {
        Access::Policy(policy) => {
            explain(exchange, "authorizer's policy", policy, Caller::Anonymous, &arn);
            evaluate(policy, exchange, Caller::Anonymous, &arn).decision == Decision::Allow
        }
        Access::Simple(allowed) => *allowed,
    };
    if allowed {
        return Ok(());
    }
    exchange.record.authorizer_mut().status = Some(403);
    Err(Fault::access_denied("the authorizer function does not let the caller pass"))
}

/// The grant for the request's identity, and the call of the function if there had to be one.
async fn ask(
    exchange: &Exchange<'_>,
    authorizer: &HttpLambdaAuthorizer,
    arn: &str,
) -> (Result<Arc<Grant>, AuthorizerError>, Option<Call>) {
    let mut identity = Vec::with_capacity(authorizer.identity.len());
    let mut parts = Vec::with_capacity(authorizer.identity.len() * 2);
    for source in &authorizer.identity {
        let values = source.values(exchange);
        // The function can tell `a` and `b` from `a,b` by the raw query, so callers are told apart by it too.
        parts.push(Cow::Owned(values.len().to_string()));
        parts.extend(values.iter().cloned());
        let value = if values.len() == 1 {
            values.into_iter().next().unwrap_or_default()
        } else {
            Cow::Owned(values.join(","))
        };
        if value.is_empty() {
            let reason = "an identity source is missing or empty".to_owned();
            return (Err(AuthorizerError::Unauthorized(reason)), None);
        }
        identity.push(value);
    }
    let key = key_of(parts.iter().map(|part| &**part));
    let mut call = None;
    let event = |id: &str| {
        call = Some(Call::begin(id));
        if authorizer.version_2 {
            event::authorizer_2(exchange, arn, &identity)
        } else {
            event::authorizer_1(exchange, arn, &identity)
        }
    };
    let read: Reader = if authorizer.is_simple { Grant::read_simple } else { Grant::read_policy };
    let trace_id = Some(String::from_utf8_lossy(exchange.trace_id()).into_owned());
    let grant = authorizer.core.grant(exchange.worker, &key, trace_id, event, read).await;
    (grant, call)
}

/// What access logs say of a failure in AWS's words, where those are known.
fn told(error: &AuthorizerError) -> Option<Box<str>> {
    /// What AWS says whether the function does not permit the call or is not there.
    const NO_PERMISSION: &str = "The IAM role configured on the authorizer or API Gateway doesn't have permissions to \
                                 call the authorizer. Check the permissions and try again.";
    const MALFORMED: &str =
        "The response from the Lambda Authorizer function doesn't match the format that API Gateway expects.";
    match error {
        AuthorizerError::Refused { status: Some(403 | 404), .. } => Some(NO_PERMISSION.into()),
        AuthorizerError::Malformed(detail) => Some(format!("{MALFORMED} {detail}").into()),
        _ => None,
    }
}
