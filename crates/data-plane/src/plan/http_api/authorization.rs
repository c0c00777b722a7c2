//! Compiles who may call the routes of an HTTP API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stagedoor_shapes::apigatewayv2::{AuthorizationType, Authorizer as Shape, AuthorizerType, Route};

use crate::context::ContextVariable;
use crate::phases::authorization::http_jwt::{JwtAuthorization, JwtAuthorizer};
use crate::phases::authorization::http_lambda::HttpLambdaAuthorizer;
use crate::phases::authorization::jwt::Issuer;
use crate::phases::authorization::lambda::LambdaAuthorizer;
use crate::phases::authorization::partition;
use crate::phases::authorization::token::Algorithm;
use crate::plan::CompileSettings;
use crate::plan::authorization::{Authorization, IdentitySource};
use crate::plan::uri::{function_arn, replace_stage_variables};

/// AWS's limit for authorizer functions of HTTP APIs.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The authorizers of an API by id: compiled once, so that routes share what is remembered. One that cannot work says
/// why to the routes that use it.
pub(super) struct Authorizers(BTreeMap<String, Result<Authorizer, String>>);

enum Authorizer {
    Jwt(Arc<JwtAuthorizer>),
    Lambda(Arc<HttpLambdaAuthorizer>),
}

impl Authorizers {
    pub(super) fn compile(
        shapes: &[Shape],
        variables: &BTreeMap<String, String>,
        api_id: &str,
        settings: &CompileSettings,
    ) -> Self {
        let compiled = shapes.iter().map(|shape| {
            let name = shape.name.as_deref().unwrap_or_default();
            let compiled = authorizer(shape, variables, api_id, settings);
            let compiled = compiled.map_err(|message| format!("authorizer {name}: {message}"));
            (shape.authorizer_id.clone().unwrap_or_default(), compiled)
        });
        Self(compiled.collect())
    }

    /// The authorization of a route.
    pub(super) fn of(&self, route: &Route) -> Result<Authorization, String> {
        let found = || {
            let id = route.authorizer_id.as_ref();
            let found = id.and_then(|id| self.0.get(id));
            found
                .ok_or_else(|| "the route's authorizer is not there".to_owned())?
                .as_ref()
                .map_err(Clone::clone)
        };
        match route.authorization_type.unwrap_or(AuthorizationType::None) {
            AuthorizationType::None => Ok(Authorization::None),
            AuthorizationType::AwsIam => Ok(Authorization::Iam),
            kind @ (AuthorizationType::Jwt | AuthorizationType::Custom) => match (kind, found()?) {
                (AuthorizationType::Jwt, Authorizer::Jwt(authorizer)) => {
                    let scopes = route.authorization_scopes.clone().unwrap_or_default().into();
                    Ok(Authorization::Jwt(JwtAuthorization { authorizer: Arc::clone(authorizer), scopes }))
                }
                (AuthorizationType::Custom, Authorizer::Lambda(authorizer)) => {
                    Ok(Authorization::HttpLambda(Arc::clone(authorizer)))
                }
                _ => Err("the route's authorizer is of another type than its authorization".to_owned()),
            },
        }
    }
}

fn authorizer(
    shape: &Shape,
    variables: &BTreeMap<String, String>,
    api_id: &str,
    settings: &CompileSettings,
) -> Result<Authorizer, String> {
    let sources = shape.identity_source.iter().flatten();
    let identity: Result<Vec<_>, _> = sources.map(|source| identity_source(source, variables)).collect();
    let identity = identity?;
    if shape.authorizer_type == Some(AuthorizerType::Jwt) {
        let mut identity = identity.into_iter();
        let (Some(source), None) = (identity.next(), identity.next()) else {
            return Err("a JWT authorizer has exactly one identity source".to_owned());
        };
        let configuration = shape.jwt_configuration.clone().unwrap_or_default();
        let (name, missing) =
            replace_stage_variables(configuration.issuer.as_deref().unwrap_or_default(), variables);
        if missing {
            return Err("the stage lacks a variable that the issuer names".to_owned());
        }
        let issuer = Issuer::discovered(&name, &[Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512])?;
        let audiences = configuration.audience.unwrap_or_default().into();
        return Ok(Authorizer::Jwt(Arc::new(JwtAuthorizer { source, issuer, audiences })));
    }
    let (uri, missing) =
        replace_stage_variables(shape.authorizer_uri.as_deref().unwrap_or_default(), variables);
    if missing {
        return Err("the stage lacks a variable that the function's ARN names".to_owned());
    }
    let by_role = shape.authorizer_credentials_arn.as_deref().is_some_and(|role| !role.is_empty());
    let source_arn = (!by_role).then(|| {
        let CompileSettings { region, account_id, .. } = settings;
        let id = shape.authorizer_id.as_deref().unwrap_or_default();
        format!("arn:{}:execute-api:{region}:{account_id}:{api_id}/authorizers/{id}", partition(region))
    });
    // Remembering is off unless it is asked for.
    let seconds = shape.authorizer_result_ttl_in_seconds.unwrap_or(0);
    // What depends on nothing would be remembered for everybody.
    let seconds = if identity.is_empty() { 0 } else { seconds.max(0).unsigned_abs() };
    let time_to_live = Duration::from_secs(seconds.into());
    let role = settings.aws.role(shape.authorizer_credentials_arn.as_deref(), variables)?;
    let core = LambdaAuthorizer::new(function_arn(&uri)?, source_arn, role, FUNCTION_TIMEOUT, time_to_live);
    Ok(Authorizer::Lambda(Arc::new(HttpLambdaAuthorizer {
        core,
        identity: identity.into(),
        version_2: shape.authorizer_payload_format_version.as_deref() == Some("2.0"),
        is_simple: shape.enable_simple_responses == Some(true),
    })))
}

fn identity_source(source: &str, variables: &BTreeMap<String, String>) -> Result<IdentitySource, String> {
    if let Some(name) = source.strip_prefix("$request.header.") {
        return Ok(IdentitySource::Header(name.into()));
    }
    if let Some(name) = source.strip_prefix("$request.querystring.") {
        return Ok(IdentitySource::Query(name.into()));
    }
    if let Some(name) = source.strip_prefix("$stageVariables.") {
        return Ok(IdentitySource::StageVariable(variables.get(name).map(|value| value.as_str().into())));
    }
    if let Some(name) = source.strip_prefix("$context.") {
        return Ok(IdentitySource::Context(ContextVariable::parse(name)));
    }
    Err(format!("Invalid identity source specified: {source}"))
}
