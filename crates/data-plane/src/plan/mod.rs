//! Plans: a snapshot and a stage, compiled so that a request only looks things up.
//!
//! What cannot work is found here and refuses the deployment, with one exception that AWS makes too: an integration
//! whose stage variables are missing deploys, and answers 500.

pub mod authorization;
pub mod aws_services;
pub mod aws_uri;
pub mod caching;
mod formats;
pub mod http_api;
pub mod integration;
pub mod mapping;
pub mod media_types;
mod method;
pub mod method_settings;
mod mismatch;
pub mod router;
pub mod selection;
pub mod substitution;
pub mod throttle;
pub mod uri;
mod v2;
pub mod validation;
pub mod websocket;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use stagedoor_policy::Policy;
pub use stagedoor_shapes::apigateway::ApiKeySourceType as ApiKeySource;
use stagedoor_shapes::apigateway::{CacheClusterSize, EndpointType, Stage};
use stagedoor_shapes::apigatewayv2::{self, ProtocolType};
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};

use crate::backends::VpcLinkTargets;
use crate::cache::StageCache;
use crate::cache_budget::CacheBudget;
use crate::gateway_response::GatewayResponses;
use crate::logs::access::AccessLog;
use crate::logs::{LogDestinations, execution_log_arn};
use crate::metrics::{CANARY_SUFFIX, Labels, Metrics, Series};
use crate::tls::ClientTls;
use crate::upstream::{Scheme, Upstream};
use authorization::Authorizers;
use aws_services::AwsServices;
use caching::CachingScope;
use media_types::MediaTypes;
pub use method::MethodPlan;
use router::{Captures, Router};

/// The largest body that AWS takes from a client or an integration, in bytes.
pub const MAX_PAYLOAD_BYTES: u64 = 10 * 1024 * 1024;

/// The largest header section that AWS takes from a client, in bytes.
pub const MAX_HEADER_BYTES: usize = 10_240;

/// The statuses that an answer may have. An interim one (1xx) announces another answer: a client that reads it takes
/// the next answer on its connection for this one.
pub const FINAL_STATUSES: RangeInclusive<u16> = 200..=599;

/// A status that an answer may have, read from its digits.
#[must_use]
pub fn final_status(text: &str) -> Option<StatusCode> {
    text.parse::<StatusCode>().ok().filter(|status| FINAL_STATUSES.contains(&status.as_u16()))
}

/// Something in a definition that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{where_}: {message}")]
pub struct PlanError {
    /// The place, such as `GET /users, request template application/json`.
    pub where_: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl PlanError {
    pub(crate) fn new(where_: impl Into<String>, message: impl Into<String>) -> Self {
        Self { where_: where_.into(), message: message.into() }
    }
}

/// What a plan depends on beside the definition.
#[derive(Clone, Debug)]
pub struct CompileSettings {
    /// The account that owns the API, twelve digits.
    pub account_id: String,
    /// The region it is in.
    pub region: String,
    /// Where logs are written.
    pub log_destinations: LogDestinations,
    /// What stages and methods count in.
    pub metrics: Arc<Metrics>,
    /// Where VPC links lead.
    pub vpc_links: VpcLinkTargets,
    /// Whether all of the account's APIs together are throttled.
    pub has_account_throttle: bool,
    /// Where user pools are, by their ids, instead of at AWS: the address that their ids are appended to.
    pub user_pools: BTreeMap<String, String>,
    /// Where AWS's services are.
    pub aws: AwsServices,
    /// What the caches of all stages may hold together.
    pub cache_budget: Arc<CacheBudget>,
}

/// A stage, compiled.
#[derive(Debug)]
pub struct Plan {
    /// The API's id.
    pub api_id: Box<str>,
    /// The same, as a header value.
    pub api_id_header: Bytes,
    /// How the gateway names itself to HTTP backends: `AmazonAPIGateway_{id}`.
    pub user_agent: Bytes,
    /// The stage's name.
    pub stage: Box<str>,
    /// The deployment the stage points at.
    pub deployment_id: Box<str>,
    /// The account that owns the API.
    pub account_id: Box<str>,
    /// The region it is in.
    pub region: Box<str>,
    /// `$context.webaclArn`.
    pub web_acl_arn: Option<Box<str>>,
    /// The certificate that HTTPS backends are shown. Set by [`Plan::present`]: the key is no part of a
    /// definition.
    client_tls: Option<Arc<ClientTls>>,
    /// How clients reach it, which decides the spelling of header names.
    pub endpoint_type: EndpointType,
    /// Where its methods take API keys from.
    pub api_key_source: ApiKeySource,
    /// What is handed on as bytes.
    pub binary_media_types: MediaTypes,
    /// The stage's variables.
    pub variables: BTreeMap<String, String>,
    /// How failures are answered.
    pub gateway_responses: GatewayResponses,
    /// Who may call at all.
    pub resource_policy: Option<Policy>,
    /// The API's name.
    pub api_name: Box<str>,
    /// Whether X-Ray is told of its requests.
    pub is_traced: bool,
    /// What the stage counts in.
    pub metrics: Arc<Series>,
    /// What its canary counts in beside that, if this is the canary's plan.
    pub canary_metrics: Option<Arc<Series>>,
    /// The access log, if there is one.
    pub access_log: Option<AccessLog>,
    /// Whether the request's headers are needed after the integration took them.
    pub keeps_request_headers: bool,
    /// `$context.isCanaryRequest`: nothing if the stage has no canary.
    pub is_canary: Option<bool>,
    canary: Option<Canary>,
    /// The stage's cache, if it has one.
    pub cache: Option<Arc<StageCache>>,
    /// From how many bytes on a response is given a coding that the client accepts; nothing if never.
    pub compression_bytes_min: Option<u64>,
    router: Router<usize>,
    resources: Vec<ResourcePlan>,
    /// What only plans of HTTP APIs have.
    pub http_api: Option<Box<http_api::HttpApi>>,
    /// What only plans of WebSocket APIs have.
    pub websocket: Option<Box<websocket::WebSocket>>,
}

/// The plan that takes a share of a stage's requests.
#[derive(Debug)]
struct Canary {
    /// From 0.0, none, to 1.0, all.
    share: f64,
    plan: Box<Plan>,
}

/// A resource, compiled.
#[derive(Debug, Default)]
pub struct ResourcePlan {
    /// `$context.resourceId`.
    pub id: Box<str>,
    /// `$context.resourcePath`, such as `/users/{userId}`.
    pub path: Box<str>,
    /// `$context.routeKey`, such as `GET /users/{userId}`; empty in REST APIs.
    pub route_key: Box<str>,
    /// The names of the path's parameters, in order.
    pub parameters: Vec<Box<str>>,
    methods: Vec<(Method, MethodPlan)>,
    any: Option<MethodPlan>,
}

/// The method that serves a request.
#[derive(Debug)]
pub struct Route<'a> {
    /// Its resource.
    pub resource: &'a ResourcePlan,
    /// The method.
    pub method: &'a MethodPlan,
    /// Where the values of the resource's parameters stand in the path below the stage.
    pub captures: Captures,
}

