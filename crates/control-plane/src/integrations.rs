//! Integrations: where a method's requests go.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    ConnectionType, ContentHandlingStrategy, DeleteIntegrationRequest, GetIntegrationRequest, Integration,
    IntegrationType, Method, Op, PutIntegrationRequest, ResponseTransferMode, RestApi, TlsConfig,
    UpdateIntegrationRequest,
};

use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::mapping;
use crate::methods::{self, check_content_type};
use crate::patch::{ENTRY, Patch, REPLACE, Style, Table};
use crate::quotas::{self, Quotas};
use crate::tx::Tx;
use crate::{ApiError, keys, resources};

const NO_METHOD: &str = "Invalid Method identifier specified";
const NO_INTEGRATION: &str = "Invalid Integration identifier specified";

/// How long an integration may take, in milliseconds.
const TIMEOUT_MILLIS_MIN: i32 = 50;
/// How long one may take that streams its response.
const STREAM_TIMEOUT_MILLIS_MAX: i32 = 900_000;
const TIMEOUT_MILLIS_DEFAULT: i32 = 29_000;

const PASSTHROUGH_BEHAVIORS: [&str; 3] = ["WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER"];

#[derive(Clone, Copy, Debug)]
enum Field {
    CacheKeyParameter,
    CacheNamespace,
    ConnectionId,
    ConnectionType,
    ContentHandling,
    Credentials,
    HttpMethod,
    IntegrationTarget,
    PassthroughBehavior,
    RequestParameter,
    RequestTemplate,
    ResponseTransferMode,
    TimeoutInMillis,
    InsecureSkipVerification,
    Uri,
}

const PATCHES: Table<Field> = Table {
    style: Style::Terse,
    rows: &[
        ("/cacheKeyParameters/{}", ENTRY, Field::CacheKeyParameter),
        ("/cacheNamespace", REPLACE, Field::CacheNamespace),
        ("/connectionId", REPLACE, Field::ConnectionId),
        ("/connectionType", REPLACE, Field::ConnectionType),
        ("/contentHandling", REPLACE, Field::ContentHandling),
        ("/credentials", REPLACE, Field::Credentials),
        ("/httpMethod", REPLACE, Field::HttpMethod),
        ("/integrationTarget", REPLACE, Field::IntegrationTarget),
        ("/passthroughBehavior", REPLACE, Field::PassthroughBehavior),
        ("/requestParameters/{}", ENTRY, Field::RequestParameter),
        ("/requestTemplates/{}", ENTRY, Field::RequestTemplate),
        ("/responseTransferMode", REPLACE, Field::ResponseTransferMode),
        ("/timeoutInMillis", REPLACE, Field::TimeoutInMillis),
        ("/tlsConfig/insecureSkipVerification", REPLACE, Field::InsecureSkipVerification),
        ("/uri", REPLACE, Field::Uri),
    ],
};

impl ControlPlane {
    /// `PutIntegration`: the one that is there is replaced, with its responses.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown method, [`ApiError::BadRequest`] for what AWS refuses.
    pub fn put_integration(&self, input: PutIntegrationRequest) -> Result<Integration, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |tx, method| {
            let given = Integration {
                type_: input.type_,
                http_method: input.integration_http_method.clone(),
                uri: input.uri.clone(),
                connection_type: input.connection_type,
                connection_id: input.connection_id.clone(),
                credentials: input.credentials.clone(),
                request_parameters: input.request_parameters.clone(),
                request_templates: input.request_templates.clone(),
                passthrough_behavior: input.passthrough_behavior.clone(),
                content_handling: input.content_handling,
                timeout_in_millis: input.timeout_in_millis,
                cache_namespace: input.cache_namespace.clone(),
                cache_key_parameters: input.cache_key_parameters.clone(),
                tls_config: input.tls_config.clone(),
                response_transfer_mode: input.response_transfer_mode,
                integration_target: input.integration_target.clone(),
                integration_responses: None,
            };
            let integration = complete(given, required(resource), method)?;
            self.check_quota(tx, required(api), &integration)?;
            method.method_integration = Some(integration.clone());
            Ok(integration)
        })
    }

    fn check_quota(&self, tx: &Tx, api: &str, integration: &Integration) -> Result<(), ApiError> {
        let find = || match tx.get(&keys::api(api))? {
            Some(api) => Ok(api),
            None => not_found("Invalid API identifier specified"),
        };
        check_quota(integration, &self.settings.quotas, find)
    }

    /// `GetIntegration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method or integration.
    pub fn get_integration(&self, input: GetIntegrationRequest) -> Result<Integration, ApiError> {
        self.read(|tx| {
            let mut resource =
                resources::find(tx, required(&input.rest_api_id), required(&input.resource_id))?;
            find(methods::find(&mut resource, required(&input.http_method))?).cloned()
        })
    }

    /// `UpdateIntegration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such integration, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_integration(&self, input: UpdateIntegrationRequest) -> Result<Integration, ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |tx, method| {
            let mut integration = find(method)?.clone();
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                apply(&mut integration, &patch)?;
            }
            let integration = complete(integration, required(resource), method)?;
            self.check_quota(tx, required(api), &integration)?;
            method.method_integration = Some(integration.clone());
            Ok(integration)
        })
    }

    /// `DeleteIntegration`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource, method or integration.
    pub fn delete_integration(&self, input: DeleteIntegrationRequest) -> Result<(), ApiError> {
        let (api, resource, method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, method, NO_METHOD, |_, method| {
            find(method)?;
            method.method_integration = None;
            Ok(())
        })
    }
}

