//! API Gateway's extensions at the top level of an exported document.

use serde_json::{Map, Value, json};
use stagedoor_shapes::apigateway::{ApiKeySourceType, DocumentationPartType as Part, EndpointType};

use super::document::{Export, put};
use super::{Dialect, iso_time, order};
use crate::control_plane::required;

impl Export<'_> {
    pub(super) fn root_extensions(&self, root: &mut Map<String, Value>) {
        if self.extensions.settings {
            self.settings(root);
        }
        if self.extensions.documentation
            && let Some(documentation) = &self.documentation
        {
            let mut members = Map::new();
            members.insert("version".to_owned(), required(&documentation.version.version).into());
            let date = iso_time(documentation.version.created_date.unwrap_or_default());
            members.insert("createdDate".to_owned(), date.into());
            members.insert("documentationParts".to_owned(), documentation.parts_as_written());
            root.insert("x-amazon-apigateway-documentation".to_owned(), Value::Object(members));
        }
        self.describe(root, Part::Api, None, None, None, None, &["tags", "externalDocs"]);
    }

    fn settings(&self, root: &mut Map<String, Value>) {
        let api = &self.snapshot.rest_api;
        let mut put_one = |name: &str, value: Value| {
            root.insert(format!("x-amazon-apigateway-{name}"), value);
        };
        if self.dialect == Dialect::Swagger2
            && let Some(configuration) = self.endpoint_configuration()
        {
            put_one("endpoint-configuration", configuration);
        }
        if api.api_key_source == Some(ApiKeySourceType::Authorizer) {
            put_one("api-key-source", "AUTHORIZER".into());
        }
        if let Some(policy) = api.policy.as_deref().and_then(policy) {
            put_one("policy", policy);
        }
        if let Some(size) = api.minimum_compression_size {
            put_one("minimum-compression-size", size.into());
        }
        if let Some(policy) = api.security_policy {
            put_one("security-policy", policy.as_str().into());
        }
        if let Some(mode) = api.endpoint_access_mode {
            put_one("endpoint-access-mode", mode.as_str().into());
        }
        put(root, "x-amazon-apigateway-gateway-responses", self.gateway_responses());
        let mut validators: Vec<_> = self.snapshot.request_validators.iter().collect();
        validators.sort_by_key(|validator| &validator.name);
        let validators = validators.into_iter().map(|validator| {
            let value = json!({
                "validateRequestParameters": validator.validate_request_parameters.unwrap_or_default(),
                "validateRequestBody": validator.validate_request_body.unwrap_or_default(),
            });
            (required(&validator.name).to_owned(), value)
        });
        let validators = order::members(validators.collect());
        put(root, "x-amazon-apigateway-request-validators", validators);
        if let Some(types) = api.binary_media_types.as_ref().filter(|types| !types.is_empty()) {
            root.insert("x-amazon-apigateway-binary-media-types".to_owned(), json!(types));
        }
    }

    fn gateway_responses(&self) -> Map<String, Value> {
        let mut responses = Map::new();
        for response in &self.snapshot.gateway_responses {
            let Some(kind) = response.response_type else { continue };
            let mut members = Map::new();
            if let Some(code) = response.status_code.as_deref().filter(|code| !code.is_empty()) {
                // A number, as AWS writes it; the code of a stored response is always one.
                let code = code.parse::<u16>().map_or_else(|_| code.into(), Value::from);
                members.insert("statusCode".to_owned(), code);
            }
            if let Some(parameters) = response.response_parameters.as_ref().filter(|all| !all.is_empty()) {
                members.insert("responseParameters".to_owned(), order::object(parameters).into());
            }
            if let Some(templates) = response.response_templates.as_ref().filter(|all| !all.is_empty()) {
                members.insert("responseTemplates".to_owned(), order::object(templates).into());
            }
            responses.insert(kind.as_str().to_owned(), Value::Object(members));
        }
        responses
    }

    /// What of the endpoint is not as it is by default; the kind of endpoint is no part of a document on AWS.
    pub(super) fn endpoint_configuration(&self) -> Option<Value> {
        if !self.extensions.settings {
            return None;
        }
        let api = &self.snapshot.rest_api;
        let mut members = Map::new();
        if api.disable_execute_api_endpoint == Some(true) {
            members.insert("disableExecuteApiEndpoint".to_owned(), true.into());
        }
        if let Some(configuration) = &api.endpoint_configuration {
            let private = configuration.types.as_deref() == Some(&[EndpointType::Private]);
            let ids = configuration.vpc_endpoint_ids.as_ref().filter(|ids| private && !ids.is_empty());
            if let Some(ids) = ids {
                members.insert("vpcEndpointIds".to_owned(), json!(ids));
            }
            if let Some(kind) =
                configuration.ip_address_type.filter(|kind| !private && kind.as_str() != "ipv4")
            {
                members.insert("ipAddressType".to_owned(), kind.as_str().into());
            }
        }
        (!members.is_empty()).then_some(Value::Object(members))
    }
}

/// The policy as an object. It is stored with its quotation marks escaped once more, as AWS answers it.
fn policy(stored: &str) -> Option<Value> {
    let parsed = serde_json::from_str::<Value>(stored).ok();
    parsed.or_else(|| serde_json::from_str(&stored.replace("\\\"", "\"").replace("\\/", "/")).ok())
}
