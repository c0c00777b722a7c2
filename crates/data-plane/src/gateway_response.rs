//! What the client sees when a request fails: the one place where an error becomes a response.
//!
//! AWS has 21 kinds of failure. An API can change the status, headers and body of each; a kind it did not change
//! falls back to `DEFAULT_4XX` or `DEFAULT_5XX`, and those to AWS's own answer. All of that is resolved at deployment.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use stagedoor_http::{Body, Headers, ResponseHead};
use stagedoor_shapes::apigateway::{GatewayResponse, GatewayResponseType as Kind};

use crate::exchange::Exchange;
use crate::phase::Phase;
use crate::plan::integration::Integration;
use crate::plan::substitution::Substitution;
use crate::plan::{PlanError, final_status};
use crate::record::Decision;

/// A line of a log stays readable up to this many bytes of a reason.
const LOGGED_REASON_BYTES_MAX: usize = 1000;

/// Why a request has no proper answer.
#[derive(Debug)]
pub struct Fault {
    /// Which gateway response answers it.
    pub kind: Kind,
    /// `$context.error.message`, what the client is told.
    pub message: Cow<'static, str>,
    /// `$context.error.validationErrorString`.
    pub validation_error: Option<Box<str>>,
    /// What is told to the log alone.
    pub reason: String,
    /// What the execution log says, where it is not the reason.
    log_text: Option<Cow<'static, str>>,
    /// The value of `x-amzn-ErrorType` where it is not the one of the kind.
    error_type: Option<&'static str>,
    /// What HTTP APIs say in `www-authenticate`.
    pub challenge: Option<Box<Challenge>>,
    /// The status where it is not the one of the kind, such as 502 for a malformed answer of a function.
    status: Option<StatusCode>,
}

/// A value of `www-authenticate`. Behind a pointer, so that the answers of all phases stay small.
#[derive(Debug)]
pub struct Challenge(pub String);

/// What AWS says of a header section over 10,240 bytes.
pub(crate) const HEADERS_TOO_LARGE: &str = "HTTP header is larger than 10240 bytes.";

impl Fault {
    fn new(kind: Kind, reason: impl Into<String>) -> Self {
        let message = Cow::Borrowed(defaults(kind).message);
        Self {
            kind,
            message,
            validation_error: None,
            challenge: None,
            reason: reason.into(),
            log_text: None,
            error_type: None,
            status: None,
        }
    }

    /// The same, with what AWS's execution log says about it.
    #[must_use]
    pub fn logged(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { log_text: Some(text.into()), ..self }
    }

    /// The same, with what AWS's execution log says is wrong with the API's configuration.
    #[must_use]
    pub fn logged_as_configuration_error(self, text: &str) -> Self {
        self.logged(format!("Execution failed due to configuration error: {text}"))
    }

