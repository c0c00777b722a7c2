//! Integrations: the backends that routes send requests to.

use std::collections::BTreeMap;

use stagedoor_shapes::apigatewayv2::{
    Api, ConnectionType, CreateIntegrationRequest, DeleteIntegrationRequest, GetIntegrationRequest,
    GetIntegrationsRequest, GetIntegrationsResponse, Integration, IntegrationType, PassthroughBehavior,
    Route, TlsConfig, UpdateIntegrationRequest, VpcLink,
};
use stagedoor_shapes::snapshot::INTEGRATION_TARGET;

use super::keys::{self, Kind};
use super::parameters::{self, Subtype};
use super::{V2, all, is_http, members, recast, updated, vpc_links, websocket};
use crate::control_plane::{bad_request, conflict, required};
use crate::integrations::check_credentials;
use crate::tx::Tx;
use crate::{ApiError, quotas};

/// The longest time for an integration of an HTTP API, and its default, in milliseconds.
pub(super) const HTTP_TIMEOUT_MAX: i32 = 30_000;
/// The same for WebSocket APIs.
const WEBSOCKET_TIMEOUT_MAX: i32 = 29_000;
const TIMEOUT_MIN: i32 = 50;

/// What AWS says of integrations that HTTP APIs do not have.
pub(super) const ONLY_PROXIES: &str = "Currently, an API with a protocol type of HTTP may only be associated with proxy \
                                       integrations (AWS_PROXY, HTTP_PROXY)";

impl V2<'_> {
    /// `CreateIntegration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for settings that AWS refuses.
    pub fn create_integration(&self, input: CreateIntegrationRequest) -> Result<Integration, ApiError> {
        let api_id = required(&input.api_id);
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let integration: Integration = recast(&input)?;
            let most = self.0.settings.quotas.integrations_per_api;
            quotas::check_one_more_below(tx, &keys::all(api_id, Kind::Integration), most, "Integrations")?;
            let integration = self.new_integration(tx, &api, integration)?;
            self.redeploy(tx, api_id)?;
            Ok(integration)
        })
    }

    /// Completes a new integration with AWS's defaults, checks it and writes it.
    pub(super) fn new_integration(
        &self,
        tx: &Tx,
        api: &Api,
        mut integration: Integration,
    ) -> Result<Integration, ApiError> {
        let api_id = required(&api.api_id);
        integration.integration_id = Some(members::unused(tx, api_id, Kind::Integration)?);
        complete(api, &mut integration);
        check(tx, api, &integration)?;
        let key = keys::one(api_id, Kind::Integration, required(&integration.integration_id));
        tx.put(&key, &integration)?;
        Ok(integration)
    }

    /// `GetIntegration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such integration.
    pub fn get_integration(&self, input: GetIntegrationRequest) -> Result<Integration, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.integration_id));
        self.0.read(|tx| self.find(tx, api, Kind::Integration, id))
    }

    /// `GetIntegrations`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_integrations(
        &self,
        input: GetIntegrationsRequest,
    ) -> Result<GetIntegrationsResponse, ApiError> {
        let (token, max) = (input.next_token.as_deref(), input.max_results.as_deref());
        let (items, next_token) = self.list(required(&input.api_id), Kind::Integration, token, max)?;
        Ok(GetIntegrationsResponse { items, next_token })
    }

    /// `UpdateIntegration`. A parameter with an empty value is removed, and so is a status without parameters.
    ///
    /// # Errors
    /// As for `CreateIntegration`, and [`ApiError::NotFound`] if there is no such integration.
    pub fn update_integration(&self, input: UpdateIntegrationRequest) -> Result<Integration, ApiError> {
        let (api_id, id) = (required(&input.api_id), required(&input.integration_id));
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let before: Integration = members::find(tx, api_id, Kind::Integration, id)?;
            let mut integration: Integration = updated(&before, &input)?;
            integration.request_parameters =
                merged(before.request_parameters, input.request_parameters.clone());
            integration.request_templates = merged(before.request_templates, input.request_templates.clone());
            let mut responses = before.response_parameters.unwrap_or_default();
            for (status, parameters) in input.response_parameters.iter().flatten() {
                responses.insert(status.clone(), parameters.clone());
            }
            responses.retain(|_, parameters| !parameters.is_empty());
            integration.response_parameters = Some(responses).filter(|all| !all.is_empty());
            let blank = |text: &mut Option<String>| *text = text.take().filter(|text| !text.is_empty());
            blank(&mut integration.connection_id);
            blank(&mut integration.credentials_arn);
            blank(&mut integration.description);
            blank(&mut integration.template_selection_expression);
            if integration.connection_type != Some(ConnectionType::VpcLink) {
                integration.connection_id = None;
            }
            // Terraform takes a TLS configuration away by an update to an empty one.
            let is_empty = |tls: &TlsConfig| tls.server_name_to_verify.is_none();
            if input
                .tls_config
                .as_ref()
                .is_some_and(|_| integration.tls_config.as_ref().is_some_and(is_empty))
            {
                integration.tls_config = None;
            }
            complete(&api, &mut integration);
            check(tx, &api, &integration)?;
            tx.put(&keys::one(api_id, Kind::Integration, id), &integration)?;
            self.redeploy(tx, api_id)?;
            Ok(integration)
        })
    }

    /// `DeleteIntegration`, with its responses.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such integration, [`ApiError::Conflict`] if a route uses it,
    /// [`ApiError::BadRequest`] if quick create has made it.
    pub fn delete_integration(&self, input: DeleteIntegrationRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.integration_id));
        self.0.transact(|tx| {
            let integration: Integration = self.find(tx, api, Kind::Integration, id)?;
            if integration.api_gateway_managed == Some(true) {
                return bad_request("Cannot delete an Integration that is managed by API Gateway");
            }
            let routes: Vec<Route> = all(tx, api, Kind::Route)?;
            let target = format!("{INTEGRATION_TARGET}{id}");
            if routes.iter().any(|route| route.target.as_ref() == Some(&target)) {
                return conflict("Cannot delete Integration. Integration is referenced by existing Routes.");
            }
            tx.delete(&keys::one(api, Kind::Integration, id));
            tx.delete_all(&keys::all_of(api, Kind::IntegrationResponse, id))?;
            self.redeploy(tx, api)
        })
    }
}

