//! `x-stagedoor-stages`: the stages that a document's API is deployed to.

use std::collections::BTreeMap;
use std::path::Path;

use stagedoor_openapi::Place;
use stagedoor_shapes::apigateway::MethodSetting;
use stagedoor_shapes::apigatewayv2::RouteSettings;

use crate::Problem;
use crate::api_type::ApiType;
use crate::reader::Reader;

/// The extension's name.
pub(crate) const NAME: &str = "x-stagedoor-stages";

/// The stage of a REST API whose document names none.
pub(crate) const DEFAULT_STAGE: &str = "dev";

/// The stage of an HTTP API whose document names none. It is served at the root.
const DEFAULT_HTTP_STAGE: &str = "$default";

/// The members of a REST API's stage.
const MEMBERS: &[&str] = &["description", "methodSettings", "tracingEnabled", "variables"];

/// The members of an HTTP API's stage.
const HTTP_MEMBERS: &[&str] = &["defaultRouteSettings", "description", "routeSettings", "variables"];

/// The members of a route's settings, as AWS spells them.
const ROUTE_SETTINGS: &[&str] = &["detailedMetricsEnabled", "throttlingBurstLimit", "throttlingRateLimit"];

/// The members of a method's settings, as AWS spells them.
const SETTINGS: &[&str] = &[
    "cacheDataEncrypted",
    "cacheTtlInSeconds",
    "cachingEnabled",
    "dataTraceEnabled",
    "loggingLevel",
    "metricsEnabled",
    "requireAuthorizationForCacheControl",
    "throttlingBurstLimit",
    "throttlingRateLimit",
    "unauthorizedCacheControlHeaderStrategy",
];

/// A stage as a project defines it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageSpec {
    /// Its name, the first part of every path.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Settings by method: `*/*`, or a path without its first slash and a method, such as `orders/{id}/GET`.
    pub method_settings: BTreeMap<String, MethodSetting>,
    /// Whether requests are traced.
    pub tracing_enabled: Option<bool>,
    /// Of HTTP APIs: settings of routes that have none of their own.
    pub default_route_settings: Option<RouteSettings>,
    /// Of HTTP APIs: settings by route key, such as `GET /pets`.
    pub route_settings: BTreeMap<String, RouteSettings>,
}

/// Reads the stages of a document.
pub(crate) fn read(
    file: &Path,
    root: &Place<'_>,
    api_type: ApiType,
    problems: &mut Vec<Problem>,
) -> Vec<StageSpec> {
    let mut reader = Reader { file, problems };
    let Some(section) = root.get(NAME) else {
        let name = if api_type == ApiType::Http { DEFAULT_HTTP_STAGE } else { DEFAULT_STAGE };
        return vec![StageSpec { name: name.to_owned(), ..StageSpec::default() }];
    };
    if reader.object(&section, "the stages") && section.members().next().is_none() {
        reader.problem(&section, "an API is served in a stage; name at least one");
    }
    section.members().map(|(name, place)| stage(&mut reader, name, &place, api_type)).collect()
}

fn stage(reader: &mut Reader<'_>, name: &str, place: &Place<'_>, api_type: ApiType) -> StageSpec {
    let is_http = api_type == ApiType::Http;
    let plain = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
    let at_root = is_http && name == DEFAULT_HTTP_STAGE;
    if !at_root && (name.is_empty() || name.len() > 128 || !name.chars().all(plain)) {
        reader.problem(place, "a stage's name has up to 128 letters, digits, '-' and '_'");
    }
    let mut spec = StageSpec { name: name.to_owned(), ..StageSpec::default() };
    // `dev:` alone is a stage with nothing to say.
    if place.is_null() || !reader.object(place, "a stage") {
        return spec;
    }
    if is_http {
        reader.members(place, "a stage of an HTTP API", HTTP_MEMBERS);
    } else {
        reader.members(place, "a stage", MEMBERS);
    }
    spec.description = reader.text(place, "description");
    spec.variables = reader.texts(place, "variables");
    spec.tracing_enabled = reader.boolean(place, "tracingEnabled");
    check_variables(reader, place, &spec.variables);
    if is_http {
        let default = place.get("defaultRouteSettings");
        spec.default_route_settings = default.and_then(|place| route_settings(reader, &place));
        if let Some(settings) = place.get("routeSettings") {
            reader.object(&settings, "'routeSettings'");
            for (route, place) in settings.members() {
                let settings = route_settings(reader, &place);
                spec.route_settings.extend(settings.map(|settings| (route.to_owned(), settings)));
            }
        }
        return spec;
    }
    if let Some(settings) = place.get("methodSettings") {
        reader.object(&settings, "'methodSettings'");
        for (method, place) in settings.members() {
            let Some(key) = method_key(method) else {
                reader.problem(
                    &place,
                    "settings are for '*/*', or for a path and a method such as '/orders/POST'",
                );
                continue;
            };
            spec.method_settings.extend(setting(reader, &place).map(|setting| (key, setting)));
        }
    }
    spec
}

/// AWS's bounds: 64 letters, digits and `_` for a name; 1 to 512 of some characters for a value.
fn check_variables(reader: &mut Reader<'_>, place: &Place<'_>, variables: &BTreeMap<String, String>) {
    let Some(section) = place.get("variables") else { return };
    for (name, value) in variables {
        let Some(place) = section.get(name) else { continue };
        let word = |one: char| one.is_ascii_alphanumeric() || one == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(word) {
            reader.problem(&place, "a stage variable's name has up to 64 letters, digits and '_'");
        }
        if value.is_empty()
            || value.len() > 512
            || !value.chars().all(|one| one.is_ascii_alphanumeric() || " -._~:/?#&=,".contains(one))
        {
            reader.problem(
                &place,
                "a stage variable's value has 1 to 512 letters, digits, spaces and the symbols -._~:/?#&=,",
            );
        }
    }
}

/// A method's key in AWS's spelling.
fn method_key(method: &str) -> Option<String> {
    let key = method.strip_prefix('/').unwrap_or(method);
    let (path, verb) = key.rsplit_once('/').unwrap_or(("", key));
    let known = verb == "*" || (!verb.is_empty() && verb.chars().all(|one| one.is_ascii_uppercase()));
    known.then(|| if path.is_empty() && verb != "*" { format!("/{verb}") } else { format!("{path}/{verb}") })
}

fn setting(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<MethodSetting> {
    if !reader.object(place, "a method's settings") {
        return None;
    }
    reader.members(place, "a method's settings", SETTINGS);
    serde_json::from_value(place.node.to_json())
        .map_err(|error| reader.problem(place, format!("these are no settings of a method: {error}")))
        .ok()
}

fn route_settings(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<RouteSettings> {
    if !reader.object(place, "a route's settings") {
        return None;
    }
    reader.members(place, "a route's settings", ROUTE_SETTINGS);
    // The shape spells its members as the wire does, which is how AWS's documents spell them too.
    serde_json::from_value(place.node.to_json())
        .map_err(|error| reader.problem(place, format!("these are no settings of a route: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_of_methods() {
        let check = |method: &str, expected: Option<&str>| {
            assert_eq!(super::method_key(method).as_deref(), expected, "{method}");
        };
        check("*/*", Some("*/*"));
        check("/orders/{id}/GET", Some("orders/{id}/GET"));
        check("orders/GET", Some("orders/GET"));
        check("/GET", Some("/GET"));
        check("/orders", None);
    }
}