/// The integration of a method.
pub(crate) fn find(method: &mut Method) -> Result<&mut Integration, ApiError> {
    match method.method_integration.as_mut() {
        Some(integration) => Ok(integration),
        None => not_found(NO_INTEGRATION),
    }
}

/// Holds an integration against AWS's rules, gives it AWS's defaults and leaves out what its type has no use for. Its
/// responses are left alone.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message for the first thing that is wrong.
pub(crate) fn complete(
    given: Integration,
    resource_id: &str,
    method: &Method,
) -> Result<Integration, ApiError> {
    let Some(kind) = given.type_ else { return bad_request("Integration type is missing") };
    let mut integration = given;
    if kind == IntegrationType::Mock {
        // AWS takes these for a mock integration and forgets them.
        integration.uri = None;
        integration.http_method = None;
        integration.connection_type = None;
        integration.connection_id = None;
        integration.integration_target = None;
        integration.tls_config = None;
    } else {
        check_target(&mut integration, kind)?;
    }
    check_transfer(&integration, kind)?;
    check_passthrough(integration.passthrough_behavior.as_deref())?;
    check_timeout(&integration)?;
    for (name, expression) in integration.request_parameters.iter().flatten() {
        mapping::check_request(name, expression, method.request_parameters.as_ref())?;
    }
    check_templates(integration.request_templates.as_ref())?;
    check_credentials(integration.credentials.as_deref())?;
    check_caller(&integration, method)?;
    check_cache_keys(&integration, method)?;
    integration.passthrough_behavior.get_or_insert_with(|| "WHEN_NO_MATCH".to_owned());
    integration.timeout_in_millis.get_or_insert(TIMEOUT_MILLIS_DEFAULT);
    integration.cache_namespace.get_or_insert_with(|| resource_id.to_owned());
    integration.cache_key_parameters.get_or_insert_default();
    Ok(integration)
}

/// Whether every key of a template map is a content type.
pub(crate) fn check_templates(templates: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
    templates.into_iter().flatten().try_for_each(|(content_type, _)| check_content_type(content_type))
}

/// The role to assume, or the caller's own; a stage variable may stand for any part of it.
pub(crate) fn check_credentials(credentials: Option<&str>) -> Result<(), ApiError> {
    match credentials {
        Some(arn) if !arn.is_empty() && !arn.starts_with("arn:") && !arn.contains("${stageVariables.") => {
            bad_request("Invalid ARN specified in the request")
        }
        _ => Ok(()),
    }
}

/// What stands for the caller's own credentials: `arn:aws:iam::*:user/*`.
pub(crate) fn is_caller(credentials: Option<&str>) -> bool {
    credentials.is_some_and(|arn| arn.starts_with("arn:") && arn.ends_with(":iam::*:user/*"))
}

