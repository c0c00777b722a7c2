//! Integrations, compiled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_shapes::apigateway::{
    ContentHandlingStrategy as ContentHandling, Integration as Shape, IntegrationResponse,
    ResponseTransferMode,
};

use super::mapping::Source;
use super::selection::SelectionPattern;
use super::uri::UriTemplate;
use super::{PlanError, final_status};
use crate::backends::Backends;
use crate::roles::Signer;
use crate::vtl::Template;

/// What answers a method's requests.
#[derive(Debug)]
pub enum Integration {
    /// Nothing but the response's own templates.
    Mock(Box<MockIntegration>),
    /// An HTTP backend behind templates and mappings.
    Http(Box<HttpIntegration>),
    /// An HTTP backend that sees the client's request as it is.
    HttpProxy(Box<HttpProxyIntegration>),
    /// A Lambda function behind templates and mappings.
    Lambda(Box<LambdaIntegration>),
    /// A service of AWS behind templates and mappings.
    Aws(Box<super::aws_uri::AwsIntegration>),
    /// A Lambda function that sees the whole request as an event.
    LambdaProxy(LambdaFunction),
    /// An HTTP backend of an HTTP API.
    HttpApiBackend(Box<super::http_api::BackendIntegration>),
    /// A service of AWS behind an HTTP API.
    HttpApiService(Box<super::http_api::services::ServiceIntegration>),
    /// A Lambda function of an HTTP API.
    HttpApiFunction(Box<super::http_api::FunctionIntegration>),
    /// A Lambda function of a WebSocket API.
    SocketFunction(Box<LambdaFunction>),
    /// Deployed, and failing with 500 when called, as on AWS. The sentence goes to the log.
    Broken(&'static str),
}

impl Integration {
    /// Whether the response reaches the client while it is still being made.
    #[must_use]
    pub fn streams(&self) -> bool {
        match self {
            Self::HttpProxy(proxy) => proxy.streams,
            Self::LambdaProxy(function) => function.streams,
            Self::Mock(_) | Self::Http(_) | Self::Lambda(_) | Self::Aws(_) | Self::Broken(_) => false,
            // HTTP and WebSocket APIs have no such setting.
            Self::HttpApiBackend(_)
            | Self::HttpApiService(_)
            | Self::HttpApiFunction(_)
            | Self::SocketFunction(_) => false,
        }
    }
}

/// `MOCK`.
#[derive(Debug)]
pub struct MockIntegration {
    /// What chooses the response.
    pub request: RequestTransformation,
    /// The responses.
    pub responses: ResponseTransformation,
}

/// `HTTP`.
#[derive(Debug)]
pub struct HttpIntegration {
    /// The backend.
    pub endpoint: HttpEndpoint,
    /// What it is sent.
    pub request: RequestTransformation,
    /// What becomes of its answer.
    pub responses: ResponseTransformation,
}

/// `AWS` with a Lambda function.
#[derive(Debug)]
pub struct LambdaIntegration {
    /// The function.
    pub function: LambdaFunction,
    /// What it is sent.
    pub request: RequestTransformation,
    /// What becomes of its answer.
    pub responses: ResponseTransformation,
    /// Whether a mapping may read the headers of Lambda's answer.
    pub reads_headers: bool,
}

/// `HTTP_PROXY`.
#[derive(Debug)]
pub struct HttpProxyIntegration {
    /// The backend.
    pub endpoint: HttpEndpoint,
    /// Headers set beside the client's.
    pub headers: Vec<(Bytes, Source)>,
    /// Query parameters sent beside the client's.
    pub query: Vec<(Box<str>, Source)>,
    /// Whether a mapping reads the body.
    pub needs_body: bool,
    /// Whether the body is converted on its way in.
    pub content_handling: Option<ContentHandling>,
    /// Whether answers over 10 MB pass (`responseTransferMode: STREAM`).
    pub streams: bool,
}

/// An HTTP backend.
#[derive(Debug)]
pub struct HttpEndpoint {
    /// Its address and the target's pieces.
    pub uri: UriTemplate,
    /// Where it is reached through a VPC link.
    pub backends: Option<Backends>,
    /// The method it is asked with; the client's if there is none.
    pub method: Option<Method>,
    /// How long its answer may take to begin.
    pub timeout: Duration,
}

/// A Lambda function.
#[derive(Debug)]
pub struct LambdaFunction {
    /// Its ARN, with version or alias.
    pub arn: Arc<str>,
    /// What its resource policy is asked about; none if a role calls it (`credentials`).
    pub source: Option<LambdaSource>,
    /// Who calls it.
    pub signer: Signer,
    /// How long its answer may take.
    pub timeout: Duration,
    /// Whether the answer streams (`responseTransferMode: STREAM`).
    pub streams: bool,
}

/// The method that calls a function, as its resource policy knows it.
#[derive(Debug)]
pub struct LambdaSource {
    /// `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/`; the method of the request follows.
    pub before_method: Box<str>,
    /// The resource's path.
    pub path: Box<str>,
}

impl LambdaFunction {
    /// The source ARN of a call for a request with this method.
    #[must_use]
    pub fn source_arn(&self, method: &str) -> Option<String> {
        self.source.as_ref().map(|source| match &*source.path {
            path if path.starts_with('/') => [&source.before_method, method, path].concat(),
            // A route without a path goes by its key alone: an HTTP API's `$default`, and any of a WebSocket API.
            key => [&*source.before_method, key].concat(),
        })
    }
}

/// What happens to a body that no template fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// It passes as it is.
    WhenNoMatch,
    /// It passes if there is no template at all.
    WhenNoTemplates,
    /// It is refused.
    Never,
}

