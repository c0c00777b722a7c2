//! Compiles who may call: authorizers, the authorization of methods, and the API's resource policy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stagedoor_policy::{Kind, Malformed, Policy};
use stagedoor_shapes::apigateway::{
    Authorizer as AuthorizerShape, AuthorizerType, JwtIssuer, JwtSigningAlgorithm, Method, RestApi,
};
use stagedoor_velocity::JavaRegex;

use super::uri::{lambda_function, replace_stage_variables};
use super::{CompileSettings, PlanError};
use crate::context::ContextVariable;
use crate::phases::authorization::cognito::{CognitoAuthorization, CognitoAuthorizer};
use crate::phases::authorization::http_jwt::JwtAuthorization;
use crate::phases::authorization::http_lambda::HttpLambdaAuthorizer;
use crate::phases::authorization::jwt::Issuer;
use crate::phases::authorization::lambda::LambdaAuthorizer;
use crate::phases::authorization::partition;
use crate::phases::authorization::remembered::OwnerId;
use crate::phases::authorization::rest_jwt::{
    AdditionalClaim, RestJwtAuthorization, RestJwtAuthorizer, TrustedIssuer,
};
use crate::phases::authorization::token::Algorithm;

/// AWS gives an authorizer function as long as an integration.
pub(super) const FUNCTION_TIMEOUT: Duration = Duration::from_secs(29);
/// How long a grant is remembered if nothing else is asked for, in seconds.
const TIME_TO_LIVE_SECONDS: i32 = 300;

/// Who may call a method.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Everybody.
    None,
    /// Whoever signs requests and has policies that allow it.
    Iam,
    /// Whoever has a token of a user pool.
    Cognito(CognitoAuthorization),
    /// Whom an authorizer function lets pass.
    Lambda(Arc<RestLambdaAuthorizer>),
    /// Whoever has a token of one of a REST API's issuers.
    RestJwt(RestJwtAuthorization),
    /// Whoever has a token of an issuer, in HTTP APIs.
    Jwt(JwtAuthorization),
    /// Whom an HTTP API's authorizer function lets pass.
    HttpLambda(Arc<HttpLambdaAuthorizer>),
}

impl Authorization {
    /// Whether it lets nobody pass whom the other would not: what policies say of the path is asked beside it.
    #[must_use]
    pub fn asks_as_much(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::None) | (Self::Iam, Self::Iam) => true,
            (Self::Lambda(own), Self::Lambda(other)) => Arc::ptr_eq(own, other),
            (Self::HttpLambda(own), Self::HttpLambda(other)) => Arc::ptr_eq(own, other),
            (Self::Cognito(own), Self::Cognito(other)) => {
                Arc::ptr_eq(&own.authorizer, &other.authorizer) && own.scopes == other.scopes
            }
            (Self::RestJwt(own), Self::RestJwt(other)) => {
                Arc::ptr_eq(&own.authorizer, &other.authorizer) && own.scopes == other.scopes
            }
            (Self::Jwt(own), Self::Jwt(other)) => {
                Arc::ptr_eq(&own.authorizer, &other.authorizer) && own.scopes == other.scopes
            }
            _ => false,
        }
    }
}

/// A REST API's authorizer function.
#[derive(Debug)]
pub struct RestLambdaAuthorizer {
    /// Its id, which execution logs show.
    pub id: Box<str>,
    /// How it is called and remembered.
    pub core: LambdaAuthorizer,
    /// What it is given, and what its decision depends on.
    pub input: AuthorizerInput,
}

/// What an authorizer function is given.
#[derive(Debug)]
pub enum AuthorizerInput {
    /// The value of a header.
    Token {
        /// The header.
        header: Box<str>,
        /// What the value has to look like, from its first to its last character.
        validation: Option<JavaRegex>,
    },
    /// The whole request but for its body.
    Request {
        /// What the decision depends on.
        identity: Vec<IdentitySource>,
    },
}

/// A part of a request that tells callers apart.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// A header.
    Header(Box<str>),
    /// A query parameter.
    Query(Box<str>),
    /// A stage variable's value; none if the stage does not have it.
    StageVariable(Option<Box<str>>),
    /// A variable of `$context`; none if AWS knows no such name.
    Context(Option<ContextVariable>),
}

