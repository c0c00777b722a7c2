//! Signed calls of AWS's services: the client that service integrations of all kinds of APIs are built on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use stagedoor_http::{Headers, RequestHead, ResponseHead, Version};
use stagedoor_sigv4::{Request, SigningScope, sign};
use time::OffsetDateTime;

use super::{log, upstream_fault, whole_answer};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::aws_services::AwsService;

/// A request to a service, unsigned.
#[derive(Debug)]
pub(super) struct ServiceRequest {
    pub(super) method: Method,
    /// Encoded, with a slash before it.
    pub(super) path: String,
    /// Encoded; may be empty.
    pub(super) query: String,
    /// Beside `Host` and those of the signature.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// Signs a request, sends it and reads the whole answer.
///
/// # Errors
/// A [`Fault`] if the service cannot be reached, does not answer in time or answers too much.
pub(super) async fn call(
    exchange: &mut Exchange<'_>,
    service: &AwsService,
    request: ServiceRequest,
    timeout: Duration,
) -> Result<(ResponseHead, Bytes), Fault> {
    let head = signed(service, &request, OffsetDateTime::now_utc());
    let body = log::http_request(exchange, &service.upstream, &head, request.body.into()).await?;
    let began = Instant::now();
    let answered = exchange.worker.forward(&service.upstream, &head, body, timeout, timeout).await;
    let record = &mut exchange.record.integration;
    record.ended(began);
    let (head, body) = answered.map_err(upstream_fault)?;
    record.status = Some(head.status.as_u16());
    record.service_status = record.status;
    let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| head.headers.get_str(name));
    record.request_id = id.map(Into::into);
    record.request_id_2 = head.headers.get_str("x-amz-id-2").map(Into::into);
    log::received(exchange);
    let body = whole_answer(exchange, &head, body, timeout).await?;
    Ok((head, body))
}

/// The request with its signature.
fn signed(service: &AwsService, request: &ServiceRequest, at: OffsetDateTime) -> RequestHead {
    let path = format!("{}{}", service.path, request.path);
    let mut headers = vec![("Host".to_owned(), service.upstream.authority.to_string())];
    headers.extend(request.headers.iter().cloned());
    let borrowed: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let unsigned = Request {
        method: request.method.as_str(),
        path: &path,
        query: &request.query,
        headers: borrowed.into(),
        body: &request.body,
    };
    let scope = SigningScope { region: &service.region, service: &service.signing_name };
    let added = sign(&unsigned, &service.credential, scope, at);
    headers.extend(added);
    let mut fields = Headers::with_capacity(headers.len());
    for (name, value) in headers {
        fields.append(name, value);
    }
    let target = match request.query.is_empty() {
        true => path,
        false => format!("{path}?{}", request.query),
    };
    RequestHead {
        method: request.method.clone(),
        target: target.into(),
        version: Version::Http11,
        headers: fields,
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_sigv4::Credential;

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
        let head = signed(&service, &request, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(head.target, "/base/a%20b?c=d");
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
