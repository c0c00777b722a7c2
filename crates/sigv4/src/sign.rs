//! Signing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{
    ALGORITHM, Credential, Request,
    canonical::{S3, hex},
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
    let canonical = complete.canonical(scope.service, &signed_headers, &payload_hash);
    let date = timestamp.get(..8).unwrap_or_default();
    let credential_scope = credential_scope(date, scope);
    let signature = hex(&signature(
        &credential.secret_access_key,
        date,
        scope,
        &timestamp,
        &credential_scope,
        &canonical,
    ));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={}, Signature={signature}",
        credential.access_key_id,
        signed_headers.join(";")
    );
    added.push(("Authorization".to_owned(), authorization));
    added
}

pub(crate) fn credential_scope(date: &str, scope: SigningScope<'_>) -> String {
    format!("{date}/{}/{}/aws4_request", scope.region, scope.service)
}

/// The signature over a canonical request.
pub(crate) fn signature(
    secret: &str,
    date: &str,
    scope: SigningScope<'_>,
    timestamp: &str,
    credential_scope: &str,
    canonical: &str,
) -> [u8; 32] {
    let to_sign = string_to_sign(timestamp, credential_scope, canonical);
    let mut key = mac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    for part in [scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    mac(&key, to_sign.as_bytes())
}

pub(crate) fn string_to_sign(timestamp: &str, credential_scope: &str, canonical: &str) -> String {
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    format!("{ALGORITHM}\n{timestamp}\n{credential_scope}\n{hash}")
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length, so the error cannot occur; an all-zero key would verify nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}
