//! Who may call: the resource policy, and the authorizers of methods, one file a kind.
//!
//! Every way through here ends in a grant or a fault; nothing falls through to "allowed". What is malformed, missing or
//! out of reach refuses the request.

pub mod cognito;
pub mod decide;
pub mod grant;
pub mod http_jwt;
pub mod http_lambda;
pub mod iam;
pub mod jwt;
pub mod keys;
pub mod lambda;
pub mod remembered;
mod rest;
pub mod rest_jwt;
pub mod token;

use std::sync::Arc;
use std::time::Instant;

use stagedoor_policy::{Caller, Decision, Denial, Policy, Request, Verdict};
use stagedoor_shapes::apigateway::GatewayResponseType as Kind;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::authorization::Authorization;
use crate::record::{AuthorizerRecord, StepRecord};
use grant::{AuthorizerError, Grant};
use keys::RequestKeys;

/// The action that calling a method is, as policies are asked about it.
const INVOKE: &str = "execute-api:invoke";
/// The longest method ARN, in bytes.
const METHOD_ARN_BYTES_MAX: usize = 1600;

/// Holds a request against the API's resource policy.
///
/// What the policy neither allows nor denies is left to the method's authorizer function, whose policy may allow it in
/// its place.
///
/// # Errors
/// 403 if the policy denies the request, or had to allow it and does not.
pub fn resource_policy(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    match exchange.method().map(|method| &method.authorization) {
        Some(Authorization::Lambda(_)) => ask_resource_policy(exchange, decide::before_a_function),
        // Asked once it is known who calls: together with an identity's policies, or after the token.
        None | Some(Authorization::Iam | Authorization::Cognito(_) | Authorization::RestJwt(_)) => Ok(()),
        Some(_) => ask_resource_policy(exchange, decide::alone),
    }
}

/// Asks the resource policy about somebody unknown.
fn ask_resource_policy(
    exchange: &mut Exchange<'_>,
    decide: fn(Option<Verdict>) -> Result<(), Denial>,
) -> Result<(), Fault> {
    let Some(policy) = &exchange.plan.resource_policy else { return Ok(()) };
    let arn = method_arn(exchange)?;
    let verdict = evaluate(policy, exchange, Caller::Anonymous, &arn);
    exchange.resource_verdict = Some(verdict);
    explain(exchange, "resource policy", policy, Caller::Anonymous, &arn);
    decide(Some(verdict)).map_err(|denial| denied(denial, "anonymous", &arn))
}

/// Asks the method's authorizer.
///
/// # Errors
/// 401, 403 or 500, as AWS answers.
pub async fn authorizer(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = exchange.method() else { return Err(Fault::missing_authentication_token()) };
    match &method.authorization {
        Authorization::None | Authorization::Iam => Ok(()),
        Authorization::Lambda(authorizer) => rest::run(exchange, authorizer).await,
        Authorization::Cognito(authorization) => {
            cognito::run(exchange, authorization).await?;
            ask_resource_policy(exchange, decide::alone)
        }
        Authorization::RestJwt(authorization) => {
            rest_jwt::run(exchange, authorization).await?;
            ask_resource_policy(exchange, decide::alone)
        }
        Authorization::Jwt(authorization) => http_jwt::run(exchange, authorization).await,
        Authorization::HttpLambda(authorizer) => http_lambda::run(exchange, authorizer).await,
    }
}

/// A token without the scheme that may stand before it.
fn bare(value: &str) -> &str {
    let value = value.trim();
    let after = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    after.and_then(|_| value.get(7..)).map_or(value, str::trim)
}

/// Asks the method's authorizer for `TestInvokeAuthorizer`: its answer is not held against the request.
///
/// # Errors
/// 401 or 500, as AWS answers.
pub async fn test(exchange: &mut Exchange<'_>) -> Result<Option<String>, Fault> {
    let Some(method) = exchange.method() else { return Err(Fault::missing_authentication_token()) };
    let outcome = match &method.authorization {
        Authorization::Lambda(authorizer) => return rest::test(exchange, authorizer).await.map(Some),
        Authorization::Cognito(authorization) => cognito::run(exchange, authorization).await,
        Authorization::RestJwt(authorization) => rest_jwt::run(exchange, authorization).await,
        _ => authorizer(exchange).await,
    };
    // A request's log ends with what was wrong with its token; here nothing else writes it.
    if let Err(fault) = &outcome {
        let text = fault.execution_log_text();
        exchange.log_error(|_| text);
    }
    outcome.map(|()| None)
}

