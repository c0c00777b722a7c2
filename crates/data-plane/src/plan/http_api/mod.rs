//! HTTP APIs, compiled to the same plans as REST APIs: each route is a resource with one method.

mod authorization;
pub mod cors;
pub mod parameters;
pub mod router;
pub mod services;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use stagedoor_shapes::apigatewayv2::{
    ConnectionType, Integration as Shape, IntegrationType, Route, Stage, TlsConfig,
};
use stagedoor_shapes::snapshot::{ApiSnapshot, INTEGRATION_TARGET};

use self::authorization::Authorizers;
use super::authorization::Authorization;
use super::integration::{HttpEndpoint, Integration, LambdaFunction, LambdaSource};
use super::mapping::Source;
use super::throttle::Throttle;
use super::uri::{UriTemplate, function_arn, replace_stage_variables};
use super::{CompileSettings, MethodPlan, Plan, PlanError, ResourcePlan, v2};
use crate::backends::Backends;
use crate::metrics::Labels;
use crate::phase::Phase;
use crate::pipeline;
use crate::upstream::CertificateCheck;
use cors::Cors;
use parameters::{ByStatus, RequestParameters, ResponseParameters};
use router::Router;
use services::ServiceIntegration;

/// The longest time of an integration, and the time when none is set, in milliseconds.
const TIMEOUT_MS_MAX: i32 = 30_000;

/// The stage that is served at the root.
pub const DEFAULT_STAGE: &str = "$default";

/// What a plan of an HTTP API has beside what all plans have.
#[derive(Debug)]
pub struct HttpApi {
    /// Finds routes.
    pub router: Router,
    /// What browsers of other origins may do, if the API says so.
    pub cors: Option<Cors>,
    /// Whether the stage's name is no part of its paths.
    pub at_root: bool,
}

/// What a method of an HTTP API changes in requests and answers.
#[derive(Debug, Default)]
pub struct Parameters {
    /// In requests.
    pub request: Option<Box<RequestParameters>>,
    /// In answers, by status.
    pub response: ByStatus,
}

/// `AWS_PROXY` with a Lambda function.
#[derive(Debug)]
pub struct FunctionIntegration {
    /// The function.
    pub function: LambdaFunction,
    /// Whether its events and answers are in format 2.0.
    pub version_2: bool,
}

/// `HTTP_PROXY`.
#[derive(Debug)]
pub struct BackendIntegration {
    /// The backend.
    pub endpoint: HttpEndpoint,
    /// Whether it is private: behind a VPC link, where it is sent the path as the client sent it, with its stage.
    pub is_private: bool,
}

