//! The tree of resources, and the methods on it.

use std::collections::BTreeMap;

use stagedoor_openapi::{
    BodyUse, DocPath, Operation, ParameterLocation, Requirement, Response, SchemaUse, SecurityScheme,
};
use stagedoor_shapes::apigateway::{Authorizer, AuthorizerType, Method, MethodResponse, Resource};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::apply::Import;
use crate::control_plane::bad_request;
use crate::methods::{self, References};
use crate::{ApiError, gateway_responses, method_responses, resources};

/// What a method asks of its callers.
#[derive(Default)]
struct Access {
    authorization_type: Option<&'static str>,
    authorizer_id: Option<String>,
    scopes: Vec<String>,
    api_key: bool,
}

impl Import<'_> {
    /// Makes the tree. An overwritten tree keeps the ids of paths that are in both: callers hold on to them.
    pub(super) fn tree(&mut self) {
        let before = self.api.resources.clone();
        if self.options.overwrite {
            self.api.resources.retain(|one| one.path.as_deref() == Some("/"));
            for root in &mut self.api.resources {
                root.resource_methods = None;
            }
        }
        let definition = self.definition;
        let prefix = self.prefix().to_owned();
        for item in &definition.paths {
            let path = format!("{prefix}{}", item.path);
            let Some(index) = self.resource(&path, &item.at, &before) else { continue };
            let resource = self.api.resources.get(index).and_then(|one| one.id.clone()).unwrap_or_default();
            let path = self.api.resources.get(index).and_then(|one| one.path.clone()).unwrap_or_default();
            for operation in &item.operations {
                let Some(method) = self.method(&path, operation, &resource) else { continue };
                if let Some(resource) = self.api.resources.get_mut(index) {
                    let methods = resource.resource_methods.get_or_insert_default();
                    methods.insert(operation.method.clone(), method);
                }
            }
        }
    }

    /// The resource at a path, made with all above it if it is not there. Gives its place in the list.
    fn resource(&mut self, path: &str, at: &DocPath, before: &[Resource]) -> Option<usize> {
        let mut index = self.api.resources.iter().position(|one| one.path.as_deref() == Some("/"))?;
        let mut full = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            full = format!("{full}/{part}");
            let found = self.api.resources.iter().position(|one| one.path.as_deref() == Some(&full));
            index = match found {
                Some(index) => index,
                None => self.new_resource(index, part, &full, at, before)?,
            };
        }
        Some(index)
    }

    fn new_resource(
        &mut self,
        parent: usize,
        part: &str,
        path: &str,
        at: &DocPath,
        before: &[Resource],
    ) -> Option<usize> {
        let parent = self.api.resources.get(parent)?.clone();
        if let Some(reason) = self.why_not(&parent, part) {
            self.fail(at, format!("Unable to create resource at path '{path}': {reason}"));
            return None;
        }
        let known =
            before.iter().find(|one| one.path.as_deref() == Some(path)).and_then(|one| one.id.clone());
        self.api.resources.push(Resource {
            id: Some(known.unwrap_or_else(|| (self.surroundings.new_id)())),
            parent_id: parent.id,
            path_part: Some(part.to_owned()),
            path: Some(path.to_owned()),
            resource_methods: None,
        });
        Some(self.api.resources.len() - 1)
    }

    /// Why a resource cannot have a child of that name.
    fn why_not(&self, parent: &Resource, part: &str) -> Option<ApiError> {
        let above = parent.path_part.as_deref().unwrap_or_default();
        if resources::is_greedy(above) {
            let message = format!("Cannot create a child of a resource with a greedy path variable: {above}");
            return Some(ApiError::BadRequest(message));
        }
        let siblings =
            self.api.resources.iter().filter(|one| one.parent_id.is_some() && one.parent_id == parent.id);
        let siblings = siblings.filter_map(|one| one.path_part.as_deref());
        resources::check_path_part(part)
            .and_then(|()| resources::check_ancestors(parent.path.as_deref().unwrap_or_default(), part))
            .and_then(|()| resources::check_siblings(part, siblings))
            .err()
    }

    fn method(&mut self, path: &str, operation: &Operation, resource: &str) -> Option<Method> {
        if self.lacks_authorizer(operation) {
            return None;
        }
        let access = self.access(operation);
        let what = format!("Unable to put method '{}' on resource at path '{path}'", operation.method);
        let request_validator_id = self.validator(operation, &what);
        let mut method = Method {
            http_method: Some(operation.method.clone()),
            authorization_type: Some(access.authorization_type.unwrap_or("NONE").to_owned()),
            authorizer_id: access.authorizer_id,
            api_key_required: Some(access.api_key),
            request_validator_id,
            operation_name: operation.operation_id.clone(),
            request_parameters: request_parameters(path, operation),
            request_models: self.request_models(operation, &what),
            method_responses: None,
            method_integration: None,
            authorization_scopes: (!access.scopes.is_empty()).then_some(access.scopes),
        };
        if let Err(error) = methods::check(&mut method, &Whole(&self.api)) {
            self.fail(&operation.at, format!("{what}: {error}"));
        }
        for response in &operation.responses {
            let (code, at) = (&response.status_code, &response.at);
            let response = self.method_response(&operation.method, response);
            let checked =
                check_status(code).and_then(|()| method_responses::check(&response, &Whole(&self.api)));
            if let Err(error) = checked {
                let message = format!(
                    "Unable to put method response on '{code}' for method '{}' for resource at path '{path}': {error}",
                    operation.method
                );
                self.fail(at, message);
            }
            method.method_responses.get_or_insert_default().insert(code.clone(), response);
        }
        if let Some(integration) = &operation.integration {
            method.method_integration = self.integration(path, &method, integration, resource);
        }
        Some(method)
    }

    fn validator(&mut self, operation: &Operation, what: &str) -> Option<String> {
        let definition = self.definition;
        let name = operation.request_validator.as_ref().or(definition.request_validator.as_ref())?;
        let found = self.api.request_validators.iter().find(|one| one.name.as_ref() == Some(name)).cloned();
        if found.is_none() {
            let own = operation.request_validator.is_some();
            let place = if own { operation.at.clone() } else { DocPath::root() };
            let at = place.child("x-amazon-apigateway-request-validator");
            self.fail(&at, format!("{what}: Invalid Request Validator identifier specified"));
        }
        found.and_then(|one| one.id)
    }

    /// The models of a request. One that could not be made leaves the method without any, which AWS says twice.
    fn request_models(&mut self, operation: &Operation, what: &str) -> Option<BTreeMap<String, String>> {
        let models = self.body_models(&operation.request_bodies);
        for body in &operation.request_bodies {
            let name = models.as_ref().and_then(|models| models.get(&body.content_type)).cloned();
            let Some(name) = name.filter(|name| self.unmade.contains(name)) else { continue };
            self.warn_as_aws(&body.at, format!("Reference to model '{name}' not found. Ignoring."));
            self.fail(&body.at, format!("{what}: Invalid model identifier specified: null"));
        }
        models
    }

    fn method_response(&mut self, method: &str, response: &Response) -> MethodResponse {
        let models = self.body_models(&response.bodies);
        for body in &response.bodies {
            let name = models.as_ref().and_then(|models| models.get(&body.content_type)).cloned();
            let Some(name) = name.filter(|name| self.unmade.contains(name)) else { continue };
            // As AWS has it: looked for twice, and then said of the method.
            for _ in 0..2 {
                self.warn_as_aws(&body.at, format!("Reference to model '{name}' not found. Ignoring."));
            }
            let message = format!("Invalid format for model {} for method {method}", body.content_type);
            self.warn_as_aws(&body.at, message);
        }
        let headers = response.headers.iter().map(|name| (format!("method.response.header.{name}"), false));
        let headers: BTreeMap<_, _> = headers.collect();
        MethodResponse {
            status_code: Some(response.status_code.clone()),
            response_parameters: (!headers.is_empty()).then_some(headers),
            response_models: models,
        }
    }

    /// Models by media type. A schema that has no name gets one, and so becomes a model.
    fn body_models(&mut self, bodies: &[BodyUse]) -> Option<BTreeMap<String, String>> {
        let mut models = BTreeMap::new();
        for body in bodies {
            let name = match &body.schema {
                SchemaUse::Model(name) => name.clone(),
                SchemaUse::Inline(schema) => {
                    let name = inline_name(schema);
                    self.put_model(&name, schema, None, &body.at);
                    name
                }
            };
            models.insert(body.content_type.clone(), name);
        }
        (!models.is_empty()).then_some(models)
    }

    /// Who may call a method: its own extension, its own security, or the document's.
    fn access(&mut self, operation: &Operation) -> Access {
        let definition = self.definition;
        let mut access = Access::default();
        for requirement in
            operation.security.as_ref().or(definition.security.as_ref()).into_iter().flatten().flatten()
        {
            self.require(requirement, &mut access);
        }
        if let Some(kind) = &operation.auth {
            access.authorizer_id = None;
            access.scopes.clear();
            access.authorization_type = match kind.to_ascii_uppercase().as_str() {
                "NONE" => None,
                "AWS_IAM" => Some("AWS_IAM"),
                _ => {
                    let at = operation.at.child("x-amazon-apigateway-auth").child("type");
                    self.fail(&at, format!("an authorization type is NONE or AWS_IAM, not '{kind}'"));
                    None
                }
            };
        }
        access
    }

    fn require(&mut self, requirement: &Requirement, access: &mut Access) {
        let definition = self.definition;
        let name = &requirement.scheme;
        let Some(scheme) = definition.security_schemes.get(name) else {
            let kept = self.api.authorizers.iter().find(|one| one.name.as_ref() == Some(name)).cloned();
            match kept {
                Some(authorizer) => self.authorize(requirement, &authorizer, access),
                None => self.fail(&requirement.at, format!("there is no security scheme '{name}'")),
            }
            return;
        };
        let is = |text: &Option<String>, wanted: &str| {
            text.as_deref().is_some_and(|one| one.eq_ignore_ascii_case(wanted))
        };
        if scheme.authorizer.is_some() {
            let found = self.api.authorizers.iter().find(|one| one.name.as_ref() == Some(name)).cloned();
            if let Some(authorizer) = found {
                self.authorize(requirement, &authorizer, access);
            }
        } else if is(&scheme.auth_type, "awsSigv4") {
            access.authorization_type = Some("AWS_IAM");
        } else if is(&scheme.kind, "apiKey")
            && is(&scheme.location, "header")
            && is(&scheme.name, "x-api-key")
        {
            access.api_key = true;
        } else if is(&scheme.kind, "apiKey") {
            let message = format!(
                "the security scheme '{name}' is neither an authorizer, nor IAM, nor an API key in the header x-api-key, \
                 and asks nothing of a caller"
            );
            self.warn(&requirement.at, message);
        }
    }

    /// Whether a method asks for an authorizer that the document promises and does not define. AWS makes no such method.
    fn lacks_authorizer(&self, operation: &Operation) -> bool {
        let security = operation.security.as_ref().or(self.definition.security.as_ref());
        let mut schemes = security.into_iter().flatten().flatten().map(|requirement| &requirement.scheme);
        operation.auth.is_none()
            && schemes.any(|name| {
                self.definition.security_schemes.get(name).is_some_and(SecurityScheme::promises_authorizer)
            })
    }

    fn authorize(&mut self, requirement: &Requirement, authorizer: &Authorizer, access: &mut Access) {
        if access.authorizer_id.is_some() {
            let message = format!("a method has one authorizer; '{}' is left out", requirement.scheme);
            self.warn(&requirement.at, message);
            return;
        }
        access.authorizer_id.clone_from(&authorizer.id);
        let with_scopes = match authorizer.type_ {
            Some(AuthorizerType::CognitoUserPools) => "COGNITO_USER_POOLS",
            Some(AuthorizerType::Jwt) => "JWT",
            _ => {
                access.authorization_type = Some("CUSTOM");
                return;
            }
        };
        access.authorization_type = Some(with_scopes);
        access.scopes.clone_from(&requirement.scopes);
    }
}

