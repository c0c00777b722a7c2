//! From an OpenAPI document, as JSON, to what it defines.

use serde_json::Value;
use stagedoor_shapes::apigatewayv2::{Api, AuthorizationType, AuthorizerType, Route};

use super::super::route_key;
use super::extensions::{INTEGRATION, PREFIX, authorizer, cors, extension, integration, text, truth};
use super::{BasePath, Definition};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

pub(super) fn read(root: &Value, base_path: BasePath) -> Definition {
    let mut definition = Definition::default();
    let version = text(root.get("openapi")).unwrap_or_default();
    if !version.starts_with("3.0") {
        definition.errors.push("Only OpenAPI 3.0 definitions can be imported as HTTP APIs".to_owned());
        return definition;
    }
    definition.api = api(root, &mut definition.errors);
    unheard(root, "", &["cors", "endpoint-configuration", "importexport-version"], &mut definition);
    let schemes = root.pointer("/components/securitySchemes").and_then(Value::as_object);
    for (name, scheme) in schemes.into_iter().flatten() {
        if let Some(extension) = extension(scheme, "authorizer") {
            match authorizer(name, scheme, extension) {
                Ok(authorizer) => _ = definition.authorizers.insert(name.clone(), Some(authorizer)),
                Err(message) => {
                    definition.lost.push(no_authorizer(name, &message));
                    definition.authorizers.insert(name.clone(), None);
                }
            }
        }
    }
    let components = root.get("components").and_then(Value::as_object);
    let unused = components.into_iter().flatten().map(|(name, _)| name.as_str());
    let unused = unused.filter(|name| *name != "securitySchemes" && !name.starts_with("x-"));
    definition.info.extend(unused.map(|name| ignored("components: ", name)));
    let prefix = prefix(root, base_path);
    let Some(paths) = root.get("paths").and_then(Value::as_object) else {
        definition.errors.push("'paths' is missing".to_owned());
        return definition;
    };
    for (path, item) in paths {
        // Exports have the default route with a slash, and what SAM makes has it without.
        let is_path = path.starts_with('/') || path == route_key::DEFAULT;
        let members = item;
        let Some(item) = item.as_object().filter(|_| is_path) else {
            if !path.starts_with("x-") {
                definition.errors.push(format!("paths.{path}: a path starts with '/' and holds methods"));
            }
            continue;
        };
        unheard(members, &format!("paths.{path}: "), &["any-method"], &mut definition);
        for (name, operation) in item {
            let method = match name.strip_prefix(PREFIX) {
                Some("any-method") => "ANY".to_owned(),
                None if METHODS.contains(&name.as_str()) => name.to_uppercase(),
                _ => {
                    if name == "trace" {
                        let message = "API Gateway has no TRACE method; it is left out";
                        definition.warnings.push(format!("paths.{path}.trace: {message}"));
                    }
                    continue;
                }
            };
            let key = match path.as_str() {
                "/$default" | route_key::DEFAULT => route_key::DEFAULT.to_owned(),
                path => format!("{method} {prefix}{path}"),
            };
            let place = format!("paths.{path}.{name}");
            for (at, reference) in missing_schemas(root, operation) {
                definition.warnings.push(format!(
                    "Parse issue: attribute paths.'{path}'({name}).{at}.{reference} is missing"
                ));
            }
            self::operation(root, &place, key, operation, &mut definition);
        }
    }
    let shared = components.and_then(|components| components.get(SHARED)).and_then(Value::as_object);
    for (name, shape) in shared.into_iter().flatten() {
        let reference = format!("#/components/{SHARED}/{name}");
        if definition.integrations.contains_key(&reference) || definition.unusable.contains(&reference) {
            continue;
        }
        unheard_of_integration(shape, &format!("components.{SHARED}.{name}"), &mut definition);
        match integration(shape) {
            Ok(integration) => _ = definition.integrations.insert(reference, integration),
            Err(message) => definition.lost.push(no_integration(&reference, &message)),
        }
    }
    definition
}

/// Where a document has integrations that several routes share.
const SHARED: &str = "x-amazon-apigateway-integrations";

/// What AWS says of a member that HTTP APIs have no use for.
fn ignored(place: &str, name: &str) -> String {
    format!("{place}key [{name}] will be ignored by API Gateway")
}

