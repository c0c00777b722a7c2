//! Authorizers: JWT for HTTP APIs, functions for both protocols.

use stagedoor_shapes::apigatewayv2::{
    Api, Authorizer, AuthorizerType, CreateAuthorizerRequest, DeleteAuthorizerRequest, GetAuthorizerRequest,
    GetAuthorizersRequest, GetAuthorizersResponse, JWTConfiguration, Route, UpdateAuthorizerRequest,
};

use super::keys::{self, Kind};
use super::{V2, all, is_http, members, recast, updated, websocket};
use crate::control_plane::{bad_request, conflict, required};
use crate::integrations::check_credentials;
use crate::tx::Tx;
use crate::{ApiError, issuers, quotas};

/// The longest time that a decision may be remembered, in seconds.
const TTL_MAX: i32 = 3600;
/// A quota that AWS does not raise.
const AUDIENCES_MAX: usize = 50;

impl V2<'_> {
    /// `CreateAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for settings that AWS refuses.
    pub fn create_authorizer(&self, input: CreateAuthorizerRequest) -> Result<Authorizer, ApiError> {
        let api_id = required(&input.api_id);
        let checked = |tx: &Tx, authorizer: &Authorizer| {
            check(&self.api(tx, api_id)?, authorizer)?;
            check_unique(tx, api_id, authorizer)
        };
        if let Some(issuer) = issuer_of(input.jwt_configuration.as_ref()) {
            self.0.read(|tx| checked(tx, &recast(&input)?))?;
            issuers::check(&self.0.settings, issuer)?;
        }
        self.0.transact(|tx| {
            self.api(tx, api_id)?;
            let there = tx.keys(&keys::all(api_id, Kind::Authorizer))?.len();
            quotas::check_one_more(there, self.0.settings.quotas.authorizers_per_api, "Authorizers", "API")?;
            let mut authorizer: Authorizer = recast(&input)?;
            authorizer.authorizer_id = Some(members::unused(tx, api_id, Kind::Authorizer)?);
            checked(tx, &authorizer)?;
            let key = keys::one(api_id, Kind::Authorizer, required(&authorizer.authorizer_id));
            tx.put(&key, &authorizer)?;
            self.redeploy(tx, api_id)?;
            Ok(authorizer)
        })
    }

    /// `GetAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such authorizer.
    pub fn get_authorizer(&self, input: GetAuthorizerRequest) -> Result<Authorizer, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.authorizer_id));
        self.0.read(|tx| self.find(tx, api, Kind::Authorizer, id))
    }

    /// `GetAuthorizers`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_authorizers(&self, input: GetAuthorizersRequest) -> Result<GetAuthorizersResponse, ApiError> {
        let (token, max) = (input.next_token.as_deref(), input.max_results.as_deref());
        let (items, next_token) = self.list(required(&input.api_id), Kind::Authorizer, token, max)?;
        Ok(GetAuthorizersResponse { items, next_token })
    }

    /// `UpdateAuthorizer`.
    ///
    /// # Errors
    /// As for `CreateAuthorizer`, and [`ApiError::NotFound`] if there is no such authorizer.
    pub fn update_authorizer(&self, input: UpdateAuthorizerRequest) -> Result<Authorizer, ApiError> {
        let (api_id, id) = (required(&input.api_id), required(&input.authorizer_id));
        let changed = |tx: &Tx| {
            let api = self.api(tx, api_id)?;
            let before: Authorizer = members::find(tx, api_id, Kind::Authorizer, id)?;
            let mut authorizer: Authorizer = updated(&before, &input)?;
            let blank = |text: &mut Option<String>| *text = text.take().filter(|text| !text.is_empty());
            blank(&mut authorizer.authorizer_credentials_arn);
            blank(&mut authorizer.identity_validation_expression);
            check(&api, &authorizer)?;
            check_unique(tx, api_id, &authorizer)?;
            Ok(authorizer)
        };
        if let Some(issuer) = issuer_of(input.jwt_configuration.as_ref()) {
            self.0.read(changed)?;
            issuers::check(&self.0.settings, issuer)?;
        }
        self.0.transact(|tx| {
            let authorizer = changed(tx)?;
            tx.put(&keys::one(api_id, Kind::Authorizer, id), &authorizer)?;
            self.redeploy(tx, api_id)?;
            Ok(authorizer)
        })
    }

    /// `DeleteAuthorizer`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such authorizer, [`ApiError::Conflict`] if a route uses it.
    pub fn delete_authorizer(&self, input: DeleteAuthorizerRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.authorizer_id));
        self.0.transact(|tx| {
            self.find::<Authorizer>(tx, api, Kind::Authorizer, id)?;
            let routes: Vec<Route> = all(tx, api, Kind::Route)?;
            if routes.iter().any(|route| route.authorizer_id.as_deref() == Some(id)) {
                return conflict("Cannot delete Authorizer. Authorizer is referenced by existing Routes.");
            }
            tx.delete(&keys::one(api, Kind::Authorizer, id));
            self.redeploy(tx, api)
        })
    }
}

/// The issuer that a configuration names.
pub(super) fn issuer_of(configuration: Option<&JWTConfiguration>) -> Option<&str> {
    configuration.and_then(|configuration| configuration.issuer.as_deref())
}