/// Whether a response can have this status.
pub(super) fn check_status(code: &str) -> Result<(), ApiError> {
    match gateway_responses::is_status(code) {
        true => Ok(()),
        false => bad_request(format!("Invalid HTTP status code specified: {code}")),
    }
}

/// What methods refer to, looked up in the API that is being made.
struct Whole<'a>(&'a RestApiSnapshot);

impl References for Whole<'_> {
    fn authorizer(&self, id: &str) -> Result<Option<AuthorizerType>, ApiError> {
        Ok(self.0.authorizers.iter().find(|one| one.id.as_deref() == Some(id)).and_then(|one| one.type_))
    }

    fn has_validator(&self, id: &str) -> Result<bool, ApiError> {
        Ok(self.0.request_validators.iter().any(|one| one.id.as_deref() == Some(id)))
    }

    fn has_model(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.0.models.iter().any(|one| one.name.as_deref() == Some(name)))
    }
}

/// Parameters that the method declares, and the variables of its path, which AWS adds by itself.
fn request_parameters(path: &str, operation: &Operation) -> Option<BTreeMap<String, bool>> {
    let mut parameters = BTreeMap::new();
    for part in path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            parameters.insert(format!("method.request.path.{}", name.trim_end_matches('+')), true);
        }
    }
    for parameter in &operation.parameters {
        let place = match parameter.location {
            ParameterLocation::Path => "path",
            ParameterLocation::Query => "querystring",
            ParameterLocation::Header => "header",
        };
        parameters.insert(format!("method.request.{place}.{}", parameter.name), parameter.required);
    }
    (!parameters.is_empty()).then_some(parameters)
}

/// The name of a model made of a schema that has none. It depends on the schema alone, so that importing a document
/// again changes nothing; AWS takes a random one of the same form.
fn inline_name(schema: &serde_json::Value) -> String {
    // FNV-1a: the same on every machine and with every compiler.
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = schema.to_string().bytes().fold(0x811c_9dc5, step);
    format!("MODEL{:06x}", hash & 0xff_ffff)
}