/// A call of an authorizer function.
struct Call {
    /// `$context.authorizer.requestId`.
    id: Box<str>,
    began: Instant,
}

impl Call {
    fn begin(id: &str) -> Self {
        Self { id: id.into(), began: Instant::now() }
    }
}

/// Notes what became of the call of an authorizer function. An answer that is remembered has none.
fn note_call(
    record: &mut AuthorizerRecord,
    call: Option<Call>,
    outcome: &Result<Arc<Grant>, AuthorizerError>,
) {
    let Some(call) = call else { return };
    record.integration_latency = Some(call.began.elapsed());
    record.integration_status = match outcome {
        Ok(_) => Some(200),
        Err(error) => error.integration_status(),
    };
    record.request_id = Some(call.id);
}

/// What a client is answered when there is no grant.
fn fault(error: AuthorizerError) -> Fault {
    /// Lambda takes no more calls.
    const THROTTLED: Option<u16> = Some(429);
    match error {
        AuthorizerError::Unauthorized(reason) => Fault::unauthorized(reason),
        AuthorizerError::Refused { status: THROTTLED, reason } | AuthorizerError::Failure(reason) => {
            Fault::authorizer_failure(reason)
        }
        AuthorizerError::Malformed(detail) => {
            Fault::authorizer_configuration(format!("the authorizer's answer cannot be used: {detail}"))
        }
        AuthorizerError::Failed(reason) | AuthorizerError::Refused { reason, .. } => {
            Fault::authorizer_configuration(reason)
        }
    }
}

/// What `$context.authorizer.error` of HTTP APIs says of a request that is not signed.
const NOT_SIGNED: &str =
    "The request for the IAM Authorizer doesn't match the format that API Gateway expects.";

/// Verifies a signature and asks the signer's policies.
///
/// # Errors
/// 403, in AWS's words.
pub async fn authentication(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let started = Instant::now();
    let outcome = iam::run(exchange).await;
    let step = StepRecord {
        status: Some(outcome.as_ref().map_or_else(|fault| fault.status().as_u16(), |()| 200)),
        latency: Some(started.elapsed()),
        error: outcome.as_ref().err().map(|fault| fault.reason.as_str().into()),
    };
    if let Err(fault) = &outcome
        && exchange.plan.http_api.is_some()
        && exchange.caller.is_none()
    {
        let error = match fault.kind {
            Kind::MissingAuthenticationToken => NOT_SIGNED,
            _ => fault.reason.as_str(),
        };
        exchange.record.authorizer_mut().error = Some(error.into());
    }
    // A signer that is known has been authenticated, whatever its policies say then.
    if exchange.caller.is_some() {
        let authenticated = StepRecord { status: Some(200), latency: step.latency, error: None };
        exchange.record.authenticate = Some(Box::new(authenticated));
        exchange.record.authorize = Some(Box::new(step));
    } else {
        exchange.record.authenticate = Some(Box::new(step));
    }
    outcome
}

/// Verifies the signature of a request to `@connections`, and asks whether its signer may manage the connection.
///
/// # Errors
/// 403, in AWS's words.
pub async fn manage_connections(exchange: &mut Exchange<'_>, connection: &str) -> Result<(), Fault> {
    iam::manage_connections(exchange, connection).await
}

/// Whether whoever signed the request may also do this, such as `execute-api:InvalidateCache`.
#[must_use]
pub fn may(exchange: &Exchange<'_>, action: &str) -> bool {
    iam::may(exchange, action)
}

fn evaluate(policy: &Policy, exchange: &Exchange<'_>, caller: Caller<'_>, arn: &str) -> Verdict {
    evaluate_action(policy, exchange, caller, INVOKE, arn)
}

fn evaluate_action(
    policy: &Policy,
    exchange: &Exchange<'_>,
    caller: Caller<'_>,
    action: &str,
    arn: &str,
) -> Verdict {
    decide::judge(policy, &Request { caller, action, resource: arn, keys: &RequestKeys(exchange) })
}

/// Whether the policies of whoever signed the request allow an action beyond it. Nobody may who did not sign.
pub(in crate::phases) fn caller_may(exchange: &Exchange<'_>, action: &str, resource: &str) -> bool {
    let Some(key) = &exchange.caller else { return false };
    let asked =
        |caller: Caller<'_>| evaluate_action(&key.identity.policy, exchange, caller, action, resource);
    key.identity.as_caller(asked).decision == Decision::Allow
}

