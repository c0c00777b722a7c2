//! HTTP APIs as OpenAPI 3.0 documents: `ExportApi`. What is exported can be imported again, and is the same API then.

use serde_json::{Map, Value, json};
use stagedoor_shapes::Blob;
use stagedoor_shapes::apigatewayv2::{
    Api, AuthorizationType, Authorizer, AuthorizerType, Cors, ExportApiRequest, ExportApiResponse,
    Integration, IpAddressType, Route, Stage,
};
use stagedoor_shapes::snapshot::{ApiSnapshot, INTEGRATION_TARGET};

use time::OffsetDateTime;
use time::macros::format_description;

use super::integrations::HTTP_TIMEOUT_MAX;
use super::keys::Kind;
use super::{V2, is_http, members, route_key};
use crate::ApiError;
use crate::control_plane::{bad_request, required};
use crate::exports::{print, yaml};

const PREFIX: &str = "x-amazon-apigateway-";
/// The version of the format, and of the extension that says so.
const VERSION: &str = "1.0";

impl V2<'_> {
    /// `ExportApi`: what a stage serves, or without one the API as it is defined.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or stage, [`ApiError::BadRequest`] for another format.
    pub fn export_api(&self, input: ExportApiRequest) -> Result<ExportApiResponse, ApiError> {
        let id = required(&input.api_id);
        if required(&input.specification) != "OAS30" {
            return bad_request("Invalid specification. Only OAS30 is supported");
        }
        if input.export_version.as_deref().is_some_and(|version| version != VERSION) {
            return bad_request("Invalid export version. Only 1.0 is supported");
        }
        let as_yaml = match required(&input.output_type) {
            "YAML" => true,
            "JSON" => false,
            _ => return bad_request("Invalid output type. Only JSON and YAML are supported"),
        };
        let stage = input.stage_name.as_deref().filter(|name| !name.is_empty());
        let snapshot = self.0.read(|tx| match stage {
            None => self.snapshot(tx, id),
            Some(name) => {
                let stage: Stage = self.find(tx, id, Kind::Stage, name)?;
                match stage.deployment_id.as_deref() {
                    Some(deployment) => members::find(tx, id, Kind::Snapshot, deployment),
                    None => bad_request("The stage has no deployment"),
                }
            }
        })?;
        if !is_http(&snapshot.api) {
            return bad_request("Export is only supported for HTTP APIs");
        }
        let document = document(&snapshot, stage, input.include_extensions.unwrap_or(true));
        let text = if as_yaml { yaml::print(&document) } else { print::print(&document) };
        Ok(ExportApiResponse { body: Some(Blob(text.into_bytes())) })
    }
}

fn document(snapshot: &ApiSnapshot, stage: Option<&str>, extensions: bool) -> Value {
    let api = &snapshot.api;
    let mut info = Map::new();
    info.insert("title".to_owned(), json!(required(&api.name)));
    if let Some(description) = &api.description {
        info.insert("description".to_owned(), json!(description));
    }
    // OpenAPI asks for a version.
    let version = api.version.clone().filter(|version| !version.is_empty());
    info.insert("version".to_owned(), json!(version.unwrap_or_else(|| date(api.created_date))));
    let endpoint = required(&api.api_endpoint);
    let base_path = match stage {
        None | Some(route_key::DEFAULT) => String::new(),
        Some(stage) => format!("/{stage}"),
    };
    let mut server = json!({
        "url": format!("{endpoint}/{{basePath}}"),
        "variables": { "basePath": { "default": base_path } },
    });
    let endpoint = endpoint_configuration(api);
    if extensions && endpoint != json!({}) {
        put(&mut server, &format!("{PREFIX}endpoint-configuration"), endpoint);
    }
    let mut root = json!({ "openapi": "3.0.1", "info": info, "servers": [server] });
    let tags: Vec<Value> = api
        .tags
        .iter()
        .flatten()
        .map(|(name, value)| match extensions {
            true => json!({ "name": name, format!("{PREFIX}tag-value"): value }),
            false => json!({ "name": name }),
        })
        .collect();
    if !tags.is_empty() {
        put(&mut root, "tags", tags.into());
    }
    put(&mut root, "paths", paths(snapshot, extensions));
    if extensions {
        components(snapshot, &mut root);
        if let Some(cors) = &api.cors_configuration {
            put(&mut root, &format!("{PREFIX}cors"), self::cors(cors));
        }
        put(&mut root, &format!("{PREFIX}importexport-version"), json!(VERSION));
    }
    root
}