/// Tells of the extensions for REST APIs, which HTTP APIs do not have: without a policy, an API is open.
fn unheard(holder: &Value, place: &str, heard: &[&str], definition: &mut Definition) {
    let names = holder.as_object().into_iter().flatten().map(|(name, _)| name);
    let names = names.filter(|name| name.strip_prefix(PREFIX).is_some_and(|name| !heard.contains(&name)));
    definition.unheard.extend(names.map(|name| ignored(place, name)));
}

/// Tells of the members of an integration that HTTP APIs do not have, as templates.
fn unheard_of_integration(shape: &Value, place: &str, definition: &mut Definition) {
    let names = shape.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let names = names.filter(|name| !INTEGRATION.contains(name));
    definition.unheard.extend(names.map(|name| ignored(&format!("{place}: "), name)));
}

/// What AWS says of an integration that cannot be made: the route is there without one.
pub(super) fn no_integration(route: &str, message: &str) -> String {
    let message = message.trim_end_matches('.');
    format!("Unable to create integration for resource at path '{route}': {message}. Ignoring.")
}

/// What AWS says of an authorizer that cannot be made.
pub(super) fn no_authorizer(name: &str, message: &str) -> String {
    let message = message.trim_end_matches('.');
    format!("Unable to create Authorizer '{name}': {message}. Ignoring.")
}

/// What AWS says of a route whose authorizer cannot be made, by its key and its type of authorization: without the
/// authorizer it would be open.
pub(super) fn unguarded(key: &str, kind: &str) -> String {
    let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
    format!(
        "Unable to put method '{method}' on resource at path '{path}': Invalid authorizer definition. Setting the \
         authorization type to {kind} requires a valid authorizer. Ignoring."
    )
}

/// The schemas that an operation names and that are not there, each with its place in the operation.
fn missing_schemas<'a>(root: &Value, operation: &'a Value) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    let mut look = |at: &str, holder: &'a Value| {
        let content = holder.get("content").and_then(Value::as_object);
        for media in content.into_iter().flatten().map(|(_, media)| media) {
            let reference = media.pointer("/schema/$ref").and_then(Value::as_str);
            let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
            if let (Some(reference), Some(pointer)) = (reference, pointer)
                && root.pointer(pointer).is_none()
            {
                found.push((format!("{at}.content.schema"), reference));
            }
        }
    };
    for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        look(&format!("responses.{status}"), response);
    }
    if let Some(body) = operation.get("requestBody") {
        look("requestBody", body);
    }
    found
}

fn api(root: &Value, errors: &mut Vec<String>) -> Api {
    let info = |name: &str| text(root.pointer(&format!("/info/{name}")));
    let mut api = Api {
        name: info("title"),
        description: info("description").filter(|text| !text.is_empty()),
        version: info("version"),
        ..Api::default()
    };
    if let Some(given) = extension(root, "cors") {
        match cors(given) {
            Ok(cors) => api.cors_configuration = Some(cors),
            Err(error) => errors.push(format!("{PREFIX}cors: {error}")),
        }
    }
    let servers = root.get("servers").and_then(Value::as_array).into_iter().flatten();
    let endpoint = servers.filter_map(|server| extension(server, "endpoint-configuration")).next();
    let endpoint = endpoint.or_else(|| extension(root, "endpoint-configuration"));
    api.disable_execute_api_endpoint =
        endpoint.and_then(|endpoint| endpoint.get("disableExecuteApiEndpoint")).and_then(truth);
    if let Some(kind) = text(endpoint.and_then(|endpoint| endpoint.get("ipAddressType"))) {
        match kind.parse() {
            Ok(kind) => api.ip_address_type = Some(kind),
            Err(error) => errors.push(format!("{PREFIX}endpoint-configuration: ipAddressType: {error}")),
        }
    }
    for tag in root.get("tags").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(name), Some(value)) = (text(tag.get("name")), extension(tag, "tag-value")) {
            api.tags.get_or_insert_default().insert(name, text(Some(value)).unwrap_or_default());
        }
    }
    api
}

/// What stands before every path, from the first server's URL.
fn prefix(root: &Value, base_path: BasePath) -> String {
    if base_path == BasePath::Ignore {
        return String::new();
    }
    let Some(server) = root.pointer("/servers/0") else { return String::new() };
    let mut url = text(server.get("url")).unwrap_or_default();
    let variables = server.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let value = text(variable.get("default")).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), value.trim_start_matches('/'));
    }
    let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default();
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if base_path == BasePath::Split && !segments.is_empty() {
        segments.remove(0);
    }
    segments.iter().map(|segment| format!("/{segment}")).collect()
}

