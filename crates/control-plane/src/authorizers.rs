//! Authorizers: who decides whether a request may pass.

use stagedoor_shapes::apigateway::{
    Authorizer, AuthorizerType, Authorizers, CreateAuthorizerRequest, DeleteAuthorizerRequest,
    GetAuthorizerRequest, GetAuthorizersRequest, Op, Resource, UpdateAuthorizerRequest,
};
use stagedoor_velocity::JavaRegex;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::ids;
use crate::integrations::check_credentials;
use crate::jwt_configurations;
use crate::keys::{self, Kind};
use crate::methods;
use crate::page::page;
use crate::patch::{ENTRY, MEMBER, Patch, REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::tx::Tx;

/// How long a decision may be remembered, in seconds. Where nothing is asked for nothing is shown, and 300 hold.
const TTL_MAX: i32 = 3600;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Type,
    Uri,
    Credentials,
    Ttl,
    AuthType,
    IdentitySource,
    IdentityValidationExpression,
    ProviderArns,
    JwtConfiguration,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/name", REPLACE, Field::Name),
        ("/type", REPLACE, Field::Type),
        ("/authorizerUri", REPLACE, Field::Uri),
        ("/authorizerCredentials", REPLACE, Field::Credentials),
        ("/authorizerResultTtlInSeconds", REPLACE, Field::Ttl),
        ("/authType", REPLACE, Field::AuthType),
        ("/identitySource", ENTRY, Field::IdentitySource),
        ("/identityValidationExpression", REPLACE, Field::IdentityValidationExpression),
        ("/providerARNs", MEMBER, Field::ProviderArns),
        ("/jwtConfiguration", REPLACE, Field::JwtConfiguration),
    ],
};

impl ControlPlane {
    /// `CreateAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::Conflict`] for an unknown API (as AWS answers it), [`ApiError::BadRequest`] for what AWS refuses.
    pub fn create_authorizer(&self, input: CreateAuthorizerRequest) -> Result<Authorizer, ApiError> {
        let api = required(&input.rest_api_id);
        let given = Authorizer {
            id: Some(ids::short()?),
            name: input.name,
            type_: input.type_,
            provider_arns: input.provider_arns,
            auth_type: input.auth_type,
            authorizer_uri: input.authorizer_uri,
            authorizer_credentials: input.authorizer_credentials,
            identity_source: input.identity_source,
            identity_validation_expression: input.identity_validation_expression,
            authorizer_result_ttl_in_seconds: input.authorizer_result_ttl_in_seconds,
            jwt_configuration: input.jwt_configuration.map(jwt_configurations::from_input),
        };
        let mut authorizer = complete(given)?;
        if authorizer.type_ == Some(AuthorizerType::CognitoUserPools) {
            // Only an update gives these credentials, and a time to live.
            authorizer.authorizer_credentials = None;
            authorizer.authorizer_result_ttl_in_seconds = None;
        }
        // An API that is not there is no reason to ask issuers anything.
        let is_there = |tx: &Tx| match tx.exists(&keys::api(api))? {
            true => Ok(()),
            false => conflict(
                "Unable to complete operation due to concurrent modification. Please try again later.",
            ),
        };
        if let Some(configuration) = authorizer.jwt_configuration.take() {
            self.read(is_there)?;
            authorizer.jwt_configuration = Some(self.discover(configuration)?);
        }
        self.transact(|tx| {
            is_there(tx)?;
            let there = tx.keys(&keys::all(api, Kind::Authorizer))?.len();
            check_one_more(there, self.settings.quotas.authorizers_per_api, "Authorizers", "API")?;
            let others = tx.scan::<Authorizer>(&keys::all(api, Kind::Authorizer))?;
            check_unique(required(&authorizer.name), others.values().map(|other| required(&other.name)))?;
            tx.put(&keys::one(api, Kind::Authorizer, required(&authorizer.id)), &authorizer)
        })?;
        Ok(authorizer)
    }

    /// `GetAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such authorizer.
    pub fn get_authorizer(&self, input: GetAuthorizerRequest) -> Result<Authorizer, ApiError> {
        self.read(|tx| find(tx, required(&input.rest_api_id), required(&input.authorizer_id)))
    }