/// What of the endpoint is not as it is by default.
fn endpoint_configuration(api: &Api) -> Value {
    let mut configuration = json!({});
    if api.disable_execute_api_endpoint == Some(true) {
        put(&mut configuration, "disableExecuteApiEndpoint", json!(true));
    }
    if let Some(kind) = api.ip_address_type.filter(|kind| *kind != IpAddressType::Ipv4) {
        put(&mut configuration, "ipAddressType", json!(kind.as_str()));
    }
    configuration
}

/// A time as `2022-02-11 12:44:34UTC`.
fn date(seconds: Option<f64>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]UTC");
    let time = OffsetDateTime::from_unix_timestamp(seconds.unwrap_or_default() as i64);
    time.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&format).unwrap_or_default()
}

/// What is set, in the order that AWS's exports have.
fn cors(cors: &Cors) -> Value {
    let mut value = json!({});
    let mut member = |name: &str, member: Value| {
        if !member.is_null() {
            put(&mut value, name, member);
        }
    };
    member("allowMethods", json!(cors.allow_methods));
    member("allowHeaders", json!(cors.allow_headers));
    member("exposeHeaders", json!(cors.expose_headers));
    member("maxAge", json!(cors.max_age));
    member("allowCredentials", json!(cors.allow_credentials));
    member("allowOrigins", json!(cors.allow_origins));
    value
}

fn paths(snapshot: &ApiSnapshot, extensions: bool) -> Value {
    let mut routes: Vec<&Route> = snapshot.routes.iter().collect();
    routes
        .sort_by_key(|route| required(&route.route_key).split_once(' ').map(|(method, path)| (path, method)));
    let mut paths = Map::new();
    for route in routes {
        let key = required(&route.route_key);
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", "/$default"));
        let name = match method {
            // OpenAPI has no word for it but the extension.
            "ANY" if !extensions => continue,
            "ANY" => format!("{PREFIX}any-method"),
            method => method.to_ascii_lowercase(),
        };
        let item = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        put(item, &name, operation(snapshot, route, extensions));
    }
    for (path, item) in &mut paths {
        let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names
            .map(|name| {
                json!({
                    "name": name, "in": "path", "description": format!("Generated path parameter for {name}"),
                    "required": true, "schema": { "type": "string" },
                })
            })
            .collect();
        if !parameters.is_empty() {
            put(item, "parameters", parameters.into());
        }
    }
    Value::Object(paths)
}

fn operation(snapshot: &ApiSnapshot, route: &Route, extensions: bool) -> Value {
    let key = required(&route.route_key);
    let is_default = key == route_key::DEFAULT;
    let mut operation = if is_default && extensions { json!({ "isDefaultRoute": true }) } else { json!({}) };
    if let Some(name) = &route.operation_name {
        put(&mut operation, "operationId", json!(name));
    }
    let description = format!("Default response for {key}");
    put(&mut operation, "responses", json!({ "default": { "description": description } }));
    if !extensions {
        return operation;
    }
    match route.authorization_type {
        Some(AuthorizationType::AwsIam) => {
            put(&mut operation, &format!("{PREFIX}auth"), json!({ "type": "AWS_IAM" }));
        }
        Some(AuthorizationType::Jwt | AuthorizationType::Custom) => {
            let is_own = |it: &&Authorizer| it.authorizer_id == route.authorizer_id;
            let name = snapshot.authorizers.iter().find(is_own).and_then(|it| it.name.clone());
            if let Some(name) = name {
                let scopes = route.authorization_scopes.clone().unwrap_or_default();
                put(&mut operation, "security", json!([{ name: scopes }]));
            }
        }
        Some(AuthorizationType::None) | None => {}
    }
    let id = route.target.as_deref().and_then(|target| target.strip_prefix(INTEGRATION_TARGET));
    if let Some(integration) = id.and_then(|id| find(snapshot, id)) {
        let shared = users(snapshot, id.unwrap_or_default()) > 1;
        let value = match shared {
            true => {
                json!({ "$ref": format!("#/components/{PREFIX}integrations/{}", required(&integration.integration_id)) })
            }
            false => extension(integration),
        };
        put(&mut operation, &format!("{PREFIX}integration"), value);
    }
    operation
}