/// Tells whoever reads the request's execution log or trace which statement of a policy decided it. Costs nothing where
/// neither is written.
fn explain(exchange: &mut Exchange<'_>, name: &'static str, policy: &Policy, caller: Caller<'_>, arn: &str) {
    let is_traced = exchange.plan.is_traced && !exchange.is_test && exchange.trace().is_sampled;
    let is_debugged = tracing::enabled!(target: "policy", tracing::Level::DEBUG);
    if !(is_traced || is_debugged || exchange.logs_info()) {
        return;
    }
    let asked = Request { caller, action: INVOKE, resource: arn, keys: &RequestKeys(exchange) };
    let why = decide::explain(policy, &asked).brief();
    tracing::debug!(target: "policy", policy = name, resource = arn, why, "a policy was evaluated");
    exchange.log_info(|_| format!("Policy evaluation ({name}): {why}"));
    if is_traced {
        exchange.record.policies.push((name, why));
    }
}

/// The ARN of a request's stage, which begins the ARNs of all that is in it.
fn stage_arn(exchange: &Exchange<'_>) -> String {
    let plan = exchange.plan;
    let partition = partition(&plan.region);
    format!("arn:{partition}:execute-api:{}:{}:{}/{}", plan.region, plan.account_id, plan.api_id, plan.stage)
}

/// The ARN of what a request asks for: its method and path, as they stand in the request.
fn method_arn(exchange: &Exchange<'_>) -> Result<String, Fault> {
    let path = exchange.path();
    let stage = stage_arn(exchange);
    let arn = match (&exchange.socket, exchange.resource()) {
        (Some(_), Some(route)) => format!("{stage}/{}", route.route_key),
        _ => format!("{stage}/{}/{}", exchange.head.method, path.strip_prefix('/').unwrap_or(path)),
    };
    if arn.len() > METHOD_ARN_BYTES_MAX {
        return Err(Fault::uri_too_long("the ARN of the method is longer than 1600 bytes"));
    }
    Ok(arn)
}

/// The partition of a region, as it stands in ARNs.
pub(crate) fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The answer to a request that policies refuse.
fn denied(denial: Denial, user: &str, arn: &str) -> Fault {
    denied_action(denial, user, "execute-api:Invoke", arn)
}

fn denied_action(denial: Denial, user: &str, action: &str, arn: &str) -> Fault {
    Fault::access_denied(denial_message(denial, user, action, arn))
}

/// What AWS says of a refusal. It shows no more of an account than its last four digits.
#[must_use]
pub fn denial_message(denial: Denial, user: &str, action: &str, arn: &str) -> String {
    let why = match denial {
        Denial::ExplicitByResource => "with an explicit deny in a resource-based policy".to_owned(),
        Denial::ExplicitByIdentity => "with an explicit deny in an identity-based policy".to_owned(),
        Denial::ImplicitByResource => format!("because no resource-based policy allows the {action} action"),
        Denial::ImplicitByIdentity => format!("because no identity-based policy allows the {action} action"),
    };
    format!(
        "User: {} is not authorized to perform: {action} on resource: {} {why}",
        masked(user),
        masked(arn)
    )
}

/// What AWS says of a refusal where an authorizer function was asked.
#[must_use]
pub fn function_denial_message(denial: Denial, arn: &str) -> String {
    let why = match denial {
        Denial::ExplicitByResource => return denial_message(denial, "anonymous", "execute-api:Invoke", arn),
        Denial::ExplicitByIdentity => "with an explicit deny in an identity-based policy",
        Denial::ImplicitByIdentity | Denial::ImplicitByResource => {
            "because no identity-based policy allows the execute-api:Invoke action"
        }
    };
    format!("User is not authorized to access this resource {why}")
}

fn masked(arn: &str) -> String {
    let is_account = |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = arn.splitn(6, ':').enumerate().map(|(index, part)| match part.get(8..) {
        Some(end) if index == 4 && is_account(part) => format!("********{end}"),
        _ => part.to_owned(),
    });
    parts.by_ref().collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_may_stand_before_tokens() {
        let check = |value: &str, expected: &str| assert_eq!(bare(value), expected);
        check("Bearer a.b.c", "a.b.c");
        check("bearer  a.b.c ", "a.b.c");
        check("a.b.c", "a.b.c");
        check("Bearer ", "Bearer");
        check("", "");
    }

    #[test]
    fn accounts_are_masked() {
        let check = |arn: &str, expected: &str| assert_eq!(masked(arn), expected);
        check("anonymous", "anonymous");
        check("arn:aws:execute-api:r:123456789012:a/b:c", "arn:aws:execute-api:r:********9012:a/b:c");
        check("arn:aws:execute-api:r:12:a", "arn:aws:execute-api:r:12:a");
    }
}
