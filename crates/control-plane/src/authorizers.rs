//! Authorizers: who decides whether a request may pass.

use stagedoor_shapes::apigateway::{
    Authorizer, AuthorizerType, Authorizers, CreateAuthorizerRequest, DeleteAuthorizerRequest,
    GetAuthorizerRequest, GetAuthorizersRequest, Op, Resource, UpdateAuthorizerRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::ids;
use crate::keys::{self, Kind};
use crate::methods;
use crate::page::page;
use crate::patch::{ENTRY, MEMBER, Patch, REPLACE, Style, Table};
use crate::quotas::check_one_more;
use crate::tx::Tx;

/// How long a decision is remembered unless something else is asked for, and at most; in seconds.
const TTL_DEFAULT: i32 = 300;
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
            authorizer_result_ttl_in_seconds: input.authorizer_result_ttl_in_seconds.or(Some(TTL_DEFAULT)),
            jwt_configuration: None,
        };
        let mut authorizer = complete(given)?;
        if authorizer.type_ == Some(AuthorizerType::CognitoUserPools) {
            // Only an update gives these credentials.
            authorizer.authorizer_credentials = None;
        }
        self.transact(|tx| {
            if !tx.exists(&keys::api(api))? {
                return conflict(
                    "Unable to complete operation due to concurrent modification. Please try again later.",
                );
            }
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
        self.transact(|tx| {
            let mut authorizer = find(tx, api, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                apply(&mut authorizer, &patch)?;
            }
            let authorizer = complete(authorizer)?;
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

fn find(tx: &Tx, api: &str, id: &str) -> Result<Authorizer, ApiError> {
    match tx.get(&keys::one(api, Kind::Authorizer, id))? {
        Some(authorizer) => Ok(authorizer),
        None => not_found("Invalid Authorizer identifier specified"),
    }
}

/// Holds an authorizer against AWS's rules and gives it AWS's defaults. The time to live has none here: AWS gives it
/// one when an authorizer is created, and not when it is imported.
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
    let has_source = authorizer.identity_source.as_deref().is_some_and(|source| !source.is_empty());
    match authorizer.type_ {
        None => return bad_request("Authorizer type is missing"),
        Some(AuthorizerType::Jwt) => {
            return Err(ApiError::NotImplemented(
                "JWT authorizers of REST APIs are not built yet".to_owned(),
            ));
        }
        Some(AuthorizerType::CognitoUserPools) => {
            if authorizer.provider_arns.as_ref().is_none_or(Vec::is_empty) {
                return bad_request("ProviderARNs cannot be empty");
            }
            authorizer.auth_type.get_or_insert_with(|| "cognito_user_pools".to_owned());
        }
        Some(kind) => {
            check_uri(required(&authorizer.authorizer_uri))?;
            authorizer.auth_type.get_or_insert_with(|| "custom".to_owned());
            // Without a cache a REQUEST authorizer is asked about every request, whatever is in it.
            if !has_source && kind == AuthorizerType::Token {
                return bad_request("IdentitySource cannot be empty");
            }
            if !has_source && ttl != Some(0) {
                return bad_request(
                    "Identity source must be set if authorizer caching is enabled (TTL is greater than 0)",
                );
            }
        }
    }
    for source in
        required(&authorizer.identity_source).split(',').map(str::trim).filter(|source| !source.is_empty())
    {
        let places = ["method.request.header.", "method.request.querystring.", "stageVariables.", "context."];
        if !places.iter().any(|place| source.strip_prefix(place).is_some_and(|name| !name.is_empty())) {
            return bad_request(format!("Invalid request identity source expression: {source}"));
        }
    }
    Ok(authorizer)
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

/// Checks that an authorizer's URI invokes a function.
pub(crate) fn check_uri(uri: &str) -> Result<(), ApiError> {
    let mut parts = uri.splitn(6, ':');
    let is_invocation = parts.next() == Some("arn")
        && parts.nth(3) == Some("lambda")
        && parts.next().is_some_and(|path| path.starts_with("path/") && path.ends_with("/invocations"));
    if is_invocation {
        Ok(())
    } else {
        bad_request(format!(
            "Invalid Authorizer URI: {uri}. Authorizer URI should be a valid API Gateway ARN that represents a Lambda function invocation."
        ))
    }
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
