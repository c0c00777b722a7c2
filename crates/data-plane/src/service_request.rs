//! Requests to AWS's services, signed with Signature Version 4.

use bytes::Bytes;
use http::Method;
use stagedoor_http::{Headers, RequestHead, Version};
use stagedoor_sigv4::{Credential, Request, SigningScope, sign};
use time::OffsetDateTime;

use crate::plan::aws_services::AwsService;

/// A request to a service, unsigned.
#[derive(Debug)]
pub(crate) struct ServiceRequest {
    pub(crate) method: Method,
    /// Encoded, with a slash before it.
    pub(crate) path: String,
    /// Encoded; may be empty.
    pub(crate) query: String,
    /// Beside `Host` and those of the signature.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl ServiceRequest {
    /// The request with its signature.
    pub(crate) fn signed(
        &self,
        service: &AwsService,
        credential: &Credential,
        at: OffsetDateTime,
    ) -> RequestHead {
        let path = format!("{}{}", service.path, self.path);
        let mut headers = vec![("Host".to_owned(), service.upstream.authority.to_string())];
        headers.extend(self.headers.iter().cloned());
        let borrowed: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let unsigned = Request {
            method: self.method.as_str(),
            path: &path,
            query: &self.query,
            headers: borrowed.into(),
            body: &self.body,
        };
        let scope = SigningScope { region: &service.region, service: &service.signing_name };
        let added = sign(&unsigned, credential, scope, at);
        headers.extend(added);
        let mut fields = Headers::with_capacity(headers.len());
        for (name, value) in headers {
            fields.append(name, value);
        }
        let target = match self.query.is_empty() {
            true => path,
            false => format!("{path}?{}", self.query),
        };
        RequestHead {
            method: self.method.clone(),
            target: target.into(),
            version: Version::Http11,
            headers: fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::aws_services::AwsServices;

    #[test]
    fn requests_are_signed_for_their_service_and_region() {
        let services = AwsServices {
            endpoint: Some("http://127.0.0.1:1/base".to_owned()),
            credential: Some(Credential {
                access_key_id: "AKID".to_owned(),
                secret_access_key: "secret".to_owned(),
                session_token: Some("token".to_owned()),
            }),
            ..AwsServices::default()
        };
        let service = services.find("SFN", "states", "states", "eu-west-1").unwrap();
        let request = ServiceRequest {
            method: Method::POST,
            path: "/a%20b".to_owned(),
            query: "c=d".to_owned(),
            headers: vec![("X-Amz-Target".to_owned(), "x".to_owned())],
            body: Bytes::from_static(b"{}"),
        };
        let head = request.signed(&service, &service.credential, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(head.target.as_str(), "/base/a%20b?c=d");
        assert_eq!(head.headers.get_str("host"), Some("127.0.0.1:1"));
        assert_eq!(head.headers.get_str("x-amz-security-token"), Some("token"));
        let authorization = head.headers.get_str("authorization").unwrap();
        assert!(
            authorization.contains("Credential=AKID/19700101/eu-west-1/states/aws4_request"),
            "{authorization}"
        );
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target"));
    }
}
