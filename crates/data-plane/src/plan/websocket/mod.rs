//! WebSocket APIs, compiled to the same plans as others: each route is a resource with one method.

mod authorization;
pub mod expressions;
mod integration;
pub mod mapping;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jsonschema::Validator;
use stagedoor_shapes::apigateway::{ApiKeySourceType as ApiKeySource, MethodSetting, Model as ModelV1};
use stagedoor_shapes::apigatewayv2::{Integration as Shape, IntegrationType, Route, RouteSettings, Stage};
use stagedoor_shapes::snapshot::{ApiSnapshot, INTEGRATION_TARGET, RestApiSnapshot};

use self::expressions::{DEFAULT, Expression};
use self::mapping::{RouteRequest, RouteResponses};
use super::authorization::Authorization;
use super::throttle::Throttle;
use super::validation::{self, Parameter};
use super::{CompileSettings, MethodPlan, Plan, PlanError, ResourcePlan, Route as Found, v2};
use crate::exchange::Exchange;
use crate::logs::Targets;
use crate::logs::execution::ExecutionLogSettings;
use crate::metrics::Labels;
use crate::phase::Phase;
use crate::pipeline;
use crate::websocket::metrics::SocketSeries;

/// The route of a handshake.
pub const CONNECT: &str = "$connect";
/// The route of a connection's end.
pub const DISCONNECT: &str = "$disconnect";

/// What a plan of a WebSocket API has beside what all plans have.
#[derive(Debug)]
pub struct WebSocket {
    /// What chooses the route of a message.
    selection: Expression,
    routes: HashMap<Box<str>, usize>,
    /// What the stage counts in.
    pub metrics: Arc<SocketSeries>,
    /// Whether a connection has to remember the API key of its handshake.
    pub wants_key: bool,
    /// The host that names the API by itself, for clients that named it in their path.
    pub own_host: Box<str>,
}

/// What a method of a WebSocket API has beside what all methods have.
#[derive(Debug, Default)]
pub struct SocketMethod {
    /// What becomes of a message on its way to the integration.
    pub request: RouteRequest,
    /// What becomes of the integration's answer; nothing for proxies.
    pub responses: Option<RouteResponses>,
    /// Whether an HTTP backend sees the handshake as the client sent it.
    pub is_http_proxy: bool,
    /// Whether the answer is sent to the client.
    pub is_two_way: bool,
    /// Parameters that a handshake must have.
    pub required: Vec<Parameter>,
    /// What the route counts in, if its numbers are wanted apart from the stage's.
    pub metrics: Option<Arc<SocketSeries>>,
    /// The model that a message has to fit.
    pub models: Option<Models>,
}

/// The models of a route, and which one is for a message.
#[derive(Debug)]
pub struct Models {
    selection: Expression,
    by_key: Vec<(Box<str>, Option<Validator>)>,
}

impl Models {
    /// The model for a message, which may be one that takes anything; nothing if there is none for it.
    #[must_use]
    pub fn choose(&self, exchange: &Exchange<'_>) -> Option<Option<&Validator>> {
        let key = self.selection.evaluate(exchange);
        let find = |key: &str| self.by_key.iter().find(|(known, _)| **known == *key);
        let found = key.and_then(|key| find(&key)).or_else(|| find(DEFAULT));
        found.map(|(_, model)| model.as_ref())
    }
}

impl Plan {
    /// One of a WebSocket API's routes by its key.
    #[must_use]
    pub fn socket_route(&self, key: &str) -> Option<Found<'_>> {
        let index = *self.websocket.as_ref()?.routes.get(key)?;
        let resource = self.resources.get(index)?;
        Some(Found { resource, method: resource.any.as_ref()?, captures: Default::default() })
    }

    /// The route for the message of an exchange.
    #[must_use]
    pub fn message_route(&self, exchange: &Exchange<'_>) -> Option<Found<'_>> {
        let key = self.websocket.as_ref()?.selection.evaluate(exchange);
        // Nobody reaches the routes of connecting and disconnecting by naming them.
        let key = key.filter(|key| !matches!(&**key, CONNECT | DISCONNECT));
        key.and_then(|key| self.socket_route(&key)).or_else(|| self.socket_route(DEFAULT))
    }
}