impl ResourcePlan {
    fn method(&self, method: &Method) -> Option<&MethodPlan> {
        let own = self.methods.iter().find(|(candidate, _)| candidate == method).map(|(_, plan)| plan);
        own.or(self.any.as_ref())
    }
}

impl Plan {
    /// Gives a stage its canary, which serves a random share of the requests.
    #[must_use]
    pub fn with_canary(mut self, percent_traffic: f64, mut canary: Self) -> Self {
        self.is_canary = Some(false);
        canary.is_canary = Some(true);
        self.canary = Some(Canary { share: percent_traffic / 100.0, plan: Box::new(canary) });
        self
    }

    /// Goes on with the cache of the plan that was served before, if it is of the same size and nobody flushed it since.
    #[must_use]
    pub fn with_cache_of(mut self, before: Option<&Self>, generation: u64) -> Self {
        if let Some(own) = self.cache.take() {
            let size = own.size();
            let kept = before.and_then(|before| before.cache.clone());
            let kept = kept.filter(|cache| cache.size() == size && cache.generation() == generation);
            let cache = kept.unwrap_or_else(|| StageCache::new(size, generation, own.budget()));
            if let Some(canary) = &mut self.canary {
                canary.plan.cache = Some(Arc::clone(&cache));
            }
            self.cache = Some(cache);
        }
        self
    }

    /// The plan that serves a request: this one, or the canary's. `roll` gives a number from 0 to below 1.
    #[must_use]
    pub fn choose(&self, roll: impl FnOnce() -> f64) -> &Self {
        match &self.canary {
            Some(canary) if roll() < canary.share => &canary.plan,
            _ => self,
        }
    }