    /// `GetAuthorizers`, by name.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_authorizers(&self, input: GetAuthorizersRequest) -> Result<Authorizers, ApiError> {
        let api = required(&input.rest_api_id);
        let authorizers = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<Authorizer>(&keys::all(api, Kind::Authorizer))
        })?;
        // Names in older stores need not differ, so the id breaks ties.
        let named = authorizers.into_values().map(|authorizer| {
            (format!("{}\n{}", required(&authorizer.name), required(&authorizer.id)), authorizer)
        });
        let named: std::collections::BTreeMap<_, _> = named.collect();
        let (items, position) = page(named, input.position.as_deref(), input.limit)?;
        Ok(Authorizers { items, position })
    }

    /// `UpdateAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such authorizer, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_authorizer(&self, input: UpdateAuthorizerRequest) -> Result<Authorizer, ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.authorizer_id));
        let patched = |tx: &Tx| {
            let mut authorizer = find(tx, api, id)?;
            let patches = PATCHES.resolve(input.patch_operations.as_deref())?;
            for patch in &patches {
                apply(&mut authorizer, patch)?;
            }
            let replaces = patches.iter().any(|patch| matches!(patch.field, Field::JwtConfiguration));
            Ok((complete(authorizer)?, replaces))
        };
        // Each replacement has the issuers asked again, all of them.
        let discovered = match self.read(patched)? {
            (Authorizer { jwt_configuration: Some(configuration), .. }, true) => {
                Some(self.discover(configuration)?)
            }
            _ => None,
        };
        self.transact(|tx| {
            let (mut authorizer, _) = patched(tx)?;
            if discovered.is_some() {
                authorizer.jwt_configuration.clone_from(&discovered);
            }
            let others = tx.scan::<Authorizer>(&keys::all(api, Kind::Authorizer))?;
            let others = others.values().filter(|other| other.id.as_deref() != Some(id));
            check_unique(required(&authorizer.name), others.map(|other| required(&other.name)))?;
            tx.put(&keys::one(api, Kind::Authorizer, id), &authorizer)?;
            Ok(authorizer)
        })
    }

    /// `DeleteAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such authorizer, [`ApiError::Conflict`] if a method uses it.
    pub fn delete_authorizer(&self, input: DeleteAuthorizerRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.rest_api_id), required(&input.authorizer_id));
        self.transact(|tx| {
            let authorizer = find(tx, api, id)?;
            for resource in tx.scan::<Resource>(&keys::all(api, Kind::Resource))?.values() {
                for (http_method, method) in resource.resource_methods.iter().flatten() {
                    if method.authorizer_id.as_deref() == Some(id) {
                        return conflict(format!(
                            "Cannot delete authorizer '{}', is referenced in method: {}",
                            required(&authorizer.name),
                            methods::place(&resource.path, http_method)
                        ));
                    }
                }
            }
            tx.delete(&keys::one(api, Kind::Authorizer, id));
            Ok(())
        })
    }
}

pub(crate) fn find(tx: &Tx, api: &str, id: &str) -> Result<Authorizer, ApiError> {
    match tx.get(&keys::one(api, Kind::Authorizer, id))? {
        Some(authorizer) => Ok(authorizer),
        None => not_found("Invalid Authorizer identifier specified"),
    }
}

