//! Compiles one method: what it checks, and which integration it calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method as HttpMethod;
use stagedoor_shapes::apigateway::{
    ConnectionType, Integration as IntegrationShape, IntegrationType, Method, ResponseTransferMode, Stage,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::authorization::{Authorization, Authorizers};
use super::aws_services::AwsService;
use super::aws_uri::{self, Asked, AwsIntegration};
use super::caching::{Caching, CachingScope};
use super::integration::{
    HttpEndpoint, HttpIntegration, HttpProxyIntegration, Integration, LambdaFunction, LambdaIntegration,
    LambdaSource, MockIntegration, RequestTransformation, ResponseTransformation,
};
use super::mapping::Source;
use super::throttle::Throttle;
use super::uri::{UriTemplate, lambda_function, replace_stage_variables};
use super::validation::Validation;
use super::{CompileSettings, PlanError, method_settings};
use crate::backends::Backends;
use crate::backends::group::Group;
use crate::logs::Targets;
use crate::logs::execution::ExecutionLogSettings;
use crate::metrics::{Labels, Series};
use crate::phase::Phase;
use crate::phases::headers::is_illegal_target;
use crate::upstream::{CertificateCheck, Upstream};

/// AWS's longest time for an integration unless a quota was raised, in milliseconds, and the time when none is set.
const DEFAULT_TIMEOUT_MS: i32 = 29_000;

/// A method, compiled.
#[derive(Debug)]
pub struct MethodPlan {
    /// `GET`, `ANY` and so on, as it is defined.
    pub name: Box<str>,
    /// The name that its definition gives to the operation, which functions and templates are told.
    pub operation_name: Option<Box<str>>,
    /// Its execution log, if there is one.
    pub execution_log: Option<ExecutionLogSettings>,
    /// What it counts in, if its numbers are wanted apart from the stage's.
    pub metrics: Option<Arc<Series>>,
    /// The phases its requests go through, in order.
    pub phases: Vec<Phase>,
    /// Who may call it.
    pub authorization: Authorization,
    /// How fast it may be called.
    pub throttle: Option<Throttle>,
    /// What its requests must have.
    pub validation: Option<Validation>,
    /// How responses are cached, if they are.
    pub caching: Option<Caching>,
    /// What answers its requests.
    pub integration: Integration,
    /// What a method of an HTTP API changes in requests and answers.
    pub http_parameters: Option<Box<super::http_api::Parameters>>,
    /// What only a method of a WebSocket API has.
    pub socket: Option<Box<super::websocket::SocketMethod>>,
}

impl Default for MethodPlan {
    fn default() -> Self {
        Self {
            name: Box::default(),
            operation_name: None,
            execution_log: None,
            metrics: None,
            throttle: None,
            caching: None,
            phases: Vec::new(),
            authorization: Authorization::None,
            validation: None,
            integration: Integration::Broken("the method has no integration"),
            http_parameters: None,
            socket: None,
        }
    }
}

/// What methods are compiled with.
pub(super) struct Scope<'a> {
    pub(super) snapshot: &'a RestApiSnapshot,
    pub(super) stage: &'a Stage,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) settings: &'a CompileSettings,
    pub(super) labels: &'a Labels,
    pub(super) execution_log: &'a Targets,
    pub(super) authorizers: Authorizers,
    pub(super) has_resource_policy: bool,
    pub(super) caching: CachingScope<'a>,
}

/// Where requests' mapped values go, parsed.
#[derive(Default)]
struct Mappings<'m> {
    path: BTreeMap<&'m str, Source>,
    query: Vec<(&'m str, Source)>,
    headers: Vec<(&'m str, Source)>,
}

impl Mappings<'_> {
    fn read_the_body(&self) -> bool {
        let sources = self.headers.iter().chain(&self.query).map(|(_, source)| source);
        sources.chain(self.path.values()).any(Source::needs_body)
    }
}

