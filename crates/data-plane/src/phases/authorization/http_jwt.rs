//! JWT authorizers of HTTP APIs: a token of one issuer, for one of the authorizer's audiences, with one of the route's
//! scopes.
//!
//! AWS tells what was wrong in `www-authenticate`, and the body says no more than `Unauthorized` or `Forbidden`.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use stagedoor_http::clock;

use super::jwt::Issuer;
use super::token::{TokenError, has_scope, is_for};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::authorization::IdentitySource;
use crate::record::JwtRecord;

/// A JWT authorizer, shared by the routes that use it.
#[derive(Debug)]
pub struct JwtAuthorizer {
    /// Where the token is.
    pub source: IdentitySource,
    /// Who signs the tokens.
    pub issuer: Issuer,
    /// Whom tokens have to be for, one of these.
    pub audiences: Box<[String]>,
}

/// The authorizer of a route and what the route asks of its tokens.
#[derive(Clone, Debug)]
pub struct JwtAuthorization {
    /// The authorizer.
    pub authorizer: Arc<JwtAuthorizer>,
    /// A token has to have one of these scopes, unless there are none.
    pub scopes: Arc<[String]>,
}

/// What a token is refused for.
enum Refusal {
    /// There is none.
    Missing,
    /// It is no good.
    Token(TokenError),
    /// It has none of the route's scopes.
    Scope,
}

pub(super) async fn run(exchange: &mut Exchange<'_>, authorization: &JwtAuthorization) -> Result<(), Fault> {
    let started = clock::now();
    let outcome = verify(exchange, authorization).await;
    let record = exchange.record.authorizer_mut();
    record.latency = Some(clock::now().saturating_duration_since(started));
    match outcome {
        Ok(jwt) => {
            record.status = Some(200);
            record.jwt = Some(jwt);
            Ok(())
        }
        Err(refusal) => {
            let fault = fault(refusal, &authorization.scopes);
            record.status = Some(fault.status().as_u16());
            record.error = Some(fault.reason.as_str().into());
            Err(fault)
        }
    }
}

async fn verify(exchange: &Exchange<'_>, authorization: &JwtAuthorization) -> Result<JwtRecord, Refusal> {
    let authorizer = &authorization.authorizer;
    let mut values = authorizer.source.values(exchange).into_iter();
    let value = values.next().unwrap_or_default();
    // Of two tokens the backend might believe the other one.
    if values.next().is_some() {
        return Err(Refusal::Token(TokenError::Malformed));
    }
    let token = super::bare(&value);
    if token.is_empty() {
        return Err(Refusal::Missing);
    }
    let claims = authorizer.issuer.verify(exchange.worker, token).await.map_err(Refusal::Token)?;
    if !is_for(&claims, &authorizer.audiences) {
        return Err(Refusal::Token(TokenError::Audience));
    }
    let scopes = Arc::clone(&authorization.scopes);
    if !scopes.is_empty() && !has_scope(&claims, &scopes) {
        return Err(Refusal::Scope);
    }
    Ok(JwtRecord { claims, scopes })
}

fn fault(refusal: Refusal, scopes: &[String]) -> Fault {
    let scopes = scopes.join(" ");
    match refusal {
        Refusal::Missing => Fault::unauthorized("there is no token").with_challenge("Bearer".to_owned()),
        Refusal::Token(error) => {
            let challenge =
                format!("Bearer scope=\"{scopes}\" error=\"invalid_token\" error_description=\"{error}\"");
            let reason = match error {
                TokenError::NoKeys(reason) => reason,
                error => error.to_string(),
            };
            Fault::unauthorized(reason).with_challenge(challenge)
        }
        Refusal::Scope => {
            Fault::access_denied("the token has none of the route's scopes").with_challenge(format!(
                "Bearer scope=\"{scopes}\" error=\"insufficient_scope\" error_description=\"expected scopes: \
                 [{scopes}]\""
            ))
        }
    }
}

/// A claim as HTTP APIs hand it on: text, a list in brackets with spaces between its items. One that is null is not
/// there (measured by others at AWS).
#[must_use]
pub fn claim_text(claim: &Value) -> Option<Cow<'_, str>> {
    match claim {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Null => None,
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(claim_text).collect();
            Some(Cow::Owned(format!("[{}]", items.join(" "))))
        }
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(claim.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_text() {
        let check = |claim: Value, expected: &str| assert_eq!(claim_text(&claim).as_deref(), Some(expected));
        check(json!("x"), "x");
        check(json!(1_636_390_062), "1636390062");
        check(json!(true), "true");
        check(json!(["a", "b"]), "[a b]");
        check(json!({"a": [1]}), r#"{"a":[1]}"#);
        assert!(claim_text(&Value::Null).is_none());
    }
}