/// Holds an authorizer against AWS's rules and gives it AWS's defaults, but for the time to live, which has none here.
///
/// # Errors
/// [`ApiError::BadRequest`] for what AWS refuses.
pub(crate) fn complete(mut authorizer: Authorizer) -> Result<Authorizer, ApiError> {
    if authorizer.name.as_deref().is_none_or(str::is_empty) {
        return bad_request("Authorizer name cannot be empty");
    }
    let ttl = authorizer.authorizer_result_ttl_in_seconds;
    if ttl.is_some_and(|ttl| !(0..=TTL_MAX).contains(&ttl)) {
        return bad_request(format!(
            "Authorizer result TTL outside allowable range. TTL must be between 0 and {TTL_MAX} seconds."
        ));
    }
    let is_jwt = authorizer.type_ == Some(AuthorizerType::Jwt);
    if !is_jwt && authorizer.jwt_configuration.is_some() {
        return bad_request("jwtConfiguration is only supported for JWT authorizers");
    }
    check_credentials(authorizer.authorizer_credentials.as_deref())?;
    check_expression(authorizer.identity_validation_expression.as_deref())?;
    let source = required(&authorizer.identity_source);
    match authorizer.type_ {
        None => return bad_request("Authorizer type is missing"),
        Some(AuthorizerType::Jwt) => {
            let unsupported = [
                (authorizer.provider_arns.as_ref().is_some_and(|arns| !arns.is_empty()), "providerARNs"),
                (!required(&authorizer.authorizer_uri).is_empty(), "authorizerUri"),
                (!required(&authorizer.authorizer_credentials).is_empty(), "authorizerCredentials"),
                (ttl.is_some(), "authorizerResultTtlInSeconds"),
            ];
            if let Some((_, name)) = unsupported.iter().find(|(is_set, _)| *is_set) {
                return bad_request(format!("{name} is not supported for JWT authorizers"));
            }
            check_token_source(source)?;
            jwt_configurations::check(authorizer.jwt_configuration.as_ref())?;
            authorizer.auth_type.get_or_insert_with(|| "jwt".to_owned());
        }
        Some(AuthorizerType::CognitoUserPools) => {
            let pools = authorizer.provider_arns.as_deref().unwrap_or_default();
            if pools.is_empty() {
                return bad_request("ProviderARNs cannot be empty");
            }
            pools.iter().try_for_each(|arn| check_user_pool(arn))?;
            check_token_source(source)?;
            authorizer.auth_type.get_or_insert_with(|| "cognito_user_pools".to_owned());
        }
        Some(AuthorizerType::Token) => {
            check_uri(required(&authorizer.authorizer_uri))?;
            check_token_source(source)?;
            authorizer.auth_type.get_or_insert_with(|| "custom".to_owned());
        }
        Some(AuthorizerType::Request) => {
            check_uri(required(&authorizer.authorizer_uri))?;
            let sources = || source.split(',').map(str::trim).filter(|source| !source.is_empty());
            // Without a cache it is asked about every request, whatever is in it.
            if sources().next().is_none() && ttl != Some(0) {
                return bad_request(
                    "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)",
                );
            }
            sources().try_for_each(|source| check_request_source(source, "method.request."))?;
            authorizer.auth_type.get_or_insert_with(|| "custom".to_owned());
        }
    }
    Ok(authorizer)
}

/// Checks where a token is: in one header.
fn check_token_source(source: &str) -> Result<(), ApiError> {
    if source.is_empty() {
        return bad_request("IdentitySource cannot be empty");
    }
    match source.strip_prefix("method.request.header.").is_some_and(is_name) {
        true => Ok(()),
        false => bad_request(format!(
            "Invalid token source expression: {source}. The source must be a method request header, matching \
             'method.request.header.[a-zA-Z0-9._-]+'."
        )),
    }
}

/// Checks where a part of an identity is: `prefix` is what comes before `header` and `querystring`, which differs between
/// REST and WebSocket APIs.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check_request_source(source: &str, prefix: &str) -> Result<(), ApiError> {
    let of_request = source.strip_prefix(prefix);
    let names = [
        of_request.and_then(|rest| rest.strip_prefix("header.")),
        of_request.and_then(|rest| rest.strip_prefix("querystring.")),
        source.strip_prefix("stageVariables."),
        source.strip_prefix("context."),
    ];
    let parameter =
        if prefix == "method.request." { "method request parameter" } else { "request parameter" };
    match names.into_iter().flatten().any(is_name) {
        true => Ok(()),
        false => bad_request(format!(
            "Invalid request identity source expression: {source}. The sources must be separated by comma, and each source \
             must be either a {parameter}, matching '{prefix}querystring|header.[a-zA-Z0-9._-]+', or a stage \
             variable, matching 'stageVariables.[a-zA-Z0-9._-]+', or a context parameter, matching \
             'context.[a-zA-Z0-9._-]+'"
        )),
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(fits)
}

