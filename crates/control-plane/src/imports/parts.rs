//! What stands beside the tree: models, request validators, authorizers and gateway responses.
//!
//! What is there under the same name keeps its id, because methods and callers refer to it by that.

use serde_json::Value;
use stagedoor_openapi::{
    AuthorizerExtension, DocPath, GatewayResponse as GatewayResponseDef, MODEL_REFERENCE, SecurityScheme,
};
use stagedoor_shapes::apigateway::{
    Authorizer, AuthorizerType, GatewayResponse, JwtConfiguration, Model, RequestValidator,
};

use super::apply::Import;
use crate::{authorizers, gateway_responses, jwt_configurations, model_schema, models};

impl Import<'_> {
    pub(super) fn models(&mut self) {
        let definition = self.definition;
        let mut models = std::mem::take(&mut self.api.models);
        if self.options.overwrite {
            models
                .retain(|model| model.name.as_ref().is_some_and(|name| definition.models.contains_key(name)));
        }
        self.api.models = models;
        for (name, model) in &definition.models {
            self.put_model(name, &model.schema, model.description.clone(), &model.at);
        }
    }

    /// Adds a model or replaces the one of that name, which keeps its id.
    pub(super) fn put_model(
        &mut self,
        name: &str,
        schema: &serde_json::Value,
        description: Option<String>,
        at: &DocPath,
    ) {
        let api_id = self.api.rest_api.id.clone().unwrap_or_default();
        let mut schema = schema.clone();
        link_models(&mut schema, &api_id);
        let found = self.api.models.iter().position(|model| model.name.as_deref() == Some(name));
        let id = found.and_then(|index| self.api.models.get(index)?.id.clone());
        let model = Model {
            id: Some(id.unwrap_or_else(|| (self.surroundings.new_id)())),
            name: Some(name.to_owned()),
            description,
            schema: Some(crate::exports::print::print(&schema)),
            content_type: Some("application/json".to_owned()),
        };
        let definition = self.definition;
        let kept = &self.api.models;
        let there = |other: &str| {
            (models::is_name(other) && definition.models.contains_key(other))
                || kept.iter().any(|model| model.name.as_deref() == Some(other))
        };
        if let Err(error) = models::check(&model).and_then(|()| models::check_references(&model, there)) {
            let at = unsupported(&schema, at);
            self.fail(&at, format!("Unable to create model for '{name}': {error}"));
            self.unmade.insert(name.to_owned());
        }
        match found.and_then(|index| self.api.models.get_mut(index)) {
            Some(slot) => *slot = model,
            None => self.api.models.push(model),
        }
    }

    pub(super) fn validators(&mut self) {
        let definition = self.definition;
        if self.options.overwrite {
            let kept = |one: &RequestValidator| {
                one.name.as_ref().is_some_and(|name| definition.request_validators.contains_key(name))
            };
            self.api.request_validators.retain(kept);
        }
        for (name, validator) in &definition.request_validators {
            if name.is_empty() {
                let message = "Unable to create request validator: Request Validator name cannot be blank";
                self.fail(&validator.at, message);
                continue;
            }
            let found = self.api.request_validators.iter_mut().find(|one| one.name.as_deref() == Some(name));
            if let Some(own) = found {
                own.validate_request_body = Some(validator.body);
                own.validate_request_parameters = Some(validator.parameters);
                continue;
            }
            self.api.request_validators.push(RequestValidator {
                id: Some((self.surroundings.new_id)()),
                name: Some(name.clone()),
                validate_request_body: Some(validator.body),
                validate_request_parameters: Some(validator.parameters),
            });
        }
    }

    pub(super) fn authorizers(&mut self) {
        let definition = self.definition;
        let before = std::mem::take(&mut self.api.authorizers);
        let defined =
            |name: &String| definition.security_schemes.get(name).is_some_and(|one| one.authorizer.is_some());
        let mut kept: Vec<Authorizer> = Vec::new();
        if !self.options.overwrite {
            kept = before.iter().filter(|one| !one.name.as_ref().is_some_and(defined)).cloned().collect();
        }
        for (name, scheme) in &definition.security_schemes {
            let Some(extension) = &scheme.authorizer else { continue };
            let own = before.iter().find(|one| one.name.as_ref() == Some(name));
            let id = own.and_then(|one| one.id.clone()).unwrap_or_else(|| (self.surroundings.new_id)());
            kept.extend(self.authorizer(id, name, scheme, extension));
        }
        self.api.authorizers = kept;
    }

    fn authorizer(
        &mut self,
        id: String,
        name: &str,
        scheme: &SecurityScheme,
        extension: &AuthorizerExtension,
    ) -> Option<Authorizer> {
        let what = format!("Unable to create authorizer '{name}'");
        let Some(kind) = &extension.kind else {
            self.fail(&extension.at, format!("{what}: an authorizer needs a 'type'"));
            return None;
        };
        let kind: AuthorizerType = self.upper(Some(kind), &extension.at.child("type"), &what)?;
        let jwt_configuration = match &extension.jwt_configuration {
            Some(value) => Some(self.jwt_configuration(value, &extension.at, &what)?),
            None => None,
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        // The scheme itself names the header that a token is in.
        let header = || scheme.name.as_ref().map(|name| format!("method.request.header.{name}"));
        let identity_source = match kind {
            AuthorizerType::Request => given(&extension.identity_source),
            AuthorizerType::Token | AuthorizerType::CognitoUserPools | AuthorizerType::Jwt => {
                given(&extension.identity_source).or_else(header)
            }
        };
        let arns: Vec<String> = extension.provider_arns.iter().map(|arn| self.fill(arn)).collect();
        let authorizer = authorizers::complete(Authorizer {
            id: Some(id),
            name: Some(name.to_owned()),
            type_: Some(kind),
            provider_arns: (!arns.is_empty()).then_some(arns),
            auth_type: scheme.auth_type.clone(),
            authorizer_uri: given(&extension.uri).map(|text| self.fill(&text)),
            authorizer_credentials: given(&extension.credentials).map(|text| self.fill(&text)),
            identity_source,
            identity_validation_expression: given(&extension.identity_validation_expression),
            // A number that does not fit is out of AWS's bounds as well, and refused as such.
            authorizer_result_ttl_in_seconds: extension
                .result_ttl_seconds
                .map(|ttl| i32::try_from(ttl).unwrap_or(-1)),
            jwt_configuration,
        });
        authorizer.map_err(|error| self.fail(&extension.at, format!("{what}: {error}"))).ok()
    }

    /// A configuration with the key sets of its issuers, which have been asked before the import began.
    fn jwt_configuration(&mut self, value: &Value, at: &DocPath, what: &str) -> Option<JwtConfiguration> {
        let at = at.child("jwtConfiguration");
        let mut configuration = match jwt_configurations::from_json(value) {
            Ok(configuration) => configuration,
            Err(message) => {
                self.fail(&at, format!("{what}: {message}"));
                return None;
            }
        };
        for issuer in configuration.issuers.iter_mut().flatten() {
            issuer.issuer = issuer.issuer.take().map(|text| self.fill(&text));
            for audience in issuer.audiences.iter_mut().flatten() {
                *audience = self.fill(audience);
            }
        }
        match jwt_configurations::note(&mut configuration, self.surroundings.key_sets) {
            Ok(()) => Some(configuration),
            Err(message) => {
                self.fail(&at, format!("{what}: {message}"));
                None
            }
        }
    }

    pub(super) fn gateway_responses(&mut self) {
        let definition = self.definition;
        if self.options.overwrite {
            self.api.gateway_responses.clear();
        }
        for (kind, response) in &definition.gateway_responses {
            // The reader knows the same types.
            let Ok(response_type) = kind.parse() else { continue };
            self.api.gateway_responses.retain(|one| one.response_type != Some(response_type));
            let GatewayResponseDef { at, status_code, response_parameters, response_templates } = response;
            let where_ = format!("of gateway response '{kind}'");
            let parameters = self.strings(
                response_parameters,
                &at.child("responseParameters"),
                "responseParameters",
                &where_,
            );
            let templates = self.strings(
                response_templates,
                &at.child("responseTemplates"),
                "responseTemplates",
                &where_,
            );
            let response = gateway_responses::complete(GatewayResponse {
                response_type: Some(response_type),
                status_code: status_code.clone(),
                response_parameters: parameters,
                response_templates: templates,
                default_response: Some(false),
            });
            match response {
                Ok(response) => self.api.gateway_responses.push(response),
                Err(error) => self.fail(at, format!("Unable to put gateway response '{kind}': {error}")),
            }
        }
    }
}

/// Where in the document a schema has its first keyword that models do not have; the schema itself if it has none.
fn unsupported(schema: &serde_json::Value, at: &DocPath) -> DocPath {
    let found = model_schema::unsupported(schema).unwrap_or_default();
    found.iter().fold(at.clone(), |at, part| at.child(part))
}

/// Turns references between models into the addresses that AWS gives them.
fn link_models(schema: &mut serde_json::Value, api_id: &str) {
    match schema {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix(MODEL_REFERENCE)) {
                    Some(model) if name == "$ref" => {
                        *value = format!("https://apigateway.amazonaws.com/restapis/{api_id}/models/{model}")
                            .into();
                    }
                    _ => link_models(value, api_id),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| link_models(item, api_id)),
        _ => {}
    }
}
