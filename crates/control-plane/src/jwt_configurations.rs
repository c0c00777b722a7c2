//! What a JWT authorizer of a REST API goes by: the issuers it trusts, whom their tokens have to be for, what else they
//! have to say and how they may be signed.
//!
//! An issuer's discovery document is read when an authorizer is made and each time its configuration is replaced; what it
//! names as key set is kept as `jwksUri`. That needs the network, so it never happens within a transaction.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stagedoor_shapes::apigateway::{JwtConfiguration, JwtConfigurationInput, JwtIssuer, JwtIssuerInput};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, required};
use crate::issuers::{self, KeySets, Refused};

/// Most issuers that one authorizer may trust. AWS's own bound is not known; this one keeps a call from reading documents
/// without end.
pub(crate) const ISSUERS_MAX: usize = 50;
/// Claims that are checked anyway, and not as additional ones.
const OWN_CLAIMS: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "scope", "scp"];

impl ControlPlane {
    /// Asks the issuers of a configuration where their key sets are, and notes it.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for the first one that has none to offer.
    pub(crate) fn discover(&self, mut configuration: JwtConfiguration) -> Result<JwtConfiguration, ApiError> {
        let names = configuration.issuers.iter().flatten().map(|one| required(&one.issuer));
        let found = issuers::ask(&self.settings, names);
        note(&mut configuration, &found).map_err(ApiError::BadRequest)?;
        Ok(configuration)
    }
}

/// Notes the key sets of a configuration's issuers.
///
/// # Errors
/// What AWS says of the first one that has none.
pub(crate) fn note(configuration: &mut JwtConfiguration, found: &KeySets) -> Result<(), String> {
    for issuer in configuration.issuers.iter_mut().flatten() {
        let name = required(&issuer.issuer);
        match found.get(name) {
            Some(Err(Refused)) => return Err(issuers::refusal(name)),
            Some(Ok(key_set)) => issuer.jwks_uri.clone_from(key_set),
            None => issuer.jwks_uri = None,
        }
    }
    Ok(())
}

/// A configuration as it is given, without anything that only we may say.
pub(crate) fn from_input(input: JwtConfigurationInput) -> JwtConfiguration {
    let issuer = |JwtIssuerInput { issuer, audiences, additional_claims }| JwtIssuer {
        issuer,
        audiences,
        additional_claims,
        jwks_uri: None,
    };
    JwtConfiguration {
        issuers: input.issuers.map(|issuers| issuers.into_iter().map(issuer).collect()),
        default_algorithms: input.default_algorithms,
    }
}

/// A configuration as a document or a patch writes it.
///
/// # Errors
/// A sentence if it is none, or has members that none has. Nothing of it may be passed over in silence: it says who may
/// call.
pub(crate) fn from_json(value: &Value) -> Result<JwtConfiguration, String> {
    only(value, "jwtConfiguration", &["issuers", "defaultAlgorithms"])?;
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    for issuer in list(value, "issuers") {
        if issuer.get("jwksUri").is_some() {
            return Err("jwksUri is read-only and cannot be set".to_owned());
        }
        only(&issuer, "an issuer of jwtConfiguration", &["issuer", "audiences", "additionalClaims"])?;
        for claim in list(&issuer, "additionalClaims") {
            let members = ["claimName", "format", "required", "expectedValues"];
            only(&claim, "an additional claim of jwtConfiguration", &members)?;
        }
    }
    let input: Result<JwtConfigurationInput, _> = serde_json::from_value(value.clone());
    input.map(from_input).map_err(|error| format!("jwtConfiguration: {error}"))
}

fn only(value: &Value, what: &str, members: &[&str]) -> Result<(), String> {
    let object: &Map<String, Value> =
        value.as_object().ok_or_else(|| format!("{what} must be a JSON object"))?;
    match object.keys().find(|name| !members.contains(&name.as_str())) {
        Some(name) => Err(format!("{what} has no member '{name}'")),
        None => Ok(()),
    }
}

