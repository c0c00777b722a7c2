//! A document from a snapshot: the top level, and what stands beside the paths.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use stagedoor_shapes::apigateway::{Authorizer, AuthorizerType, DocumentationPartType as Part};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::documentation::Documentation;
use super::{Dialect, Extensions, order, schema};
use crate::ApiError;
use crate::control_plane::required;

/// An export under way.
pub(super) struct Export<'a> {
    pub(super) dialect: Dialect,
    pub(super) extensions: Extensions,
    pub(super) snapshot: &'a RestApiSnapshot,
    pub(super) stage: &'a str,
    pub(super) host: String,
    pub(super) version: &'a str,
    pub(super) documentation: Option<Documentation>,
}

/// Who may call methods, as far as a document names it: schemes by name.
#[derive(Default)]
pub(super) struct Used {
    pub(super) models: BTreeSet<String>,
    pub(super) authorizers: BTreeSet<String>,
    pub(super) api_key: bool,
    pub(super) sigv4: bool,
}

impl Export<'_> {
    pub(super) fn document(&self) -> Result<Value, ApiError> {
        let mut used = Used::default();
        let paths = self.paths(&mut used);
        let models = self.models(&used)?;
        let schemes = self.security_schemes(&used);
        let mut root = Map::new();
        match self.dialect {
            Dialect::OpenApi3 => {
                root.insert("openapi".to_owned(), "3.0.1".into());
                root.insert("info".to_owned(), self.info());
                root.insert("servers".to_owned(), json!([self.server()]));
                root.insert("paths".to_owned(), paths);
                let mut components = Map::new();
                put(&mut components, "schemas", models);
                put(&mut components, "securitySchemes", schemes);
                root.insert("components".to_owned(), Value::Object(components));
            }
            Dialect::Swagger2 => {
                root.insert("swagger".to_owned(), "2.0".into());
                root.insert("info".to_owned(), self.info());
                root.insert("host".to_owned(), self.host.clone().into());
                root.insert("basePath".to_owned(), format!("/{}", self.stage).into());
                root.insert("schemes".to_owned(), json!(["https"]));
                root.insert("paths".to_owned(), paths);
                put(&mut root, "securityDefinitions", schemes);
                put(&mut root, "definitions", models);
            }
        }
        self.root_extensions(&mut root);
        Ok(Value::Object(root))
    }

    fn info(&self) -> Value {
        let api = &self.snapshot.rest_api;
        let mut info = Map::new();
        let title = required(&api.name).to_owned();
        let documented = self.documented(Part::Api, None, None, None, None);
        let documented = documented.and_then(|properties| properties.get("info")).and_then(Value::as_object);
        let own = api.description.clone().filter(|text| !text.is_empty()).map(Value::String);
        let description = documented.and_then(|info| info.get("description")).cloned().or(own);
        // The two dialects' own libraries write these in different orders.
        if self.dialect == Dialect::OpenApi3 {
            info.insert("title".to_owned(), title.clone().into());
        }
        if let Some(description) = description {
            info.insert("description".to_owned(), description);
        }
        info.insert("version".to_owned(), self.version.into());
        if self.dialect == Dialect::Swagger2 {
            info.insert("title".to_owned(), title.into());
        }
        // The version is the API's own, whatever its documentation says.
        for (name, value) in documented.into_iter().flatten() {
            let standard = matches!(name.as_str(), "termsOfService" | "contact" | "license");
            if standard || name.starts_with("x-") {
                info.insert(name.clone(), value.clone());
            }
        }
        Value::Object(info)
    }

    fn server(&self) -> Value {
        let mut server = Map::new();
        server.insert("url".to_owned(), format!("https://{}/{{basePath}}", self.host).into());
        server.insert("variables".to_owned(), json!({"basePath": {"default": self.stage}}));
        if let Some(configuration) = self.endpoint_configuration() {
            server.insert("x-amazon-apigateway-endpoint-configuration".to_owned(), configuration);
        }
        Value::Object(server)
    }

    /// The models that the methods use, and those that these refer to.
    fn models(&self, used: &Used) -> Result<Map<String, Value>, ApiError> {
        let prefix = match self.dialect {
            Dialect::Swagger2 => "#/definitions/",
            Dialect::OpenApi3 => "#/components/schemas/",
        };
        let mut wanted: Vec<String> = used.models.iter().cloned().collect();
        let mut seen = used.models.clone();
        let mut found = std::collections::BTreeMap::new();
        let mut left = schema::INLINED_BYTES_MAX;
        while let Some(name) = wanted.pop() {
            let Some(model) = self.snapshot.models.iter().find(|model| model.name.as_ref() == Some(&name))
            else {
                continue;
            };
            if !required(&model.content_type).contains("json") {
                return Err(ApiError::BadRequest(format!("Only found non-JSON body models for {name}")));
            }
            let mut parsed =
                serde_json::from_str(required(&model.schema)).unwrap_or(Value::Object(Map::new()));
            // Before the members are put in order: what documentation adds stands where a schema's own would.
            if let Value::Object(members) = &mut parsed {
                self.describe(members, Part::Model, None, None, None, Some(&name), &["title", "description"]);
            }
            let mut references = BTreeSet::new();
            let schema = schema::exported(&parsed, self.dialect, prefix, &mut references, &mut left);
            let schema = schema
                .map_err(|why| ApiError::BadRequest(format!("Unable to export the model {name}: {why}")))?;
            for reference in references {
                if seen.insert(reference.clone()) {
                    wanted.push(reference);
                }
            }
            found.insert(name, schema);
        }
        Ok(order::members(found.into_iter().collect()))
    }

    fn security_schemes(&self, used: &Used) -> Map<String, Value> {
        let mut schemes = Map::new();
        let mut authorizers: Vec<&Authorizer> = self.snapshot.authorizers.iter().collect();
        authorizers.sort_by_key(|authorizer| &authorizer.name);
        for authorizer in authorizers {
            let name = required(&authorizer.name);
            if used.authorizers.contains(name) || self.extensions.settings {
                schemes.insert(name.to_owned(), self.scheme(authorizer));
            }
        }
        let scheme = |name: &str| json!({"type": "apiKey", "name": name, "in": "header"});
        if used.api_key {
            schemes.insert("api_key".to_owned(), scheme("x-api-key"));
        }
        if used.sigv4 {
            let mut sigv4 = scheme("Authorization");
            if let Value::Object(members) = &mut sigv4 {
                members.insert("x-amazon-apigateway-authtype".to_owned(), "awsSigv4".into());
            }
            schemes.insert("sigv4".to_owned(), sigv4);
        }
        order::members(schemes)
    }

    fn scheme(&self, authorizer: &Authorizer) -> Value {
        let sources = required(&authorizer.identity_source);
        let header = sources.split(',').find_map(|one| one.trim().strip_prefix("method.request.header."));
        let own = authorizer.auth_type.clone().filter(|kind| !kind.is_empty());
        let default = match authorizer.type_ {
            Some(AuthorizerType::CognitoUserPools) => "cognito_user_pools",
            Some(AuthorizerType::Jwt) => "jwt",
            _ => "custom",
        };
        let kind = own.unwrap_or_else(|| default.to_owned());
        let is_request = authorizer.type_ == Some(AuthorizerType::Request);
        // A request authorizer reads more than one header, so its scheme names none.
        let header = if is_request { "Unused" } else { header.unwrap_or("Authorization") };
        let mut scheme = Map::new();
        scheme.insert("type".to_owned(), "apiKey".into());
        scheme.insert("name".to_owned(), header.into());
        scheme.insert("in".to_owned(), "header".into());
        let name = required(&authorizer.name);
        self.describe(&mut scheme, Part::Authorizer, None, None, None, Some(name), &["description"]);
        scheme.insert("x-amazon-apigateway-authtype".to_owned(), kind.into());
        if self.extensions.authorizers {
            scheme.insert("x-amazon-apigateway-authorizer".to_owned(), authorizer_extension(authorizer));
        }
        Value::Object(scheme)
    }
}

