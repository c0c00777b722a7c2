//! What AWS takes of WebSocket APIs where it differs from HTTP APIs: selection expressions, routes, integrations and
//! authorizers.
//!
//! Sources: the developer guide's pages on selection expressions and data mapping, the answers that Terraform's
//! acceptance tests expect of AWS, and refusals that users have reported. What no source tells has our words.

use std::collections::BTreeMap;

use stagedoor_shapes::apigatewayv2::{
    Api, Authorizer, AuthorizerType, ConnectionType, Integration, IntegrationType, Model,
    ParameterConstraints, PassthroughBehavior, Route,
};

use super::keys::Kind;
use super::{all, route_key};
use crate::control_plane::{bad_request, required};
use crate::methods::invalid_mapping;
use crate::tx::Tx;
use crate::{ApiError, authorizers, integrations, mapping, vpc_links};

pub(super) const CONNECT: &str = "$connect";

/// Where an API key comes from: a header of the handshake, or what an authorizer says.
const KEY_SELECTIONS: [&str; 2] = ["$request.header.x-api-key", "$context.authorizer.usageIdentifierKey"];

const STATUS_SELECTION: &str = "${integration.response.statuscode}";
const ERROR_SELECTION: &str = "${integration.response.body.errorMessage}";

/// Checks the API's own expressions.
pub(super) fn check_api(api: &Api) -> Result<(), ApiError> {
    if api.cors_configuration.is_some() {
        return bad_request("Cors is not supported for WEBSOCKET protocolType");
    }
    let selection = required(&api.route_selection_expression);
    if selection.is_empty() || !is_expression(selection) {
        return bad_request("Invalid routeSelectionExpression");
    }
    let key_selection = required(&api.api_key_selection_expression);
    if !KEY_SELECTIONS.contains(&key_selection) {
        return bad_request("Invalid apiKeySelectionExpression");
    }
    Ok(())
}

/// Checks a route, but for its authorization and its target.
pub(super) fn check_route(tx: &Tx, api: &Api, route: &Route) -> Result<(), ApiError> {
    if required(&route.route_key).is_empty() {
        return bad_request("Invalid route key specified");
    }
    check_selection("modelSelectionExpression", route.model_selection_expression.as_deref())?;
    if route.route_response_selection_expression.as_deref().is_some_and(|text| text != route_key::DEFAULT) {
        return bad_request("Currently, only $default is supported as a RouteResponseSelectionExpression.");
    }
    check_models(tx, api, route.request_models.as_ref())?;
    check_parameters("route.request.", &["header", "querystring"], route.request_parameters.as_ref())
}

/// Checks that models are there.
pub(super) fn check_models(
    tx: &Tx,
    api: &Api,
    models: Option<&BTreeMap<String, String>>,
) -> Result<(), ApiError> {
    let Some(models) = models.filter(|models| !models.is_empty()) else { return Ok(()) };
    let there: Vec<Model> = all(tx, required(&api.api_id), Kind::Model)?;
    let is_model = |name: &String| there.iter().any(|model| model.name.as_ref() == Some(name));
    match models.values().find(|name| !is_model(name)) {
        Some(name) => bad_request(format!("Invalid model name specified: {name}")),
        None => Ok(()),
    }
}

/// Checks the names of parameters, such as `route.request.header.x`.
pub(super) fn check_parameters(
    prefix: &str,
    places: &[&str],
    parameters: Option<&BTreeMap<String, ParameterConstraints>>,
) -> Result<(), ApiError> {
    match parameters.into_iter().flatten().find(|(name, _)| !mapping::in_place(name, prefix, places)) {
        Some((name, _)) => invalid_mapping(name),
        None => Ok(()),
    }
}

/// Checks an authorizer.
pub(super) fn check_authorizer(authorizer: &Authorizer) -> Result<(), ApiError> {
    if authorizer.authorizer_type != Some(AuthorizerType::Request) {
        return bad_request(
            "Invalid authorizer type. Only REQUEST authorizer type is supported on WEBSOCKET protocol Apis.",
        );
    }
    let http_only = [
        (authorizer.authorizer_result_ttl_in_seconds.is_some(), "AuthorizerResultTtlInSeconds"),
        (authorizer.authorizer_payload_format_version.is_some(), "AuthorizerPayloadFormatVersion"),
        (authorizer.enable_simple_responses.is_some(), "EnableSimpleResponses"),
        (authorizer.jwt_configuration.is_some(), "JwtConfiguration"),
    ];
    if let Some((_, name)) = http_only.iter().find(|(set, _)| *set) {
        return bad_request(format!("{name} cannot be set for WEBSOCKET protocol Apis."));
    }
    authorizers::check_uri(required(&authorizer.authorizer_uri))?;
    integrations::check_credentials(authorizer.authorizer_credentials_arn.as_deref())?;
    let mut sources = authorizer.identity_source.iter().flatten();
    sources.try_for_each(|source| authorizers::check_request_source(source, "route.request."))
}

