//! Method responses: what a method says that it answers.

use stagedoor_shapes::apigateway::{
    DeleteMethodResponseRequest, GetMethodResponseRequest, Method, MethodResponse, PutMethodResponseRequest,
    UpdateMethodResponseRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, conflict, not_found, required};
use crate::methods::{self, InStore, References};
use crate::patch::{ENTRY, Style, Table};
use crate::resources;

const NO_METHOD: &str = "Invalid Method identifier specified";

#[derive(Clone, Copy, Debug)]
enum Field {
    Model,
    Parameter,
}

const PATCHES: Table<Field> = Table {
    style: Style::Terse,
    rows: &[("/responseModels/{}", ENTRY, Field::Model), ("/responseParameters/{}", ENTRY, Field::Parameter)],
};

impl ControlPlane {
    /// `PutMethodResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown method, [`ApiError::Conflict`] if there is a response with this status.
    pub fn put_method_response(&self, input: PutMethodResponseRequest) -> Result<MethodResponse, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |tx, method| {
            let status = required(&input.status_code);
            let responses = method.method_responses.get_or_insert_default();
            if responses.contains_key(status) {
                return conflict("Response already exists for this resource");
            }
            let response = MethodResponse {
                status_code: Some(status.to_owned()),
                response_parameters: input.response_parameters.clone(),
                response_models: input.response_models.clone(),
            };
            check(&response, &InStore { tx, api: required(api) })?;
            responses.insert(status.to_owned(), response.clone());
            Ok(response)
        })
    }

    /// `GetMethodResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method or response.
    pub fn get_method_response(&self, input: GetMethodResponseRequest) -> Result<MethodResponse, ApiError> {
        self.read(|tx| {
            let mut resource =
                resources::find(tx, required(&input.rest_api_id), required(&input.resource_id))?;
            let method = methods::find(&mut resource, required(&input.http_method))?;
            find(method, required(&input.status_code)).cloned()
        })
    }

    /// `UpdateMethodResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response or what is patched is not there, [`ApiError::BadRequest`] for
    /// a patch that AWS refuses.
    pub fn update_method_response(
        &self,
        input: UpdateMethodResponseRequest,
    ) -> Result<MethodResponse, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |tx, method| {
            let response = find(method, required(&input.status_code))?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Model => {
                        let model = patch.value.clone().unwrap_or_default();
                        patch.on_map(
                            &mut response.response_models,
                            model,
                            "Content-Type specified was not found",
                        )?;
                    }
                    Field::Parameter => {
                        let required = patch.truth();
                        let missing = "Invalid parameter name specified";
                        patch.on_map(&mut response.response_parameters, required, missing)?;
                    }
                }
            }
            check(response, &InStore { tx, api: required(api) })?;
            Ok(response.clone())
        })
    }

    /// `DeleteMethodResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method or response.
    pub fn delete_method_response(&self, input: DeleteMethodResponseRequest) -> Result<(), ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |_, method| {
            find(method, required(&input.status_code))?;
            if let Some(responses) = method.method_responses.as_mut() {
                responses.remove(required(&input.status_code));
            }
            method.method_responses =
                method.method_responses.take().filter(|responses| !responses.is_empty());
            Ok(())
        })
    }
}

fn find<'a>(method: &'a mut Method, status: &str) -> Result<&'a mut MethodResponse, ApiError> {
    match method.method_responses.as_mut().and_then(|responses| responses.get_mut(status)) {
        Some(response) => Ok(response),
        None => not_found("Invalid Response status code specified"),
    }
}

/// Holds a response against AWS's rules.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message for the first thing that is wrong.
pub(crate) fn check(response: &MethodResponse, references: &impl References) -> Result<(), ApiError> {
    methods::check_models(response.response_models.as_ref(), references)?;
    methods::check_parameters(response.response_parameters.as_ref(), "method.response.")
}