    /// AWS's name for the kind of failure.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        defaults(self.kind).error_type
    }

    /// The value of `x-amzn-ErrorType`, where no gateway response has a say.
    #[must_use]
    pub fn shown_error_type(&self) -> &'static str {
        self.error_type.unwrap_or_else(|| self.error_type())
    }

    /// What the execution log says about it.
    #[must_use]
    pub fn execution_log_text(&self) -> String {
        if let Some(text) = &self.log_text {
            return text.clone().into_owned();
        }
        match self.kind {
            Kind::ApiConfigurationError => {
                format!("Execution failed due to configuration error: {}", self.reason)
            }
            Kind::IntegrationTimeout => "Execution failed due to a timeout error".to_owned(),
            Kind::IntegrationFailure => {
                "Execution failed due to a network error communicating with endpoint".to_owned()
            }
            Kind::Default5xx => "Execution failed due to an internal error".to_owned(),
            _ => self.reason.clone(),
        }
    }

    /// Whether the API's own definition or function is to blame, rather than the client or the network.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        matches!(
            self.kind,
            Kind::ApiConfigurationError
                | Kind::Default5xx
                | Kind::AuthorizerConfigurationError
                | Kind::AuthorizerFailure
        )
    }

    /// The status that answers it, unless the API changed that.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| defaults(self.kind).status)
    }

    /// The status where it is not the one of the kind.
    #[must_use]
    pub fn own_status(&self) -> Option<StatusCode> {
        self.status
    }

    /// No route of an HTTP API fits the request.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::ResourceNotFound, "no route for this method and path")
    }

    /// The reason, cut short: it may hold all that a function answered.
    #[must_use]
    pub fn reason_to_log(&self) -> &str {
        let end = self.reason.floor_char_boundary(LOGGED_REASON_BYTES_MAX);
        self.reason.get(..end).unwrap_or_default()
    }

    /// `$context.error.messageString`: the message as JSON. AWS has none for authorizers that fail.
    #[must_use]
    pub fn message_json(&self) -> String {
        match self.kind {
            Kind::AuthorizerConfigurationError | Kind::AuthorizerFailure => "null".to_owned(),
            _ => serde_json::to_string(&self.message).unwrap_or_default(),
        }
    }

    /// The caller is not known.
    #[must_use]
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, reason)
    }

    /// The same with a `www-authenticate` for HTTP APIs.
    #[must_use]
    pub fn with_challenge(self, challenge: String) -> Self {
        Self { challenge: Some(Box::new(Challenge(challenge))), ..self }
    }

    /// A token of a user pool has run out. AWS says so, and of no other fault of a token.
    #[must_use]
    pub fn token_has_expired() -> Self {
        Self {
            message: Cow::Borrowed("The incoming token has expired"),
            ..Self::new(Kind::Unauthorized, "the token has expired")
        }
    }

    /// A signature lacks a part.
    #[must_use]
    pub fn incomplete_signature(message: String) -> Self {
        Self { error_type: Some("IncompleteSignatureException"), ..Self::invalid_signature(message) }
    }

    /// A signature does not hold for this request.
    #[must_use]
    pub fn invalid_signature(message: String) -> Self {
        // What comes after the first line repeats the request.
        let reason = message.lines().next().unwrap_or_default().to_owned();
        Self { message: Cow::Owned(message), ..Self::new(Kind::InvalidSignature, reason) }
    }

    /// Nobody has the key that the request is signed with, or its session token is another one.
    #[must_use]
    pub fn unrecognized_client() -> Self {
        Self {
            message: Cow::Borrowed("The security token included in the request is invalid."),
            error_type: Some("UnrecognizedClientException"),
            ..Self::new(Kind::InvalidSignature, "the access key or its session token is not known")
        }
    }

    /// The session of the key that the request is signed with has ended.
    #[must_use]
    pub fn expired_token() -> Self {
        Self::new(Kind::ExpiredToken, "the session of the access key has ended")
    }

    /// Policies do not let the caller pass.
    #[must_use]
    pub fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let reason = message.clone().into_owned();
        Self { message, ..Self::new(Kind::AccessDenied, reason) }
    }

    /// The authorizer cannot be called, fails, or answers something that is no answer.
    #[must_use]
    pub fn authorizer_configuration(reason: impl Into<String>) -> Self {
        Self::new(Kind::AuthorizerConfigurationError, reason)
    }

    /// The authorizer did not answer in time.
    #[must_use]
    pub fn authorizer_failure(reason: impl Into<String>) -> Self {
        Self::new(Kind::AuthorizerFailure, reason)
    }

    /// The method's ARN is longer than 1600 bytes, or the URL of a handshake longer than its limit.
    #[must_use]
    pub fn uri_too_long(reason: impl Into<String>) -> Self {
        Self {
            status: Some(StatusCode::URI_TOO_LONG),
            message: Cow::Borrowed("Request URI too long"),
            ..Self::new(Kind::Default4xx, reason)
        }
    }

    /// No resource or method fits the request.
    #[must_use]
    pub fn missing_authentication_token() -> Self {
        Self::new(Kind::MissingAuthenticationToken, "no method of this name at this path")
    }

    /// No route of a WebSocket API fits the message, and it has no `$default`.
    #[must_use]
    pub fn no_route() -> Self {
        Self {
            message: Cow::Borrowed("Forbidden"),
            ..Self::new(Kind::MissingAuthenticationToken, "no route for the message")
        }
    }

    /// The API's own configuration makes the request impossible. AWS answers 500.
    #[must_use]
    pub fn configuration(reason: impl Into<String>) -> Self {
        Self::new(Kind::ApiConfigurationError, reason)
    }

    /// The integration answered something that is no answer. AWS answers 502.
    #[must_use]
    pub fn malformed_answer(reason: impl Into<String>) -> Self {
        Self { status: Some(StatusCode::BAD_GATEWAY), ..Self::new(Kind::Default5xx, reason) }
            .logged_as_configuration_error("Malformed Lambda proxy response")
    }

    /// Something failed in a way that AWS answers with a plain 500.
    #[must_use]
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(Kind::Default5xx, reason)
    }

    /// The integration could not be reached, or broke off.
    #[must_use]
    pub fn integration_failure(reason: impl Into<String>) -> Self {
        Self::new(Kind::IntegrationFailure, reason)
    }

    /// The integration did not answer in time.
    #[must_use]
    pub fn integration_timeout(reason: impl Into<String>) -> Self {
        Self::new(Kind::IntegrationTimeout, reason)
    }

    /// Lambda takes no more calls of the function (429). Clients are told 500, which `INTEGRATION_FAILURE` can change.
    #[must_use]
    pub fn throttled_function(reason: impl Into<String>) -> Self {
        Self {
            status: Some(StatusCode::INTERNAL_SERVER_ERROR),
            message: Cow::Borrowed(defaults(Kind::Default5xx).message),
            ..Self::new(Kind::IntegrationFailure, reason)
        }
        .logged_as_configuration_error("Rate Exceeded.")
    }

    /// Lambda refuses the event with 400. Clients are told why.
    #[must_use]
    pub fn refused_event(message: String) -> Self {
        let fault = Self::new(Kind::Default4xx, message.clone()).logged_as_configuration_error(&message);
        Self { message: Cow::Owned(message), ..fault }
    }

    /// No mapping template for the request's media type, and it may not pass unmapped.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::new(Kind::UnsupportedMediaType, "no mapping template for the media type of the request")
    }

    /// The request's body has a coding that is not known, or another than it says. AWS answers as to a media type.
    #[must_use]
    pub fn undecodable_body(detail: impl Into<String>) -> Self {
        Self::new(Kind::UnsupportedMediaType, detail)
    }

    /// The client asked for a fresh response instead of a cached one and may not.
    #[must_use]
    pub fn cache_invalidation_denied() -> Self {
        Self::new(Kind::AccessDenied, "the caller may not invalidate the cache (execute-api:InvalidateCache)")
    }

    /// The request's body is over 10 MB.
    #[must_use]
    pub fn request_too_large() -> Self {
        Self::new(Kind::RequestTooLarge, "the body is larger than 10,485,760 bytes")
    }

    /// The request's header section is over 10,240 bytes. Users report the status and the words, each alone.
    #[must_use]
    pub fn headers_too_large() -> Self {
        Self {
            status: Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            message: Cow::Borrowed(HEADERS_TOO_LARGE),
            ..Self::new(Kind::Default4xx, "the header section is larger than 10,240 bytes")
        }
    }

    /// The client broke off while its request was read. Nobody is left to read the answer.
    #[must_use]
    pub fn client_gone(reason: impl std::fmt::Display) -> Self {
        Self { status: Some(StatusCode::BAD_REQUEST), ..Self::new(Kind::Default4xx, reason.to_string()) }
    }

    /// Required parameters are missing or blank.
    #[must_use]
    pub fn missing_parameters(names: &[&str]) -> Self {
        let message = format!("Missing required request parameters: [{}]", names.join(", "));
        let reason = message.clone();
        Self { message: Cow::Owned(message), ..Self::new(Kind::BadRequestParameters, reason) }
    }

    /// The body does not fit its model.
    #[must_use]
    pub fn invalid_body(detail: String) -> Self {
        let reason = detail.clone();
        Self { validation_error: Some(detail.into()), ..Self::new(Kind::BadRequestBody, reason) }
    }

    /// A template asked for JSON where the client sent none. AWS answers 400 with the parser's words.
    #[must_use]
    pub fn unreadable_body(detail: &str) -> Self {
        let message = format!("Could not parse request body into json: {detail}");
        let reason = message.clone();
        Self { message: Cow::Owned(message), ..Self::new(Kind::BadRequestBody, reason) }
    }

    /// A parameter is mapped from the body, which is no JSON.
    #[must_use]
    pub fn unmappable_body() -> Self {
        let message = "Invalid JSON in request body";
        Self { message: Cow::Borrowed(message), ..Self::new(Kind::Default4xx, message) }
    }

    /// The method wants an API key, and the request has none that may call it.
    #[must_use]
    pub fn invalid_api_key() -> Self {
        Self::new(Kind::InvalidApiKey, "no enabled API key that a usage plan allows to call this stage")
    }

    /// Requests come faster than a throttle allows.
    #[must_use]
    pub fn throttled() -> Self {
        Self::new(Kind::Throttled, "a throttle has no token left")
    }

    /// The API key has used up its quota.
    #[must_use]
    pub fn quota_exceeded() -> Self {
        Self::new(Kind::QuotaExceeded, "the quota of the API key's usage plan is used up")
    }

    /// The API or stage is not served. There is no plan then, and so nothing that could change the answer.
    #[must_use]
    pub fn forbidden_response(request_id: Bytes, extended_request_id: Bytes) -> (ResponseHead, Body) {
        let mut headers = Headers::with_capacity(6);
        headers.append("x-amzn-RequestId", request_id);
        headers.append("x-amzn-ErrorType", "ForbiddenException");
        headers.append("x-amz-apigw-id", extended_request_id);
        headers.append("Content-Type", "application/json");
        (ResponseHead { status: StatusCode::FORBIDDEN, headers }, r#"{"message":"Forbidden"}"#.into())
    }
}