    /// The method of a plan that holds one and no other, for a request that is not on its path.
    #[must_use]
    pub fn only_route(&self) -> Option<Route<'_>> {
        self.resources.iter().find_map(|resource| {
            let method = resource.methods.first().map(|(_, method)| method).or(resource.any.as_ref())?;
            Some(Route { resource, method, captures: Captures::default() })
        })
    }

    /// Has the stage, and its canary, show this certificate to HTTPS backends.
    pub fn present(&mut self, client: Option<Arc<ClientTls>>) {
        if let Some(canary) = &mut self.canary {
            canary.plan.client_tls.clone_from(&client);
        }
        self.client_tls = client;
    }

    /// A backend as this stage speaks to it: with the stage's client certificate, if it has one and the VPC link none.
    #[must_use]
    pub fn shown<'a>(&self, upstream: &'a Upstream) -> Cow<'a, Upstream> {
        match &self.client_tls {
            Some(client) if upstream.scheme == Scheme::Https && upstream.client.is_none() => {
                Cow::Owned(Upstream { client: Some(Arc::clone(client)), ..upstream.clone() })
            }
            _ => Cow::Borrowed(upstream),
        }
    }

    /// Finds the method for a request, by its path below the stage.
    #[must_use]
    pub fn route(&self, method: &Method, path: &str) -> Option<Route<'_>> {
        if let Some(http_api) = &self.http_api {
            let (index, captures) = http_api.router.find(method, path)?;
            let resource = self.resources.get(index)?;
            return Some(Route { resource, method: resource.method(method)?, captures });
        }
        let accept = |index: usize| {
            let resource = self.resources.get(index)?;
            resource.method(method).map(|method| (resource, method))
        };
        let ((resource, method), captures) = self.router.find(path, accept)?;
        Some(Route { resource, method, captures })
    }
}

/// Compiles a stage of a REST API.
///
/// # Errors
/// Everything that cannot be served, not just the first.
pub fn compile(
    snapshot: &RestApiSnapshot,
    stage: &Stage,
    settings: &CompileSettings,
) -> Result<Plan, Vec<PlanError>> {
    compile_for(snapshot, stage, settings, false)
}

/// Compiles the canary of a stage, given as the canary's requests see the stage.
///
/// # Errors
/// As [`compile`].
pub fn compile_canary(
    snapshot: &RestApiSnapshot,
    stage: &Stage,
    settings: &CompileSettings,
) -> Result<Plan, Vec<PlanError>> {
    compile_for(snapshot, stage, settings, true)
}

/// Compiles a stage of an HTTP or WebSocket API.
///
/// # Errors
/// As [`compile`].
pub fn compile_v2(
    snapshot: &ApiSnapshot,
    stage: &apigatewayv2::Stage,
    settings: &CompileSettings,
) -> Result<Plan, Vec<PlanError>> {
    match snapshot.api.protocol_type {
        Some(ProtocolType::Websocket) => websocket::compile(snapshot, stage, settings),
        _ => http_api::compile(snapshot, stage, settings),
    }
}

fn compile_for(
    snapshot: &RestApiSnapshot,
    stage: &Stage,
    settings: &CompileSettings,
    for_canary: bool,
) -> Result<Plan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let api = &snapshot.rest_api;
    let variables = stage.variables.clone().unwrap_or_default();
    refuse_what_is_not_built(stage, &mut errors);

    let gateway_responses = GatewayResponses::compile(&snapshot.gateway_responses, &variables, &mut errors);
    let binary_media_types = MediaTypes::new(api.binary_media_types.as_deref().unwrap_or_default());
    let caching =
        CachingScope { stage, variables: &variables, binary_media_types: &binary_media_types, for_canary };
    let resource_policy = authorization::resource_policy(api, &mut errors);
    let authorizers = Authorizers::compile(
        &snapshot.authorizers,
        &variables,
        api.id.as_deref().unwrap_or_default(),
        settings,
    );
    let has_resource_policy = resource_policy.is_some();
    let labels = Labels {
        api_name: api.name.clone().unwrap_or_default(),
        api_id: api.id.clone().unwrap_or_default(),
        stage: stage.stage_name.clone().unwrap_or_default(),
        is_http_api: false,
        method: None,
    };
    let destinations = &settings.log_destinations;
    let log_arn = execution_log_arn(&settings.region, &settings.account_id, &labels.api_id, &labels.stage);
    let execution_log = match for_canary {
        true => destinations.of_canary(&log_arn),
        false => destinations.find(&log_arn).into(),
    };
    let scope = method::Scope {
        snapshot,
        stage,
        variables: &variables,
        settings,
        labels: &labels,
        execution_log: &execution_log,
        authorizers,
        has_resource_policy,
        caching,
    };
    let mut router = Router::default();
    let mut resources = Vec::with_capacity(snapshot.resources.len());
    for resource in &snapshot.resources {
        let path = resource.path.as_deref().unwrap_or("/");
        let parameters = router.add(path, resources.len()).unwrap_or_else(|message| {
            errors.push(PlanError::new(path, message));
            Vec::new()
        });
        let (mut methods, mut any) = (Vec::new(), None);
        for (name, method) in resource.resource_methods.iter().flatten() {
            let Some(plan) = scope.compile(path, name, method, &mut errors) else { continue };
            match Method::from_bytes(name.as_bytes()) {
                _ if name == "ANY" => any = Some(plan),
                Ok(name) => methods.push((name, plan)),
                Err(_) => errors.push(PlanError::new(path, format!("{name:?} is no HTTP method"))),
            }
        }
        let id = resource.id.as_deref().unwrap_or_default().into();
        let (path, route_key) = (path.into(), Box::default());
        resources.push(ResourcePlan { id, path, route_key, parameters, methods, any });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let access_log = access_log(stage, settings, for_canary);
    let types = api.endpoint_configuration.as_ref().and_then(|configuration| configuration.types.as_ref());
    let api_id = api.id.as_deref().unwrap_or_default();
    let cache = (stage.cache_cluster_enabled == Some(true)).then(|| {
        let size = stage.cache_cluster_size.unwrap_or(CacheClusterSize::V0_5);
        StageCache::new(size, 0, &settings.cache_budget)
    });
    Ok(Plan {
        api_id: api_id.into(),
        api_id_header: Bytes::from(api_id.to_owned()),
        user_agent: Bytes::from(format!("AmazonAPIGateway_{api_id}")),
        stage: stage.stage_name.as_deref().unwrap_or_default().into(),
        deployment_id: stage.deployment_id.as_deref().unwrap_or_default().into(),
        account_id: settings.account_id.as_str().into(),
        region: settings.region.as_str().into(),
        web_acl_arn: stage.web_acl_arn.as_deref().map(Into::into),
        endpoint_type: types.and_then(|types| types.first().copied()).unwrap_or(EndpointType::Edge),
        api_key_source: api.api_key_source.unwrap_or(ApiKeySource::Header),
        client_tls: None,
        binary_media_types,
        resource_policy,
        keeps_request_headers: gateway_responses.uses_request_headers()
            || stage.tracing_enabled == Some(true)
            || access_log.as_ref().is_some_and(AccessLog::uses_request_headers),
        access_log,
        api_name: labels.api_name.as_str().into(),
        is_traced: stage.tracing_enabled == Some(true),
        canary_metrics: for_canary.then(|| {
            let stage = labels.stage.clone() + CANARY_SUFFIX;
            settings.metrics.series(Labels { stage, ..labels.clone() })
        }),
        metrics: settings.metrics.series(labels),
        is_canary: None,
        canary: None,
        cache,
        compression_bytes_min: api.minimum_compression_size.and_then(|size| u64::try_from(size).ok()),
        variables,
        gateway_responses,
        router,
        resources,
        http_api: None,
        websocket: None,
    })
}

