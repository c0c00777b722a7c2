//! Responses of routes, which only WebSocket APIs have.

use stagedoor_shapes::apigatewayv2::{
    Api, CreateRouteResponseRequest, DeleteRouteResponseRequest, GetRouteResponseRequest,
    GetRouteResponsesRequest, GetRouteResponsesResponse, Route, RouteResponse, UpdateRouteResponseRequest,
};

use super::keys::{self, Kind};
use super::{V2, is_http, members, page_of, recast, updated, websocket};
use crate::ApiError;
use crate::control_plane::{bad_request, conflict, required};
use crate::ids;
use crate::tx::Tx;

/// AWS answers clients of a WebSocket API on this key alone.
const KEY: &str = "$default";

impl V2<'_> {
    /// `CreateRouteResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or route, [`ApiError::BadRequest`] for HTTP APIs and for settings that
    /// AWS refuses, [`ApiError::Conflict`] if there is one with this key.
    pub fn create_route_response(
        &self,
        input: CreateRouteResponseRequest,
    ) -> Result<RouteResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.route_id));
        self.0.transact(|tx| {
            let whole: Api = self.api(tx, api)?;
            members::find::<Route>(tx, api, Kind::Route, owner)?;
            if is_http(&whole) {
                return bad_request(
                    "RouteResponses are currently not supported for this API protocol type. This is because the API may only \
                     be configured with proxy integration at this time.",
                );
            }
            let mut response: RouteResponse = recast(&input)?;
            response.route_response_id = Some(ids::short()?);
            self.put_route_response(tx, api, owner, response)
        })
    }

    /// `GetRouteResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response.
    pub fn get_route_response(&self, input: GetRouteResponseRequest) -> Result<RouteResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.route_id));
        self.0.read(|tx| self.find_route_response(tx, api, owner, required(&input.route_response_id)))
    }

    /// `GetRouteResponses`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or route, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_route_responses(
        &self,
        input: GetRouteResponsesRequest,
    ) -> Result<GetRouteResponsesResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.route_id));
        let responses = self.0.read(|tx| {
            self.find::<Route>(tx, api, Kind::Route, owner)?;
            tx.scan::<RouteResponse>(&keys::all_of(api, Kind::RouteResponse, owner))
        })?;
        let (items, next_token) =
            page_of(responses, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetRouteResponsesResponse { items, next_token })
    }

    /// `UpdateRouteResponse`.
    ///
    /// # Errors
    /// As for `CreateRouteResponse`, and [`ApiError::NotFound`] if there is no such response.
    pub fn update_route_response(
        &self,
        input: UpdateRouteResponseRequest,
    ) -> Result<RouteResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.route_id));
        self.0.transact(|tx| {
            let before = self.find_route_response(tx, api, owner, required(&input.route_response_id))?;
            self.put_route_response(tx, api, owner, updated(&before, &input)?)
        })
    }

    /// `DeleteRouteResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response.
    pub fn delete_route_response(&self, input: DeleteRouteResponseRequest) -> Result<(), ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.route_id));
        let id = required(&input.route_response_id);
        self.0.transact(|tx| {
            self.find_route_response(tx, api, owner, id)?;
            tx.delete(&keys::one_of(api, Kind::RouteResponse, owner, id));
            self.redeploy(tx, api)
        })
    }

    fn find_route_response(
        &self,
        tx: &Tx,
        api: &str,
        owner: &str,
        id: &str,
    ) -> Result<RouteResponse, ApiError> {
        self.find::<Route>(tx, api, Kind::Route, owner)?;
        let kind = Kind::RouteResponse;
        tx.get(&keys::one_of(api, kind, owner, id))?.ok_or_else(|| members::absent(kind, id))
    }

    fn put_route_response(
        &self,
        tx: &Tx,
        api: &str,
        owner: &str,
        response: RouteResponse,
    ) -> Result<RouteResponse, ApiError> {
        check(tx, &self.api(tx, api)?, owner, &response)?;
        let id = required(&response.route_response_id);
        tx.put(&keys::one_of(api, Kind::RouteResponse, owner, id), &response)?;
        self.redeploy(tx, api)?;
        Ok(response)
    }
}

/// AWS's rules for a response of a route.
pub(super) fn check(tx: &Tx, api: &Api, owner: &str, response: &RouteResponse) -> Result<(), ApiError> {
    if required(&response.route_response_key) != KEY {
        return bad_request(
            "Currently, only $default is supported as a RouteResponseKey. The creation of the RouteResponse with a key of \
             $default will indicate to API Gateway that this Route is intended to handle two-way communication.",
        );
    }
    websocket::check_selection("modelSelectionExpression", response.model_selection_expression.as_deref())?;
    websocket::check_models(tx, api, response.response_models.as_ref())?;
    let parameters = response.response_parameters.as_ref();
    websocket::check_parameters("route.response.", &["header"], parameters)?;
    let others =
        tx.scan::<RouteResponse>(&keys::all_of(required(&api.api_id), Kind::RouteResponse, owner))?;
    let taken = others.values().any(|other| {
        other.route_response_id != response.route_response_id
            && other.route_response_key == response.route_response_key
    });
    if taken {
        return conflict("Route response with this key already exists");
    }
    Ok(())
}