/// The authorizers of an API by id: compiled once, so that methods share what is remembered. One that cannot work says
/// why to the methods that use it.
#[derive(Default)]
pub(super) struct Authorizers(BTreeMap<String, Result<Authorizer, String>>);

enum Authorizer {
    Lambda(Arc<RestLambdaAuthorizer>),
    Cognito(Arc<CognitoAuthorizer>),
    Jwt(Arc<RestJwtAuthorizer>),
}

impl Authorizers {
    pub(super) fn compile(
        shapes: &[AuthorizerShape],
        variables: &BTreeMap<String, String>,
        api_id: &str,
        settings: &CompileSettings,
    ) -> Self {
        let compiled = shapes.iter().map(|shape| {
            let id = shape.id.clone().unwrap_or_default();
            (id, authorizer(shape, variables, api_id, settings))
        });
        Self(compiled.collect())
    }

    /// The authorization of a method.
    pub(super) fn of(&self, method: &Method) -> Result<Authorization, String> {
        let kind = method.authorization_type.as_deref().unwrap_or("NONE");
        match kind {
            "NONE" => Ok(Authorization::None),
            "AWS_IAM" => Ok(Authorization::Iam),
            "CUSTOM" | "COGNITO_USER_POOLS" | "JWT" => {
                match (kind, method.authorizer_id.as_ref().and_then(|id| self.0.get(id))) {
                    ("CUSTOM", Some(Ok(Authorizer::Lambda(found)))) => {
                        Ok(Authorization::Lambda(Arc::clone(found)))
                    }
                    ("COGNITO_USER_POOLS", Some(Ok(Authorizer::Cognito(found)))) => {
                        Ok(Authorization::Cognito(CognitoAuthorization::new(Arc::clone(found), method)))
                    }
                    ("JWT", Some(Ok(Authorizer::Jwt(found)))) => {
                        let scopes = method.authorization_scopes.clone().unwrap_or_default().into();
                        Ok(Authorization::RestJwt(RestJwtAuthorization {
                            authorizer: Arc::clone(found),
                            scopes,
                        }))
                    }
                    (_, Some(Err(message))) => Err(message.clone()),
                    _ => Err("the method's authorizer is not there".to_owned()),
                }
            }
            _ => Err(format!("authorization type {kind} is not supported; the method would be open")),
        }
    }
}