/// AWS's own answer for a kind of failure.
struct Defaults {
    status: StatusCode,
    message: &'static str,
    /// The value of `x-amzn-ErrorType`.
    error_type: &'static str,
}

/// The table of them. `x-amzn-ErrorType` was seen on AWS for most; the names for expired tokens, signatures, size,
/// WAF and `RESOURCE_NOT_FOUND` are not verified.
fn defaults(kind: Kind) -> Defaults {
    let (status, message, error_type) = match kind {
        Kind::Default4xx => (400, "Bad Request", "BadRequestException"),
        Kind::Default5xx => (500, "Internal server error", "InternalServerErrorException"),
        Kind::ResourceNotFound => (404, "Not Found", "NotFoundException"),
        Kind::Unauthorized => (401, "Unauthorized", "UnauthorizedException"),
        Kind::InvalidApiKey => (403, "Forbidden", "ForbiddenException"),
        Kind::AccessDenied => {
            (403, "User is not authorized to access this resource", "AccessDeniedException")
        }
        Kind::AuthorizerFailure => (500, "Internal server error", "AuthorizerFailureException"),
        Kind::AuthorizerConfigurationError => {
            (500, "Internal server error", "AuthorizerConfigurationException")
        }
        Kind::InvalidSignature => (
            403,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
            "InvalidSignatureException",
        ),
        Kind::ExpiredToken => {
            (403, "The security token included in the request is expired", "ExpiredTokenException")
        }
        Kind::MissingAuthenticationToken => {
            (403, "Missing Authentication Token", "MissingAuthenticationTokenException")
        }
        Kind::IntegrationFailure => {
            (504, "Network error communicating with endpoint", "InternalServerErrorException")
        }
        Kind::IntegrationTimeout => (504, "Endpoint request timed out", "InternalServerErrorException"),
        Kind::ApiConfigurationError => (500, "Internal server error", "InternalServerErrorException"),
        Kind::UnsupportedMediaType => (415, "Unsupported Media Type", "BadRequestException"),
        Kind::BadRequestParameters => (400, "Bad Request", "BadRequestException"),
        Kind::BadRequestBody => (400, "Invalid request body", "BadRequestException"),
        Kind::RequestTooLarge => (413, "Request Too Long", "RequestTooLargeException"),
        Kind::Throttled => (429, "Too Many Requests", "TooManyRequestsException"),
        Kind::QuotaExceeded => (429, "Limit Exceeded", "LimitExceededException"),
        Kind::WafFiltered => (403, "Forbidden", "ForbiddenException"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Defaults { status, message, error_type }
}

/// An API's gateway responses, with all inheritance resolved.
#[derive(Debug)]
pub struct GatewayResponses {
    by_kind: Vec<(Kind, Answer)>,
}

#[derive(Debug, Default)]
struct Answer {
    status: Option<StatusCode>,
    headers: Vec<(Bytes, Substitution)>,
    /// Media type and text, the one for `application/json` first. Empty: AWS's own text.
    templates: Vec<(Bytes, Substitution)>,
}

impl GatewayResponses {
    /// Resolves what an API changed.
    pub fn compile(
        changed: &[GatewayResponse],
        variables: &BTreeMap<String, String>,
        errors: &mut Vec<PlanError>,
    ) -> Self {
        let find = |kind: Kind| changed.iter().find(|response| response.response_type == Some(kind));
        let by_kind = Kind::VALUES
            .iter()
            .filter_map(|&kind| {
                let fallback =
                    if defaults(kind).status.is_client_error() { Kind::Default4xx } else { Kind::Default5xx };
                // AWS does not let this one be changed, neither by itself nor through DEFAULT_4XX.
                if kind == Kind::RequestTooLarge {
                    return None;
                }
                let fallback = find(fallback);
                let response = find(kind).or(fallback)?;
                let status = response.status_code.as_ref().or_else(|| fallback?.status_code.as_ref());
                Some((kind, Answer::compile(kind, response, status, variables, errors)))
            })
            .collect();
        Self { by_kind }
    }

    /// Whether the API has a text of its own for a kind of failure.
    #[must_use]
    pub fn has_template(&self, kind: Kind) -> bool {
        self.by_kind.iter().any(|(candidate, answer)| *candidate == kind && !answer.templates.is_empty())
    }

    /// Whether any of them shows a header of the request.
    #[must_use]
    pub fn uses_request_headers(&self) -> bool {
        self.by_kind.iter().any(|(_, answer)| {
            let mut parts = answer.headers.iter().chain(&answer.templates);
            parts.any(|(_, text)| text.uses_request_headers())
        })
    }

    /// The response for what went wrong with this request.
    #[must_use]
    pub fn respond(&self, exchange: &Exchange<'_>) -> (ResponseHead, Body) {
        let kind = exchange.fault.as_ref().map_or(Kind::Default5xx, |fault| fault.kind);
        let own_status = exchange.fault.as_ref().and_then(|fault| fault.status);
        let answer = self.by_kind.iter().find(|(candidate, _)| *candidate == kind).map(|(_, answer)| answer);
        let defaults = defaults(kind);
        let status = answer.and_then(|answer| answer.status).or(own_status).unwrap_or(defaults.status);

        let mut headers = Headers::with_capacity(8);
        headers.append("x-amzn-RequestId", exchange.request_id.clone());
        let error_type = exchange.fault.as_ref().and_then(|fault| fault.error_type);
        headers.append("x-amzn-ErrorType", error_type.unwrap_or(defaults.error_type));
        headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
        if tells_trace(exchange) {
            headers.append("X-Amzn-Trace-Id", exchange.trace_id().clone());
        }
        let template = answer.and_then(|answer| answer.template(&exchange.accepted_type()));
        let body = match template {
            Some((media_type, text)) => {
                headers.append("Content-Type", media_type.clone());
                text.render(exchange)
            }
            None => {
                headers.append("Content-Type", "application/json");
                own_text(exchange, answer.is_some())
            }
        };
        for (name, value) in answer.map(|answer| answer.headers.as_slice()).unwrap_or_default() {
            let value = value.render(exchange);
            if stagedoor_http::is_valid_value(value.as_bytes()) {
                headers.set(name.clone(), value);
            }
        }
        (ResponseHead { status, headers }, body.into())
    }
}

/// What AWS writes where the API has no text of its own.
fn own_text(exchange: &Exchange<'_>, is_changed: bool) -> String {
    let Some(fault) = &exchange.fault else { return r#"{"message":null}"#.to_owned() };
    let executed = exchange.record.steps.last().is_some_and(|step| step.phase.is_execution());
    match fault.kind {
        // AWS writes this one differently from all others.
        Kind::AccessDenied => format!(r#"{{"Message":{}}}"#, fault.message_json()),
        // What executes a method writes its answers with a space, and escapes single quotes and slashes too.
        // A body that is too large is refused while it is read.
        kind if executed && !is_changed && exchange.socket.is_none() && kind != Kind::RequestTooLarge => {
            format!(r#"{{"message": "{}"}}"#, stagedoor_velocity::escape_javascript(&fault.message))
        }
        _ => format!(r#"{{"message":{}}}"#, fault.message_json()),
    }
}

/// Whether the client is told the trace's id: where validation refuses the request, and where an integration that tells it
/// was called and failed.
fn tells_trace(exchange: &Exchange<'_>) -> bool {
    let Some(step) = exchange.record.steps.last().filter(|step| step.decision == Decision::Refused) else {
        return false;
    };
    let too_large = exchange.fault.as_ref().is_some_and(|fault| fault.kind == Kind::RequestTooLarge);
    if exchange.is_test || exchange.socket.is_some() || too_large {
        return false;
    }
    let integration = exchange.method().map(|method| &method.integration);
    let tells = !matches!(integration, Some(Integration::Mock(_) | Integration::HttpProxy(_)) | None);
    step.phase == Phase::Validation || tells && exchange.record.integration.latency.is_some()
}

impl Answer {
    fn compile(
        kind: Kind,
        response: &GatewayResponse,
        status: Option<&String>,
        variables: &BTreeMap<String, String>,
        errors: &mut Vec<PlanError>,
    ) -> Self {
        let place = || format!("gateway response {kind}");
        let mut answer = Self::default();
        if let Some(text) = status {
            match final_status(text) {
                Some(status) => answer.status = Some(status),
                None => {
                    let message = format!("{text:?} is no status code from 200 to 599");
                    errors.push(PlanError::new(place(), message));
                }
            }
        }
        for (target, source) in response.response_parameters.iter().flatten() {
            let Some(name) = target.strip_prefix("gatewayresponse.header.") else {
                errors.push(PlanError::new(place(), format!("{target} is no response header")));
                continue;
            };
            match Substitution::mapping(source, variables) {
                Ok(source) => answer.headers.push((Bytes::from(name.to_owned()), source)),
                Err(message) => errors.push(PlanError::new(place(), message)),
            }
        }
        for (media_type, text) in response.response_templates.iter().flatten() {
            let text = Substitution::template(text, variables);
            answer.templates.push((Bytes::from(media_type.clone()), text));
        }
        answer.templates.sort_by_key(|(media_type, _)| media_type != "application/json");
        answer
    }

    fn template(&self, accepted: &str) -> Option<&(Bytes, Substitution)> {
        let matching =
            self.templates.iter().find(|(media_type, _)| media_type.as_ref() == accepted.as_bytes());
        matching.or_else(|| self.templates.first())
    }
}