/// Compiles a stage of an HTTP API.
///
/// # Errors
/// Everything that cannot be served, not just the first.
pub fn compile(
    snapshot: &ApiSnapshot,
    stage: &Stage,
    settings: &CompileSettings,
) -> Result<Plan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let variables = stage.stage_variables.clone().unwrap_or_default();
    let integrations: BTreeMap<&str, &Shape> = snapshot
        .integrations
        .iter()
        .filter_map(|shape| Some((shape.integration_id.as_deref()?, shape)))
        .collect();
    let source_arn = format!(
        "arn:aws:execute-api:{}:{}:{}/{}/",
        settings.region,
        settings.account_id,
        snapshot.api.api_id.as_deref().unwrap_or_default(),
        stage.stage_name.as_deref().unwrap_or_default(),
    );
    let labels = v2::labels(&snapshot.api, stage);
    let counted = |key: &str| {
        let own = stage.route_settings.as_ref().and_then(|settings| settings.get(key));
        let mut settings = own.into_iter().chain(&stage.default_route_settings);
        settings.find_map(|settings| settings.detailed_metrics_enabled) == Some(true)
    };
    let authorizers = Authorizers::compile(&snapshot.authorizers, &variables, &labels.api_id, settings);
    let vpc_link_names = &snapshot.vpc_link_names;
    let scope = Scope { variables: &variables, settings, source_arn, authorizers, vpc_link_names };
    let mut router = Router::default();
    let mut resources = Vec::with_capacity(snapshot.routes.len());
    for route in &snapshot.routes {
        let key = route.route_key.as_deref().unwrap_or_default();
        // A route that has no integration yet serves nothing.
        let Some(target) = &route.target else { continue };
        let id = target.strip_prefix(INTEGRATION_TARGET).unwrap_or_default();
        let Some(shape) = integrations.get(id) else {
            errors.push(PlanError::new(key, format!("there is no integration {id:?}")));
            continue;
        };
        let names = match router.add(key, resources.len()) {
            Ok(names) => names,
            Err(message) => {
                errors.push(PlanError::new(key, message));
                continue;
            }
        };
        let path = key.split_once(' ').map_or(key, |(_, path)| path);
        match scope.method(route, shape, path, &names) {
            Ok(mut method) => {
                let (verb, path) = key.split_once(' ').unwrap_or((key, ""));
                let named = Some((verb.to_owned(), path.to_owned()));
                let series = || settings.metrics.series(Labels { method: named, ..labels.clone() });
                method.metrics = counted(key).then(series);
                let own = stage.route_settings.as_ref().and_then(|settings| settings.get(key));
                let all = stage.default_route_settings.as_ref();
                let has_others = settings.has_account_throttle;
                method.throttle = Throttle::of_route(&labels, key, own, all, has_others);
                if method.throttle.is_none() {
                    method.phases.retain(|phase| *phase != Phase::Throttle);
                }
                resources.push(ResourcePlan {
                    id: route.route_id.as_deref().unwrap_or_default().into(),
                    path: path.into(),
                    route_key: key.into(),
                    parameters: names,
                    methods: Vec::new(),
                    any: Some(method),
                });
            }
            Err(message) => {
                errors.push(PlanError::new(key, message));
                // The number is taken, whatever stands behind it.
                resources.push(ResourcePlan::default());
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let uses_headers = |plan: &ResourcePlan| {
        let parameters = plan.any.as_ref().and_then(|method| method.http_parameters.as_ref());
        parameters.is_some_and(|parameters| {
            parameters.response.iter().any(|(_, response)| {
                let mut values =
                    response.headers.iter().map(|mapping| &mapping.value).chain(&response.status);
                values.any(|value| value.needs_request_headers())
            })
        })
    };
    let plan = v2::plan(&labels, stage, settings, settings.metrics.series(labels.clone()));
    let keeps_request_headers = plan.keeps_request_headers || resources.iter().any(uses_headers);
    let http = HttpApi {
        router,
        cors: snapshot.api.cors_configuration.as_ref().map(Cors::compile),
        at_root: labels.stage == DEFAULT_STAGE,
    };
    Ok(Plan { keeps_request_headers, resources, http_api: Some(Box::new(http)), ..plan })
}

/// What the routes of a stage are compiled with.
struct Scope<'a> {
    variables: &'a BTreeMap<String, String>,
    settings: &'a CompileSettings,
    /// What functions know the stage's routes by, up to the method.
    source_arn: String,
    authorizers: Authorizers,
    /// The names of VPC links by id.
    vpc_link_names: &'a BTreeMap<String, String>,
}

impl Scope<'_> {
    fn method(
        &self,
        route: &Route,
        shape: &Shape,
        path: &str,
        names: &[Box<str>],
    ) -> Result<MethodPlan, String> {
        let variables = self.variables;
        let authorization = self.authorizers.of(route)?;
        let integration = self.integration(shape, path, names)?;
        let parameters = Parameters {
            request: match shape.integration_subtype {
                // They are the service's own, see the integration.
                Some(_) => None,
                None => RequestParameters::compile(shape.request_parameters.as_ref(), variables)?,
            },
            response: ResponseParameters::compile(shape.response_parameters.as_ref(), variables)?,
        };
        let needed = |phase: &Phase| match phase {
            Phase::Authentication => matches!(authorization, Authorization::Iam),
            Phase::Authorizer => {
                matches!(authorization, Authorization::Jwt(_) | Authorization::HttpLambda(_))
            }
            // Taken out again where there is no throttle.
            Phase::Throttle => true,
            Phase::RequestParameters => parameters.request.is_some(),
            Phase::ResponseParameters => !parameters.response.is_empty(),
            _ => *phase == Phase::Integration,
        };
        let phases = pipeline::HTTP.iter().copied().filter(needed).collect();
        let unchanged = parameters.request.is_none() && parameters.response.is_empty();
        let http_parameters = (!unchanged).then(|| Box::new(parameters));
        Ok(MethodPlan { phases, authorization, integration, http_parameters, ..MethodPlan::default() })
    }

    fn integration(&self, shape: &Shape, path: &str, names: &[Box<str>]) -> Result<Integration, String> {
        let variables = self.variables;
        let milliseconds = shape.timeout_in_millis.filter(|&value| value > 0).unwrap_or(TIMEOUT_MS_MAX);
        let timeout = Duration::from_millis(milliseconds.unsigned_abs().into());
        let Some(signer) = self.settings.aws.signer(shape.credentials_arn.as_deref(), variables) else {
            return Ok(Integration::Broken("the stage lacks a variable that the role's ARN names"));
        };
        if let Some(subtype) = shape.integration_subtype.as_deref() {
            let mut service = ServiceIntegration::compile(subtype, shape, variables, self.settings, timeout)?;
            service.service.signer = signer;
            return Ok(Integration::HttpApiService(Box::new(service)));
        }
        let (uri, missing) =
            replace_stage_variables(shape.integration_uri.as_deref().unwrap_or_default(), variables);
        if missing {
            return Ok(Integration::Broken("the stage lacks a variable that the integration's URI names"));
        }
        match shape.integration_type {
            Some(IntegrationType::AwsProxy) => {
                let by_role = shape.credentials_arn.as_deref().is_some_and(|role| !role.is_empty());
                let source = (!by_role).then(|| LambdaSource {
                    before_method: self.source_arn.as_str().into(),
                    path: path.into(),
                });
                let function =
                    LambdaFunction { arn: function_arn(&uri)?, source, signer, streams: false, timeout };
                let version_2 = shape.payload_format_version.as_deref() == Some("2.0");
                Ok(Integration::HttpApiFunction(Box::new(FunctionIntegration { function, version_2 })))
            }
            Some(IntegrationType::HttpProxy) => {
                let sources: BTreeMap<&str, Source> =
                    names.iter().map(|name| (&**name, Source::Path(Arc::from(&**name)))).collect();
                let is_private = shape.connection_type == Some(ConnectionType::VpcLink);
                let (uri, backends) = if is_private {
                    let (uri, backends) = self.private(shape, &uri)?;
                    (uri, Some(backends))
                } else if shape.tls_config.is_some() {
                    return Err("tlsConfig is for private integrations (connectionType VPC_LINK)".to_owned());
                } else {
                    (UriTemplate::parse(&uri, &sources)?, None)
                };
                let method = match shape.integration_method.as_deref() {
                    None | Some("ANY" | "") => None,
                    Some(name) => Some(
                        Method::from_bytes(name.as_bytes())
                            .map_err(|_| format!("{name:?} is no HTTP method"))?,
                    ),
                };
                let endpoint = HttpEndpoint { uri, backends, method, timeout };
                Ok(Integration::HttpApiBackend(Box::new(BackendIntegration { endpoint, is_private })))
            }
            _ => Err("HTTP APIs have AWS_PROXY and HTTP_PROXY integrations only".to_owned()),
        }
    }
}

