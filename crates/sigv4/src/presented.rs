//! What a request says about who signed it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::{ALGORITHM, ALGORITHM_ASYMMETRIC, Reading, Request};

/// A signature as a request presents it. Nothing of it is proven before [`Presented::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whether it is of Signature Version 4A.
    pub is_asymmetric: bool,
    /// Whose key it is.
    pub access_key_id: String,
    /// The date of the credential scope, `YYYYMMDD`.
    pub date: String,
    /// The region of the credential scope; for Signature Version 4A the regions that `X-Amz-Region-Set` names.
    pub region: String,
    /// The service of the credential scope.
    pub service: String,
    /// The last part of the credential scope.
    pub terminator: String,
    /// Names of the headers that were signed, lower case and sorted as presented.
    pub signed_headers: Vec<String>,
    /// The signature in hexadecimal.
    pub signature: String,
    /// When it was signed, as written.
    pub timestamp: String,
    /// The session token that came along.
    pub session_token: Option<String>,
    /// For how many seconds a presigned request is good; `None` for the header form.
    pub expires_seconds: Option<u64>,
    /// How the server reads path and query; [`Reading::Normalised`] unless it says otherwise before it verifies.
    pub reading: Reading,
}

/// A signature that lacks something. The text is AWS's, so that clients can show it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Incomplete(pub String);

impl Presented {
    /// Reads the signature of a request; `None` if it has none.
    ///
    /// # Errors
    /// [`Incomplete`] if there is one that lacks a part, or is of another scheme than Signature Version 4.
    pub fn find(request: &Request<'_>) -> Result<Option<Self>, Incomplete> {
        find(request, &[ALGORITHM])
    }

    /// The same, of Signature Version 4 or 4A.
    ///
    /// # Errors
    /// As [`Presented::find`].
    pub fn find_any(request: &Request<'_>) -> Result<Option<Self>, Incomplete> {
        find(request, &[ALGORITHM, ALGORITHM_ASYMMETRIC])
    }
}

fn find(request: &Request<'_>, taken: &[&str]) -> Result<Option<Presented>, Incomplete> {
    if let Some(value) = request.header("authorization") {
        let is_one = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case("authorization");
        if request.headers.iter().filter(is_one).count() > 1 {
            // Whoever is asked next might believe the other one.
            return Err(Incomplete("There is more than one Authorization header.".to_owned()));
        }
        return from_header(request, value, taken).map(Some);
    }
    if request.parameter("X-Amz-Algorithm").is_some() || request.parameter("X-Amz-Signature").is_some() {
        return from_query(request, taken).map(Some);
    }
    Ok(None)
}

/// Whether an algorithm that is taken is the asymmetric one.
fn is_asymmetric(algorithm: &str, taken: &[&str]) -> Result<bool, Incomplete> {
    if taken.contains(&algorithm) {
        return Ok(algorithm == ALGORITHM_ASYMMETRIC);
    }
    let verb = if taken.len() == 1 { "is" } else { "are" };
    let taken = taken.join(" and ");
    Err(Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}' (only {taken} {verb} known).")))
}

