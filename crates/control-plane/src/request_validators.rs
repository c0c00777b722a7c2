//! Request validators: which parts of a request are checked.

use stagedoor_shapes::apigateway::{
    CreateRequestValidatorRequest, DeleteRequestValidatorRequest, GetRequestValidatorRequest,
    GetRequestValidatorsRequest, RequestValidator, RequestValidators, Resource,
    UpdateRequestValidatorRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::ids;
use crate::keys::{self, Kind};
use crate::methods;
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::tx::Tx;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Parameters,
    Body,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/name", REPLACE, Field::Name),
        ("/validateRequestParameters", REPLACE, Field::Parameters),
        ("/validateRequestBody", REPLACE, Field::Body),
    ],
};

impl ControlPlane {
    /// `CreateRequestValidator`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for an unknown API.
    pub fn create_request_validator(
        &self,
        input: CreateRequestValidatorRequest,
    ) -> Result<RequestValidator, ApiError> {
        let api = required(&input.rest_api_id);
        let validator = RequestValidator {
            id: Some(ids::short()?),
            name: input.name,
            validate_request_body: input.validate_request_body.or(Some(false)),
            validate_request_parameters: input.validate_request_parameters.or(Some(false)),
        };
        self.transact(|tx| {
            if !tx.exists(&keys::api(api))? {
                return bad_request("Invalid REST API identifier specified");
            }
            tx.put(&keys::one(api, Kind::Validator, required(&validator.id)), &validator)
        })?;
        Ok(validator)
    }

    /// `GetRequestValidator`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such validator.
    pub fn get_request_validator(
        &self,
        input: GetRequestValidatorRequest,
    ) -> Result<RequestValidator, ApiError> {
        self.read(|tx| find(tx, required(&input.rest_api_id), required(&input.request_validator_id)))
    }

    /// `GetRequestValidators`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_request_validators(
        &self,
        input: GetRequestValidatorsRequest,
    ) -> Result<RequestValidators, ApiError> {
        let api = required(&input.rest_api_id);
        let validators = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<RequestValidator>(&keys::all(api, Kind::Validator))
        })?;
        let (items, position) = page(validators, input.position.as_deref(), input.limit)?;
        Ok(RequestValidators { items, position })
    }

    /// `UpdateRequestValidator`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such validator, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_request_validator(
        &self,
        input: UpdateRequestValidatorRequest,
    ) -> Result<RequestValidator, ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.request_validator_id));
        self.transact(|tx| {
            let mut validator = find(tx, api, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Name => match patch.text() {
                        Some(name) => validator.name = Some(name),
                        None => return bad_request("Request Validator name cannot be blank"),
                    },
                    Field::Parameters => validator.validate_request_parameters = Some(patch.truth()),
                    Field::Body => validator.validate_request_body = Some(patch.truth()),
                }
            }
            tx.put(&keys::one(api, Kind::Validator, id), &validator)?;
            Ok(validator)
        })
    }

    /// `DeleteRequestValidator`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such validator, [`ApiError::Conflict`] if a method uses it.
    pub fn delete_request_validator(&self, input: DeleteRequestValidatorRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.request_validator_id));
        self.transact(|tx| {
            find(tx, api, id)?;
            for resource in tx.scan::<Resource>(&keys::all(api, Kind::Resource))?.values() {
                for (http_method, method) in resource.resource_methods.iter().flatten() {
                    if method.request_validator_id.as_deref() == Some(id) {
                        return conflict(format!(
                            "Cannot delete Request Validator '{id}', is referenced in method: {}",
                            methods::place(&resource.path, http_method)
                        ));
                    }
                }
            }
            tx.delete(&keys::one(api, Kind::Validator, id));
            Ok(())
        })
    }
}

fn find(tx: &Tx, api: &str, id: &str) -> Result<RequestValidator, ApiError> {
    match tx.get(&keys::one(api, Kind::Validator, id))? {
        Some(validator) => Ok(validator),
        None => not_found("Invalid Request Validator identifier specified"),
    }
}