fn authorizer_extension(authorizer: &Authorizer) -> Value {
    let mut members = Map::new();
    let mut text = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            members.insert(name.to_owned(), value.into());
        }
    };
    text("type", authorizer.type_.map(|kind| kind.as_str().to_ascii_lowercase()));
    let source = required(&authorizer.identity_source);
    // A token's source is said by the scheme's own name.
    let in_scheme = !matches!(authorizer.type_, Some(AuthorizerType::Request | AuthorizerType::Jwt))
        && (source.is_empty() || source.starts_with("method.request.header."));
    if !in_scheme {
        text("identitySource", authorizer.identity_source.clone());
    }
    text("authorizerUri", authorizer.authorizer_uri.clone());
    text("authorizerCredentials", authorizer.authorizer_credentials.clone());
    text("identityValidationExpression", authorizer.identity_validation_expression.clone());
    if let Some(ttl) = authorizer.authorizer_result_ttl_in_seconds {
        members.insert("authorizerResultTtlInSeconds".to_owned(), ttl.into());
    }
    if let Some(arns) = authorizer.provider_arns.as_ref().filter(|arns| !arns.is_empty()) {
        members.insert("providerARNs".to_owned(), json!(arns));
    }
    if let Some(configuration) = &authorizer.jwt_configuration {
        let mut configuration = configuration.clone();
        // Where the keys are is found out anew by whoever imports it.
        configuration.issuers.iter_mut().flatten().for_each(|issuer| issuer.jwks_uri = None);
        members.insert("jwtConfiguration".to_owned(), json!(configuration));
    }
    Value::Object(members)
}

/// Adds an object that holds something.
pub(super) fn put(to: &mut Map<String, Value>, name: &str, members: Map<String, Value>) {
    if !members.is_empty() {
        to.insert(name.to_owned(), Value::Object(members));
    }
}
