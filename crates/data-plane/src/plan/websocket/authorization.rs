//! Compiles who may connect. Messages are never authorised: they come from whoever was let in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_shapes::apigatewayv2::{AuthorizationType, Authorizer as Shape, Route};

use crate::phases::authorization::lambda::LambdaAuthorizer;
use crate::phases::authorization::partition;
use crate::plan::CompileSettings;
use crate::plan::authorization::{
    Authorization, AuthorizerInput, FUNCTION_TIMEOUT, RestLambdaAuthorizer, identity_source,
};
use crate::plan::uri::{function_arn, replace_stage_variables};

/// The authorizers of an API by id. One that cannot work says why to the route that uses it.
pub(super) type Authorizers = BTreeMap<String, Result<Arc<RestLambdaAuthorizer>, String>>;

pub(super) fn compile(
    shapes: &[Shape],
    variables: &BTreeMap<String, String>,
    api_id: &str,
    settings: &CompileSettings,
) -> Authorizers {
    let compiled = shapes.iter().map(|shape| {
        let name = shape.name.as_deref().unwrap_or_default();
        let compiled = authorizer(shape, variables, api_id, settings);
        let compiled = compiled.map(Arc::new).map_err(|message| format!("authorizer {name}: {message}"));
        (shape.authorizer_id.clone().unwrap_or_default(), compiled)
    });
    compiled.collect()
}

/// The authorization of a route.
pub(super) fn of(route: &Route, authorizers: &Authorizers) -> Result<Authorization, String> {
    match route.authorization_type.unwrap_or(AuthorizationType::None) {
        AuthorizationType::None => Ok(Authorization::None),
        AuthorizationType::AwsIam => Ok(Authorization::Iam),
        AuthorizationType::Custom => {
            let found = route.authorizer_id.as_ref().and_then(|id| authorizers.get(id));
            let found = found.ok_or_else(|| "the route's authorizer is not there".to_owned())?;
            found.clone().map(Authorization::Lambda)
        }
        AuthorizationType::Jwt => Err("JWT authorization is only supported for HTTP APIs".to_owned()),
    }
}

fn authorizer(
    shape: &Shape,
    variables: &BTreeMap<String, String>,
    api_id: &str,
    settings: &CompileSettings,
) -> Result<RestLambdaAuthorizer, String> {
    let sources = shape.identity_source.iter().flatten();
    let identity = sources.map(|source| {
        // The same names as in REST APIs, under another one for the request itself.
        let known = match source.strip_prefix("route.request.") {
            Some(rest) => identity_source(&format!("method.request.{rest}"), variables),
            None => identity_source(source, variables),
        };
        known.map_err(|_| format!("Invalid identity source specified: {source}"))
    });
    let identity: Result<Vec<_>, String> = identity.collect();
    let (uri, missing) =
        replace_stage_variables(shape.authorizer_uri.as_deref().unwrap_or_default(), variables);
    if missing {
        return Err("the stage lacks a variable that the function's ARN names".to_owned());
    }
    let by_role = shape.authorizer_credentials_arn.as_deref().is_some_and(|role| !role.is_empty());
    let id = shape.authorizer_id.as_deref().unwrap_or_default();
    let source_arn = (!by_role).then(|| {
        let CompileSettings { region, account_id, .. } = settings;
        format!("arn:{}:execute-api:{region}:{account_id}:{api_id}/authorizers/{id}", partition(region))
    });
    // AWS remembers nothing for WebSocket APIs: each handshake is a new question.
    let role = settings.aws.role(shape.authorizer_credentials_arn.as_deref(), variables)?;
    let core = LambdaAuthorizer::new(function_arn(&uri)?, source_arn, role, FUNCTION_TIMEOUT, Duration::ZERO);
    Ok(RestLambdaAuthorizer { id: id.into(), core, input: AuthorizerInput::Request { identity: identity? } })
}