/// Holds a configuration against AWS's rules.
///
/// # Errors
/// [`ApiError::BadRequest`] for the first thing that is wrong.
pub(crate) fn check(configuration: Option<&JwtConfiguration>) -> Result<(), ApiError> {
    let Some(configuration) = configuration else {
        return bad_request("jwtConfiguration is required for JWT authorizers");
    };
    let issuers = configuration.issuers.as_deref().unwrap_or_default();
    if issuers.is_empty() {
        return bad_request("jwtConfiguration must have at least one issuer");
    }
    if issuers.len() > ISSUERS_MAX {
        return bad_request(format!("jwtConfiguration must not have more than {ISSUERS_MAX} issuers"));
    }
    if configuration.default_algorithms.as_deref().unwrap_or_default().is_empty() {
        return bad_request("jwtConfiguration must have at least one algorithm in defaultAlgorithms");
    }
    let mut seen = BTreeSet::new();
    for issuer in issuers {
        let name = required(&issuer.issuer);
        if !is_issuer(name) {
            return bad_request(format!(
                "Invalid issuer: {name}. An issuer must be an absolute https URL with a host, and without user \
                 information, query or fragment"
            ));
        }
        if !seen.insert(name) {
            return bad_request(format!("Issuer URLs must be unique: {name}"));
        }
        check_issuer(name, issuer)?;
    }
    Ok(())
}

fn check_issuer(name: &str, issuer: &JwtIssuer) -> Result<(), ApiError> {
    let audiences = issuer.audiences.as_deref().unwrap_or_default();
    if audiences.is_empty() || audiences.iter().any(String::is_empty) {
        return bad_request(format!("Issuer {name} must have at least one audience, and none may be empty"));
    }
    let mut seen = BTreeSet::new();
    for claim in issuer.additional_claims.iter().flatten() {
        let claim_name = required(&claim.claim_name);
        if claim_name.is_empty() || OWN_CLAIMS.contains(&claim_name) {
            return bad_request(format!(
                "Invalid claimName: '{claim_name}'. It cannot be empty, nor any of {}",
                OWN_CLAIMS.join(", ")
            ));
        }
        if claim.format.is_none() {
            return bad_request(format!("The additional claim {claim_name} must have a format"));
        }
        if !seen.insert(claim_name) {
            return bad_request(format!("Claim names must be unique within an issuer: {claim_name}"));
        }
        match claim.expected_values.as_deref().unwrap_or_default() {
            [] => {}
            [value] if !value.is_empty() => {}
            _ => {
                return bad_request(format!(
                    "expectedValues of the additional claim {claim_name} must be one value, which cannot be empty"
                ));
            }
        }
    }
    Ok(())
}