/// Fills in what AWS fills in.
pub(super) fn complete(integration: &mut Integration) {
    let kind = integration.integration_type;
    let is_function = is_function(integration);
    if is_function {
        integration.integration_method.get_or_insert_with(|| "POST".to_owned());
    }
    integration.payload_format_version.get_or_insert_with(|| "1.0".to_owned());
    integration.passthrough_behavior.get_or_insert(PassthroughBehavior::WhenNoMatch);
    // AWS alone says what chooses the response: no operation sets it.
    let chosen_by = match kind {
        Some(IntegrationType::Aws) if is_function => Some(ERROR_SELECTION),
        Some(IntegrationType::Aws | IntegrationType::Http | IntegrationType::Mock) => Some(STATUS_SELECTION),
        _ => None,
    };
    integration.integration_response_selection_expression = chosen_by.map(str::to_owned);
}

fn is_function(integration: &Integration) -> bool {
    let uri = required(&integration.integration_uri);
    match integration.integration_type {
        Some(IntegrationType::AwsProxy) => true,
        Some(IntegrationType::Aws) => uri.split(':').nth(4) == Some("lambda") || is_function_arn(uri),
        _ => false,
    }
}

/// Whether this is the ARN of a function itself, rather than of its invocation.
pub(super) fn is_function_arn(uri: &str) -> bool {
    let mut parts = uri.splitn(7, ':');
    parts.next() == Some("arn") && parts.nth(1) == Some("lambda") && parts.nth(2) == Some("function")
}

/// Checks an integration.
pub(super) fn check_integration(tx: &Tx, integration: &Integration) -> Result<(), ApiError> {
    let http_only = [
        (integration.integration_subtype.is_some(), "IntegrationSubtype"),
        (integration.tls_config.is_some(), "TlsConfig"),
        (integration.response_parameters.is_some(), "ResponseParameters"),
    ];
    if let Some((_, name)) = http_only.iter().find(|(set, _)| *set) {
        return bad_request(format!("{name} cannot be set for WEBSOCKET protocol Apis."));
    }
    let version = required(&integration.payload_format_version);
    if version != "1.0" {
        return bad_request(format!("Unsupported PayloadFormatVersion: {version}"));
    }
    check_selection("templateSelectionExpression", integration.template_selection_expression.as_deref())?;
    for (name, expression) in integration.request_parameters.iter().flatten() {
        check_request_parameter(name, expression)?;
    }
    check_target(integration)?;
    if integration.connection_type != Some(ConnectionType::VpcLink) {
        return Ok(());
    }
    if !matches!(integration.integration_type, Some(IntegrationType::Http | IntegrationType::HttpProxy)) {
        return bad_request("ConnectionType VPC_LINK is only supported for HTTP and HTTP_PROXY integrations");
    }
    // Links of the kind that REST APIs use: those of `apigatewayv2` are for HTTP APIs.
    let link = required(&integration.connection_id);
    match link.contains("${") || tx.exists(&vpc_links::key(link))? {
        true => Ok(()),
        false => bad_request(format!("Invalid Vpc Link identifier specified {link}")),
    }
}

fn check_target(integration: &Integration) -> Result<(), ApiError> {
    let (method, uri) = (required(&integration.integration_method), required(&integration.integration_uri));
    let kind = match integration.integration_type {
        Some(IntegrationType::Mock) | None => return Ok(()),
        Some(kind) => kind,
    };
    if method.is_empty() {
        return bad_request("Enumeration value for HttpMethod must be non-empty");
    }
    crate::methods::check_http_method(method)?;
    if is_function(integration) && method != "POST" {
        return bad_request(format!("HttpMethod must be POST for {} IntegrationType", kind.as_str()));
    }
    match kind {
        IntegrationType::Http | IntegrationType::HttpProxy => integrations::check_endpoint(uri),
        _ if is_function_arn(uri) => Ok(()),
        _ => {
            let proxy = kind == IntegrationType::AwsProxy;
            integrations::check_aws_uri(uri, proxy)?;
            match is_function(integration) || !required(&integration.credentials_arn).is_empty() {
                true => Ok(()),
                false => bad_request("Role ARN must be specified for AWS integrations"),
            }
        }
    }
}