/// The entries of both maps, the second one's where they have the same name; entries without a value are left out.
pub(super) fn merged(
    before: Option<BTreeMap<String, String>>,
    changes: Option<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    let mut all = before.unwrap_or_default();
    all.extend(changes.unwrap_or_default());
    all.retain(|_, value| !value.is_empty());
    Some(all).filter(|all| !all.is_empty())
}

/// Fills in what AWS fills in.
pub(super) fn complete(api: &Api, integration: &mut Integration) {
    integration.connection_type.get_or_insert(ConnectionType::Internet);
    if !is_http(api) {
        integration.timeout_in_millis.get_or_insert(WEBSOCKET_TIMEOUT_MAX);
        return websocket::complete(integration);
    }
    integration.timeout_in_millis.get_or_insert(HTTP_TIMEOUT_MAX);
    // Terraform sends its default; HTTP APIs have no templates that could match, and AWS does not show it.
    integration.passthrough_behavior.take_if(|behavior| *behavior == PassthroughBehavior::WhenNoMatch);
    let is_function = integration.integration_type == Some(IntegrationType::AwsProxy);
    if is_function && integration.integration_subtype.is_none() {
        integration.integration_method.get_or_insert_with(|| "POST".to_owned());
    }
    if !is_function {
        integration.payload_format_version.get_or_insert_with(|| "1.0".to_owned());
    }
}

/// AWS's rules for an integration.
pub(super) fn check(tx: &Tx, api: &Api, integration: &Integration) -> Result<(), ApiError> {
    let limit = if is_http(api) { HTTP_TIMEOUT_MAX } else { WEBSOCKET_TIMEOUT_MAX };
    if integration.timeout_in_millis.is_some_and(|time| !(TIMEOUT_MIN..=limit).contains(&time)) {
        return bad_request(format!("Timeout should be between {TIMEOUT_MIN} ms and {limit} ms"));
    }
    if integration.connection_type == Some(ConnectionType::VpcLink) {
        let id = required(&integration.connection_id);
        if id.is_empty() {
            return bad_request("ConnectionId must be set to vpcLinkId for ConnectionType VPC_LINK");
        }
    } else if integration.connection_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return bad_request("ConnectionId is only supported for connectionType VPC_LINK");
    }
    check_credentials(integration.credentials_arn.as_deref())?;
    if !is_http(api) {
        return websocket::check_integration(tx, integration);
    }
    check_http(integration)?;
    // AWS looks at where a link leads before it looks for the link.
    match integration.connection_id.as_deref().filter(|id| !id.is_empty() && !id.contains("${")) {
        Some(id) if tx.get::<VpcLink>(&vpc_links::key(id))?.is_none() => {
            bad_request(format!("Invalid Vpc Link identifier specified {id}"))
        }
        _ => Ok(()),
    }
}

