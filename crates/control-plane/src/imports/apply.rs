//! A definition put over an API: everything but the tree.
//!
//! This is a function from an API, a definition and a mode to an API. It reads and writes no store, so that an import
//! is one transaction, and so that what a definition becomes can be tested without one.

use std::collections::BTreeMap;

use stagedoor_openapi::{
    ApiDefinition, ApiKeySource, AuthorizerExtension, DocPath, Document, Finding,
    GatewayResponse as GatewayResponseDef, Kind, MODEL_REFERENCE, SecurityScheme,
};
use stagedoor_shapes::apigateway::{
    ApiKeySourceType, Authorizer, AuthorizerType, DocumentationPart, EndpointType, GatewayResponse,
    IpAddressType, Model, RequestValidator, Resource, RestApi,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::{BasePath, Options};
use crate::{authorizers, gateway_responses, models, policy};

/// What the account an import runs in is called, and how new things get their ids.
pub(crate) struct Surroundings<'a> {
    /// Replaces `${AWS::AccountId}`.
    pub(crate) account: &'a str,
    /// Replaces `${AWS::Region}`.
    pub(crate) region: &'a str,
    /// What `execute-api:/` stands for in the API's policy.
    pub(crate) execute_api_arn: &'a str,
    /// A new id.
    pub(crate) new_id: &'a dyn Fn() -> String,
}

/// What an import makes of an API.
pub(crate) struct Applied {
    /// The API afterwards.
    pub(crate) api: RestApiSnapshot,
    /// Its documentation afterwards; `None` leaves it as it is.
    pub(crate) documentation: Option<Vec<DocumentationPart>>,
    /// What could not be applied.
    pub(crate) warnings: Vec<Finding>,
}

/// An import under way.
pub(crate) struct Import<'a> {
    pub(super) document: &'a Document,
    pub(super) definition: &'a ApiDefinition,
    pub(super) options: &'a Options,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) api: RestApiSnapshot,
    pub(super) warnings: Vec<Finding>,
    pub(super) errors: Vec<Finding>,
}

/// Puts a definition over an API. `before` has an id, a root resource and all that an API without methods has.
///
/// # Errors
/// What makes the definition unusable, and what else there was to say.
pub(crate) fn apply(
    before: RestApiSnapshot,
    document: &Document,
    options: &Options,
    surroundings: &Surroundings<'_>,
) -> Result<Applied, (Vec<Finding>, Vec<Finding>)> {
    let mut import = Import::new(before, document, options, surroundings);
    import.settings();
    import.models();
    import.validators();
    import.authorizers();
    import.gateway_responses();
    import.tree();
    let documentation = (!options.ignore_documentation).then(|| import.documentation());
    if import.errors.is_empty() {
        Ok(Applied { api: import.api, documentation, warnings: import.warnings })
    } else {
        Err((import.errors, import.warnings))
    }
}

impl<'a> Import<'a> {
    /// An import of a document into an API, with nothing done yet.
    pub(super) fn new(
        api: RestApiSnapshot,
        document: &'a Document,
        options: &'a Options,
        surroundings: &'a Surroundings<'a>,
    ) -> Self {
        let definition = &document.definition;
        Self {
            document,
            definition,
            options,
            surroundings,
            api,
            warnings: document.findings.clone(),
            errors: Vec::new(),
        }
    }

    /// Notes what cannot be applied.
    pub(super) fn warn(&mut self, at: &DocPath, message: impl Into<String>) {
        self.warnings.push(Finding::warning(Kind::NotApplied, at, self.document.locate(at), message));
    }

    /// Notes what makes the definition unusable.
    pub(super) fn fail(&mut self, at: &DocPath, message: impl Into<String>) {
        self.errors.push(Finding::error(at, self.document.locate(at), message));
    }

    /// AWS's variables in a text, replaced.
    pub(super) fn fill(&self, text: &str) -> String {
        if !text.contains("${AWS::") {
            return text.to_owned();
        }
        text.replace("${AWS::AccountId}", self.surroundings.account)
            .replace("${AWS::Region}", self.surroundings.region)
            .replace("${AWS::Partition}", "aws")
            .replace("${AWS::URLSuffix}", "amazonaws.com")
    }