impl Scope<'_> {
    /// Compiles a method; nothing, and errors, if it cannot be served.
    pub(super) fn compile(
        &self,
        path: &str,
        name: &str,
        method: &Method,
        errors: &mut Vec<PlanError>,
    ) -> Option<MethodPlan> {
        let place = format!("{name} {path}");
        let before = errors.len();
        let authorization =
            self.authorizers.of(method).map_err(|message| errors.push(PlanError::new(&place, message))).ok();
        let validation = Validation::compile(method, self.snapshot, &place, errors);
        let Some(shape) = &method.method_integration else {
            errors.push(PlanError::new(place, "No integration defined for method"));
            return None;
        };
        let integration = self.integration(shape, &place, errors);
        let caching = self.caching.compile(path, name, shape, &place, errors);
        if errors.len() > before {
            return None;
        }
        let (integration, authorization) = (integration?, authorization?);
        // What streams is never whole, and AWS keeps none of it.
        let caching = caching.filter(|_| !integration.streams());
        let setting = method_settings::of(self.stage, path, name);
        let wants_key = method.api_key_required == Some(true);
        let has_account_limit = self.settings.has_account_throttle;
        let throttle = Throttle::compile(self.labels, setting, path, name, wants_key || has_account_limit);
        let phases = Phase::needed(
            self.has_resource_policy,
            &authorization,
            wants_key,
            throttle.is_some(),
            validation.is_some(),
            caching.is_some(),
            &integration,
        );
        let counts = setting.is_some_and(|setting| setting.metrics_enabled == Some(true));
        let labels = || Labels { method: Some((name.to_owned(), path.to_owned())), ..self.labels.clone() };
        Some(MethodPlan {
            name: name.into(),
            operation_name: method.operation_name.as_deref().filter(|name| !name.is_empty()).map(Box::from),
            execution_log: ExecutionLogSettings::compile(setting, self.execution_log),
            metrics: counts.then(|| self.settings.metrics.series(labels())),
            phases,
            authorization,
            throttle,
            validation,
            caching,
            integration,
            http_parameters: None,
            socket: None,
        })
    }

    fn integration(
        &self,
        shape: &IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Integration> {
        let Some(kind) = shape.type_ else {
            errors.push(PlanError::new(place, "the integration has no type"));
            return None;
        };
        self.refuse_what_is_not_built(kind, shape, place, errors);
        let mappings = self.mappings(shape, place, errors);
        let for_aws_service = matches!(kind, IntegrationType::Aws | IntegrationType::AwsProxy);
        if mappings.headers.iter().any(|(name, _)| is_illegal_target(name.as_bytes(), for_aws_service)) {
            return Some(Integration::Broken(
                "a request parameter is mapped onto a header that must not be set",
            ));
        }
        match kind {
            IntegrationType::Mock => Some(Integration::Mock(Box::new(MockIntegration {
                request: self.request(shape, &mappings, place, errors),
                responses: self.responses(shape, place, errors),
            }))),
            IntegrationType::Http => {
                let endpoint = self.endpoint(shape, &mappings, place, errors)?;
                let request = self.request(shape, &mappings, place, errors);
                let responses = self.responses(shape, place, errors);
                Some(endpoint.map_or_else(Integration::Broken, |endpoint| {
                    Integration::Http(Box::new(HttpIntegration { endpoint, request, responses }))
                }))
            }
            IntegrationType::HttpProxy => {
                let endpoint = self.endpoint(shape, &mappings, place, errors)?;
                let needs_body = mappings.read_the_body();
                Some(endpoint.map_or_else(Integration::Broken, |endpoint| {
                    let (headers, query) = (&mappings.headers, &mappings.query);
                    let proxy = HttpProxyIntegration::new(endpoint, headers, query, needs_body, shape);
                    Integration::HttpProxy(Box::new(proxy))
                }))
            }
            IntegrationType::AwsProxy => {
                let function = self.function(shape, place, errors)?;
                Some(function.map_or_else(Integration::Broken, Integration::LambdaProxy))
            }
            IntegrationType::Aws if !self.is_function(shape) => {
                self.aws_service(shape, &mappings, place, errors)
            }
            IntegrationType::Aws => {
                let function = self.function(shape, place, errors)?;
                let request = self.request(shape, &mappings, place, errors);
                let responses = self.responses(shape, place, errors);
                let reads_headers = responses.reads_headers();
                Some(function.map_or_else(Integration::Broken, |function| {
                    let lambda = LambdaIntegration { function, request, responses, reads_headers };
                    Integration::Lambda(Box::new(lambda))
                }))
            }
        }
    }

    fn refuse_what_is_not_built(
        &self,
        kind: IntegrationType,
        shape: &IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) {
        let may_stream = matches!(kind, IntegrationType::HttpProxy | IntegrationType::AwsProxy);
        if streams(shape) && !may_stream {
            let message =
                "Response transfer mode STREAM is only supported for HTTP_PROXY and AWS_PROXY integrations";
            errors.push(PlanError::new(place, message));
        }
    }

    fn mappings<'m>(
        &self,
        shape: &'m IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Mappings<'m> {
        let mut mappings = Mappings::default();
        for (target, expression) in shape.request_parameters.iter().flatten() {
            let source = match Source::parse(expression, self.variables) {
                Ok(source) => source,
                Err(message) => {
                    errors.push(PlanError::new(place, message));
                    continue;
                }
            };
            let parts = target.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'));
            match parts {
                Some(("path", name)) => _ = mappings.path.insert(name, source),
                Some(("querystring", name)) => mappings.query.push((name, source)),
                Some(("header", name)) if stagedoor_http::is_valid_name(name.as_bytes()) => {
                    mappings.headers.push((name, source));
                }
                _ => {
                    let message =
                        format!("Invalid mapping expression specified: {target} is no part of a request");
                    errors.push(PlanError::new(place, message));
                }
            }
        }
        mappings
    }

    fn request(
        &self,
        shape: &IntegrationShape,
        mappings: &Mappings<'_>,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> RequestTransformation {
        let (headers, query) = (&mappings.headers, &mappings.query);
        RequestTransformation::compile(shape, headers, query, mappings.read_the_body(), place, errors)
    }

    fn responses(
        &self,
        shape: &IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> ResponseTransformation {
        ResponseTransformation::compile(shape, self.variables, place, errors)
    }

    /// The HTTP backend; an inner error is one that AWS tells when the method is called.
    fn endpoint(
        &self,
        shape: &IntegrationShape,
        mappings: &Mappings<'_>,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Result<HttpEndpoint, &'static str>> {
        let (uri, missing) =
            replace_stage_variables(shape.uri.as_deref().unwrap_or_default(), self.variables);
        let mut uri = match UriTemplate::parse(&uri, &mappings.path) {
            Ok(uri) => uri,
            Err(_) if missing => {
                return Some(Err("Invalid endpoint address: the stage lacks a variable that the URI names"));
            }
            Err(message) => {
                errors.push(PlanError::new(place, message));
                return None;
            }
        };
        let unverified = shape.tls_config.as_ref().and_then(|tls| tls.insecure_skip_verification);
        if unverified == Some(true) {
            uri.upstream.certificate = CertificateCheck::None;
        }
        let method = http_method(shape, place, errors)?;
        let backends = match self.backends(shape, &uri.upstream, place, errors)? {
            Ok(backends) => backends,
            Err(reason) => return Some(Err(reason)),
        };
        Some(Ok(HttpEndpoint { uri, backends, method, timeout: timeout(shape) }))
    }

    /// The targets of the VPC link, if there is one; an inner error is one that AWS tells when the method is called.
    fn backends(
        &self,
        shape: &IntegrationShape,
        upstream: &Upstream,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Result<Option<Backends>, &'static str>> {
        let target = shape.integration_target.as_deref().filter(|target| !target.is_empty());
        if shape.connection_type != Some(ConnectionType::VpcLink) {
            if target.is_some() {
                let message =
                    "integrationTarget needs connectionType VPC_LINK, and a VPC link V2 as connectionId";
                errors.push(PlanError::new(place, message));
                return None;
            }
            return Some(Ok(None));
        }
        let id = shape.connection_id.as_deref().unwrap_or_default();
        let (id, missing) = replace_stage_variables(id, self.variables);
        if missing {
            return Some(Err("the stage lacks a variable that the VPC link's id names"));
        }
        let (name, found) = match self.link(&id, target) {
            Ok(link) => link,
            Err(message) => {
                errors.push(PlanError::new(place, message));
                return None;
            }
        };
        let backends = found.map(|targets| Backends::new(upstream, targets));
        if backends.is_none() {
            let message = format!(
                "nobody said where the VPC link {name:?} ({id}) leads. Put [[vpc_links]] with name = {name:?} and \
                 targets = [\"HOST:PORT\"] into the configuration file"
            );
            errors.push(PlanError::new(place, message));
            return None;
        }
        Some(Ok(backends))
    }

    /// The name of a VPC link, and the targets that the configuration gives it. A link of the second kind leads to the load
    /// balancer that the integration names, one of the first kind to its own.
    fn link(&self, id: &str, target: Option<&str>) -> Result<(&str, Option<&Arc<Group>>), String> {
        let targets = |name: &str| self.settings.vpc_links.get(name);
        if let Some(name) = self.snapshot.vpc_link_names.get(id) {
            let target = target.ok_or_else(|| {
                format!("integrationTarget has to name a load balancer, because {id} is a VPC link V2")
            })?;
            if !target.starts_with("arn:") || target.split(':').nth(2) != Some("elasticloadbalancing") {
                return Err(format!("integrationTarget has to be the ARN of a load balancer: {target}"));
            }
            return Ok((name, [target, id, name].into_iter().find_map(targets)));
        }
        let link = self.snapshot.vpc_links.get(id).ok_or_else(|| format!("there is no VPC link {id:?}"))?;
        if target.is_some() {
            return Err(format!("integrationTarget needs a VPC link V2, and {id} is none"));
        }
        let name = link.name.as_deref().unwrap_or_default();
        let arns = link.target_arns.iter().flatten().map(String::as_str);
        Ok((name, [id, name].into_iter().chain(arns).find_map(targets)))
    }

    /// Whether an integration with AWS calls a Lambda function. One whose service only a stage variable names is
    /// taken for one, as it is until the variable is known.
    fn is_function(&self, shape: &IntegrationShape) -> bool {
        let (uri, _) = replace_stage_variables(shape.uri.as_deref().unwrap_or_default(), self.variables);
        aws_uri::service_name(&uri).is_none_or(|service| service == "lambda")
    }

    /// The integration with a service of AWS.
    fn aws_service(
        &self,
        shape: &IntegrationShape,
        mappings: &Mappings<'_>,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Integration> {
        let (uri, missing) =
            replace_stage_variables(shape.uri.as_deref().unwrap_or_default(), self.variables);
        let request = self.request(shape, mappings, place, errors);
        let responses = self.responses(shape, place, errors);
        let method = http_method(shape, place, errors)?;
        if missing {
            return Some(Integration::Broken("the stage lacks a variable that the integration's URI names"));
        }
        let Some(signer) = self.settings.aws.signer(shape.credentials.as_deref(), self.variables) else {
            return Some(Integration::Broken(NO_ROLE_VARIABLE));
        };
        match aws_uri::compile(&uri, &mappings.path, &self.settings.aws) {
            Ok(Asked { service, uri, target }) => {
                let (service, timeout) = (AwsService { signer, ..service }, timeout(shape));
                let service = AwsIntegration { service, uri, target, method, timeout, request, responses };
                Some(Integration::Aws(Box::new(service)))
            }
            Err(message) => {
                errors.push(PlanError::new(place, message));
                None
            }
        }
    }

    /// The Lambda function; an inner error is one that AWS tells when the method is called.
    fn function(
        &self,
        shape: &IntegrationShape,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Result<LambdaFunction, &'static str>> {
        let (uri, missing) =
            replace_stage_variables(shape.uri.as_deref().unwrap_or_default(), self.variables);
        if missing {
            return Some(Err("the stage lacks a variable that the function's ARN names"));
        }
        let arn = match lambda_function(&uri) {
            Ok(arn) => arn,
            Err(message) => {
                errors.push(PlanError::new(place, message));
                return None;
            }
        };
        // Lambda's Invoke is a POST; AWS deploys anything else and fails when it is called (recorded).
        if shape.http_method.as_deref().is_some_and(|method| method != "POST") {
            return Some(Err("a Lambda function is invoked with POST; set integrationHttpMethod to POST"));
        }
        let by_role = shape.credentials.as_deref().is_some_and(|role| !role.is_empty());
        // A place is the method's name and the resource's path.
        let path = place.split_once(' ').map_or("", |(_, path)| path);
        let source = (!by_role).then(|| LambdaSource {
            before_method: format!(
                "arn:aws:execute-api:{}:{}:{}/{}/",
                self.settings.region,
                self.settings.account_id,
                self.snapshot.rest_api.id.as_deref().unwrap_or_default(),
                self.labels.stage,
            )
            .into(),
            path: path.into(),
        });
        let Some(signer) = self.settings.aws.signer(shape.credentials.as_deref(), self.variables) else {
            return Some(Err(NO_ROLE_VARIABLE));
        };
        let (timeout, streams) = (timeout(shape), streams(shape));
        Some(Ok(LambdaFunction { arn, source, signer, timeout, streams }))
    }
}

/// Why nothing is called where a stage variable names the role.
const NO_ROLE_VARIABLE: &str = "the stage lacks a variable that the role's ARN names";

fn streams(shape: &IntegrationShape) -> bool {
    shape.response_transfer_mode == Some(ResponseTransferMode::Stream)
}

/// The method that a backend is asked with; an inner nothing is the client's own.
fn http_method(
    shape: &IntegrationShape,
    place: &str,
    errors: &mut Vec<PlanError>,
) -> Option<Option<HttpMethod>> {
    match shape.http_method.as_deref() {
        None | Some("ANY" | "") => Some(None),
        Some(name) => match HttpMethod::from_bytes(name.as_bytes()) {
            Ok(method) => Some(Some(method)),
            Err(_) => {
                errors.push(PlanError::new(place, format!("{name:?} is no HTTP method")));
                None
            }
        },
    }
}

fn timeout(shape: &IntegrationShape) -> Duration {
    let milliseconds = shape.timeout_in_millis.filter(|&value| value > 0).unwrap_or(DEFAULT_TIMEOUT_MS);
    Duration::from_millis(milliseconds.unsigned_abs().into())
}