/// Checks the pattern that a token, or a token's audience, has to match.
fn check_expression(expression: Option<&str>) -> Result<(), ApiError> {
    match expression.filter(|text| !text.is_empty()).map(JavaRegex::defined) {
        Some(Err(_)) => bad_request("Invalid regex pattern specified"),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Checks the ARN of a user pool. A stage variable may stand for a part of it.
fn check_user_pool(arn: &str) -> Result<(), ApiError> {
    let with_variable = |part: &str| part.contains("${stageVariables.");
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let fits = match parts.as_slice() {
        ["arn", _, "cognito-idp", region, account, pool] => {
            let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            let id = pool.strip_prefix("userpool/").unwrap_or_default();
            let is_id = id.split_once('_').is_some_and(|(region, name)| !region.is_empty() && is_name(name));
            (is_region(region) || with_variable(region))
                && (is_account || with_variable(account))
                && (is_id || with_variable(pool))
        }
        _ => with_variable(arn),
    };
    if fits { Ok(()) } else { bad_request("Invalid ARN specified in the request") }
}

/// Whether a text has the form of a region's name: `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split('-');
    let first = parts.next().is_some_and(|part| (2..=4).contains(&part.len()));
    let last = parts.next_back().is_some_and(is_number);
    let between: Vec<&str> = parts.collect();
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    first && last && !between.is_empty() && between.into_iter().all(is_word)
}

/// Refuses an authorizer whose name another one of its API has.
///
/// # Errors
/// [`ApiError::Conflict`] with AWS's message, which HTTP APIs have as well.
pub(crate) fn check_unique<'n>(
    name: &str,
    mut others: impl Iterator<Item = &'n str>,
) -> Result<(), ApiError> {
    match others.any(|other| other == name) {
        true => conflict(format!(
            "Authorizer name must be unique. Authorizer {name} already exists in this RestApi."
        )),
        false => Ok(()),
    }
}

/// Checks that an authorizer's URI invokes a function. A stage variable may stand for the function's name, and for nothing
/// before it.
pub(crate) fn check_uri(uri: &str) -> Result<(), ApiError> {
    if function_of(uri).is_some_and(is_function) {
        return Ok(());
    }
    bad_request(format!(
        "Invalid Authorizer URI: {uri}. Authorizer URI should be a valid API Gateway ARN that represents a Lambda function invocation."
    ))
}

/// What `arn:PARTITION:apigateway:REGION:lambda:path/VERSION/functions/FUNCTION/invocations` invokes.
fn function_of(uri: &str) -> Option<&str> {
    let parts: Vec<&str> = uri.splitn(6, ':').collect();
    let ["arn", partition, "apigateway", region, "lambda", path] = parts.as_slice() else { return None };
    // The version is not looked at: AWS takes others too, and fails when a request comes.
    let (_, function) = path.strip_prefix("path/")?.trim_start_matches('/').split_once("/functions/")?;
    let function = function.strip_suffix("/invocations").filter(|function| !function.is_empty())?;
    (partition.starts_with("aws") && is_region(region)).then_some(function)
}

/// Whether this is the ARN of a function, or its name.
fn is_function(text: &str) -> bool {
    is_function_arn(text) || !(text.starts_with("arn:") || text.contains('/'))
}

/// Whether this is the ARN of a function itself.
pub(crate) fn is_function_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let ["arn", _, "lambda", region, account, "function", name] = parts.as_slice() else { return false };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    is_region(region) && is_account && !name.is_empty()
}