fn from_header(request: &Request<'_>, value: &str, taken: &[&str]) -> Result<Presented, Incomplete> {
    let scheme_end = value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_end);
    // The scheme is looked at last: what has none of the parameters is told so, whatever its scheme is.
    let mut fields = rest.split(',').map(str::trim).filter(|part| !part.is_empty());
    if fields.any(|part| !part.contains('=')) {
        return Err(Incomplete(format!(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with \
             Base64): '{}'.",
            hashed(value)
        )));
    }
    let field = |name: &str| {
        rest.split(',')
            .filter_map(|part| part.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    };
    let (credential, signature, signed) = (field("Credential"), field("Signature"), field("SignedHeaders"));
    let timestamp = request.header("x-amz-date").or_else(|| request.header("date"));
    let mut missing = Vec::new();
    for (name, value) in [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed)] {
        if value.is_none() {
            missing.push(format!("Authorization header requires '{name}' parameter."));
        }
    }
    if timestamp.is_none() {
        missing.push(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned(),
        );
    }
    let (Some(credential), Some(signature), Some(signed), Some(timestamp)) =
        (credential, signature, signed, timestamp)
    else {
        missing
            .push(format!("(Hashed with SHA-256 and encoded with Base64) Authorization={}", hashed(value)));
        return Err(Incomplete(missing.join(" ")));
    };
    let is_asymmetric = is_asymmetric(scheme, taken)?;
    let regions = request.header("x-amz-region-set").unwrap_or_default();
    let presented = Presented {
        signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
        signature: signature.to_owned(),
        timestamp: timestamp.to_owned(),
        session_token: request.header("x-amz-security-token").map(str::to_owned),
        expires_seconds: None,
        ..scoped(credential, is_asymmetric.then_some(regions))?
    };
    if is_asymmetric && !presented.signed_headers.iter().any(|name| name == "x-amz-region-set") {
        // Else whoever holds the request could take it to another region.
        return Err(Incomplete(
            "'X-Amz-Region-Set' must be a 'SignedHeader' in the AWS Authorization.".to_owned(),
        ));
    }
    covers_host(presented)
}

/// A header as AWS shows it in messages, which others than its sender may read.
fn hashed(value: &str) -> String {
    STANDARD.encode(Sha256::digest(value))
}

fn from_query(request: &Request<'_>, taken: &[&str]) -> Result<Presented, Incomplete> {
    let mut missing = Vec::new();
    let mut field = |name: &'static str| {
        let value = request.parameter(name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.push(name);
        }
        value.unwrap_or_default()
    };
    let algorithm = field("X-Amz-Algorithm");
    let credential = field("X-Amz-Credential");
    let timestamp = field("X-Amz-Date");
    let signed = field("X-Amz-SignedHeaders");
    let signature = field("X-Amz-Signature");
    if !missing.is_empty() {
        let missing: Vec<String> = missing
            .iter()
            .map(|name| format!("AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."))
            .collect();
        return Err(Incomplete(missing.join(" ")));
    }
    let is_asymmetric = is_asymmetric(&algorithm, taken)?;
    let regions = request.parameter("X-Amz-Region-Set").unwrap_or_default();
    // AWS's own limit is a week; without the parameter a request is good for as long as the clocks may differ.
    let expires = request.parameter("X-Amz-Expires").map_or(Ok(300), |text| text.parse::<u64>());
    let expires = expires.ok().filter(|seconds| *seconds <= 604_800).ok_or_else(|| {
        Incomplete("X-Amz-Expires must be a number of seconds between 0 and 604800.".to_owned())
    })?;
    let presented = Presented {
        signed_headers: signed.split(';').map(str::to_ascii_lowercase).collect(),
        signature,
        timestamp,
        session_token: request.parameter("X-Amz-Security-Token"),
        expires_seconds: Some(expires),
        ..scoped(&credential, is_asymmetric.then_some(&regions))?
    };
    covers_host(presented)
}