/// No two authorizers of an API may have the same name.
pub(super) fn check_unique(tx: &Tx, api: &str, authorizer: &Authorizer) -> Result<(), ApiError> {
    let others: Vec<Authorizer> = all(tx, api, Kind::Authorizer)?;
    let others = others.iter().filter(|other| other.authorizer_id != authorizer.authorizer_id);
    crate::authorizers::check_unique(required(&authorizer.name), others.map(|other| required(&other.name)))
}

/// AWS's rules for an authorizer.
pub(super) fn check(api: &Api, authorizer: &Authorizer) -> Result<(), ApiError> {
    if required(&authorizer.name).is_empty() {
        return bad_request("Name cannot be empty");
    }
    if authorizer.authorizer_type.is_none() {
        return bad_request("Invalid request input. CreateAuthorizer input is missing authorizer type.");
    }
    if !is_http(api) {
        return websocket::check_authorizer(authorizer);
    }
    let sources = authorizer.identity_source.as_deref().unwrap_or_default();
    if authorizer.authorizer_type == Some(AuthorizerType::Jwt) {
        let Some(configuration) = &authorizer.jwt_configuration else {
            return bad_request("JwtConfiguration must not be null for JWT Authorizer");
        };
        let issuer = required(&configuration.issuer);
        if issuer.is_empty() {
            return bad_request("Invalid issuer: Issuer can not be empty for JWT Authorizer.");
        }
        if issuer.strip_prefix("https://").is_none_or(str::is_empty) && !is_local(issuer) {
            return bad_request("Invalid issuer: Issuer is not a valid URL for JWT Authorizer");
        }
        let audiences = configuration.audience.as_ref().map_or(0, Vec::len);
        if audiences == 0 {
            return bad_request("Audience list must have at least 1 item for JWT Authorizer");
        }
        quotas::check(audiences, AUDIENCES_MAX, "Audiences", "authorizer")?;
        if sources.len() != 1 {
            return bad_request("Exactly one identity source must be specified for a JWT authorizer");
        }
        let functions_only = [
            (!required(&authorizer.authorizer_uri).is_empty(), "AuthorizerUri"),
            (!required(&authorizer.authorizer_credentials_arn).is_empty(), "AuthorizerCredentialsArn"),
            (authorizer.authorizer_payload_format_version.is_some(), "AuthorizerPayloadFormatVersion"),
            (
                authorizer.authorizer_result_ttl_in_seconds.is_some_and(|ttl| ttl != 0),
                "AuthorizerResultTtlInSeconds",
            ),
            (authorizer.enable_simple_responses == Some(true), "EnableSimpleResponses"),
        ];
        if let Some((_, name)) = functions_only.iter().find(|(set, _)| *set) {
            return bad_request(format!("{name} is only supported for REQUEST authorizers"));
        }
        return check_sources(sources, &PLACES[..2]);
    }
    if required(&authorizer.authorizer_uri).is_empty() {
        return bad_request("AuthorizerUri is a required field in an Authorizer");
    }
    // A function may also go by its own ARN here.
    let uri = required(&authorizer.authorizer_uri);
    if !crate::authorizers::is_function_arn(uri) {
        crate::authorizers::check_uri(uri)?;
    }
    check_credentials(authorizer.authorizer_credentials_arn.as_deref())?;
    if authorizer.jwt_configuration.is_some() {
        return bad_request("JwtConfiguration is only supported for JWT authorizers");
    }
    match authorizer.authorizer_result_ttl_in_seconds {
        Some(ttl) if !(0..=TTL_MAX).contains(&ttl) => {
            return bad_request(format!(
                "Authorizer result TTL outside allowable range. TTL must be between 0 and {TTL_MAX} seconds."
            ));
        }
        Some(1..) if sources.is_empty() => {
            return bad_request(
                "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)",
            );
        }
        _ => {}
    }
    match authorizer.authorizer_payload_format_version.as_deref() {
        Some("2.0") => {}
        Some("1.0") if authorizer.enable_simple_responses == Some(true) => {
            return bad_request(
                "EnableSimpleResponses can only be set for AuthorizerPayloadFormatVersion \"2.0\".",
            );
        }
        Some("1.0") => {}
        None => {
            return bad_request(
                "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer",
            );
        }
        Some(version) => {
            return bad_request(format!("AuthorizerPayloadFormatVersion {version} is not supported"));
        }
    }
    check_sources(sources, &PLACES)
}

/// Where an identity may be; tokens are in the first two alone.
const PLACES: [&str; 4] = ["$request.header.", "$request.querystring.", "$context.", "$stageVariables."];

/// Issuers on this machine need no TLS: nobody is between them and the gateway.
fn is_local(issuer: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(':') || rest.starts_with('/');
    let hosts = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
    hosts.iter().any(|local| issuer.strip_prefix(local).is_some_and(ends))
}

fn check_sources(sources: &[String], places: &[&str]) -> Result<(), ApiError> {
    let fits = |source: &str| {
        let name = places.iter().find_map(|place| source.strip_prefix(place));
        name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    };
    match sources.iter().find(|source| !fits(source)) {
        Some(source) => bad_request(format!(
            "Invalid identity source expression: {source}. The source must be a request header, request querystring, stage \
             variable or context parameter"
        )),
        None => Ok(()),
    }
}