/// Whether this is the URL of an issuer: https with a host, no user information, query or fragment. Issuers on this machine
/// need no TLS: nobody is between them and the gateway.
#[must_use]
pub(crate) fn is_issuer(url: &str) -> bool {
    let (rest, is_plain) = match url.strip_prefix("https://") {
        Some(rest) => (rest, false),
        None => match url.strip_prefix("http://") {
            Some(rest) => (rest, true),
            None => return false,
        },
    };
    // RFC 3986 without what begins a query, a fragment or a host after user information.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]!$&'()*+,;=%".contains(&byte);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map_or("", |(host, _)| host),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let port = authority.rsplit_once(':').filter(|_| !authority.ends_with(']')).map(|(_, port)| port);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    rest.bytes().all(fits)
        && !host.is_empty()
        && host.bytes().all(in_host)
        && port_fits
        && (!is_plain || matches!(host, "localhost" | "127.0.0.1" | "::1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({"issuers": [{"issuer": "https://a.example/x/", "audiences": ["app"]}], "defaultAlgorithms": ["ES256"]})
    }

    fn check_json(value: Value, expected: &str) {
        let found = match from_json(&value) {
            Err(message) => message,
            Ok(configuration) => {
                check(Some(&configuration)).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
            }
        };
        assert!(found.starts_with(expected), "{value}: {found}");
    }

    #[test]
    fn configurations() {
        let with = |pointer: &str, new: Value| {
            let mut value = good();
            *value.pointer_mut(pointer).unwrap() = new;
            value
        };
        let issuer = |name: &str, new: Value| {
            let mut value = good();
            value["issuers"][0][name] = new;
            value
        };
        let claim = |claim: Value| issuer("additionalClaims", json!([claim]));
        check_json(good(), "fine");
        check_json(
            with("/defaultAlgorithms", json!([])),
            "jwtConfiguration must have at least one algorithm",
        );
        check_json(with("/defaultAlgorithms", json!(["HS256"])), "jwtConfiguration: ");
        check_json(with("/defaultAlgorithms", json!(["none"])), "jwtConfiguration: ");
        check_json(with("/issuers", json!([])), "jwtConfiguration must have at least one issuer");
        check_json(json!([]), "jwtConfiguration must be a JSON object");
        check_json(json!({"issuer": "https://a", "audience": ["b"]}), "jwtConfiguration has no member");
        check_json(issuer("jwksUri", json!("https://a/keys")), "jwksUri is read-only");
        check_json(
            issuer("audience", json!(["b"])),
            "an issuer of jwtConfiguration has no member 'audience'",
        );
        check_json(
            issuer("audiences", json!([])),
            "Issuer https://a.example/x/ must have at least one audience",
        );
        check_json(issuer("audiences", json!(["a", ""])), "Issuer https://a.example/x/ must have");
        let twice = good()["issuers"][0].clone();
        check_json(with("/issuers", json!([twice, twice])), "Issuer URLs must be unique");
        // A slash at the end makes another issuer.
        let other = json!({"issuer": "https://a.example/x", "audiences": ["app"]});
        check_json(with("/issuers", json!([twice, other])), "fine");
        check_json(claim(json!({"claimName": "role", "format": "SINGLE_STRING"})), "fine");
        let expecting = |values: Value| {
            claim(
                json!({"claimName": "role", "format": "SINGLE_STRING", "required": true, "expectedValues": values}),
            )
        };
        check_json(expecting(json!(["admin"])), "fine");
        check_json(expecting(json!([])), "fine");
        check_json(expecting(json!([""])), "expectedValues of the additional claim role");
        check_json(expecting(json!(["a", "b"])), "expectedValues of the additional claim role");
        check_json(claim(json!({"claimName": "role"})), "The additional claim role must have a format");
        check_json(claim(json!({"claimName": "role", "format": "STRING"})), "jwtConfiguration: ");
        check_json(claim(json!({"claimName": "role", "value": 1})), "an additional claim");
        for name in ["", "iss", "aud", "exp", "nbf", "iat", "scope", "scp"] {
            check_json(claim(json!({"claimName": name, "format": "SINGLE_STRING"})), "Invalid claimName");
        }
        let role = json!({"claimName": "role", "format": "SINGLE_STRING"});
        check_json(issuer("additionalClaims", json!([role, role])), "Claim names must be unique");
        assert!(check(None).is_err());
    }

    #[test]
    fn urls_of_issuers() {
        let check = |url: &str, fine: bool| assert_eq!(is_issuer(url), fine, "{url}");
        check("https://a.example", true);
        check("https://a.example/", true);
        check("https://a.example:8443/tenant/v2.0", true);
        check("https://[2001:db8::1]:8443", true);
        check("http://localhost:8080/realms/x", true);
        check("http://127.0.0.1:1", true);
        check("http://[::1]:1/", true);
        for wrong in [
            "",
            "a.example",
            "https://",
            "https:///path",
            "https://:443",
            "https://a.example?x",
            "https://a.example/#x",
            "https://user@a.example",
            "https://user:secret@a.example/",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example:",
            "https://a example",
            "http://a.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://localhost@a.example",
            "http://127.0.0.1\\@a.example",
            "ftp://localhost",
            "https://${stageVariables.host}/",
            "https://a.example/${stageVariables.tenant}",
            "https://a.example/{tenant}",
            "https://a!b",
            "HTTPS://a.example",
        ] {
            check(wrong, false);
        }
    }
}