fn apply(authorizer: &mut Authorizer, patch: &Patch<Field>) -> Result<(), ApiError> {
    match patch.field {
        Field::Name => authorizer.name = patch.text(),
        Field::Type => {
            let message =
                "Invalid authorizer type specified. Valid options are TOKEN,REQUEST,COGNITO_USER_POOLS";
            authorizer.type_ = Some(patch.one_of::<AuthorizerType>(message)?);
        }
        Field::Uri => authorizer.authorizer_uri = patch.text(),
        Field::Credentials => authorizer.authorizer_credentials = patch.text(),
        Field::Ttl => {
            let ttl = patch.text().and_then(|ttl| ttl.parse().ok());
            authorizer.authorizer_result_ttl_in_seconds = Some(ttl.unwrap_or(-1));
        }
        Field::AuthType => authorizer.auth_type = patch.text(),
        Field::IdentitySource => authorizer.identity_source = patch.text(),
        Field::IdentityValidationExpression => authorizer.identity_validation_expression = patch.text(),
        Field::JwtConfiguration => {
            let value = serde_json::from_str(patch.value.as_deref().unwrap_or_default());
            let value = value.map_err(|_| "Invalid jwtConfiguration: it must be a JSON object".to_owned());
            let configuration = value.and_then(|value| jwt_configurations::from_json(&value));
            authorizer.jwt_configuration = Some(configuration.map_err(ApiError::BadRequest)?);
        }
        Field::ProviderArns => {
            let given: Vec<String> = patch
                .value
                .as_deref()
                .unwrap_or_default()
                .split(',')
                .map(|arn| arn.trim().to_owned())
                .collect();
            let arns = authorizer.provider_arns.get_or_insert_default();
            arns.retain(|arn| !given.contains(arn));
            if patch.op == Op::Add {
                arns.extend(given);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authorizer: Authorizer, expected: &str) {
        let shown = format!("{authorizer:?}");
        let found = complete(authorizer).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert!(found.starts_with(expected), "{shown}: {found}");
    }

    const URI: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/invocations";

    fn function(type_: AuthorizerType, uri: &str, source: &str) -> Authorizer {
        Authorizer {
            name: Some("a".to_owned()),
            type_: Some(type_),
            authorizer_uri: Some(uri.to_owned()),
            identity_source: Some(source.to_owned()),
            ..Authorizer::default()
        }
    }

    #[test]
    fn identity_sources() {
        let token =
            |source: &str, expected: &str| check(function(AuthorizerType::Token, URI, source), expected);
        token("method.request.header.X-Token", "fine");
        token("", "IdentitySource cannot be empty");
        token(
            "method.request.querystring.a",
            "Invalid token source expression: method.request.querystring.a. The",
        );
        token(
            "method.request.header.",
            "Invalid token source expression: method.request.header.. The source must",
        );
        token("method.request.header.a,method.request.header.b", "Invalid token source expression");
        let request =
            |source: &str, expected: &str| check(function(AuthorizerType::Request, URI, source), expected);
        request(
            "method.request.header.a, method.request.querystring.b,stageVariables.c,context.httpMethod",
            "fine",
        );
        request("", "Identity source must be set if authorizer caching is enabled");
        request(" , ,", "Identity source must be set if authorizer caching is enabled");
        for wrong in
            ["method.request.path.a", "route.request.header.a", "context.", "stageVariables.a b", "a"]
        {
            request(wrong, &format!("Invalid request identity source expression: {wrong}. The sources must"));
        }
    }

    #[test]
    fn uris() {
        let uri = |uri: &str, fine: bool| assert_eq!(check_uri(uri).is_ok(), fine, "{uri}");
        uri(URI, true);
        uri(&URI.replace("function:f", "function:${stageVariables.f}:live"), true);
        uri(&URI.replace("2015-03-31", "2015-03-01"), true);
        uri(&URI.replace("path/", "path//"), true);
        uri(&URI.replace("arn:aws:", "arn:aws-us-gov:"), true);
        uri(&URI.replace("gateway:us-east-1", "gateway:region"), false);
        uri(&URI.replace("000000000000", "${stageVariables.account}"), false);
        uri(&URI.replace("apigateway", "lambda"), false);
        uri(&URI.replace(":lambda:path", ":sqs:path"), false);
        uri(&URI.replace("/invocations", ""), false);
        uri("arn:aws:lambda:us-east-1:000000000000:function:f", false);
        uri("https://example.com", false);
        uri("", false);
    }

    #[test]
    fn user_pools_and_expressions() {
        let pool = |arn: &str, fine: bool| assert_eq!(check_user_pool(arn).is_ok(), fine, "{arn}");
        pool("arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_Local", true);
        pool("arn:aws:cognito-idp:us-east-1:000000000000:userpool/${stageVariables.pool}", true);
        pool("arn:aws:cognito-idp:us-east-1:000000000000:userpool/", false);
        pool("arn:aws:cognito-idp:us-east-1:000000000000:identitypool/us-east-1_Local", false);
        pool("arn:aws:cognito-idp:nowhere:000000000000:userpool/us-east-1_Local", false);
        pool("us-east-1_Local", false);
        assert!(check_expression(Some("^Bearer [-0-9a-zA-Z._]*$")).is_ok());
        assert!(check_expression(Some("")).is_ok());
        assert!(check_expression(Some("(")).is_err());
    }
}