fn authorizer(
    shape: &AuthorizerShape,
    variables: &BTreeMap<String, String>,
    api_id: &str,
    settings: &CompileSettings,
) -> Result<Authorizer, String> {
    let name = shape.name.as_deref().unwrap_or_default();
    let wrong = |message: String| format!("authorizer {name}: {message}");
    let sources = shape.identity_source.as_deref().unwrap_or_default();
    let sources: Result<Vec<IdentitySource>, String> = sources
        .split(',')
        .map(str::trim)
        .filter(|source| !source.is_empty())
        .map(|source| identity_source(source, variables))
        .collect();
    let identity = sources.map_err(wrong)?;
    let input = match shape.type_ {
        Some(AuthorizerType::Token) => {
            let header = one_header(&identity).ok_or_else(|| wrong(ONE_HEADER.to_owned()))?;
            AuthorizerInput::Token { header, validation: validation(shape).map_err(wrong)? }
        }
        Some(AuthorizerType::Request) => AuthorizerInput::Request { identity },
        Some(AuthorizerType::CognitoUserPools) => {
            let header = one_header(&identity).ok_or_else(|| wrong(ONE_HEADER.to_owned()))?;
            let arns = shape.provider_arns.iter().flatten();
            let pools: Result<Box<[Issuer]>, String> = arns
                .map(|arn| user_pool(&replace_stage_variables(arn, variables).0, &settings.user_pools))
                .collect();
            let (pools, audience) = (pools.map_err(wrong)?, validation(shape).map_err(wrong)?);
            return Ok(Authorizer::Cognito(Arc::new(CognitoAuthorizer { header, audience, pools })));
        }
        Some(AuthorizerType::Jwt) => {
            let header = one_header(&identity).ok_or_else(|| wrong(ONE_HEADER.to_owned()))?;
            let owner = OwnerId::unique();
            let issuers = trusted_issuers(shape, owner).map_err(wrong)?;
            return Ok(Authorizer::Jwt(Arc::new(RestJwtAuthorizer { header, issuers, owner })));
        }
        None => return Err(wrong("it has no type".to_owned())),
    };
    let (uri, missing) =
        replace_stage_variables(shape.authorizer_uri.as_deref().unwrap_or_default(), variables);
    if missing {
        return Err(wrong("the stage lacks a variable that the function's ARN names".to_owned()));
    }
    let function = lambda_function(&uri).map_err(wrong)?;
    let by_role = shape.authorizer_credentials.as_deref().is_some_and(|role| !role.is_empty());
    let source_arn = (!by_role).then(|| {
        let CompileSettings { region, account_id, .. } = settings;
        let id = shape.id.as_deref().unwrap_or_default();
        format!("arn:{}:execute-api:{region}:{account_id}:{api_id}/authorizers/{id}", partition(region))
    });
    let seconds = shape.authorizer_result_ttl_in_seconds.unwrap_or(TIME_TO_LIVE_SECONDS);
    // What depends on nothing would be remembered for everybody.
    let depends_on_nothing = matches!(&input, AuthorizerInput::Request { identity } if identity.is_empty());
    let seconds = if depends_on_nothing { 0 } else { seconds.max(0).unsigned_abs() };
    let time_to_live = Duration::from_secs(seconds.into());
    let id = shape.id.as_deref().unwrap_or_default().into();
    let role = settings.aws.role(shape.authorizer_credentials.as_deref(), variables).map_err(wrong)?;
    let core = LambdaAuthorizer::new(function, source_arn, role, FUNCTION_TIMEOUT, time_to_live);
    Ok(Authorizer::Lambda(Arc::new(RestLambdaAuthorizer { id, core, input })))
}

const ONE_HEADER: &str = "the identity source of an authorizer for tokens is one header";

fn one_header(identity: &[IdentitySource]) -> Option<Box<str>> {
    match identity {
        [IdentitySource::Header(header)] => Some(header.clone()),
        _ => None,
    }
}

/// The identity validation expression, a regular expression of Java's that has to match from the first to the last
/// character.
fn validation(shape: &AuthorizerShape) -> Result<Option<JavaRegex>, String> {
    let expression = shape.identity_validation_expression.as_deref().filter(|text| !text.is_empty());
    let compiled = expression.map(JavaRegex::defined).transpose();
    compiled.map_err(|error| format!("identityValidationExpression: {error}"))
}

/// The issuer of a user pool's tokens, by the pool's ARN. Pools sign with RS256.
fn user_pool(arn: &str, user_pools: &BTreeMap<String, String>) -> Result<Issuer, String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let (region, id) = match parts.as_slice() {
        ["arn", _, "cognito-idp", region, _, pool] => (*region, pool.strip_prefix("userpool/")),
        _ => ("", None),
    };
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| format!("{arn} is no ARN of a user pool"))?;
    let name = match user_pools.get(id) {
        Some(address) => format!("{}/{id}", address.trim_end_matches('/')),
        None => format!("https://cognito-idp.{region}.amazonaws.com/{id}"),
    };
    Issuer::with_key_set(&name, &format!("{name}/.well-known/jwks.json"), &[Algorithm::Rs256])
}

/// The issuers of a JWT authorizer. Where their keys are was found out when the authorizer was made, or is when the first
/// token comes.
fn trusted_issuers(shape: &AuthorizerShape, owner: OwnerId) -> Result<Box<[TrustedIssuer]>, String> {
    let configuration = shape.jwt_configuration.as_ref().ok_or("a JWT authorizer has a jwtConfiguration")?;
    let algorithms = configuration.default_algorithms.iter().flatten().map(|algorithm| match algorithm {
        JwtSigningAlgorithm::Rs256 => Algorithm::Rs256,
        JwtSigningAlgorithm::Rs384 => Algorithm::Rs384,
        JwtSigningAlgorithm::Rs512 => Algorithm::Rs512,
        JwtSigningAlgorithm::Es256 => Algorithm::Es256,
        JwtSigningAlgorithm::Es384 => Algorithm::Es384,
        JwtSigningAlgorithm::Es512 => Algorithm::Es512,
    });
    let algorithms: Vec<Algorithm> = algorithms.collect();
    configuration.issuers.iter().flatten().map(|one| trusted_issuer(one, &algorithms, owner)).collect()
}