/// Only a caller who has signed the request has credentials to pass on.
pub(crate) fn check_caller(integration: &Integration, method: &Method) -> Result<(), ApiError> {
    let of_aws = matches!(integration.type_, Some(IntegrationType::Aws | IntegrationType::AwsProxy));
    let passes_on = of_aws && is_caller(integration.credentials.as_deref());
    if passes_on && method.authorization_type.as_deref() != Some("AWS_IAM") {
        return bad_request(
            "AWS_IAM Auth type is required for AWS integrations with identity forwarding specified",
        );
    }
    Ok(())
}

/// What tells a cache's entries apart has to be a parameter of the method or of the integration.
fn check_cache_keys(integration: &Integration, method: &Method) -> Result<(), ApiError> {
    let of_method = |name: &str| {
        let single = name.replacen("method.request.multivalue", "method.request.", 1);
        let parameters = method.request_parameters.as_ref();
        parameters.is_some_and(|parameters| parameters.contains_key(name) || parameters.contains_key(&single))
    };
    let of_integration =
        |name: &str| integration.request_parameters.as_ref().is_some_and(|own| own.contains_key(name));
    let mut names = integration.cache_key_parameters.iter().flatten();
    if names.all(|name| of_method(name) || of_integration(name)) {
        return Ok(());
    }
    bad_request("Invalid cache key parameter specified")
}

fn check_passthrough(behavior: Option<&str>) -> Result<(), ApiError> {
    match behavior {
        Some(behavior) if !PASSTHROUGH_BEHAVIORS.contains(&behavior) => bad_request(format!(
            "Invalid passthrough behavior specified. Valid options are {}",
            PASSTHROUGH_BEHAVIORS.join(",")
        )),
        _ => Ok(()),
    }
}

/// Whether a time is within AWS's bounds. The upper one of a response that does not stream depends on the API
/// ([`check_quota`]).
fn check_timeout(integration: &Integration) -> Result<(), ApiError> {
    let streams = integration.response_transfer_mode == Some(ResponseTransferMode::Stream);
    let (limit, max) = if streams {
        (STREAM_TIMEOUT_MILLIS_MAX, STREAM_TIMEOUT_MILLIS_MAX)
    } else {
        (i32::MAX, TIMEOUT_MILLIS_DEFAULT)
    };
    match integration.timeout_in_millis {
        Some(timeout) if !(TIMEOUT_MILLIS_MIN..=limit).contains(&timeout) => bad_timeout(max),
        _ => Ok(()),
    }
}

/// Whether the account's quota lets an integration take so long. No quota raises the bound of an API whose endpoint is
/// edge-optimized.
pub(crate) fn check_quota(
    integration: &Integration,
    quotas: &Quotas,
    api: impl FnOnce() -> Result<RestApi, ApiError>,
) -> Result<(), ApiError> {
    let streams = integration.response_transfer_mode == Some(ResponseTransferMode::Stream);
    let timeout = integration.timeout_in_millis.unwrap_or_default();
    if streams || timeout <= TIMEOUT_MILLIS_DEFAULT {
        return Ok(());
    }
    let max = if quotas::is_edge(&api()?) { TIMEOUT_MILLIS_DEFAULT } else { quotas.integration_timeout_ms };
    if timeout <= max { Ok(()) } else { bad_timeout(max) }
}

fn bad_timeout(max: i32) -> Result<(), ApiError> {
    bad_request(format!("Timeout should be between {TIMEOUT_MILLIS_MIN} ms and {max} ms"))
}

fn check_target(integration: &mut Integration, kind: IntegrationType) -> Result<(), ApiError> {
    match integration.http_method.as_deref() {
        None | Some("") => return bad_request("Enumeration value for HttpMethod must be non-empty"),
        Some(http_method) => methods::check_http_method(http_method)?,
    }
    let uri = required(&integration.uri);
    match kind {
        IntegrationType::Http | IntegrationType::HttpProxy => {
            if uri.is_empty() && integration.connection_type == Some(ConnectionType::VpcLink) {
                return bad_request("Invalid integration URI specified");
            }
            check_endpoint(uri)?;
            let connection = *integration.connection_type.get_or_insert(ConnectionType::Internet);
            if connection == ConnectionType::VpcLink
                && integration.connection_id.as_deref().is_none_or(str::is_empty)
            {
                return bad_request(
                    "ConnectionId should be set to the vpcLinkId or stage variable on connection type VPC_LINK",
                );
            }
        }
        IntegrationType::Aws | IntegrationType::AwsProxy => {
            check_aws_uri(uri, kind == IntegrationType::AwsProxy)?;
            // Functions have policies of their own, which may let the gateway in without a role.
            let is_function = uri.split(':').nth(4) == Some("lambda");
            if !is_function && integration.credentials.as_deref().is_none_or(str::is_empty) {
                return bad_request("Role ARN must be specified for AWS integrations");
            }
        }
        IntegrationType::Mock => {}
    }
    Ok(())
}