/// The parts of `Credential`: five, or four with the regions of an asymmetric signature elsewhere. The key may not contain
/// a slash, so counting from the front is safe.
fn scoped(credential: &str, regions: Option<&str>) -> Result<Presented, Incomplete> {
    let parts: Vec<&str> = credential.split('/').collect();
    let (key, date, region, service, terminator) = match (parts.as_slice(), regions) {
        (&[key, date, region, service, terminator], None) => (key, date, region, service, terminator),
        (&[key, date, service, terminator], Some(regions)) => (key, date, regions, service, terminator),
        (_, None) => {
            return Err(Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        }
        (_, Some(_)) => {
            return Err(Incomplete(format!(
                "Credential must have exactly 4 slash-delimited elements, e.g. keyid/date/service/term, got '{credential}'"
            )));
        }
    };
    Ok(Presented {
        is_asymmetric: regions.is_some(),
        access_key_id: key.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        terminator: terminator.to_owned(),
        signed_headers: Vec::new(),
        signature: String::new(),
        timestamp: String::new(),
        session_token: None,
        expires_seconds: None,
        reading: Reading::default(),
    })
}

/// Without the host a signature would be good at any other server that knows the same key.
fn covers_host(presented: Presented) -> Result<Presented, Incomplete> {
    if presented.signed_headers.iter().any(|name| name == "host" || name == ":authority") {
        return Ok(presented);
    }
    Err(Incomplete("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(header: Option<&str>, query: &str) -> Result<Option<Presented>, String> {
        let mut headers = vec![("X-Amz-Date", "20150830T123600Z")];
        headers.extend(header.map(|value| ("authorization", value)));
        let request = Request { method: "GET", path: "/", query, headers: headers.into(), body: b"" };
        Presented::find_any(&request).map_err(|error| error.0)
    }

    #[test]
    fn reads_the_header_form() {
        let found = find(
            Some(
                "AWS4-HMAC-SHA256 Credential=AK/20150830/us-east-1/iam/aws4_request,SignedHeaders=host;X-A ,  Signature=ab",
            ),
            "",
        );
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found.access_key_id.as_str(), found.region.as_str(), found.service.as_str()),
            ("AK", "us-east-1", "iam")
        );
        assert_eq!(
            (found.signed_headers, found.signature.as_str()),
            (vec!["host".into(), "x-a".into()], "ab")
        );
    }

    #[test]
    fn names_what_is_missing() {
        let check = |header: &str, expected: &str| {
            assert_eq!(find(Some(header), "").unwrap_err(), expected, "{header}");
        };
        check(
            "AWS4-HMAC-SHA256 Signature=ab",
            "Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter. \
             (Hashed with SHA-256 and encoded with Base64) Authorization=y+9LsTGb/VyU5C8luI4xsZZCx5wQdpE2ScIvAHOZQrY=",
        );
        check(
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=ab",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'",
        );
        check(
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=x-y, Signature=ab",
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        );
        check(
            "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=ab",
            "'X-Amz-Region-Set' must be a 'SignedHeader' in the AWS Authorization.",
        );
        check(
            "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=ab",
            "Credential must have exactly 4 slash-delimited elements, e.g. keyid/date/service/term, got 'a/b/c/d/e'",
        );
        // As AWS's users have shown it, with the header that they sent.
        check(
            "x-api-key CTkrL5f5IxvMpX722zXivqnd1KU5VyoNBOFQFUUnf-E",
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with \
             Base64): 'MZ1DdfK/poPwXem5nlPMS3OWGzSFtqzqMw4zpXXhXtM='.",
        );
        assert!(
            find(Some("mock"), "").unwrap_err().starts_with("Authorization header requires 'Credential'")
        );
        let basic = find(Some("Basic YTpi="), "").unwrap_err();
        assert!(basic.starts_with("Authorization header requires 'Credential'"), "{basic}");
        check(
            "AWS4-HMAC-SHA512 Credential=a/b/c/d/e, SignedHeaders=host, Signature=ab",
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512' (only AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256 are known).",
        );
        let asymmetric = "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=ab";
        let headers = vec![("X-Amz-Date", "20150830T123600Z"), ("authorization", asymmetric)].into();
        let request = Request { method: "GET", path: "/", query: "", headers, body: b"" };
        assert_eq!(
            Presented::find(&request).unwrap_err().0,
            "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 is known)."
        );
        assert_eq!(find(None, "a=b"), Ok(None));
        assert!(find(None, "X-Amz-Signature=ab").unwrap_err().contains("'X-Amz-Credential'"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(header in ".{0,120}", query in ".{0,120}") {
            let _ = find(Some(&header), "");
            let _ = find(None, &query);
            let _ = find(Some(&format!("AWS4-HMAC-SHA256 {header}")), "");
            let _ = find(None, &format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}"));
            let _ = find(Some(&format!("AWS4-ECDSA-P256-SHA256 {header}")), "");
        }
    }
}
