//! Who calls. Without configured credentials everybody may, and signatures are not even read.

use bytes::Bytes;
use http::{Request, StatusCode};
use stagedoor_sigv4::{Credential, Expected, Incomplete, Presented, VerifyError};
use time::OffsetDateTime;

use crate::failure::Failure;

/// Checks the signature of a request against the keys that are configured.
///
/// # Errors
/// What AWS answers to an unsigned, unknown, expired or wrong signature.
pub(crate) fn check(
    request: &Request<Bytes>,
    credentials: &[Credential],
    region: Option<&str>,
    service: &str,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    if credentials.is_empty() {
        return Ok(());
    }
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)))
        .collect();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host_missing = !request.headers().contains_key("host");
    let mut headers = headers;
    if let (true, Some(authority)) = (host_missing, authority) {
        // HTTP/2 carries the host as a part of the target; it is signed as `host` all the same.
        headers.push(("host", authority));
    }
    let signed = stagedoor_sigv4::Request {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: headers.into(),
        body: request.body(),
    };
    let forbidden = |code, message: String| Failure::new(StatusCode::FORBIDDEN, code, message);
    let presented = match Presented::find(&signed) {
        Ok(Some(presented)) => presented,
        Ok(None) => return Err(missing_token()),
        Err(Incomplete(message)) => return Err(forbidden("IncompleteSignatureException", message)),
    };
    let unknown = || {
        let message = "The security token included in the request is invalid.";
        forbidden("UnrecognizedClientException", message.to_owned())
    };
    // Which keys exist is no secret that timing could tell: an unknown one is answered as such.
    let credential = credentials.iter().find(|known| known.access_key_id == presented.access_key_id);
    let credential = credential.ok_or_else(unknown)?;
    presented.verify(&signed, credential, &Expected { region, service, now }).map_err(|error| match error {
        VerifyError::Token => unknown(),
        error @ (VerifyError::Scope(_) | VerifyError::Mismatch) => {
            forbidden("InvalidSignatureException", error.to_string())
        }
    })
}

/// What AWS answers to a request without a signature, and to one that no operation matches.
pub(crate) fn missing_token() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", "Missing Authentication Token")
}

#[cfg(test)]
mod tests {
    use stagedoor_sigv4::{SigningScope, sign};

    use super::*;

    fn credential(id: &str, secret: &str) -> Credential {
        Credential { access_key_id: id.to_owned(), secret_access_key: secret.to_owned(), session_token: None }
    }

    fn signed(by: &Credential, service: &str) -> Request<Bytes> {
        let body = Bytes::from_static(b"{\"name\":\"x\"}");
        let unsigned = stagedoor_sigv4::Request {
            method: "POST",
            path: "/restapis",
            query: "",
            headers: vec![("host", "localhost:4566")].into(),
            body: &body,
        };
        let scope = SigningScope { region: "us-east-1", service };
        let mut request = Request::post("/restapis").header("host", "localhost:4566");
        for (name, value) in sign(&unsigned, by, scope, OffsetDateTime::UNIX_EPOCH) {
            request = request.header(name, value);
        }
        request.body(body).unwrap()
    }

    fn answer(request: &Request<Bytes>, known: &[Credential]) -> Option<(u16, &'static str)> {
        check(request, known, None, "apigateway", OffsetDateTime::UNIX_EPOCH)
            .err()
            .map(|failure| (failure.status.as_u16(), failure.code))
    }

    #[test]
    fn answers_as_aws_does() {
        let known = [credential("OTHER", "o"), credential("AKID", "secret")];
        let bare = Request::post("/restapis").body(Bytes::new()).unwrap();
        let odd = Request::post("/restapis").header("authorization", "Basic x").body(Bytes::new()).unwrap();
        let good = signed(&credential("AKID", "secret"), "apigateway");
        assert_eq!(answer(&good, &known), None);
        assert_eq!(answer(&bare, &[]), None);
        assert_eq!(answer(&bare, &known), Some((403, "MissingAuthenticationTokenException")));
        assert_eq!(answer(&odd, &known), Some((403, "IncompleteSignatureException")));
        let stranger = signed(&credential("NOBODY", "secret"), "apigateway");
        assert_eq!(answer(&stranger, &known), Some((403, "UnrecognizedClientException")));
        let mistaken = signed(&credential("AKID", "wrong"), "apigateway");
        assert_eq!(answer(&mistaken, &known), Some((403, "InvalidSignatureException")));
        let astray = signed(&credential("AKID", "secret"), "s3");
        assert_eq!(answer(&astray, &known), Some((403, "InvalidSignatureException")));
    }
}