/// Compiles a stage of a WebSocket API.
///
/// # Errors
/// Everything that cannot be served, not just the first.
pub fn compile(
    snapshot: &ApiSnapshot,
    stage: &Stage,
    settings: &CompileSettings,
) -> Result<Plan, Vec<PlanError>> {
    let mut errors = Vec::new();
    let api = &snapshot.api;
    let variables = stage.stage_variables.clone().unwrap_or_default();
    let api_id = api.api_id.as_deref().unwrap_or_default();
    let stage_name = stage.stage_name.as_deref().unwrap_or_default();
    let text = api.route_selection_expression.as_deref().unwrap_or_default();
    let selection = Expression::parse(text, &variables).unwrap_or_else(|error| {
        errors.push(PlanError::new("routeSelectionExpression", error));
        Expression::default()
    });
    let labels = v2::labels(api, stage);
    let scope = Scope {
        snapshot,
        stage,
        variables: &variables,
        settings,
        labels: &labels,
        models: models(snapshot),
        execution_log: settings.log_destinations.websocket_log(
            &settings.region,
            &settings.account_id,
            api_id,
            stage_name,
        ),
    };
    let authorizers = authorization::compile(&snapshot.authorizers, &variables, api_id, settings);
    let mut routes = HashMap::new();
    let mut resources = Vec::with_capacity(snapshot.routes.len());
    for route in &snapshot.routes {
        let key = route.route_key.as_deref().unwrap_or_default();
        let authorization = authorization::of(route, &authorizers);
        let compiled = authorization.and_then(|authorization| scope.method(route, key, authorization));
        match compiled {
            Ok(method) => {
                routes.insert(key.into(), resources.len());
                resources.push(ResourcePlan {
                    id: route.route_id.as_deref().unwrap_or_default().into(),
                    path: key.into(),
                    route_key: key.into(),
                    any: Some(method),
                    ..ResourcePlan::default()
                });
            }
            Err(message) => errors.push(PlanError::new(key, message)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let wants_key = snapshot.routes.iter().any(|route| route.api_key_required == Some(true));
    let own_host = format!("{api_id}.execute-api.localhost").into();
    let by_authorizer =
        api.api_key_selection_expression.as_deref().is_some_and(|it| it.contains("authorizer"));
    let metrics = settings.metrics.socket_series(labels.clone());
    Ok(Plan {
        api_key_source: if by_authorizer { ApiKeySource::Authorizer } else { ApiKeySource::Header },
        resources,
        websocket: Some(Box::new(WebSocket { selection, routes, metrics, wants_key, own_host })),
        ..v2::plan(&labels, stage, settings, settings.metrics.unlisted())
    })
}

/// What the routes of a stage are compiled with.
struct Scope<'a> {
    snapshot: &'a ApiSnapshot,
    stage: &'a Stage,
    variables: &'a BTreeMap<String, String>,
    settings: &'a CompileSettings,
    labels: &'a Labels,
    models: RestApiSnapshot,
    execution_log: Targets,
}

impl Scope<'_> {
    fn method(&self, route: &Route, key: &str, authorization: Authorization) -> Result<MethodPlan, String> {
        if !matches!(authorization, Authorization::None) && key != CONNECT {
            return Err("only $connect can have an authorization".to_owned());
        }
        let shape = self.integration_of(route)?;
        let (integration, request) = match shape {
            Some(shape) => (self.integration(shape, key)?, RouteRequest::compile(shape, self.variables)?),
            None => return Err("the route has no integration".to_owned()),
        };
        let is_proxy = shape.is_some_and(is_proxy);
        let responses = match shape {
            Some(shape) if !is_proxy => {
                Some(RouteResponses::compile(shape, &self.snapshot.integration_responses, self.variables)?)
            }
            _ => None,
        };
        let has_response = self.snapshot.route_responses.iter().any(|(owner, response)| {
            Some(owner) == route.route_id.as_ref() && response.route_response_key.as_deref() == Some(DEFAULT)
        });
        let selects = route.route_response_selection_expression.as_deref();
        if let Some(selects) = selects.filter(|selects| !matches!(*selects, "$default" | "\\$default")) {
            return Err(format!("routeResponseSelectionExpression can only be $default, not {selects:?}"));
        }
        let (own, all) = self.route_settings(key);
        let setting = |get: fn(&RouteSettings) -> Option<bool>| own.and_then(get).or(all.and_then(get));
        let counts = setting(|settings| settings.detailed_metrics_enabled) == Some(true);
        let named = || Labels { method: Some((String::new(), key.to_owned())), ..self.labels.clone() };
        let socket = SocketMethod {
            metrics: counts.then(|| self.settings.metrics.socket_series(named())),
            request,
            responses,
            is_http_proxy: shape.is_some_and(|it| it.integration_type == Some(IntegrationType::HttpProxy)),
            is_two_way: has_response && selects.is_some(),
            required: required(route)?,
            models: self.models(route)?,
        };
        let wants_key = route.api_key_required == Some(true);
        let has_others = wants_key || self.settings.has_account_throttle;
        let throttle = Throttle::of_route(self.labels, key, own, all, has_others);
        let needed = |phase: &Phase| match phase {
            Phase::Authentication => matches!(authorization, Authorization::Iam),
            Phase::Authorizer => matches!(authorization, Authorization::Lambda(_)),
            Phase::ApiKey => wants_key,
            Phase::Throttle => throttle.is_some(),
            Phase::Validation => !socket.required.is_empty() || socket.models.is_some(),
            _ => true,
        };
        let method_setting = MethodSetting {
            logging_level: own
                .and_then(|own| own.logging_level)
                .or(all.and_then(|all| all.logging_level))
                .map(|level| level.as_str().to_owned()),
            data_trace_enabled: setting(|settings| settings.data_trace_enabled),
            ..MethodSetting::default()
        };
        Ok(MethodPlan {
            name: key.into(),
            phases: pipeline::WEBSOCKET.iter().copied().filter(needed).collect(),
            execution_log: ExecutionLogSettings::compile(Some(&method_setting), &self.execution_log),
            authorization,
            throttle,
            integration,
            socket: Some(Box::new(socket)),
            ..MethodPlan::default()
        })
    }

    fn integration_of(&self, route: &Route) -> Result<Option<&Shape>, String> {
        let Some(target) = route.target.as_deref().filter(|target| !target.is_empty()) else {
            return Ok(None);
        };
        let id = target.strip_prefix(INTEGRATION_TARGET).unwrap_or_default();
        let integrations = &self.snapshot.integrations;
        let found = integrations.iter().find(|shape| shape.integration_id.as_deref() == Some(id));
        found.map(Some).ok_or_else(|| format!("there is no integration {id:?}"))
    }

    fn route_settings(&self, key: &str) -> (Option<&RouteSettings>, Option<&RouteSettings>) {
        let own = self.stage.route_settings.as_ref().and_then(|settings| settings.get(key));
        (own, self.stage.default_route_settings.as_ref())
    }

    fn models(&self, route: &Route) -> Result<Option<Models>, String> {
        let Some(text) = route.model_selection_expression.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let selection = Expression::parse(text, self.variables)?;
        let mut by_key = Vec::new();
        for (key, name) in route.request_models.iter().flatten() {
            let model =
                validation::schema(&self.models, name).map_err(|error| format!("model {name}: {error}"))?;
            by_key.push((key.as_str().into(), model));
        }
        Ok(Some(Models { selection, by_key }))
    }
}

/// Whether an integration sees messages as they are, and its answers go to clients as they are.
fn is_proxy(shape: &Shape) -> bool {
    matches!(shape.integration_type, Some(IntegrationType::AwsProxy | IntegrationType::HttpProxy))
}

/// The parameters that a route asks for.
fn required(route: &Route) -> Result<Vec<Parameter>, String> {
    let wanted = route.request_parameters.iter().flatten();
    let wanted = wanted.filter(|(_, constraint)| constraint.required == Some(true));
    wanted
        .map(|(name, _)| {
            let own = name.strip_prefix("route.").map(|rest| format!("method.{rest}"));
            own.and_then(|own| Parameter::parse(&own))
                .ok_or_else(|| format!("Invalid route request parameter specified: {name}"))
        })
        .collect()
}

/// The models as validation knows them.
fn models(snapshot: &ApiSnapshot) -> RestApiSnapshot {
    let mut models = RestApiSnapshot::default();
    models.rest_api.id.clone_from(&snapshot.api.api_id);
    models.models = snapshot
        .models
        .iter()
        .map(|model| ModelV1 { name: model.name.clone(), schema: model.schema.clone(), ..ModelV1::default() })
        .collect();
    models
}
