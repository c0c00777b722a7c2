//! Paths, methods, parameters and responses of an exported document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use stagedoor_shapes::apigateway::{DocumentationPartType as Part, Integration, Method, MethodResponse};

use super::document::{Export, Used, put};
use super::{Dialect, order};
use crate::control_plane::required;

const JSON: &str = "application/json";

/// In the orders of the libraries that write AWS's exports.
const OPENAPI3_METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "ANY"];
const SWAGGER2_METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "ANY"];

/// The members of an operation that documentation may add, besides `x-` members.
const OPERATION: &[&str] = &["tags", "summary", "description", "externalDocs", "deprecated"];

impl Export<'_> {
    pub(super) fn paths(&self, used: &mut Used) -> Value {
        let methods_order = match self.dialect {
            Dialect::OpenApi3 => OPENAPI3_METHODS,
            Dialect::Swagger2 => SWAGGER2_METHODS,
        };
        let mut paths = Map::new();
        for resource in &self.snapshot.resources {
            let path = required(&resource.path);
            let methods = resource.resource_methods.as_ref();
            let mut item = Map::new();
            for name in methods_order {
                let Some(method) = methods.and_then(|methods| methods.get(name)) else { continue };
                let key = match name {
                    "ANY" => "x-amazon-apigateway-any-method".to_owned(),
                    other => other.to_ascii_lowercase(),
                };
                item.insert(key, self.operation(path, name, method, used));
            }
            if !item.is_empty() {
                self.describe(&mut item, Part::Resource, Some(path), None, None, None, &[]);
                paths.insert(path.to_owned(), Value::Object(item));
            }
        }
        // Swagger 2.0 has them by name.
        Value::Object(if self.dialect == Dialect::OpenApi3 { order::members(paths) } else { paths })
    }

    fn operation(&self, path: &str, name: &str, method: &Method, used: &mut Used) -> Value {
        let mut operation = Map::new();
        self.describe(&mut operation, Part::Method, Some(path), Some(name), None, None, OPERATION);
        if let Some(id) = method.operation_name.as_ref().filter(|id| !id.is_empty()) {
            operation.insert("operationId".to_owned(), id.clone().into());
        }
        let mut parameters = self.parameters(path, name, method);
        match self.dialect {
            Dialect::OpenApi3 => {
                if !parameters.is_empty() {
                    operation.insert("parameters".to_owned(), parameters.into());
                }
                if let Some(content) = self.content(method.request_models.as_ref(), used) {
                    let mut body = Map::new();
                    self.describe(
                        &mut body,
                        Part::RequestBody,
                        Some(path),
                        Some(name),
                        None,
                        None,
                        &["description"],
                    );
                    body.insert("content".to_owned(), content);
                    body.insert("required".to_owned(), true.into());
                    operation.insert("requestBody".to_owned(), Value::Object(body));
                }
            }
            Dialect::Swagger2 => {
                let consumes = consumes(method);
                if !consumes.is_empty() {
                    operation.insert("consumes".to_owned(), json!(consumes));
                }
                let produces = produces(method);
                if !produces.is_empty() {
                    operation.insert("produces".to_owned(), json!(produces));
                }
                parameters.extend(self.body_parameter(path, name, method, used));
                if !parameters.is_empty() {
                    operation.insert("parameters".to_owned(), parameters.into());
                }
            }
        }
        operation.insert("responses".to_owned(), self.responses(path, name, method, used));
        let security = self.security(method, used);
        if !security.is_empty() {
            operation.insert("security".to_owned(), security.into());
        }
        if self.extensions.settings
            && let Some(id) = &method.request_validator_id
        {
            let validator = self.snapshot.request_validators.iter().find(|one| one.id.as_ref() == Some(id));
            if let Some(name) = validator.and_then(|one| one.name.clone()) {
                operation.insert("x-amazon-apigateway-request-validator".to_owned(), name.into());
            }
        }
        if self.extensions.integrations
            && let Some(integration) = &method.method_integration
        {
            let resource = self.snapshot.resources.iter().find(|one| one.path.as_deref() == Some(path));
            let resource = resource.and_then(|one| one.id.as_deref()).unwrap_or_default();
            let value = integration_extension(integration, resource);
            operation.insert("x-amazon-apigateway-integration".to_owned(), value);
        }
        Value::Object(operation)
    }

    fn parameters(&self, path: &str, http_method: &str, method: &Method) -> Vec<Value> {
        let mut found = Vec::new();
        let mut declared: Vec<_> = method.request_parameters.iter().flatten().collect();
        order::sort(&mut declared, |(name, _)| name.as_str());
        for (name, required) in declared {
            let Some((place, name)) =
                name.strip_prefix("method.request.").and_then(|rest| rest.split_once('.'))
            else {
                continue;
            };
            let (place, part) = match place {
                "path" => ("path", Part::PathParameter),
                "querystring" => ("query", Part::QueryParameter),
                "header" => ("header", Part::RequestHeader),
                _ => continue,
            };
            let required = *required || place == "path";
            let mut parameter = Map::new();
            parameter.insert("name".to_owned(), name.into());
            parameter.insert("in".to_owned(), place.into());
            let known = &["description"];
            self.describe(&mut parameter, part, Some(path), Some(http_method), None, Some(name), known);
            match self.dialect {
                Dialect::OpenApi3 => {
                    if required {
                        parameter.insert("required".to_owned(), true.into());
                    }
                    parameter.insert("schema".to_owned(), json!({"type": "string"}));
                }
                Dialect::Swagger2 => {
                    parameter.insert("required".to_owned(), required.into());
                    parameter.insert("type".to_owned(), "string".into());
                }
            }
            found.push(Value::Object(parameter));
        }
        found
    }

    /// Swagger 2.0 has one body for all media types: the one of JSON, or the first.
    fn body_parameter(&self, path: &str, name: &str, method: &Method, used: &mut Used) -> Option<Value> {
        let model = one_model(method.request_models.as_ref())?;
        let mut parameter = Map::new();
        parameter.insert("in".to_owned(), "body".into());
        parameter.insert("name".to_owned(), model.clone().into());
        let known = &["description"];
        self.describe(&mut parameter, Part::RequestBody, Some(path), Some(name), None, None, known);
        parameter.insert("required".to_owned(), true.into());
        parameter.insert("schema".to_owned(), self.reference(&model, used));
        Some(Value::Object(parameter))
    }

    fn responses(&self, path: &str, name: &str, method: &Method, used: &mut Used) -> Value {
        let mut responses = Map::new();
        for (code, response) in method.method_responses.iter().flatten() {
            let mut members = Map::new();
            members.insert("description".to_owned(), format!("{code} response").into());
            let known = &["description"];
            self.describe(&mut members, Part::Response, Some(path), Some(name), Some(code), None, known);
            let headers = self.headers(path, name, code, response);
            match self.dialect {
                Dialect::OpenApi3 => {
                    put(&mut members, "headers", headers);
                    let content = self.content(response.response_models.as_ref(), used);
                    members.insert("content".to_owned(), content.unwrap_or_else(|| json!({})));
                }
                Dialect::Swagger2 => {
                    if let Some(model) = one_model(response.response_models.as_ref()) {
                        members.insert("schema".to_owned(), self.reference(&model, used));
                    }
                    put(&mut members, "headers", headers);
                }
            }
            responses.insert(code.clone(), Value::Object(members));
        }
        Value::Object(order::members(responses))
    }

    fn headers(&self, path: &str, method: &str, code: &str, response: &MethodResponse) -> Map<String, Value> {
        let mut headers = Map::new();
        for name in response.response_parameters.iter().flatten().map(|(name, _)| name) {
            let Some(name) = name.strip_prefix("method.response.header.") else { continue };
            let mut header = Map::new();
            let known = &["description"];
            self.describe(
                &mut header,
                Part::ResponseHeader,
                Some(path),
                Some(method),
                Some(code),
                Some(name),
                known,
            );
            match self.dialect {
                Dialect::OpenApi3 => header.insert("schema".to_owned(), json!({"type": "string"})),
                Dialect::Swagger2 => header.insert("type".to_owned(), "string".into()),
            };
            headers.insert(name.to_owned(), Value::Object(header));
        }
        order::members(headers)
    }

    /// `content` for models by media type.
    fn content(&self, models: Option<&BTreeMap<String, String>>, used: &mut Used) -> Option<Value> {
        let models = models.filter(|models| !models.is_empty())?;
        let mut content = Map::new();
        for (media_type, model) in models {
            content.insert(media_type.clone(), json!({ "schema": self.reference(model, used) }));
        }
        Some(Value::Object(order::members(content)))
    }

    /// A reference to a model. A name that is no model's points to nothing, as on AWS.
    fn reference(&self, model: &str, used: &mut Used) -> Value {
        used.models.insert(model.to_owned());
        match self.dialect {
            Dialect::OpenApi3 => json!({ "$ref": format!("#/components/schemas/{model}") }),
            Dialect::Swagger2 => json!({ "$ref": format!("#/definitions/{model}") }),
        }
    }

    fn security(&self, method: &Method, used: &mut Used) -> Vec<Value> {
        let mut security = Vec::new();
        let mut require = |name: &str, scopes: Vec<String>| security.push(json!({ name: scopes }));
        let kind = required(&method.authorization_type);
        if kind == "AWS_IAM" {
            used.sigv4 = true;
            require("sigv4", Vec::new());
        } else if let Some(id) = &method.authorizer_id {
            let authorizer = self.snapshot.authorizers.iter().find(|one| one.id.as_ref() == Some(id));
            if let Some(name) = authorizer.and_then(|one| one.name.clone()) {
                require(&name, method.authorization_scopes.clone().unwrap_or_default());
                used.authorizers.insert(name);
            }
        }
        if method.api_key_required == Some(true) {
            used.api_key = true;
            require("api_key", Vec::new());
        }
        security
    }
}

