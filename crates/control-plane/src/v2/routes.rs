//! Routes: which requests go to which integration.

use stagedoor_shapes::apigatewayv2::{
    Api, AuthorizationType, Authorizer, AuthorizerType, CreateRouteRequest, DeleteRouteRequest,
    DeleteRouteRequestParameterRequest, GetRouteRequest, GetRoutesRequest, GetRoutesResponse, Integration,
    Route, UpdateRouteRequest,
};
use stagedoor_shapes::snapshot::INTEGRATION_TARGET;

use super::keys::{self, Kind};
use super::{V2, all, is_http, members, recast, route_key, updated, websocket};
use crate::control_plane::{bad_request, conflict, not_found, required};
use crate::tx::Tx;
use crate::{ApiError, quotas};

/// How many scopes a route may ask for. A quota that AWS does not raise.
const SCOPES_MAX: usize = 10;

impl V2<'_> {
    /// `CreateRoute`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] if the API has such a route,
    /// [`ApiError::BadRequest`] for settings that AWS refuses.
    pub fn create_route(&self, input: CreateRouteRequest) -> Result<Route, ApiError> {
        let api_id = required(&input.api_id);
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let mut route: Route = recast(&input)?;
            route.route_id = Some(members::unused(tx, api_id, Kind::Route)?);
            route.api_key_required.get_or_insert(false);
            let kind = *route.authorization_type.get_or_insert(AuthorizationType::None);
            if matches!(kind, AuthorizationType::None | AuthorizationType::AwsIam) {
                route.authorizer_id = None;
            }
            route.operation_name.take_if(|name| name.is_empty());
            check(tx, &api, &route, None)?;
            let most = self.0.settings.quotas.routes_per_api;
            quotas::check_one_more_below(tx, &keys::all(api_id, Kind::Route), most, "Routes")?;
            tx.put(&keys::one(api_id, Kind::Route, required(&route.route_id)), &route)?;
            self.redeploy(tx, api_id)?;
            Ok(route)
        })
    }

    /// `GetRoute`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such route.
    pub fn get_route(&self, input: GetRouteRequest) -> Result<Route, ApiError> {
        self.0.read(|tx| self.find(tx, required(&input.api_id), Kind::Route, required(&input.route_id)))
    }

    /// `GetRoutes`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_routes(&self, input: GetRoutesRequest) -> Result<GetRoutesResponse, ApiError> {
        let (token, max) = (input.next_token.as_deref(), input.max_results.as_deref());
        let (items, next_token) = self.list(required(&input.api_id), Kind::Route, token, max)?;
        Ok(GetRoutesResponse { items, next_token })
    }

    /// `UpdateRoute`. Taking the authorization off takes the authorizer and the scopes along.
    ///
    /// # Errors
    /// As for `CreateRoute`, and [`ApiError::NotFound`] if there is no such route.
    pub fn update_route(&self, input: UpdateRouteRequest) -> Result<Route, ApiError> {
        let (api_id, id) = (required(&input.api_id), required(&input.route_id));
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let before: Route = members::find(tx, api_id, Kind::Route, id)?;
            let mut route: Route = updated(&before, &input)?;
            if before.api_gateway_managed == Some(true) && route.route_key != before.route_key {
                // API reference: what quick create has made keeps its key, but for `UpdateApi`.
                return bad_request("Cannot update the RouteKey of a Route that is managed by API Gateway");
            }
            let without_authorizer = |kind: Option<AuthorizationType>| {
                matches!(kind, Some(AuthorizationType::None | AuthorizationType::AwsIam))
            };
            if without_authorizer(route.authorization_type) {
                route.authorizer_id = None;
            }
            if without_authorizer(input.authorization_type) {
                route.authorization_scopes = None;
            }
            let blank = |text: &mut Option<String>| *text = text.take().filter(|text| !text.is_empty());
            blank(&mut route.authorizer_id);
            blank(&mut route.operation_name);
            blank(&mut route.target);
            blank(&mut route.model_selection_expression);
            blank(&mut route.route_response_selection_expression);
            check(tx, &api, &route, Some(id))?;
            tx.put(&keys::one(api_id, Kind::Route, id), &route)?;
            self.redeploy(tx, api_id)?;
            Ok(route)
        })
    }

    /// `DeleteRoute`, with its responses.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such route, [`ApiError::BadRequest`] if quick create has made it.
    pub fn delete_route(&self, input: DeleteRouteRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.route_id));
        self.0.transact(|tx| {
            let route: Route = self.find(tx, api, Kind::Route, id)?;
            if route.api_gateway_managed == Some(true) {
                return bad_request("Cannot delete a Route that is managed by API Gateway");
            }
            tx.delete(&keys::one(api, Kind::Route, id));
            tx.delete_all(&keys::all_of(api, Kind::RouteResponse, id))?;
            self.redeploy(tx, api)
        })
    }

    /// `DeleteRouteRequestParameter`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such route or parameter.
    pub fn delete_route_request_parameter(
        &self,
        input: DeleteRouteRequestParameterRequest,
    ) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.route_id));
        let name = required(&input.request_parameter_key);
        self.0.transact(|tx| {
            let mut route: Route = self.find(tx, api, Kind::Route, id)?;
            let parameters = route.request_parameters.as_mut();
            if parameters.and_then(|parameters| parameters.remove(name)).is_none() {
                return not_found(format!("Invalid request parameter specified {name}"));
            }
            tx.put(&keys::one(api, Kind::Route, id), &route)?;
            self.redeploy(tx, api)
        })
    }
}