/// The stage's access log. Settings that lack the destination or the format log nothing, as on AWS.
fn access_log(stage: &Stage, settings: &CompileSettings, for_canary: bool) -> Option<AccessLog> {
    let shape = stage.access_log_settings.as_ref()?;
    let (format, arn) = (shape.format.as_deref()?, shape.destination_arn.as_deref()?);
    let destinations = &settings.log_destinations;
    Some(match for_canary {
        true => AccessLog::compile(format, destinations.of_canary(arn)),
        false => AccessLog::compile(format, destinations.find(arn)),
    })
}

/// The access log of a stage of an HTTP or WebSocket API.
fn compile_access_log(
    format: Option<&str>,
    destination_arn: Option<&str>,
    settings: &CompileSettings,
) -> Option<AccessLog> {
    let target = settings.log_destinations.find(destination_arn?);
    Some(AccessLog::compile(format?, target))
}

/// Settings of a stage that would change who may call it or what a call does, and that nothing here
/// enforces yet: serving such a stage as if they were not set would leave it open.
fn refuse_what_is_not_built(stage: &Stage, errors: &mut Vec<PlanError>) {
    let mut refuse = |set: bool, where_: &str, message: &str| {
        if set {
            errors.push(PlanError::new(where_, message));
        }
    };
    let is_set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let name = format!("stage {}", stage.stage_name.as_deref().unwrap_or_default());
    refuse(is_set(&stage.web_acl_arn), &name, "web ACLs are not supported yet; remove the association");
}

#[cfg(test)]
impl Plan {
    /// A plan without resources.
    pub(crate) fn empty(api_id: &str, stage: &str) -> Self {
        let api = stagedoor_shapes::apigateway::RestApi { id: Some(api_id.to_owned()), ..Default::default() };
        let snapshot = RestApiSnapshot { rest_api: api, ..RestApiSnapshot::default() };
        let stage = Stage { stage_name: Some(stage.to_owned()), ..Stage::default() };
        let settings = CompileSettings {
            account_id: "000000000000".into(),
            region: "us-east-1".into(),
            log_destinations: LogDestinations::default(),
            metrics: Metrics::new(1),
            vpc_links: VpcLinkTargets::default(),
            has_account_throttle: false,
            user_pools: BTreeMap::new(),
            aws: AwsServices::default(),
            cache_budget: CacheBudget::new(0),
        };
        compile(&snapshot, &stage, &settings).unwrap()
    }
}