/// Only what is passed on as it comes can be passed on while it comes.
fn check_transfer(integration: &Integration, kind: IntegrationType) -> Result<(), ApiError> {
    if integration.response_transfer_mode == Some(ResponseTransferMode::Stream)
        && !matches!(kind, IntegrationType::HttpProxy | IntegrationType::AwsProxy)
    {
        return bad_request(
            "Response transfer mode STREAM is only supported for HTTP_PROXY and AWS_PROXY integrations",
        );
    }
    Ok(())
}

/// Whether this can become an address. A stage variable may stand for any part of it, so only what comes before the
/// first one can be held against the rules.
pub(crate) fn check_endpoint(uri: &str) -> Result<(), ApiError> {
    let host = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"));
    let valid = match host {
        Some(host) => {
            !host.is_empty() && !host.starts_with(['/', '?', '#']) && !uri.contains(char::is_whitespace)
        }
        None => uri.starts_with("${stageVariables."),
    };
    if valid { Ok(()) } else { bad_request("Invalid HTTP endpoint specified for URI") }
}

/// `arn:aws:apigateway:{region}:{service}:{path|action}/{what}`.
pub(crate) fn check_aws_uri(uri: &str, is_proxy: bool) -> Result<(), ApiError> {
    let parts: Vec<&str> = uri.splitn(6, ':').collect();
    let [arn, _, _, _, service, target] = parts.as_slice() else {
        return bad_request("Invalid ARN specified in the request");
    };
    if *arn != "arn" {
        return bad_request("Invalid ARN specified in the request");
    }
    let target = target.split_once('/');
    let Some((how @ ("path" | "action"), what)) = target else {
        return bad_request("AWS ARN for integration must contain path or action");
    };
    let function = what.split_once("/functions/").filter(|_| *service == "lambda" && how == "path");
    let invokes_function = function.is_some();
    if function.is_some_and(|(_, function)| !is_function(function)) {
        return bad_request("Invalid function ARN or invalid uri");
    }
    let invokes_stream = *service == "firehose" && how == "action";
    if is_proxy && !invokes_function && !invokes_stream {
        return bad_request(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations.",
        );
    }
    Ok(())
}

/// Whether this names a function to invoke: its ARN, or one that stage variables complete, and what to do with it.
fn is_function(text: &str) -> bool {
    let arn =
        text.strip_suffix("/invocations").or_else(|| text.strip_suffix("/response-streaming-invocations"));
    let Some(arn) = arn else { return false };
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let is_arn = matches!(parts.as_slice(), ["arn", _, "lambda", _, _, "function", name] if !name.is_empty());
    is_arn || arn.contains("${stageVariables.")
}