/// From the method request to the integration request.
#[derive(Debug)]
pub struct RequestTransformation {
    /// The integration's headers.
    pub headers: Vec<(Bytes, Source)>,
    /// The integration's query.
    pub query: Vec<(Box<str>, Source)>,
    /// Templates by media type.
    pub templates: Vec<(Bytes, Template)>,
    /// What happens where none fits.
    pub passthrough: Passthrough,
    /// Whether a mapping reads the body, be it for the address.
    pub maps_body: bool,
    /// Whether the body is converted first.
    pub content_handling: Option<ContentHandling>,
}

/// From the integration response to the method response.
#[derive(Debug)]
pub struct ResponseTransformation {
    /// The responses with a pattern, in the order of their status codes: AWS's own order is not documented, and this
    /// one agrees with what was recorded.
    pub choices: Vec<(SelectionPattern, ResponseChoice)>,
    /// The response when no pattern fits.
    pub default: Option<ResponseChoice>,
}

/// One integration response.
#[derive(Debug)]
pub struct ResponseChoice {
    /// The status the client sees.
    pub status: StatusCode,
    /// The headers the client sees.
    pub headers: Vec<(Bytes, Source)>,
    /// Templates by media type, the one for `application/json` first.
    pub templates: Vec<(Bytes, Template)>,
    /// Whether the body is converted.
    pub content_handling: Option<ContentHandling>,
}

fn owned_headers(headers: &[(&str, Source)]) -> Vec<(Bytes, Source)> {
    headers.iter().map(|(name, source)| (Bytes::from((*name).to_owned()), source.clone())).collect()
}

fn owned_query(query: &[(&str, Source)]) -> Vec<(Box<str>, Source)> {
    query.iter().map(|(name, source)| ((*name).into(), source.clone())).collect()
}

impl HttpProxyIntegration {
    pub(super) fn new(
        endpoint: HttpEndpoint,
        headers: &[(&str, Source)],
        query: &[(&str, Source)],
        needs_body: bool,
        shape: &Shape,
    ) -> Self {
        Self {
            endpoint,
            headers: owned_headers(headers),
            query: owned_query(query),
            needs_body,
            content_handling: shape.content_handling,
            streams: shape.response_transfer_mode == Some(ResponseTransferMode::Stream),
        }
    }
}

impl RequestTransformation {
    /// One that changes nothing.
    pub(super) fn nothing() -> Self {
        Self {
            headers: Vec::new(),
            query: Vec::new(),
            templates: Vec::new(),
            passthrough: Passthrough::WhenNoMatch,
            maps_body: false,
            content_handling: None,
        }
    }

    pub(super) fn compile(
        shape: &Shape,
        headers: &[(&str, Source)],
        query: &[(&str, Source)],
        maps_body: bool,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Self {
        let passthrough = match shape.passthrough_behavior.as_deref() {
            None | Some("WHEN_NO_MATCH" | "") => Passthrough::WhenNoMatch,
            Some("WHEN_NO_TEMPLATES") => Passthrough::WhenNoTemplates,
            Some("NEVER") => Passthrough::Never,
            Some(other) => {
                let message = format!(
                    "passthroughBehavior {other:?} is none of WHEN_NO_MATCH, WHEN_NO_TEMPLATES and NEVER"
                );
                errors.push(PlanError::new(place, message));
                Passthrough::Never
            }
        };
        Self {
            headers: owned_headers(headers),
            query: owned_query(query),
            templates: templates(shape.request_templates.as_ref(), place, "request template", errors),
            passthrough,
            maps_body,
            content_handling: shape.content_handling,
        }
    }

    /// Whether the client's body has to be read: not for a request that a constant template replaces.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.maps_body || !self.templates.iter().all(|(_, template)| template.is_constant())
    }
}

