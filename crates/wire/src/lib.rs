//! AWS's protocol in front of the control plane: requests to shapes, shapes to answers.
//!
//! Every operation of the three services is routed from AWS's model. Per request, in this order: the operation is
//! found, the signature is checked (if credentials are configured), the members are read from path, query, headers
//! and body, the model's constraints are checked, and the operation runs. What is not built yet answers 501.
//!
//! Nothing here knows what an operation does; [`dispatch`] is the one place that lists which exist.

mod authentication;
mod dispatch;
mod failure;
mod input;
mod java;
mod output;
mod router;
mod service;
mod validate;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use serde_json::{Map, Value};
use stagedoor_control_plane::ControlPlane;
pub use stagedoor_sigv4::Credential;
use time::OffsetDateTime;

use crate::{failure::Failure, router::Router, service::Service};

/// How callers are told apart.
#[derive(Clone, Debug, Default)]
pub struct WireSettings {
    /// The keys that requests have to be signed with. Without any, signatures are not looked at.
    pub credentials: Vec<Credential>,
    /// The only region to accept in signatures; `None` accepts every region.
    pub region: Option<String>,
}

/// The control plane as AWS's clients see it.
pub struct Wire {
    control_plane: Arc<ControlPlane>,
    settings: WireSettings,
    router: Router,
}

impl Wire {
    /// Puts the protocol in front of a control plane.
    pub fn new(control_plane: Arc<ControlPlane>, settings: WireSettings) -> Self {
        Self { control_plane, settings, router: Router::new() }
    }

    /// Answers one request. Blocks while the store works, so call it on a thread that may.
    pub fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let call = |service: Service, operation: &'static str, input: Map<String, Value>| {
            dispatch::call(&self.control_plane, service, operation, input)
        };
        answer(&self.router, &self.settings, &request, OffsetDateTime::now_utc(), call)
    }

    /// Whether a request names a key that is known here, by its `Authorization` or its query. Nothing is verified: that takes
    /// the body. Without configured credentials every request does.
    pub fn knows_signer(&self, authorization: &str, query: &str) -> bool {
        let names = |text: &str, before: &str, key: &str, after: &str| {
            text.split(before)
                .skip(1)
                .any(|rest| rest.strip_prefix(key).is_some_and(|rest| rest.starts_with(after)))
        };
        let known = &self.settings.credentials;
        known.is_empty()
            || known.iter().map(|known| known.access_key_id.as_str()).any(|key| {
                names(authorization, "Credential=", key, "/")
                    || ["/", "%2F", "%2f"].iter().any(|after| names(query, "X-Amz-Credential=", key, after))
            })
    }

    /// The refusal of a request to another service at the same address, if its signature does not hold. Without
    /// configured credentials nothing is refused.
    pub fn refuse_unsigned(&self, request: &Request<Bytes>, service: &str) -> Option<Response<Bytes>> {
        let WireSettings { credentials, region } = &self.settings;
        let now = OffsetDateTime::now_utc();
        let refused = authentication::check(request, credentials, region.as_deref(), service, now).err()?;
        Some(refused.into_response().map(Bytes::from))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// All of the protocol; `call` runs the operation.
fn answer(
    router: &Router,
    settings: &WireSettings,
    request: &Request<Bytes>,
    now: OffsetDateTime,
    call: impl Fn(Service, &'static str, Map<String, Value>) -> Result<Value, Failure>,
) -> Response<Bytes> {
    let outcome = attempt(router, settings, request, now, call);
    let mut response = outcome.unwrap_or_else(Failure::into_response).map(Bytes::from);
    let id = uuid::Uuid::new_v4();
    // AWS gives every answer two ids: one of the service, one of the gateway in front of it.
    let gateway_id = STANDARD.encode(id.as_bytes().get(..11).unwrap_or_default());
    for (name, value) in [("x-amzn-requestid", id.to_string()), ("x-amz-apigw-id", gateway_id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn attempt(
    router: &Router,
    settings: &WireSettings,
    request: &Request<Bytes>,
    now: OffsetDateTime,
    call: impl Fn(Service, &'static str, Map<String, Value>) -> Result<Value, Failure>,
) -> Result<Response<Vec<u8>>, Failure> {
    let query = request.uri().query().unwrap_or_default();
    let matched = router
        .find(request.method().as_str(), request.uri().path(), query)
        .ok_or_else(authentication::missing_token)?;
    let (service, operation) = (matched.route.service, matched.route.operation);
    authentication::check(
        request,
        &settings.credentials,
        settings.region.as_deref(),
        service.signing_name(),
        now,
    )?;
    if service == Service::Connections {
        return Err(Failure::connections_are_elsewhere());
    }
    if !dispatch::is_built(service, operation.name) {
        return Err(Failure::not_built(service, operation.name));
    }
    let input = input::read(&matched, query, request.headers(), request.body())
        .map_err(|unreadable| Failure::bad_request(service.serialization_code(), unreadable.0))?;
    if let Some(message) = validate::violations(service, operation, &input) {
        return Err(Failure::bad_request(service.validation_code(), message));
    }
    let output = call(service, operation.name, input).inspect_err(|failure| {
        if failure.status.is_server_error() {
            tracing::error!(operation = operation.name, code = failure.code, "{}", failure.message);
        }
    })?;
    output::write(operation, output)
}

#[cfg(test)]
mod tests;