/// AWS's rules for a route. `id` is that of one that is there: AWS's words for a target name it.
fn check(tx: &Tx, api: &Api, route: &Route, id: Option<&str>) -> Result<(), ApiError> {
    // AWS tells this before anything else.
    integration_of(route, id)?;
    check_alone(tx, api, route, id)?;
    check_unique(tx, required(&api.api_id), route)
}

/// AWS's rules for a route, but for other routes of the same form.
///
/// `route_id` is that of one that is there, which AWS names.
pub(super) fn check_alone(tx: &Tx, api: &Api, route: &Route, route_id: Option<&str>) -> Result<(), ApiError> {
    let id = required(&api.api_id);
    if is_http(api) {
        route_key::check(required(&route.route_key))?;
        let websocket_only = [
            (route.api_key_required == Some(true), "apiKeyRequired"),
            (route.model_selection_expression.is_some(), "modelSelectionExpression"),
            (route.request_models.as_ref().is_some_and(|models| !models.is_empty()), "requestModels"),
            (route.request_parameters.as_ref().is_some_and(|names| !names.is_empty()), "requestParameters"),
            (route.route_response_selection_expression.is_some(), "routeResponseSelectionExpression"),
        ];
        if let Some((_, name)) = websocket_only.iter().find(|(set, _)| *set) {
            if *name == "apiKeyRequired" {
                return bad_request(format!(
                    "ApiKeyRequired is not currently supported for HTTP APIs. Please set ApiKeyRequired to false for \
                     route {}",
                    route_id.unwrap_or("null")
                ));
            }
            return bad_request(format!("{name} is only supported for WebSocket APIs"));
        }
    } else {
        websocket::check_route(tx, api, route)?;
    }
    check_authorization(tx, api, route)?;
    match integration_of(route, route_id)? {
        Some(integration) => members::find::<Integration>(tx, id, Kind::Integration, integration).map(drop),
        None => Ok(()),
    }
}

/// The id of the integration that a route leads to. `id` is as for [`check_alone`].
fn integration_of<'r>(route: &'r Route, id: Option<&str>) -> Result<Option<&'r str>, ApiError> {
    let Some(target) = &route.target else { return Ok(None) };
    match target.strip_prefix(INTEGRATION_TARGET) {
        Some(integration) => Ok(Some(integration)),
        None => bad_request(format!(
            "Unexpected or malformed target in route {}. Correct format should be {INTEGRATION_TARGET}<integration_id>.",
            id.unwrap_or("null")
        )),
    }
}

/// No two routes of an API may take the same requests.
pub(super) fn check_unique(tx: &Tx, api: &str, route: &Route) -> Result<(), ApiError> {
    let key = required(&route.route_key);
    let routes: Vec<Route> = all(tx, api, Kind::Route)?;
    let taken = routes.iter().any(|other| {
        other.route_id != route.route_id
            && route_key::form(required(&other.route_key)) == route_key::form(key)
    });
    if taken { already_there(key) } else { Ok(()) }
}

/// AWS's answer to a route that the API has.
pub(super) fn already_there<T>(key: &str) -> Result<T, ApiError> {
    conflict(format!("Route with key {key} already exists for this API"))
}

fn check_authorization(tx: &Tx, api: &Api, route: &Route) -> Result<(), ApiError> {
    let kind = route.authorization_type.unwrap_or(AuthorizationType::None);
    let wanted = match kind {
        AuthorizationType::None | AuthorizationType::AwsIam => None,
        AuthorizationType::Custom => Some(AuthorizerType::Request),
        AuthorizationType::Jwt => Some(AuthorizerType::Jwt),
    };
    let scopes = route.authorization_scopes.as_ref().map_or(0, Vec::len);
    quotas::check(scopes, SCOPES_MAX, "Scopes", "route")?;
    if scopes > 0 && kind != AuthorizationType::Jwt {
        return bad_request(
            "Invalid Route authorization type specified. Authorization Scopes are only valid for COGNITO_USER_POOLS and \
             JWT authorization types",
        );
    }
    if !is_http(api) {
        if kind != AuthorizationType::None && required(&route.route_key) != websocket::CONNECT {
            return bad_request("Currently, authorization is restricted to the $connect route only");
        }
        if kind == AuthorizationType::Jwt {
            return bad_request("JWT authorization is only supported for HTTP APIs");
        }
    }
    let Some(wanted) = wanted else { return Ok(()) };
    let found: Option<Authorizer> = match &route.authorizer_id {
        Some(id) => tx.get(&keys::one(required(&api.api_id), Kind::Authorizer, id))?,
        None => None,
    };
    if found.is_none_or(|authorizer| authorizer.authorizer_type != Some(wanted)) {
        if kind == AuthorizationType::Jwt {
            return bad_request(
                "Invalid authorizer ID specified. Setting the authorization type to JWT requires a valid JWT authorizer.",
            );
        }
        return bad_request(
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires \
             a valid authorizer.",
        );
    }
    Ok(())
}