impl ResponseTransformation {
    /// One without any response.
    pub(super) fn nothing() -> Self {
        Self { choices: Vec::new(), default: None }
    }

    pub(super) fn compile(
        shape: &Shape,
        variables: &BTreeMap<String, String>,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Self {
        let mut transformation = Self { choices: Vec::new(), default: None };
        for (status, response) in shape.integration_responses.iter().flatten() {
            let place = format!("{place}, integration response {status}");
            let Some(choice) = ResponseChoice::compile(status, response, variables, &place, errors) else {
                continue;
            };
            match response.selection_pattern.as_deref() {
                None | Some("") => _ = transformation.default.get_or_insert(choice),
                Some(pattern) => match SelectionPattern::parse(pattern) {
                    Ok(pattern) => transformation.choices.push((pattern, choice)),
                    Err(message) => errors.push(PlanError::new(place, message)),
                },
            }
        }
        transformation
    }

    /// Whether a mapping reads a header of the integration's answer.
    #[must_use]
    pub fn reads_headers(&self) -> bool {
        let choices = self.choices.iter().map(|(_, choice)| choice).chain(&self.default);
        choices.flat_map(|choice| &choice.headers).any(|(_, source)| source.reads_answer_headers())
    }

    /// The response for a status or an error message. Of several that fit, the one whose own status it is comes before
    /// others, as it was measured at AWS.
    #[must_use]
    pub fn choose(&self, selector: Option<&str>) -> Option<&ResponseChoice> {
        let Some(selector) = selector else { return self.default.as_ref() };
        let mut first = None;
        for (_, choice) in self.choices.iter().filter(|(pattern, _)| pattern.is_match(selector)) {
            if choice.status.as_str() == selector {
                return Some(choice);
            }
            first.get_or_insert(choice);
        }
        first.or(self.default.as_ref())
    }
}

impl ResponseChoice {
    fn compile(
        status: &str,
        response: &IntegrationResponse,
        variables: &BTreeMap<String, String>,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Self> {
        let code = response.status_code.as_deref().unwrap_or(status);
        let Some(status) = final_status(code) else {
            errors.push(PlanError::new(place, format!("{code:?} is no status code from 200 to 599")));
            return None;
        };
        let mut headers = Vec::new();
        for (target, expression) in response.response_parameters.iter().flatten() {
            match (target.strip_prefix("method.response.header."), Source::parse(expression, variables)) {
                (Some(name), Ok(source)) if stagedoor_http::is_valid_name(name.as_bytes()) => {
                    headers.push((Bytes::from(name.to_owned()), source));
                }
                (_, Err(message)) => errors.push(PlanError::new(place, message)),
                _ => {
                    let message =
                        format!("Invalid mapping expression specified: {target} is no response header");
                    errors.push(PlanError::new(place, message));
                }
            }
        }
        let templates = templates(response.response_templates.as_ref(), place, "response template", errors);
        Some(Self { status, headers, templates, content_handling: response.content_handling })
    }

    /// The template for what the client accepts, and its media type. One that names nothing AWS knows gets the one for
    /// `application/json`, or else the first (developer guide; which of several AWS takes first is not verified).
    #[must_use]
    pub fn template(&self, accepted: &str) -> Option<&(Bytes, Template)> {
        let matching =
            self.templates.iter().find(|(media_type, _)| media_type.as_ref() == accepted.as_bytes());
        matching.or_else(|| self.templates.first())
    }
}

fn templates(
    templates: Option<&BTreeMap<String, String>>,
    place: &str,
    what: &str,
    errors: &mut Vec<PlanError>,
) -> Vec<(Bytes, Template)> {
    let mut compiled = Vec::new();
    for (media_type, text) in templates.into_iter().flatten() {
        match Template::parse(text) {
            Ok(template) => compiled.push((Bytes::from(media_type.to_ascii_lowercase()), template)),
            Err(message) => errors.push(PlanError::new(format!("{place}, {what} {media_type}"), message)),
        }
    }
    compiled.sort_by_key(|(media_type, _)| media_type != "application/json");
    compiled
}
