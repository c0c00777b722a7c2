//! Integrations and their responses.

use stagedoor_openapi::{Integration as Definition, IntegrationResponse as ResponseDefinition, Kind};
use stagedoor_shapes::apigateway::{Integration, IntegrationResponse, IntegrationType, Method, TlsConfig};

use super::apply::Import;
use super::tree::check_status;
use crate::control_plane::required;
use crate::{integration_responses, integrations};

/// How a document spells that an integration passes on the method of the request.
const ANY_METHOD: &str = "x-amazon-apigateway-any-method";

impl Import<'_> {
    /// The integration of a method, which has its parameters and responses already.
    pub(super) fn integration(
        &mut self,
        path: &str,
        method: &Method,
        definition: &Definition,
        resource: &str,
    ) -> Option<Integration> {
        let at = &definition.at;
        let http_method = required(&method.http_method);
        let kind = definition.kind.as_deref().unwrap_or("null");
        if kind.to_ascii_uppercase().parse::<IntegrationType>().is_err() {
            let place = if definition.kind.is_some() { at.child("type") } else { at.clone() };
            let message = format!("Unknown integration type '{kind}' for '{http_method} {path}'. Ignoring.");
            self.warn_as_aws(&place, message);
            if let Some(warning) = self.warnings.last_mut() {
                warning.kind = Kind::UnknownName;
            }
            return None;
        }
        let what = format!("Unable to put integration on '{http_method}' for resource at path '{path}'");
        let where_ = format!("of resource '{path}' and method '{http_method}'");
        let errors = self.errors.len();
        let upper = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_uppercase());
        let http_method = definition.http_method.as_deref().map(|text| match text {
            ANY_METHOD => "ANY".to_owned(),
            other => other.to_ascii_uppercase(),
        });
        let given = Integration {
            type_: self.upper(definition.kind.as_ref(), &at.child("type"), &what),
            http_method,
            uri: definition.uri.as_ref().map(|uri| self.fill(uri)),
            connection_type: self.upper(
                definition.connection_type.as_ref(),
                &at.child("connectionType"),
                &what,
            ),
            connection_id: definition.connection_id.clone(),
            credentials: definition.credentials.as_ref().map(|arn| self.fill(arn)),
            request_parameters: self.strings(
                &definition.request_parameters,
                &at.child("requestParameters"),
                "requestParameters",
                &where_,
            ),
            request_templates: self.strings(
                &definition.request_templates,
                &at.child("requestTemplates"),
                "requestTemplates",
                &where_,
            ),
            passthrough_behavior: upper(&definition.passthrough_behavior),
            content_handling: self.upper(
                definition.content_handling.as_ref(),
                &at.child("contentHandling"),
                &what,
            ),
            // A number that does not fit is out of AWS's bounds as well, and refused as such.
            timeout_in_millis: definition.timeout_ms.map(|timeout| i32::try_from(timeout).unwrap_or(-1)),
            cache_namespace: definition.cache_namespace.clone(),
            cache_key_parameters: Some(definition.cache_key_parameters.clone()),
            integration_responses: None,
            tls_config: definition
                .insecure_skip_verification
                .map(|skip| TlsConfig { insecure_skip_verification: Some(skip) }),
            response_transfer_mode: self.upper(
                definition.response_transfer_mode.as_ref(),
                &at.child("responseTransferMode"),
                &what,
            ),
            integration_target: definition.integration_target.clone(),
        };
        if self.errors.len() > errors {
            return None;
        }
        let mut integration = match integrations::complete(given, resource, method) {
            Ok(integration) => integration,
            Err(error) => {
                self.fail(at, format!("{what}: {error}"));
                return None;
            }
        };
        let templates = integration.request_templates.clone();
        self.check_templates(templates.as_ref(), &at.child("requestTemplates"), &what);
        for (pattern, response) in &definition.responses {
            let response_at = &response.at;
            let answer = self.integration_response(path, method, pattern, response);
            let Some(code) = answer.status_code.clone() else { continue };
            if integration
                .integration_responses
                .get_or_insert_default()
                .insert(code.clone(), answer)
                .is_some()
            {
                let message =
                    format!("two integration responses have the status code {code}; the last one is kept");
                self.warn(response_at, message);
            }
        }
        Some(integration)
    }

    fn integration_response(
        &mut self,
        path: &str,
        method: &Method,
        pattern: &str,
        definition: &ResponseDefinition,
    ) -> IntegrationResponse {
        let at = &definition.at;
        let http_method = required(&method.http_method);
        let what =
            format!("Unable to put integration response on '{http_method}' for resource at path '{path}'");
        let where_ = format!("of resource '{path}' and method '{http_method}'");
        if let Err(error) = check_status(definition.status_code.as_deref().unwrap_or("null")) {
            self.fail(&at.child("statusCode"), format!("{what}: {error}"));
        }
        let response = IntegrationResponse {
            status_code: definition.status_code.clone(),
            selection_pattern: (pattern != "default").then(|| pattern.to_owned()),
            response_parameters: self.strings(
                &definition.response_parameters,
                &at.child("responseParameters"),
                "responseParameters",
                &where_,
            ),
            response_templates: self.strings(
                &definition.response_templates,
                &at.child("responseTemplates"),
                "responseTemplates",
                &where_,
            ),
            content_handling: self.upper(
                definition.content_handling.as_ref(),
                &at.child("contentHandling"),
                &what,
            ),
        };
        let checked = integration_responses::check(&response, method)
            .and_then(|()| integration_responses::check_pattern(&response, self.surroundings.check));
        if let Err(error) = checked {
            self.fail(at, format!("{what}: {error}"));
        }
        self.check_templates(response.response_templates.as_ref(), &at.child("responseTemplates"), &what);
        response
    }
}