impl Scope<'_> {
    /// A private integration: where its VPC link leads, over TLS if it is configured.
    fn private(&self, shape: &Shape, uri: &str) -> Result<(UriTemplate, Backends), String> {
        let id = shape.connection_id.as_deref().unwrap_or_default();
        let (id, missing) = replace_stage_variables(id, self.variables);
        if missing {
            return Err("the stage lacks a variable that the VPC link's id names".to_owned());
        }
        let name = self.vpc_link_names.get(&*id).ok_or_else(|| format!("there is no VPC link {id:?}"))?;
        let targets = [uri, &id, name].into_iter().find_map(|key| self.settings.vpc_links.get(key));
        // The listener's ARN says nothing of a host; clients' requests bring one along.
        let server_name = |tls: &TlsConfig| tls.server_name_to_verify.clone().filter(|name| !name.is_empty());
        let server_name = shape.tls_config.as_ref().map(server_name);
        let url = match &server_name {
            Some(Some(name)) => format!("https://{name}/"),
            Some(None) => "https://private.invalid/".to_owned(),
            None => "http://private.invalid/".to_owned(),
        };
        let mut template = UriTemplate::parse(&url, &BTreeMap::new())?;
        if server_name == Some(None) {
            template.upstream.certificate = CertificateCheck::Issuer;
        }
        let backends = targets.map(|targets| Backends::new(&template.upstream, targets));
        let backends = backends.ok_or_else(|| {
            format!(
                "nobody said where the VPC link {name:?} ({id}) leads. Put [[vpc_links]] with name = {name:?} and \
                 targets = [\"HOST:PORT\"] into the configuration file"
            )
        })?;
        Ok((template, backends))
    }
}