/// The model that stands for all media types in Swagger 2.0.
fn one_model(models: Option<&BTreeMap<String, String>>) -> Option<String> {
    let models = models?;
    models.get(JSON).or_else(|| models.values().next()).cloned()
}

/// The media types of the request: those of models and of templates.
fn consumes(method: &Method) -> BTreeSet<&str> {
    let models = method.request_models.iter().flatten().map(|(media_type, _)| media_type.as_str());
    let integration = method.method_integration.iter();
    let templates = integration.flat_map(|one| one.request_templates.iter().flatten());
    models.chain(templates.map(|(media_type, _)| media_type.as_str())).collect()
}

/// The media types of the responses: those of models and of templates. Where the API describes no response, as behind a
/// proxy, AWS writes JSON.
fn produces(method: &Method) -> BTreeSet<&str> {
    let responses = method.method_responses.iter().flatten();
    let models = responses.flat_map(|(_, response)| response.response_models.iter().flatten());
    let integration = method.method_integration.iter();
    let templates = integration
        .flat_map(|one| one.integration_responses.iter().flatten())
        .flat_map(|(_, response)| response.response_templates.iter().flatten());
    if method.method_responses.as_ref().is_none_or(BTreeMap::is_empty) {
        return BTreeSet::from([JSON]);
    }
    models.chain(templates).map(|(media_type, _)| media_type.as_str()).collect()
}