fn check_http(integration: &Integration) -> Result<(), ApiError> {
    let kind = integration.integration_type;
    if !matches!(kind, Some(IntegrationType::AwsProxy | IntegrationType::HttpProxy)) {
        return bad_request(ONLY_PROXIES);
    }
    let websocket_only = [
        (integration.content_handling_strategy.is_some(), "contentHandlingStrategy"),
        (integration.passthrough_behavior.is_some(), "passthroughBehavior"),
        (integration.request_templates.as_ref().is_some_and(|all| !all.is_empty()), "requestTemplates"),
        (integration.template_selection_expression.is_some(), "templateSelectionExpression"),
    ];
    if let Some((_, name)) = websocket_only.iter().find(|(set, _)| *set) {
        return bad_request(format!("{name} is only supported for WebSocket APIs"));
    }
    if let Some(method) = integration.integration_method.as_deref() {
        const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
        if !METHODS.contains(&method) {
            return bad_request("Invalid HTTP method specified");
        }
    }
    let version = required(&integration.payload_format_version);
    for (status, parameters) in integration.response_parameters.iter().flatten() {
        parameters::check_response(status, parameters)?;
    }
    let parameters = integration.request_parameters.as_ref();
    if let Some(subtype) = integration.integration_subtype.as_deref() {
        let is_known = kind == Some(IntegrationType::AwsProxy) && version == "1.0";
        let Some(known) = Subtype::find(subtype).filter(|_| is_known) else {
            return bad_request(format!("Operation: {subtype} is not supported."));
        };
        if required(&integration.credentials_arn).is_empty() {
            return bad_request(format!(
                "Role ARN must be specified for AWS integration configuration with Subtype: {subtype}"
            ));
        }
        return known.check(parameters);
    }
    parameters.map_or(Ok(()), parameters::check_request)?;
    let uri = required(&integration.integration_uri);
    if uri.is_empty() {
        return bad_request("IntegrationUri must be specified");
    }
    if kind == Some(IntegrationType::AwsProxy) {
        // AWS shows ANY as it was given, and calls functions by POST all the same.
        if integration.integration_method.as_deref().is_some_and(|method| !matches!(method, "POST" | "ANY")) {
            return bad_request("HttpMethod must be POST for AWS_PROXY IntegrationType");
        }
        return match version {
            "1.0" | "2.0" => check_function(uri),
            "" => bad_request(
                "PayloadFormatVersion is a required parameter for integration with type AWS_PROXY",
            ),
            _ => bad_request(format!("Unsupported PayloadFormatVersion: {version}")),
        };
    }
    if version != "1.0" {
        return bad_request(match version {
            "2.0" => {
                "PayloadFormatVersion 2.0 is not supported for integration of type HTTP_PROXY".to_owned()
            }
            _ => format!("Unsupported PayloadFormatVersion: {version}"),
        });
    }
    if integration.integration_method.is_none() {
        return bad_request("HttpMethod parameter method must be specified for integrationType HTTPPROXY");
    }
    if integration.connection_type == Some(ConnectionType::VpcLink) {
        return match is_private_target(uri) {
            true => Ok(()),
            false => bad_request(
                "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service \
                 ARN.",
            ),
        };
    }
    let host = ["http://", "https://"].iter().find_map(|scheme| uri.strip_prefix(*scheme));
    let fits = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) || uri.starts_with("${");
    match fits && !uri.contains(char::is_whitespace) {
        true => Ok(()),
        false => bad_request("Invalid HTTP endpoint specified for URI"),
    }
}

/// Whether this is the ARN of a load balancer's listener or of a Cloud Map service, or a stage variable's.
fn is_private_target(uri: &str) -> bool {
    let parts: Vec<&str> = uri.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "elasticloadbalancing", _, _, resource] => resource.starts_with("listener/"),
        ["arn", _, "servicediscovery", _, _, resource] => resource.starts_with("service/"),
        _ => uri.starts_with("${"),
    }
}

fn check_function(uri: &str) -> Result<(), ApiError> {
    match is_function(uri) {
        true => Ok(()),
        false => bad_request(format!("Invalid Lambda function ARN specified for the integration: {uri}")),
    }
}

/// Whether this is the ARN of a function or of its invocation. What a stage variable is part of shows when it is deployed.
/// Regions may be any: that of a gateway need not be one of AWS's.
pub(super) fn is_function(uri: &str) -> bool {
    fn invoked(uri: &str) -> Option<&str> {
        let (_, path) = uri.split_once(":lambda:path/").filter(|(start, _)| start.starts_with("arn:"))?;
        path.split_once("/functions/")?.1.strip_suffix("/invocations")
    }
    let is_name = |text: &str| !text.is_empty() && !text.contains([':', '/']);
    let is_function = |text: &str| websocket::is_function_arn(text) || is_name(text);
    uri.contains("${") || websocket::is_function_arn(uri) || invoked(uri).is_some_and(is_function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_go_by_their_arn_or_their_invocation() {
        const FUNCTION: &str = "arn:aws:lambda:us-east-1:111111111111:function:f";
        const PATH: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions";
        #[track_caller]
        fn check(uri: &str, taken: bool) {
            assert_eq!(check_function(uri).is_ok(), taken, "{uri}");
        }
        check(FUNCTION, true);
        check(&format!("{FUNCTION}:alias"), true);
        check(&format!("{PATH}/{FUNCTION}/invocations"), true);
        check(&format!("{PATH}/{FUNCTION}:${{stageVariables.a}}/invocations"), true);
        check("${stageVariables.function}", true);
        check("arn:aws:lambda:local:111111111111:function:f", true);
        check(&format!("{PATH}/f/invocations"), true);
        check("arn:aws:sqs:us-east-1:0:lambda", false);
        check("arn:aws:lambda:us-east-1:111111111111:layer:f", false);
        check("arn:aws:apigateway:us-east-1:sqs:path/lambda", false);
        check(&format!("{PATH}/{FUNCTION}"), false);
        check("lambda", false);
    }
}
