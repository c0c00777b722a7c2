//! JWT authorizers of REST APIs: a token of one of several issuers, each with audiences and further claims of its own.
//!
//! Who a token says has issued it chooses the issuer, and only that issuer's keys can bear it out: what one issuer signs
//! speaks for no other. What was wrong with a token is told in logs, and to the client no more than that something was.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};
use stagedoor_http::clock;

use super::jwt::{Claims, Issuer};
use super::remembered::OwnerId;
use super::token::{TokenError, Unverified, has_audience, has_scope};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::worker::Worker;

/// A JWT authorizer, shared by the methods that use it.
#[derive(Debug)]
pub struct RestJwtAuthorizer {
    /// The header that holds the token.
    pub header: Box<str>,
    /// Whose tokens are taken.
    pub issuers: Box<[TrustedIssuer]>,
    /// Whose verified tokens workers remember: those of all issuers together.
    pub owner: OwnerId,
}

/// An issuer, and what its tokens have to say.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Who signs the tokens.
    pub issuer: Issuer,
    /// Whom they have to be for, one of these.
    pub audiences: Box<[String]>,
    /// What else has to be in them.
    pub additional_claims: Box<[AdditionalClaim]>,
}

/// A claim whose value is one text (`SINGLE_STRING`).
#[derive(Debug)]
pub struct AdditionalClaim {
    /// Its name.
    pub name: Box<str>,
    /// Whether it has to be there.
    pub is_required: bool,
    /// What it has to be, if it is there.
    pub expected: Option<Box<str>>,
}

/// The authorizer of a method and what the method asks of its tokens.
#[derive(Clone, Debug)]
pub struct RestJwtAuthorization {
    /// The authorizer.
    pub authorizer: Arc<RestJwtAuthorizer>,
    /// A token has to have one of these scopes, unless there are none.
    pub scopes: Box<[String]>,
}

impl AdditionalClaim {
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        match claims.get(&*self.name) {
            None => !self.is_required,
            Some(Value::String(value)) => self.expected.as_ref().is_none_or(|expected| **expected == **value),
            Some(_) => false,
        }
    }
}

impl RestJwtAuthorizer {
    /// The claims of a token that holds now, and the issuer that has said so.
    async fn verify(&self, worker: &Rc<Worker>, token: &str) -> Result<(Claims, &TrustedIssuer), TokenError> {
        if let Some(claims) = worker.tokens.get(self.owner, token) {
            let one = self.issuer(claims.get("iss").and_then(Value::as_str))?;
            return Ok((claims, one));
        }
        let one = self.issuer(Unverified::parse(token)?.issuer())?;
        Ok((one.issuer.verify(worker, token).await?, one))
    }

    /// The issuer of this name.
    fn issuer(&self, name: Option<&str>) -> Result<&TrustedIssuer, TokenError> {
        self.issuers.iter().find(|one| name == Some(&*one.issuer.name)).ok_or(TokenError::Issuer)
    }
}

pub(super) async fn run(
    exchange: &mut Exchange<'_>,
    authorization: &RestJwtAuthorization,
) -> Result<(), Fault> {
    let started = clock::now();
    let outcome = check(exchange, authorization).await;
    let record = exchange.record.authorizer_mut();
    record.latency = Some(clock::now().saturating_duration_since(started));
    match outcome {
        Ok(claims) => {
            record.status = Some(200);
            record.verified = Some(claims);
            Ok(())
        }
        Err(fault) => {
            record.status = Some(fault.status().as_u16());
            record.error = Some(fault.reason.as_str().into());
            Err(fault)
        }
    }
}

async fn check(exchange: &Exchange<'_>, authorization: &RestJwtAuthorization) -> Result<Claims, Fault> {
    let authorizer = &authorization.authorizer;
    let mut values = exchange.head.headers.iter().filter(|header| header.is(&authorizer.header));
    let value = values.next().map(stagedoor_http::Header::value_str);
    // Of two tokens the backend might believe the other one.
    let Some(value) = value.filter(|_| values.next().is_none()) else {
        return Err(Fault::unauthorized(format!("there is not one header {}", authorizer.header)));
    };
    let (claims, issuer) =
        authorizer.verify(exchange.worker, super::bare(&value)).await.map_err(|error| {
            Fault::unauthorized(match error {
                TokenError::NoKeys(reason) => reason,
                error => error.to_string(),
            })
        })?;
    if !has_audience(&claims, &issuer.audiences) {
        return Err(Fault::unauthorized(TokenError::Audience.to_string()));
    }
    if let Some(claim) = issuer.additional_claims.iter().find(|claim| !claim.fits(&claims)) {
        return Err(Fault::unauthorized(format!(
            "the token does not have the claim {} that the authorizer asks for",
            claim.name
        )));
    }
    if !authorization.scopes.is_empty() && !has_scope(&claims, &authorization.scopes) {
        let mut fault = Fault::access_denied("Forbidden");
        fault.reason = "the token has none of the method's scopes".to_owned();
        return Err(fault);
    }
    Ok(claims)
}

/// A claim as templates, mappings and access logs see it, or all claims as a function does: JSON, with an escape sequence
/// for each character that is not ASCII (developer guide).
#[must_use]
pub fn as_json(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    if json.is_ascii() {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() * 2);
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to memory does not fail.
                _ = write!(escaped, "\\u{unit:04X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_json() {
        let check = |claim: Value, expected: &str| assert_eq!(as_json(&claim), expected);
        check(json!("Doe, \"Jane\""), r#""Doe, \"Jane\"""#);
        check(json!(1_516_239_022), "1516239022");
        check(json!("42"), "\"42\"");
        check(json!(["user", "editor"]), r#"["user","editor"]"#);
        check(json!({"city": "Seattle"}), r#"{"city":"Seattle"}"#);
        check(json!("é"), r#""\u00E9""#);
        check(json!({"é😀": [true, null]}), r#"{"\u00E9\uD83D\uDE00":[true,null]}"#);
        check(Value::Null, "null");
    }

    #[test]
    fn additional_claims() {
        let check = |is_required: bool, expected: Option<&str>, claims: Value, fine: bool| {
            let claim =
                AdditionalClaim { name: "role".into(), is_required, expected: expected.map(Into::into) };
            assert_eq!(claim.fits(claims.as_object().unwrap()), fine, "{claim:?} {claims}");
        };
        for is_required in [true, false] {
            check(is_required, None, json!({}), !is_required);
            check(is_required, Some("a"), json!({}), !is_required);
            check(is_required, None, json!({"role": "x"}), true);
            check(is_required, Some("a"), json!({"role": "a"}), true);
            check(is_required, Some("a"), json!({"role": "A"}), false);
            check(is_required, Some("a"), json!({"role": "a "}), false);
            for other in [json!(["a"]), json!(1), json!(null), json!({"a": "a"}), json!(true)] {
                check(is_required, None, json!({"role": other}), false);
                check(is_required, Some("a"), json!({"role": other}), false);
            }
        }
    }
}