/// `x-amazon-apigateway-integration`. `resource` is the id that a cache namespace has by default.
fn integration_extension(integration: &Integration, resource: &str) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let kind = integration.type_.map(|kind| kind.as_str().to_ascii_lowercase()).unwrap_or_default();
    if let Some(id) = filled(&integration.connection_id) {
        put("connectionId", id.into());
    }
    if let Some(arn) = filled(&integration.integration_target) {
        put("integrationTarget", arn.into());
    }
    put("type", kind.into());
    if let Some(credentials) = filled(&integration.credentials) {
        put("credentials", credentials.into());
    }
    if let Some(method) = filled(&integration.http_method) {
        put("httpMethod", method.into());
    }
    if let Some(uri) = filled(&integration.uri) {
        put("uri", uri.into());
    }
    let responses = integration_responses(integration);
    if !responses.is_empty() {
        put("responses", Value::Object(responses));
    }
    if let Some(parameters) = integration.request_parameters.as_ref().filter(|all| !all.is_empty()) {
        put("requestParameters", order::object(parameters).into());
    }
    if let Some(templates) = integration.request_templates.as_ref().filter(|all| !all.is_empty()) {
        put("requestTemplates", order::object(templates).into());
    }
    if let Some(behaviour) = filled(&integration.passthrough_behavior) {
        put("passthroughBehavior", behaviour.to_ascii_lowercase().into());
    }
    if let Some(connection) = integration.connection_type.filter(|kind| kind.as_str() != "INTERNET") {
        put("connectionType", connection.as_str().into());
    }
    let keys = integration.cache_key_parameters.as_ref().filter(|keys| !keys.is_empty());
    let namespace = filled(&integration.cache_namespace);
    if let Some(namespace) = namespace.filter(|name| keys.is_some() || name != resource) {
        put("cacheNamespace", namespace.into());
    }
    // AWS leaves out the timeout that there is where none is given.
    if let Some(timeout) = integration.timeout_in_millis.filter(|ms| *ms != 29_000) {
        put("timeoutInMillis", timeout.into());
    }
    if let Some(keys) = keys {
        put("cacheKeyParameters", json!(keys));
    }
    if let Some(handling) = integration.content_handling {
        put("contentHandling", handling.as_str().into());
    }
    if let Some(tls) = &integration.tls_config {
        let skip = tls.insecure_skip_verification.unwrap_or_default();
        put("tlsConfig", json!({ "insecureSkipVerification": skip }));
    }
    if let Some(mode) = integration.response_transfer_mode.filter(|mode| mode.as_str() != "BUFFERED") {
        put("responseTransferMode", mode.as_str().into());
    }
    Value::Object(members)
}

/// The responses of an integration, by selection pattern.
fn integration_responses(integration: &Integration) -> Map<String, Value> {
    let mut responses = Map::new();
    for (code, response) in integration.integration_responses.iter().flatten() {
        let pattern = response.selection_pattern.clone().filter(|pattern| !pattern.is_empty());
        let mut members = Map::new();
        members.insert("statusCode".to_owned(), code.clone().into());
        if let Some(parameters) = response.response_parameters.as_ref().filter(|all| !all.is_empty()) {
            members.insert("responseParameters".to_owned(), order::object(parameters).into());
        }
        if let Some(templates) = response.response_templates.as_ref().filter(|all| !all.is_empty()) {
            members.insert("responseTemplates".to_owned(), order::object(templates).into());
        }
        if let Some(handling) = response.content_handling {
            members.insert("contentHandling".to_owned(), handling.as_str().into());
        }
        responses.insert(pattern.unwrap_or_else(|| "default".to_owned()), Value::Object(members));
    }
    order::members(responses)
}
