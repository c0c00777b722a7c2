//! User pools of Amazon Cognito as authorizers of REST APIs.
//!
//! A method without scopes takes identity tokens, one with scopes access tokens that have one of them.

use std::sync::Arc;

use serde_json::{Map, Value};
use stagedoor_shapes::apigateway::Method;
use stagedoor_velocity::JavaRegex;
use time::OffsetDateTime;
use time::macros::format_description;

use super::jwt::Issuer;
use super::token::{TokenError, has_scope};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;

/// What is checked before a method with a user pool is called.
#[derive(Clone, Debug)]
pub struct CognitoAuthorization {
    /// The authorizer.
    pub authorizer: Arc<CognitoAuthorizer>,
    /// Scopes of which a token has to have one; empty for identity tokens.
    pub scopes: Box<[String]>,
}

/// An authorizer with user pools.
#[derive(Debug)]
pub struct CognitoAuthorizer {
    /// The header that holds the token.
    pub header: Box<str>,
    /// What `aud` has to look like.
    pub audience: Option<JavaRegex>,
    /// The pools.
    pub pools: Box<[Issuer]>,
}

impl CognitoAuthorization {
    /// The authorization of a method.
    #[must_use]
    pub fn new(authorizer: Arc<CognitoAuthorizer>, method: &Method) -> Self {
        Self { authorizer, scopes: method.authorization_scopes.clone().unwrap_or_default().into() }
    }
}

pub(super) async fn run(
    exchange: &mut Exchange<'_>,
    authorization: &CognitoAuthorization,
) -> Result<(), Fault> {
    let authorizer = &authorization.authorizer;
    let mut values = exchange.head.headers.iter().filter(|header| header.is(&authorizer.header));
    let token = values.next().map(stagedoor_http::Header::value_str);
    // Of two tokens the backend might believe the other one.
    let token = token.filter(|_| values.next().is_none());
    let Some(token) = token else {
        return Err(Fault::unauthorized(format!("there is not one header {}", authorizer.header)));
    };
    let bare = token.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let bare = bare.and_then(|_| token.get(7..)).unwrap_or(&token).trim();
    let mut refusal = TokenError::Issuer;
    for pool in &authorizer.pools {
        match pool.verify(exchange.worker, bare).await {
            Ok(claims) => {
                check(&claims, authorization).map_err(Fault::unauthorized)?;
                exchange.record.authorizer_mut().claims = Some(shown(&claims));
                return Ok(());
            }
            // The pool that knows the key has the last word.
            Err(error @ (TokenError::Expired | TokenError::Signature)) => {
                refusal = error;
                break;
            }
            Err(error) => refusal = error,
        }
    }
    Err(match refusal {
        TokenError::Expired => Fault::token_has_expired(),
        refusal => Fault::unauthorized(match refusal {
            TokenError::NoKeys(reason) => reason,
            refusal => refusal.to_string(),
        }),
    })
}

fn check(claims: &Map<String, Value>, authorization: &CognitoAuthorization) -> Result<(), &'static str> {
    let wanted = if authorization.scopes.is_empty() { "id" } else { "access" };
    if claims.get("token_use").and_then(Value::as_str) != Some(wanted) {
        return Err("the token is not of the kind that the method takes");
    }
    if !authorization.scopes.is_empty() && !has_scope(claims, &authorization.scopes) {
        return Err("the token has none of the method's scopes");
    }
    let audience = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if authorization.authorizer.audience.as_ref().is_some_and(|expected| !expected.fits(audience)) {
        return Err("the token's audience does not match the identity validation expression");
    }
    Ok(())
}

/// Claims as AWS shows them: all of them text, lists with commas, and two times as dates.
fn shown(claims: &Map<String, Value>) -> Map<String, Value> {
    let text = |name: &str, value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts =
                values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            texts.collect::<Vec<_>>().join(",")
        }
        Value::Number(seconds) if matches!(name, "exp" | "iat") => {
            seconds.as_i64().and_then(date).unwrap_or_else(|| seconds.to_string())
        }
        value => value.to_string(),
    };
    claims.iter().map(|(name, value)| (name.clone(), Value::String(text(name, value)))).collect()
}

fn date(seconds: i64) -> Option<String> {
    let format = format_description!(
        "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] UTC [year]"
    );
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(format).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_shown_as_text() {
        let claims = json!({"sub": "x", "exp": 1_526_306_972, "auth_time": 1_526_303_372, "email_verified": true,
            "cognito:groups": ["a", "b"]});
        let expected = json!({"sub": "x", "exp": "Mon May 14 14:09:32 UTC 2018", "auth_time": "1526303372",
            "email_verified": "true", "cognito:groups": "a,b"});
        assert_eq!(Value::Object(shown(claims.as_object().unwrap())), expected);
    }
}
