//! Compiles who may call: authorizers, the authorization of methods, and the API's resource policy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use stagedoor_policy::{Kind, Policy};
use stagedoor_shapes::apigateway::{Authorizer as AuthorizerShape, AuthorizerType, Method, RestApi};

use super::PlanError;
use super::uri::{lambda_function, replace_stage_variables};
use crate::context::ContextVariable;
use crate::phases::authorization::lambda::LambdaAuthorizer;

/// AWS gives an authorizer function as long as an integration.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(29);
/// How long a grant is remembered if nothing else is asked for, in seconds.
const TIME_TO_LIVE_SECONDS: i32 = 300;

/// Who may call a method.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// Everybody.
    None,
    /// Whom an authorizer function lets pass.
    Lambda(Arc<RestLambdaAuthorizer>),
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
        validation: Option<Regex>,
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
pub(super) struct Authorizers(BTreeMap<String, Result<Authorization, String>>);

impl Authorizers {
    pub(super) fn compile(shapes: &[AuthorizerShape], variables: &BTreeMap<String, String>) -> Self {
        let compiled = shapes.iter().map(|shape| {
            let id = shape.id.clone().unwrap_or_default();
            (id, authorizer(shape, variables))
        });
        Self(compiled.collect())
    }

    /// The authorization of a method.
    pub(super) fn of(&self, method: &Method) -> Result<Authorization, String> {
        let kind = method.authorization_type.as_deref().unwrap_or("NONE");
        match kind {
            "NONE" => Ok(Authorization::None),
            "CUSTOM" => match method.authorizer_id.as_ref().and_then(|id| self.0.get(id)) {
                Some(Ok(found @ Authorization::Lambda(_))) => Ok(found.clone()),
                Some(Err(message)) => Err(message.clone()),
                _ => Err("the method's authorizer is not there".to_owned()),
            },
            _ => Err(format!(
                "authorization type {kind} is not supported yet; the method would be open. Set it to NONE to serve it"
            )),
        }
    }
}

fn authorizer(
    shape: &AuthorizerShape,
    variables: &BTreeMap<String, String>,
) -> Result<Authorization, String> {
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
            let [IdentitySource::Header(header)] = identity.as_slice() else {
                return Err(wrong("the identity source of a TOKEN authorizer is one header".to_owned()));
            };
            let expression = shape.identity_validation_expression.as_deref().filter(|text| !text.is_empty());
            let validation = expression.map(|text| Regex::new(&format!("^(?:{text})$"))).transpose();
            let validation =
                validation.map_err(|error| wrong(format!("identityValidationExpression: {error}")))?;
            AuthorizerInput::Token { header: header.clone(), validation }
        }
        Some(AuthorizerType::Request) => AuthorizerInput::Request { identity },
        other => return Err(wrong(format!("the type {other:?} is not supported yet"))),
    };
    let (uri, missing) =
        replace_stage_variables(shape.authorizer_uri.as_deref().unwrap_or_default(), variables);
    if missing {
        return Err(wrong("the stage lacks a variable that the function's ARN names".to_owned()));
    }
    let function = lambda_function(&uri).map_err(wrong)?;
    let seconds = shape.authorizer_result_ttl_in_seconds.unwrap_or(TIME_TO_LIVE_SECONDS);
    let time_to_live = Duration::from_secs(seconds.max(0).unsigned_abs().into());
    let id = shape.id.as_deref().unwrap_or_default().into();
    let core = LambdaAuthorizer::new(function, FUNCTION_TIMEOUT, time_to_live);
    Ok(Authorization::Lambda(Arc::new(RestLambdaAuthorizer { id, core, input })))
}

fn identity_source(source: &str, variables: &BTreeMap<String, String>) -> Result<IdentitySource, String> {
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
    Policy::parse(text, Kind::Resource)
        .map_err(|error| errors.push(PlanError::new("policy", error.to_string())))
        .ok()
}