fn trusted_issuer(
    shape: &JwtIssuer,
    algorithms: &[Algorithm],
    owner: OwnerId,
) -> Result<TrustedIssuer, String> {
    let name = shape.issuer.as_deref().unwrap_or_default();
    let issuer = match &shape.jwks_uri {
        Some(key_set) => Issuer::with_key_set(name, key_set, algorithms)?,
        None => Issuer::discovered(name, algorithms)?,
    };
    let claims = shape.additional_claims.iter().flatten().map(|claim| AdditionalClaim {
        name: claim.claim_name.as_deref().unwrap_or_default().into(),
        is_required: claim.required == Some(true),
        expected: claim.expected_values.iter().flatten().next().map(|value| value.as_str().into()),
    });
    Ok(TrustedIssuer {
        issuer: issuer.among_others(owner),
        audiences: shape.audiences.clone().unwrap_or_default().into(),
        additional_claims: claims.collect(),
    })
}

pub(super) fn identity_source(
    source: &str,
    variables: &BTreeMap<String, String>,
) -> Result<IdentitySource, String> {
    if let Some(name) = source.strip_prefix("method.request.header.") {
        return Ok(IdentitySource::Header(name.into()));
    }
    if let Some(name) = source.strip_prefix("method.request.querystring.") {
        return Ok(IdentitySource::Query(name.into()));
    }
    if let Some(name) = source.strip_prefix("stageVariables.") {
        return Ok(IdentitySource::StageVariable(variables.get(name).map(|value| value.as_str().into())));
    }
    if let Some(name) = source.strip_prefix("context.") {
        return Ok(IdentitySource::Context(ContextVariable::parse(name)));
    }
    Err(format!("Invalid mapping expression specified: {source}"))
}

/// The resource policy of an API.
pub(super) fn resource_policy(api: &RestApi, errors: &mut Vec<PlanError>) -> Option<Policy> {
    let text = api.policy.as_deref().filter(|text| !text.is_empty())?;
    read_resource_policy(text).map_err(|error| errors.push(PlanError::new("policy", error.to_string()))).ok()
}

/// Reads an API's resource policy.
///
/// # Errors
/// What is wrong with it.
pub fn read_resource_policy(text: &str) -> Result<Policy, Malformed> {
    match serde_json::from_str(text) {
        Ok(document) => Policy::from_value(&denying_whole_stages(document), Kind::Resource),
        // Which says what is wrong.
        Err(_) => Policy::parse(text, Kind::Resource),
    }
}

/// A policy in which a denial of a stage (`{api}/{stage}`) denies all that is below it, as AWS's users have seen it do.
/// Whether one that allows a stage allows what is below is not known: it does not here.
fn denying_whole_stages(mut policy: Value) -> Value {
    let statements = match policy.get_mut("Statement") {
        Some(Value::Array(statements)) => statements.iter_mut().collect(),
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    for statement in
        statements.into_iter().filter(|one| one.get("Effect").is_some_and(|effect| effect == "Deny"))
    {
        let Some(resource) = statement.get_mut("Resource") else { continue };
        let mut resources = match resource.take() {
            Value::Array(resources) => resources,
            one => vec![one],
        };
        let stages = resources.iter().filter_map(Value::as_str).filter_map(|one| {
            let (api, stage) = one.splitn(6, ':').nth(5)?.split_once('/')?;
            let is_stage = !api.is_empty() && !stage.is_empty() && !stage.contains('/');
            is_stage.then(|| Value::String(format!("{one}/*")))
        });
        let stages: Vec<_> = stages.collect();
        resources.extend(stages);
        *resource = Value::Array(resources);
    }
    policy
}