fn apply(integration: &mut Integration, patch: &Patch<Field>) -> Result<(), ApiError> {
    if integration.type_ == Some(IntegrationType::Mock)
        && matches!(patch.field, Field::HttpMethod | Field::Uri)
    {
        let path = if matches!(patch.field, Field::Uri) { "/uri" } else { "/httpMethod" };
        return bad_request(format!("Invalid patch path {path}"));
    }
    match patch.field {
        Field::CacheKeyParameter => {
            let parameters = integration.cache_key_parameters.get_or_insert_default();
            patch.on_list(parameters, "Invalid parameter name specified")?;
        }
        Field::CacheNamespace => integration.cache_namespace = patch.text(),
        Field::ConnectionId => integration.connection_id = patch.text(),
        Field::ConnectionType => {
            let message = "Invalid connection type specified. Valid options are INTERNET,VPC_LINK";
            let connection = patch.one_of::<ConnectionType>(message)?;
            integration.connection_type = Some(connection);
            if connection == ConnectionType::Internet {
                integration.connection_id = None;
            }
        }
        Field::ContentHandling => {
            let message =
                "Invalid content handling specified. Valid options are CONVERT_TO_BINARY,CONVERT_TO_TEXT";
            integration.content_handling = match patch.text() {
                Some(_) => Some(patch.one_of::<ContentHandlingStrategy>(message)?),
                None => None,
            };
        }
        Field::Credentials => integration.credentials = patch.text(),
        Field::HttpMethod => integration.http_method = patch.text(),
        Field::IntegrationTarget => integration.integration_target = patch.text(),
        Field::PassthroughBehavior => integration.passthrough_behavior = patch.text(),
        Field::RequestParameter => {
            let expression = patch.value.clone().unwrap_or_default();
            patch.on_map(
                &mut integration.request_parameters,
                expression,
                "Invalid parameter name specified",
            )?;
            // A parameter that is gone tells no entries of a cache apart, as Terraform's authors saw at AWS.
            if patch.op == Op::Remove {
                integration
                    .cache_key_parameters
                    .iter_mut()
                    .for_each(|keys| keys.retain(|key| *key != patch.name));
            }
        }
        Field::RequestTemplate => {
            let template = patch.value.clone().unwrap_or_default();
            patch.on_map(
                &mut integration.request_templates,
                template,
                "Content-Type specified was not found",
            )?;
        }
        Field::ResponseTransferMode => {
            let message = "Invalid response transfer mode specified. Valid options are BUFFERED,STREAM";
            integration.response_transfer_mode = Some(patch.one_of::<ResponseTransferMode>(message)?);
        }
        Field::TimeoutInMillis => {
            let timeout = patch.text().and_then(|timeout| timeout.parse().ok());
            integration.timeout_in_millis = Some(timeout.unwrap_or(-1));
        }
        Field::InsecureSkipVerification => {
            integration.tls_config = Some(TlsConfig { insecure_skip_verification: Some(patch.truth()) });
        }
        Field::Uri => integration.uri = patch.text(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: IntegrationType, uri: &str, expected: &str) {
        let given = Integration {
            type_: Some(kind),
            http_method: Some("POST".to_owned()),
            uri: Some(uri.to_owned()),
            ..Integration::default()
        };
        let found = complete(given, "id", &Method::default());
        assert_eq!(found.map_or_else(|error| error.to_string(), |_| "fine".to_owned()), expected);
    }

    #[test]
    fn targets_are_checked_as_aws_checks_them() {
        use IntegrationType::{Aws, AwsProxy, Http, HttpProxy};
        let no_arn = "Invalid ARN specified in the request";
        let no_path = "AWS ARN for integration must contain path or action";
        let no_lambda = "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations.";
        let function = "arn:aws:lambda:us-east-1:111111111111:function:MyLambda";
        let invocation =
            format!("arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function}/invocations");
        check(Aws, &invocation, "fine");
        check(AwsProxy, &invocation, "fine");
        let no_role = "Role ARN must be specified for AWS integrations";
        check(Aws, "arn:aws:apigateway:us-east-1:s3:path/b/k", no_role);
        check(AwsProxy, "arn:aws:apigateway:us-east-1:s3:path/b/k", no_lambda);
        check(Aws, "arn:aws:iam::0000000000:role/service-role/asdf", no_path);
        check(AwsProxy, function, no_path);
        let no_function = "Invalid function ARN or invalid uri";
        check(
            AwsProxy,
            "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/f/invocations",
            no_function,
        );
        check(AwsProxy, &invocation.replace("/invocations", ""), no_function);
        check(AwsProxy, &invocation.replace("MyLambda", "${stageVariables.f}"), "fine");
        check(AwsProxy, &invocation.replace(function, "${stageVariables.arn}"), "fine");
        check(Aws, "non-valid-arn", no_arn);
        check(AwsProxy, "bad-arn:lambda:path/2015-03-31/functions/f/invocations", no_arn);
        check(Http, "http://example.com", "fine");
        check(HttpProxy, "https://${stageVariables.testHost}", "fine");
        check(HttpProxy, "${stageVariables.url}/a", "fine");
        for wrong in ["", "non-valid-http", "http://", "http:///path", "ftp://a"] {
            check(Http, wrong, "Invalid HTTP endpoint specified for URI");
        }
    }
}
