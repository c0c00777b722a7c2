//! Responses of integrations, which only WebSocket APIs have.

use stagedoor_shapes::apigatewayv2::{
    Api, CreateIntegrationResponseRequest, DeleteIntegrationResponseRequest, GetIntegrationResponseRequest,
    GetIntegrationResponsesRequest, GetIntegrationResponsesResponse, Integration, IntegrationResponse,
    UpdateIntegrationResponseRequest,
};

use super::keys::{self, Kind};
use super::{V2, is_http, members, page_of, recast, updated, websocket};
use crate::ApiError;
use crate::control_plane::{bad_request, conflict, required};
use crate::ids;
use crate::tx::Tx;

impl V2<'_> {
    /// `CreateIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or integration, [`ApiError::BadRequest`] for HTTP APIs and for settings that
    /// AWS refuses, [`ApiError::Conflict`] if there is one with this key.
    pub fn create_integration_response(
        &self,
        input: CreateIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.integration_id));
        self.0.transact(|tx| {
            let whole: Api = self.api(tx, api)?;
            members::find::<Integration>(tx, api, Kind::Integration, owner)?;
            if is_http(&whole) {
                return bad_request(
                    "IntegrationResponses are currently not supported for this API protocol type. This is because the API may \
                     only be configured with proxy integration at this time.",
                );
            }
            let mut response: IntegrationResponse = recast(&input)?;
            response.integration_response_id = Some(ids::short()?);
            self.put_integration_response(tx, api, owner, response)
        })
    }

    /// `GetIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response.
    pub fn get_integration_response(
        &self,
        input: GetIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.integration_id));
        self.0.read(|tx| {
            self.find_integration_response(tx, api, owner, required(&input.integration_response_id))
        })
    }

    /// `GetIntegrationResponses`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or integration, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_integration_responses(
        &self,
        input: GetIntegrationResponsesRequest,
    ) -> Result<GetIntegrationResponsesResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.integration_id));
        let responses = self.0.read(|tx| {
            self.find::<Integration>(tx, api, Kind::Integration, owner)?;
            tx.scan::<IntegrationResponse>(&keys::all_of(api, Kind::IntegrationResponse, owner))
        })?;
        let (items, next_token) =
            page_of(responses, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetIntegrationResponsesResponse { items, next_token })
    }

    /// `UpdateIntegrationResponse`.
    ///
    /// # Errors
    /// As for `CreateIntegrationResponse`, and [`ApiError::NotFound`] if there is no such response.
    pub fn update_integration_response(
        &self,
        input: UpdateIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.integration_id));
        self.0.transact(|tx| {
            let before =
                self.find_integration_response(tx, api, owner, required(&input.integration_response_id))?;
            self.put_integration_response(tx, api, owner, updated(&before, &input)?)
        })
    }

    /// `DeleteIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response.
    pub fn delete_integration_response(
        &self,
        input: DeleteIntegrationResponseRequest,
    ) -> Result<(), ApiError> {
        let (api, owner) = (required(&input.api_id), required(&input.integration_id));
        let id = required(&input.integration_response_id);
        self.0.transact(|tx| {
            self.find_integration_response(tx, api, owner, id)?;
            tx.delete(&keys::one_of(api, Kind::IntegrationResponse, owner, id));
            self.redeploy(tx, api)
        })
    }

    fn find_integration_response(
        &self,
        tx: &Tx,
        api: &str,
        owner: &str,
        id: &str,
    ) -> Result<IntegrationResponse, ApiError> {
        self.find::<Integration>(tx, api, Kind::Integration, owner)?;
        let kind = Kind::IntegrationResponse;
        tx.get(&keys::one_of(api, kind, owner, id))?.ok_or_else(|| members::absent(kind, id))
    }

    fn put_integration_response(
        &self,
        tx: &Tx,
        api: &str,
        owner: &str,
        response: IntegrationResponse,
    ) -> Result<IntegrationResponse, ApiError> {
        check(tx, api, owner, &response)?;
        let id = required(&response.integration_response_id);
        tx.put(&keys::one_of(api, Kind::IntegrationResponse, owner, id), &response)?;
        self.redeploy(tx, api)?;
        Ok(response)
    }
}

/// AWS's rules for a response of an integration.
pub(super) fn check(tx: &Tx, api: &str, owner: &str, response: &IntegrationResponse) -> Result<(), ApiError> {
    websocket::check_response(
        required(&response.integration_response_key),
        response.template_selection_expression.as_deref(),
        response.response_parameters.as_ref(),
    )?;
    let others = tx.scan::<IntegrationResponse>(&keys::all_of(api, Kind::IntegrationResponse, owner))?;
    let taken = others.values().any(|other| {
        other.integration_response_id != response.integration_response_id
            && other.integration_response_key == response.integration_response_key
    });
    if taken {
        return conflict("Integration response with this key already exists");
    }
    Ok(())
}
