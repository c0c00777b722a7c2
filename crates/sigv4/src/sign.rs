//! Signing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    ALGORITHM, Credential, Reading, Request,
    canonical::{ENCODED, S3, hex},
    format_timestamp,
};

/// What a signature is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningScope<'a> {
    /// The region, such as `us-east-1`.
    pub region: &'a str,
    /// The signing name of the service, such as `apigateway` or `execute-api`.
    pub service: &'a str,
}

/// Signs a request: the headers to add to it, in order.
///
/// The request has to carry its `Host`; all of its headers are signed, so leave out those that proxies on the way
/// may change (`User-Agent`, `Connection` and the like) and add them afterwards. If it carries
/// `x-amz-content-sha256: UNSIGNED-PAYLOAD` the body is not covered.
pub fn sign(
    request: &Request<'_>,
    credential: &Credential,
    scope: SigningScope<'_>,
    at: OffsetDateTime,
) -> Vec<(String, String)> {
    let timestamp = format_timestamp(at);
    let mut added = vec![("X-Amz-Date".to_owned(), timestamp.clone())];
    if let Some(token) = &credential.session_token {
        added.push(("X-Amz-Security-Token".to_owned(), token.clone()));
    }
    let payload_hash = request.payload_hash();
    if scope.service == S3 {
        // S3 alone asks for the hash in a header of its own.
        added.push(("X-Amz-Content-SHA256".to_owned(), payload_hash.clone()));
    }
    // What the request may carry from an earlier attempt is replaced, not signed along.
    let replaced = |name: &str| {
        name.eq_ignore_ascii_case("authorization")
            || added.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let mut headers: Vec<(&str, &str)> =
        request.headers.iter().copied().filter(|(name, _)| !replaced(name)).collect();
    headers.extend(added.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut signed_headers: Vec<String> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    signed_headers.sort();
    signed_headers.dedup();

    let complete = Request { headers: headers.into(), ..request.clone() };
    let canonical =
        complete.canonical(scope.service, &signed_headers, &payload_hash, Reading::Normalised, false);
    let date = timestamp.get(..8).unwrap_or_default();
    let credential_scope = credential_scope(date, scope);
    let to_sign = string_to_sign(ALGORITHM, &timestamp, &credential_scope, &canonical);
    let signature = hex(&mac(&signing_key(&credential.secret_access_key, date, scope), to_sign.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={}, Signature={signature}",
        credential.access_key_id,
        signed_headers.join(";")
    );
    added.push(("Authorization".to_owned(), authorization));
    added
}

/// Signs a request in its query, so that its URL alone is good for `expires_seconds`: the whole query to send.
///
/// Every header of the request is signed and has to be sent along as it is; usually that is `Host` alone. The body is
/// covered unless the query says `X-Amz-Content-Sha256=UNSIGNED-PAYLOAD`.
pub fn presign(
    request: &Request<'_>,
    credential: &Credential,
    scope: SigningScope<'_>,
    at: OffsetDateTime,
    expires_seconds: u64,
) -> String {
    let timestamp = format_timestamp(at);
    let date = timestamp.get(..8).unwrap_or_default();
    let credential_scope = credential_scope(date, scope);
    let mut signed_headers: Vec<String> =
        request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    signed_headers.sort();
    signed_headers.dedup();

    let mut query = request.query.to_owned();
    let mut add = |name: &str, value: &str| {
        let separator = if query.is_empty() { "" } else { "&" };
        query.extend([separator, name, "="]);
        query.extend(percent_encoding::percent_encode(value.as_bytes(), ENCODED));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &format!("{}/{credential_scope}", credential.access_key_id));
    add("X-Amz-Date", &timestamp);
    add("X-Amz-Expires", &expires_seconds.to_string());
    if let Some(token) = &credential.session_token {
        add("X-Amz-Security-Token", token);
    }
    add("X-Amz-SignedHeaders", &signed_headers.join(";"));

    let to_sign = {
        let complete = Request {
            method: request.method,
            path: request.path,
            query: &query,
            headers: request.headers.as_ref().into(),
            body: request.body,
        };
        let hash = complete.payload_hash();
        let canonical = complete.canonical(scope.service, &signed_headers, &hash, Reading::Normalised, true);
        string_to_sign(ALGORITHM, &timestamp, &credential_scope, &canonical)
    };
    let signature = hex(&mac(&signing_key(&credential.secret_access_key, date, scope), to_sign.as_bytes()));
    query.extend(["&X-Amz-Signature=", &signature]);
    query
}

pub(crate) fn credential_scope(date: &str, scope: SigningScope<'_>) -> String {
    format!("{date}/{}/{}/aws4_request", scope.region, scope.service)
}

/// The key of one day, region and service.
pub(crate) fn signing_key(secret: &str, date: &str, scope: SigningScope<'_>) -> [u8; 32] {
    let mut key = mac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    for part in [scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    key
}

pub(crate) fn string_to_sign(
    algorithm: &str,
    timestamp: &str,
    credential_scope: &str,
    canonical: &str,
) -> String {
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    format!("{algorithm}\n{timestamp}\n{credential_scope}\n{hash}")
}

pub(crate) fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length, so the error cannot occur; an all-zero key would verify nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}