    /// A value of AWS's that documents spell in any case.
    pub(super) fn upper<T: std::str::FromStr>(
        &mut self,
        text: Option<&String>,
        at: &DocPath,
        what: &str,
    ) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match text?.to_ascii_uppercase().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(at, format!("{what}: {error}"));
                None
            }
        }
    }

    /// What stands before all paths.
    pub(super) fn prefix(&self) -> &str {
        let base = self.definition.base_path.as_str();
        match self.options.base_path {
            BasePath::Ignore => "",
            BasePath::Prepend => base,
            // The first part is where the API is mounted, a stage for example; the others are resources.
            BasePath::Split => {
                let rest = base.strip_prefix('/').and_then(|path| path.find('/')).map(|slash| slash + 1);
                rest.and_then(|start| base.get(start..)).unwrap_or_default()
            }
        }
    }

    fn settings(&mut self) {
        let definition = self.definition;
        let overwrite = self.options.overwrite;
        let api = &mut self.api.rest_api;
        api.name = Some(definition.title.clone());
        api.version.clone_from(&definition.version);
        if overwrite || definition.description.is_some() {
            api.description.clone_from(&definition.description);
        }
        match (&definition.binary_media_types, &mut api.binary_media_types) {
            (Some(added), Some(types)) if !overwrite => {
                types.extend(added.iter().filter(|one| !types.contains(one)).cloned().collect::<Vec<_>>());
            }
            (Some(types), own) => *own = Some(types.clone()),
            (None, own) if overwrite => *own = None,
            (None, _) => {}
        }
        if overwrite {
            api.api_key_source = Some(ApiKeySourceType::Header);
            api.minimum_compression_size = None;
            api.policy = None;
        }
        match definition.api_key_source {
            Some(ApiKeySource::Header) => api.api_key_source = Some(ApiKeySourceType::Header),
            Some(ApiKeySource::Authorizer) => api.api_key_source = Some(ApiKeySourceType::Authorizer),
            None => {}
        }
        if let Some(size) = definition.minimum_compression_size {
            match i32::try_from(size).ok().filter(|size| (0..=10_485_760).contains(size)) {
                Some(size) => api.minimum_compression_size = Some(size),
                None => self.fail(
                    &DocPath::root().child("x-amazon-apigateway-minimum-compression-size"),
                    "Invalid minimum compression size, must be between 0 and 10485760",
                ),
            }
        }
        if let Some(policy) = &definition.policy {
            let text = policy.as_str().map_or_else(|| policy.to_string(), str::to_owned);
            let filled = self.fill(&text);
            match policy::stored(&filled, self.surroundings.execute_api_arn) {
                Ok(policy) => self.api.rest_api.policy = Some(policy),
                Err(error) => {
                    self.fail(&DocPath::root().child("x-amazon-apigateway-policy"), error.to_string())
                }
            }
        }
        self.endpoint();
        self.security_policy();
    }

    fn security_policy(&mut self) {
        let root = DocPath::root();
        let policy = self.definition.security_policy.clone();
        let at = root.child("x-amazon-apigateway-security-policy");
        if let Some(policy) = self.exact(policy.as_ref(), &at) {
            self.api.rest_api.security_policy = Some(policy);
        }
        let mode = self.definition.endpoint_access_mode.clone();
        let at = root.child("x-amazon-apigateway-endpoint-access-mode");
        if let Some(mode) = self.exact(mode.as_ref(), &at) {
            self.api.rest_api.endpoint_access_mode = Some(mode);
        }
    }

    fn exact<T: std::str::FromStr>(&mut self, text: Option<&String>, at: &DocPath) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        text?.parse().map_err(|error: T::Err| self.fail(at, error.to_string())).ok()
    }

    /// The kind of endpoint: what the request asks for, else what the document says, else what is there.
    fn endpoint(&mut self) {
        let extension = self.definition.endpoint_configuration.clone().unwrap_or_default();
        let types = self.options.endpoint_types.clone().or_else(|| extension.types.clone());
        let mut configuration = self.api.rest_api.endpoint_configuration.clone().unwrap_or_default();
        if let Some(types) = types {
            let parsed: Result<Vec<EndpointType>, _> = types.iter().map(|one| one.parse()).collect();
            match parsed {
                Ok(types) if types.len() == 1 => configuration.types = Some(types),
                Ok(_) => self.fail(&extension.at, "Cannot create an api with multiple Endpoint Types."),
                Err(_) => self.fail(
                    &extension.at,
                    "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE",
                ),
            }
        }
        let private = configuration.types.as_deref() == Some(&[EndpointType::Private]);
        if let Some(text) = &extension.ip_address_type {
            match text.parse() {
                Ok(IpAddressType::Ipv4) if private => {
                    self.fail(&extension.at, "Only dualstack ipAddressType is supported for Private APIs.");
                }
                Ok(kind) => configuration.ip_address_type = Some(kind),
                Err(error) => self.fail(&extension.at, error.to_string()),
            }
        } else if private {
            configuration.ip_address_type = Some(IpAddressType::Dualstack);
        }
        if let Some(ids) = extension.vpc_endpoint_ids {
            if private {
                configuration.vpc_endpoint_ids = Some(ids);
            } else {
                self.warn(
                    &extension.at.child("vpcEndpointIds"),
                    "Only PRIVATE APIs have VPC endpoints. Ignoring.",
                );
            }
        }
        self.api.rest_api.endpoint_configuration = Some(configuration);
        if let Some(disable) = extension.disable_execute_api_endpoint {
            self.api.rest_api.disable_execute_api_endpoint = Some(disable);
        }
    }

    fn models(&mut self) {
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
            schema: Some(format!("{schema:#}")),
            content_type: Some("application/json".to_owned()),
        };
        if let Err(error) = models::check(&model) {
            self.fail(at, format!("Unable to create model for '{name}': {error}"));
        }
        match found.and_then(|index| self.api.models.get_mut(index)) {
            Some(slot) => *slot = model,
            None => self.api.models.push(model),
        }
    }

    fn validators(&mut self) {
        let definition = self.definition;
        if self.options.overwrite {
            let kept = |one: &RequestValidator| {
                one.name.as_ref().is_some_and(|name| definition.request_validators.contains_key(name))
            };
            self.api.request_validators.retain(kept);
        }
        for (name, validator) in &definition.request_validators {
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

    fn authorizers(&mut self) {
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
        if kind == AuthorizerType::Jwt {
            self.fail(
                &extension.at.child("type"),
                format!("{what}: an import makes no JWT authorizer for a REST API"),
            );
            return None;
        }
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
            ..Authorizer::default()
        });
        authorizer.map_err(|error| self.fail(&extension.at, format!("{what}: {error}"))).ok()
    }

    fn gateway_responses(&mut self) {
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

    /// A map of strings; whatever is no string is left out with AWS's warning. `None` if nothing is left.
    pub(super) fn strings(
        &mut self,
        values: &indexmap::IndexMap<String, serde_json::Value>,
        at: &DocPath,
        member: &str,
        where_: &str,
    ) -> Option<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for (name, value) in values {
            match value.as_str() {
                Some(text) => {
                    texts.insert(name.clone(), text.to_owned());
                }
                None => self.warn(
                    &at.child(name),
                    format!(
                        "Invalid format for '{member}'. Expected type string for property '{name}' {where_} but got \
                         '{value}'"
                    ),
                ),
            }
        }
        (!texts.is_empty()).then_some(texts)
    }
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

/// An API before its first import: a root and nothing else. The models that `CreateRestApi` adds are not there.
pub(crate) fn blank(rest_api: RestApi) -> RestApiSnapshot {
    let root =
        Resource { id: rest_api.root_resource_id.clone(), path: Some("/".to_owned()), ..Resource::default() };
    RestApiSnapshot { rest_api, resources: vec![root], ..RestApiSnapshot::default() }
}
