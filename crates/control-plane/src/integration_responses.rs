//! Integration responses: how a backend's answer becomes the method's.

use stagedoor_shapes::apigateway::{
    ContentHandlingStrategy, DeleteIntegrationResponseRequest, GetIntegrationResponseRequest, Integration,
    IntegrationResponse, Method, PutIntegrationResponseRequest, UpdateIntegrationResponseRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, DeploymentCheck, bad_request, not_found, required};
use crate::integrations::{self, check_templates};
use crate::mapping;
use crate::methods;
use crate::patch::{ENTRY, Patch, REPLACE, Style, Table};
use crate::resources;

const NO_METHOD: &str = "Invalid Method identifier specified";
const NO_INTEGRATION: &str = "Invalid Integration identifier specified";
const NO_RESPONSE: &str = "Invalid Response status code specified";

#[derive(Clone, Copy, Debug)]
enum Field {
    ContentHandling,
    Parameter,
    Template,
    SelectionPattern,
}

const PATCHES: Table<Field> = Table {
    style: Style::Terse,
    rows: &[
        ("/contentHandling", REPLACE, Field::ContentHandling),
        ("/responseParameters/{}", ENTRY, Field::Parameter),
        ("/responseTemplates/{}", ENTRY, Field::Template),
        ("/selectionPattern", REPLACE, Field::SelectionPattern),
    ],
};

impl ControlPlane {
    /// `PutIntegrationResponse`: the one that is there is replaced.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown method or integration, [`ApiError::BadRequest`] for what AWS refuses.
    pub fn put_integration_response(
        &self,
        input: PutIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |_, method| {
            let status = required(&input.status_code);
            let response = IntegrationResponse {
                status_code: Some(status.to_owned()),
                selection_pattern: input.selection_pattern.clone(),
                response_parameters: input.response_parameters.clone(),
                response_templates: input.response_templates.clone(),
                content_handling: input.content_handling,
            };
            check(&response, method)?;
            check_pattern(&response, self.settings.deployment_check.as_ref())?;
            let responses = integrations::find(method)?.integration_responses.get_or_insert_default();
            responses.insert(status.to_owned(), response.clone());
            Ok(response)
        })
    }

    /// `GetIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method, integration or response.
    pub fn get_integration_response(
        &self,
        input: GetIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        self.read(|tx| {
            let mut resource =
                resources::find(tx, required(&input.rest_api_id), required(&input.resource_id))?;
            let method = methods::find(&mut resource, required(&input.http_method))?;
            find(integrations::find(method)?, required(&input.status_code)).cloned()
        })
    }

    /// `UpdateIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such response or what is patched is not there, [`ApiError::BadRequest`] for
    /// a patch that AWS refuses.
    pub fn update_integration_response(
        &self,
        input: UpdateIntegrationResponseRequest,
    ) -> Result<IntegrationResponse, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |_, method| {
            let mut response = find(integrations::find(method)?, required(&input.status_code))?.clone();
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                apply(&mut response, &patch)?;
            }
            check(&response, method)?;
            check_pattern(&response, self.settings.deployment_check.as_ref())?;
            *find(integrations::find(method)?, required(&input.status_code))? = response.clone();
            Ok(response)
        })
    }

    /// `DeleteIntegrationResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method, integration or response.
    pub fn delete_integration_response(
        &self,
        input: DeleteIntegrationResponseRequest,
    ) -> Result<(), ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        // AWS names the integration here even when it is the method that is not there.
        self.edit_method(api, resource, method, NO_INTEGRATION, |_, method| {
            let integration = integrations::find(method)?;
            find(integration, required(&input.status_code))?;
            if let Some(responses) = integration.integration_responses.as_mut() {
                responses.remove(required(&input.status_code));
            }
            let responses = integration.integration_responses.take();
            integration.integration_responses = responses.filter(|responses| !responses.is_empty());
            Ok(())
        })
    }
}

fn find<'a>(integration: &'a mut Integration, status: &str) -> Result<&'a mut IntegrationResponse, ApiError> {
    match integration.integration_responses.as_mut().and_then(|responses| responses.get_mut(status)) {
        Some(response) => Ok(response),
        None => not_found(NO_RESPONSE),
    }
}

/// Refuses a selection pattern that is none.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check_pattern(
    response: &IntegrationResponse,
    check: &dyn DeploymentCheck,
) -> Result<(), ApiError> {
    match response.selection_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        Some(pattern) if !check.is_pattern(pattern) => bad_request("Invalid regex pattern specified"),
        _ => Ok(()),
    }
}

/// Holds an integration response against AWS's rules.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message for the first thing that is wrong.
pub(crate) fn check(response: &IntegrationResponse, method: &Method) -> Result<(), ApiError> {
    let status = required(&response.status_code);
    let declared = method.method_responses.as_ref().and_then(|responses| responses.get(status));
    if declared.is_none() && response.response_parameters.as_ref().is_some_and(|mapped| !mapped.is_empty()) {
        return bad_request(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors : [No method response exists \
             for method.]",
        );
    }
    let declared = declared.and_then(|declared| declared.response_parameters.as_ref());
    for (name, expression) in response.response_parameters.iter().flatten() {
        mapping::check_response(name, expression, declared)?;
    }
    check_templates(response.response_templates.as_ref())
}

fn apply(response: &mut IntegrationResponse, patch: &Patch<Field>) -> Result<(), ApiError> {
    match patch.field {
        Field::ContentHandling => {
            let message =
                "Invalid content handling specified. Valid options are CONVERT_TO_BINARY,CONVERT_TO_TEXT";
            response.content_handling = match patch.text() {
                Some(_) => Some(patch.one_of::<ContentHandlingStrategy>(message)?),
                None => None,
            };
        }
        Field::SelectionPattern => response.selection_pattern = patch.value.clone(),
        Field::Parameter => {
            let expression = patch.value.clone().unwrap_or_default();
            patch.on_map(
                &mut response.response_parameters,
                expression,
                "Invalid parameter name specified",
            )?;
        }
        Field::Template => {
            let template = patch.value.clone().unwrap_or_default();
            patch.on_map(
                &mut response.response_templates,
                template,
                "Content-Type specified was not found",
            )?;
        }
    }
    Ok(())
}