fn find<'a>(snapshot: &'a ApiSnapshot, id: &str) -> Option<&'a Integration> {
    snapshot.integrations.iter().find(|integration| integration.integration_id.as_deref() == Some(id))
}

fn users(snapshot: &ApiSnapshot, id: &str) -> usize {
    let target = format!("{INTEGRATION_TARGET}{id}");
    snapshot.routes.iter().filter(|route| route.target.as_ref() == Some(&target)).count()
}

/// An integration as the extension has it.
fn extension(integration: &Integration) -> Value {
    let mut value = json!({});
    let mut member = |name: &str, member: Value| {
        if !member.is_null() {
            put(&mut value, name, member);
        }
    };
    member("integrationSubtype", json!(integration.integration_subtype));
    member("credentials", json!(integration.credentials_arn));
    member("responseParameters", json!(integration.response_parameters));
    member("requestParameters", json!(integration.request_parameters));
    member("payloadFormatVersion", json!(integration.payload_format_version));
    member("connectionId", json!(integration.connection_id));
    member("type", json!(integration.integration_type.map(|kind| kind.as_str().to_ascii_lowercase())));
    member("httpMethod", json!(integration.integration_method));
    member("uri", json!(integration.integration_uri));
    member("connectionType", to_value(&integration.connection_type));
    let timeout = integration.timeout_in_millis.filter(|timeout| *timeout != HTTP_TIMEOUT_MAX);
    member("timeoutInMillis", json!(timeout));
    member("tlsConfig", to_value(&integration.tls_config));
    member("description", json!(integration.description));
    value
}

fn components(snapshot: &ApiSnapshot, root: &mut Value) {
    let mut schemes = Map::new();
    for authorizer in &snapshot.authorizers {
        schemes.insert(required(&authorizer.name).to_owned(), scheme(authorizer));
    }
    let integrations: Map<String, Value> = snapshot
        .integrations
        .iter()
        .filter_map(|integration| {
            let id = required(&integration.integration_id);
            match users(snapshot, id) {
                0 => Some((format!("unusedIntegration_{id}"), extension(integration))),
                1 => None,
                _ => Some((id.to_owned(), extension(integration))),
            }
        })
        .collect();
    let mut components = json!({});
    if !schemes.is_empty() {
        put(&mut components, "securitySchemes", schemes.into());
    }
    if !integrations.is_empty() {
        put(&mut components, &format!("{PREFIX}integrations"), integrations.into());
    }
    if components != json!({}) {
        put(root, "components", components);
    }
}

fn scheme(authorizer: &Authorizer) -> Value {
    let mut extension = json!({});
    let mut member = |name: &str, member: Value| {
        if !member.is_null() {
            put(&mut extension, name, member);
        }
    };
    let sources = authorizer.identity_source.as_ref().filter(|sources| !sources.is_empty());
    member("identitySource", json!(sources.map(|sources| sources.join(","))));
    member("authorizerUri", json!(authorizer.authorizer_uri));
    member("authorizerCredentials", json!(authorizer.authorizer_credentials_arn));
    member("authorizerPayloadFormatVersion", json!(authorizer.authorizer_payload_format_version));
    member("authorizerResultTtlInSeconds", json!(authorizer.authorizer_result_ttl_in_seconds));
    if let Some(configuration) = &authorizer.jwt_configuration {
        let (audience, issuer) = (&configuration.audience, &configuration.issuer);
        member("jwtConfiguration", json!({ "audience": audience, "issuer": issuer }));
    }
    let jwt = authorizer.authorizer_type == Some(AuthorizerType::Jwt);
    member("type", json!(if jwt { "jwt" } else { "request" }));
    member("enableSimpleResponses", json!(authorizer.enable_simple_responses));
    match jwt {
        true => json!({ "type": "oauth2", "flows": {}, format!("{PREFIX}authorizer"): extension }),
        false => {
            json!({ "type": "apiKey", "name": "Unused", "in": "header", format!("{PREFIX}authorizer"): extension })
        }
    }
}

fn to_value(shape: &impl serde::Serialize) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}

fn put(to: &mut Value, name: &str, member: Value) {
    if let Value::Object(members) = to {
        members.insert(name.to_owned(), member);
    }
}