fn check_request_parameter(name: &str, expression: &str) -> Result<(), ApiError> {
    const TARGETS: [&str; 5] = ["header", "querystring", "path", "multivalueheader", "multivaluequerystring"];
    const SOURCES: [&str; 4] = ["header", "querystring", "multivalueheader", "multivaluequerystring"];
    if !mapping::in_place(name, "integration.request.", &TARGETS) {
        return invalid_mapping(name);
    }
    match expression.strip_prefix("route.request.") {
        Some(place) if mapping::is_body(place) => Ok(()),
        Some(_) if mapping::in_place(expression, "route.request.", &SOURCES) => Ok(()),
        Some(_) => invalid_mapping(expression),
        None => mapping::check_common(expression),
    }
}

/// Checks a response of an integration: its key, its expression and its mappings.
pub(super) fn check_response(
    key: &str,
    selection: Option<&str>,
    parameters: Option<&BTreeMap<String, String>>,
) -> Result<(), ApiError> {
    let pattern = key.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    if key != route_key::DEFAULT && pattern.is_none_or(str::is_empty) {
        return bad_request(format!("Invalid integration response key specified: {key}"));
    }
    check_selection("templateSelectionExpression", selection)?;
    for (name, expression) in parameters.into_iter().flatten() {
        let target = ["route.response.", "method.response."]
            .iter()
            .any(|prefix| mapping::in_place(name, prefix, &["header"]));
        if !target {
            return invalid_mapping(name);
        }
        match expression.strip_prefix("integration.response.") {
            Some(place) if mapping::is_body(place) => {}
            Some(_) => {
                let places = ["header", "multivalueheader"];
                if !mapping::in_place(expression, "integration.response.", &places) {
                    return invalid_mapping(expression);
                }
            }
            None => mapping::check_common(expression)?,
        }
    }
    Ok(())
}

/// Checks an expression that need not be there.
pub(super) fn check_selection(name: &str, expression: Option<&str>) -> Result<(), ApiError> {
    match expression {
        Some(text) if !is_expression(text) => bad_request(format!("Invalid {name}")),
        _ => Ok(()),
    }
}

/// Whether a text is a selection expression: variables (`$request.body.a`, `${request.body.a}`), `\$` for a dollar sign,
/// and whatever stands between them.
fn is_expression(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let escaped = rest.get(..at).is_some_and(|before| before.ends_with('\\'));
        rest = rest.get(at + 1..).unwrap_or_default();
        if escaped {
            continue;
        }
        let variable = match rest.strip_prefix('{') {
            Some(inner) => {
                let Some((variable, after)) = inner.split_once('}') else { return false };
                rest = after;
                variable
            }
            None => {
                let part = |letter: char| letter.is_alphanumeric() || "._-[]'\"".contains(letter);
                let end = rest.find(|letter| !part(letter)).unwrap_or(rest.len());
                let (variable, after) = rest.split_at(end);
                rest = after;
                variable
            }
        };
        if variable.is_empty() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn expressions() {
        let check = |text: &str, expected: bool| assert_eq!(super::is_expression(text), expected, "{text}");
        check("$request.body.action", true);
        check("${request.body.service}-${request.body.action}", true);
        check("\\$default", true);
        check("action", true);
        check("$default", true);
        check("${request.body.action", false);
        check("${}", false);
        check("a$", false);
        check("$ request.body.a", false);
    }

    #[test]
    fn mappings_of_requests() {
        let check = |name: &str, expression: &str, expected: bool| {
            let found = super::check_request_parameter(name, expression).is_ok();
            assert_eq!(found, expected, "{name} {expression}");
        };
        check("integration.request.header.connectionId", "context.connectionId", true);
        check("integration.request.header.authToken", "route.request.querystring.authToken", true);
        check("integration.request.path.op", "'value3'", true);
        check("integration.request.querystring.a", "route.request.body.a.b", true);
        check("integration.request.querystring.a", "stageVariables.a", true);
        check("integration.request.body.a", "'x'", false);
        check("append:header.a", "'x'", false);
        check("integration.request.header.a", "x", false);
        check("integration.request.header.a", "route.request.path.a", false);
        check("integration.request.header.a", "method.request.header.a", false);
    }

    #[test]
    fn responses_of_integrations() {
        let check = |key: &str, expected: bool| {
            assert_eq!(super::check_response(key, None, None).is_ok(), expected, "{key}");
        };
        check("$default", true);
        check("/2\\d\\d/", true);
        check("200", false);
        check("//", false);
        check("/", false);
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_none(text in "[$\\\\{}a.b -]{0,12}") {
            let _ = super::is_expression(&text);
        }
    }
}