fn operation(root: &Value, place: &str, key: String, operation: &Value, definition: &mut Definition) {
    let unused = ["parameters", "requestBody", "responses"];
    let unused = unused.iter().filter(|name| operation.get(**name).is_some());
    definition.info.extend(unused.map(|name| ignored(&format!("{place}: "), name)));
    unheard(operation, &format!("{place}: "), &["integration", "auth"], definition);
    let integration = match extension(operation, "integration") {
        None => {
            definition.warnings.push(format!("{place}: the route has no integration"));
            None
        }
        Some(extension) => integration_name(root, place, &key, extension, definition),
    };
    let mut route = Route {
        api_key_required: Some(false),
        authorization_type: Some(AuthorizationType::None),
        operation_name: text(operation.get("operationId")),
        route_key: Some(key),
        ..Route::default()
    };
    let mut authorizer = None;
    let own = operation.get("security").or_else(|| root.get("security")).and_then(Value::as_array);
    let requirements: Vec<(&String, &Value)> =
        own.into_iter().flatten().filter_map(Value::as_object).flatten().collect();
    match requirements.as_slice() {
        [] => {}
        [(name, scopes)] => authorizer = secure(root, place, name, scopes, &mut route, definition),
        _ => {
            definition.errors.push(format!("{place}: a route can have one security requirement, not several"))
        }
    }
    if extension(operation, "auth")
        .and_then(|auth| text(auth.get("type")))
        .is_some_and(|kind| kind == "AWS_IAM")
    {
        route.authorization_type = Some(AuthorizationType::AwsIam);
    }
    definition.routes.push((route, integration, authorizer));
}

/// Puts a security scheme in front of a route; gives the name of its authorizer.
fn secure(
    root: &Value,
    place: &str,
    name: &str,
    scopes: &Value,
    route: &mut Route,
    definition: &mut Definition,
) -> Option<String> {
    if let Some(authorizer) = definition.authorizers.get(name) {
        let Some(authorizer) = authorizer else {
            // Its kind is not known; that the authorizer is missing keeps the route out.
            route.authorization_type = Some(AuthorizationType::Custom);
            return Some(name.to_owned());
        };
        let jwt = authorizer.authorizer_type == Some(AuthorizerType::Jwt);
        route.authorization_type = Some(if jwt { AuthorizationType::Jwt } else { AuthorizationType::Custom });
        let scopes: Vec<String> =
            scopes.as_array().into_iter().flatten().filter_map(|scope| text(Some(scope))).collect();
        route.authorization_scopes = Some(scopes).filter(|scopes| jwt && !scopes.is_empty());
        return Some(name.to_owned());
    }
    let scheme = root.pointer("/components/securitySchemes").and_then(|schemes| schemes.get(name));
    match scheme {
        // What SAM writes for a function whose `Authorizer` is `NONE`, though the API has a default one.
        None if name == "NONE" => {}
        None => definition.errors.push(format!("{place}: the security scheme '{name}' is not defined")),
        Some(scheme) if text(extension(scheme, "authtype")).as_deref() == Some("awsSigv4") => {
            route.authorization_type = Some(AuthorizationType::AwsIam);
        }
        // Left out it would leave the route open, which nobody who writes `security` means.
        Some(_) => definition.errors.push(format!(
            "{place}: the security scheme '{name}' has no {PREFIX}authorizer that could check it"
        )),
    }
    None
}

/// The name that an integration goes by: its component's, or the place of one that is used once.
fn integration_name(
    root: &Value,
    place: &str,
    key: &str,
    extension: &Value,
    definition: &mut Definition,
) -> Option<String> {
    let (name, shape) = match text(extension.get("$ref")) {
        None => (place.to_owned(), extension),
        Some(reference) => {
            let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            match target {
                Some(target) => (reference, target),
                None => {
                    definition.errors.push(format!("{place}: the reference '{reference}' points to nothing"));
                    return None;
                }
            }
        }
    };
    if definition.integrations.contains_key(&name) {
        return Some(name);
    }
    let at = match name.strip_prefix("#/") {
        Some(pointer) => pointer.replace('/', "."),
        None => format!("{place}.{PREFIX}integration"),
    };
    unheard_of_integration(shape, &at, definition);
    match integration(shape) {
        Ok(integration) => _ = definition.integrations.insert(name.clone(), integration),
        Err(message) => {
            definition.lost.push(no_integration(key, &message));
            definition.unusable.insert(name);
            return None;
        }
    }
    Some(name)
}
