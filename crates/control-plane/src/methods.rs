//! Methods, and the rules that `PutMethod`, `UpdateMethod` and imports share.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_shapes::apigateway::{
    Authorizer, AuthorizerType, DeleteMethodRequest, GetMethodRequest, Method, Op, PutMethodRequest,
    Resource, UpdateMethodRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::keys::{self, Kind};
use crate::patch::{ENTRY, MEMBER, Patch, REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{integrations, resources};

/// The methods that a resource can have.
pub(crate) const HTTP_METHODS: [&str; 8] =
    ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY"];

/// As AWS lists them to who gives another one; `JWT`, which came later, was not among them when that was seen.
const AUTHORIZATION_TYPES: [&str; 4] = ["NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS"];

#[derive(Clone, Copy, Debug)]
enum Field {
    ApiKeyRequired,
    AuthorizationScopes,
    AuthorizationType,
    AuthorizerId,
    OperationName,
    RequestModel,
    RequestParameter,
    RequestValidatorId,
}

const PATCHES: Table<Field> = Table {
    style: Style::Terse,
    rows: &[
        ("/apiKeyRequired", REPLACE, Field::ApiKeyRequired),
        ("/authorizationScopes", MEMBER, Field::AuthorizationScopes),
        ("/authorizationType", REPLACE, Field::AuthorizationType),
        ("/authorizerId", REPLACE, Field::AuthorizerId),
        ("/operationName", REPLACE, Field::OperationName),
        ("/requestModels/{}", ENTRY, Field::RequestModel),
        ("/requestParameters/{}", ENTRY, Field::RequestParameter),
        ("/requestValidatorId", REPLACE, Field::RequestValidatorId),
    ],
};

impl ControlPlane {
    /// `PutMethod`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown resource, [`ApiError::Conflict`] if the method is there,
    /// [`ApiError::BadRequest`] for what it refers to and is not there.
    pub fn put_method(&self, input: PutMethodRequest) -> Result<Method, ApiError> {
        let (api, resource_id) = (required(&input.rest_api_id), required(&input.resource_id));
        self.transact(|tx| {
            let mut resource = resources::find(tx, api, resource_id)?;
            let http_method = required(&input.http_method);
            check_http_method(http_method)?;
            let methods = resource.resource_methods.get_or_insert_default();
            if methods.contains_key(http_method) {
                return conflict("Method already exists for this resource");
            }
            let mut method = Method {
                http_method: Some(http_method.to_owned()),
                authorization_type: Some(authorization_type(required(&input.authorization_type))?),
                authorizer_id: input.authorizer_id.clone(),
                api_key_required: Some(input.api_key_required.unwrap_or(false)),
                request_validator_id: input.request_validator_id.clone().filter(|id| !id.is_empty()),
                operation_name: input.operation_name.clone().filter(|name| !name.is_empty()),
                request_parameters: input.request_parameters.clone(),
                request_models: input.request_models.clone(),
                authorization_scopes: input.authorization_scopes.clone().filter(|scopes| !scopes.is_empty()),
                ..Method::default()
            };
            check(&mut method, &InStore { tx, api })?;
            methods.insert(http_method.to_owned(), method.clone());
            tx.put(&keys::one(api, Kind::Resource, resource_id), &resource)?;
            Ok(method)
        })
    }

    /// `GetMethod`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource or method.
    pub fn get_method(&self, input: GetMethodRequest) -> Result<Method, ApiError> {
        self.read(|tx| {
            let mut resource =
                resources::find(tx, required(&input.rest_api_id), required(&input.resource_id))?;
            find(&mut resource, required(&input.http_method)).cloned()
        })
    }

    /// `UpdateMethod`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such method, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_method(&self, input: UpdateMethodRequest) -> Result<Method, ApiError> {
        let (api, resource, http_method) = (&input.rest_api_id, &input.resource_id, &input.http_method);
        self.edit_method(api, resource, http_method, "Invalid Method identifier specified", |tx, method| {
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                apply(method, &patch)?;
            }
            check(method, &InStore { tx, api: required(api) })?;
            Ok(method.clone())
        })
    }

    /// `DeleteMethod`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such resource or method.
    pub fn delete_method(&self, input: DeleteMethodRequest) -> Result<(), ApiError> {
        let (api, resource_id) = (required(&input.rest_api_id), required(&input.resource_id));
        self.transact(|tx| {
            let mut resource = resources::find(tx, api, resource_id)?;
            find(&mut resource, required(&input.http_method))?;
            if let Some(methods) = resource.resource_methods.as_mut() {
                methods.remove(required(&input.http_method));
            }
            resource.resource_methods = resource.resource_methods.filter(|methods| !methods.is_empty());
            tx.put(&keys::one(api, Kind::Resource, resource_id), &resource)
        })
    }

    /// Changes one method in a transaction. AWS words its absence differently per operation (`missing`).
    pub(crate) fn edit_method<T>(
        &self,
        api: &Option<String>,
        resource_id: &Option<String>,
        http_method: &Option<String>,
        missing: &str,
        edit: impl Fn(&Tx, &mut Method) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (api, resource_id) = (required(api), required(resource_id));
        self.transact(|tx| {
            let mut resource = resources::find(tx, api, resource_id)?;
            let methods = resource.resource_methods.get_or_insert_default();
            let Some(method) = methods.get_mut(required(http_method)) else { return not_found(missing) };
            let answer = edit(tx, method)?;
            tx.put(&keys::one(api, Kind::Resource, resource_id), &resource)?;
            Ok(answer)
        })
    }
}

/// A method in messages: the path of its resource with the method behind it, such as `/pets/GET`.
pub(crate) fn place(path: &Option<String>, http_method: &str) -> String {
    // The root's own slash stays: `//GET`.
    format!("{}/{http_method}", required(path))
}

/// A method of a resource.
pub(crate) fn find<'a>(resource: &'a mut Resource, http_method: &str) -> Result<&'a mut Method, ApiError> {
    let methods = resource.resource_methods.get_or_insert_default();
    methods
        .get_mut(http_method)
        .ok_or_else(|| ApiError::NotFound("Invalid Method identifier specified".to_owned()))
}

/// Whether a resource can have such a method.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check_http_method(http_method: &str) -> Result<(), ApiError> {
    if HTTP_METHODS.contains(&http_method) {
        return Ok(());
    }
    bad_request(format!("Invalid HttpMethod specified. Valid options are {}", HTTP_METHODS.join(",")))
}

/// An authorization type in AWS's spelling; any case is taken.
///
/// # Errors
/// [`ApiError::BadRequest`] for what is none.
pub(crate) fn authorization_type(given: &str) -> Result<String, ApiError> {
    let upper = given.to_ascii_uppercase();
    if AUTHORIZATION_TYPES.contains(&upper.as_str()) || upper == "JWT" {
        return Ok(upper);
    }
    bad_request(format!(
        "Invalid authorization type specified. Valid options are {}",
        AUTHORIZATION_TYPES.join(",")
    ))
}

/// What a method may refer to.
pub(crate) trait References {
    /// The kind of an authorizer, or `None` if it is not there.
    fn authorizer(&self, id: &str) -> Result<Option<AuthorizerType>, ApiError>;
    /// Whether there is such a request validator.
    fn has_validator(&self, id: &str) -> Result<bool, ApiError>;
    /// Whether there is such a model.
    fn has_model(&self, name: &str) -> Result<bool, ApiError>;
}

/// What stands in the store.
pub(crate) struct InStore<'a> {
    pub(crate) tx: &'a Tx,
    pub(crate) api: &'a str,
}

impl References for InStore<'_> {
    fn authorizer(&self, id: &str) -> Result<Option<AuthorizerType>, ApiError> {
        let found = self.tx.get::<Authorizer>(&keys::one(self.api, Kind::Authorizer, id))?;
        Ok(found.and_then(|authorizer| authorizer.type_))
    }

    fn has_validator(&self, id: &str) -> Result<bool, ApiError> {
        self.tx.exists(&keys::one(self.api, Kind::Validator, id))
    }

    fn has_model(&self, name: &str) -> Result<bool, ApiError> {
        self.tx.exists(&keys::one(self.api, Kind::Model, name))
    }
}

/// Holds a method against AWS's rules. An authorizer that its authorization type has no use for is dropped.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message for the first thing that is wrong.
pub(crate) fn check(method: &mut Method, references: &impl References) -> Result<(), ApiError> {
    check_authorizer(method, references)?;
    if let Some(integration) = &method.method_integration {
        integrations::check_caller(integration, method)?;
    }
    if !matches!(method.authorization_type.as_deref(), Some("COGNITO_USER_POOLS" | "JWT"))
        && method.authorization_scopes.as_ref().is_some_and(|scopes| !scopes.is_empty())
    {
        return bad_request(
            "Invalid Method authorization type specified. Authorization Scopes are only valid for COGNITO_USER_POOLS \
             authorization type",
        );
    }
    if let Some(id) = &method.request_validator_id
        && !references.has_validator(id)?
    {
        return bad_request("Invalid Request Validator identifier specified");
    }
    check_models(method.request_models.as_ref(), references)?;
    check_parameters(method.request_parameters.as_ref(), "method.request.")?;
    let names = method.request_parameters.iter().flatten().map(|(name, _)| name.splitn(4, '.').nth(3));
    let mut seen = BTreeSet::new();
    if names.into_iter().any(|name| !seen.insert(name)) {
        return bad_request("Parameter names must be unique across querystring, header and path");
    }
    Ok(())
}

fn check_authorizer(method: &mut Method, references: &impl References) -> Result<(), ApiError> {
    let expected: &[AuthorizerType] = match method.authorization_type.as_deref() {
        Some("CUSTOM") => &[AuthorizerType::Token, AuthorizerType::Request],
        Some("COGNITO_USER_POOLS") => &[AuthorizerType::CognitoUserPools],
        Some("JWT") => &[AuthorizerType::Jwt],
        _ => {
            method.authorizer_id = None;
            return Ok(());
        }
    };
    let found = method.authorizer_id.as_deref().map(|id| references.authorizer(id)).transpose()?.flatten();
    if found.is_some_and(|kind| expected.contains(&kind)) {
        return Ok(());
    }
    bad_request(match expected {
        [AuthorizerType::Jwt] => {
            "Invalid authorizer ID specified. Setting the authorization type to JWT requires a valid JWT authorizer."
        }
        _ => {
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a \
             valid authorizer."
        }
    })
}

/// Whether the models that content types are mapped to are there.
pub(crate) fn check_models(
    models: Option<&BTreeMap<String, String>>,
    references: &impl References,
) -> Result<(), ApiError> {
    for (content_type, model) in models.into_iter().flatten() {
        check_content_type(content_type)?;
        if !references.has_model(model)? {
            return bad_request(format!("Invalid model identifier specified: {model}"));
        }
    }
    Ok(())
}

/// Whether a key of a template or model map is a content type.
pub(crate) fn check_content_type(content_type: &str) -> Result<(), ApiError> {
    let parts = content_type.split_once('/');
    let valid = parts.is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    if valid || content_type == "$default" {
        return Ok(());
    }
    bad_request(format!(
        "Validation Result: warnings : [], errors : [Invalid content type specified: {content_type}]"
    ))
}

/// Whether declared parameters have names like `method.request.header.x`.
pub(crate) fn check_parameters(
    parameters: Option<&BTreeMap<String, bool>>,
    prefix: &str,
) -> Result<(), ApiError> {
    for name in parameters.into_iter().flat_map(BTreeMap::keys) {
        let place = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.'));
        let valid = match place {
            Some(("header", name)) => !name.is_empty(),
            Some(("path" | "querystring" | "multivaluequerystring" | "multivalueheader", name)) => {
                !name.is_empty() && prefix == "method.request."
            }
            _ => false,
        };
        if !valid {
            return invalid_mapping(name);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._$-".contains(&byte);
        if !place.is_some_and(|(_, name)| name.bytes().all(plain)) {
            return bad_request(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Parameter name should \
                 match the following regular expression: ^[a-zA-Z0-9:._$-]+$]",
            );
        }
    }
    Ok(())
}

/// AWS's answer to a mapping that it cannot read.
pub(crate) fn invalid_mapping<T>(expression: &str) -> Result<T, ApiError> {
    bad_request(format!(
        "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression \
         specified: {expression}]"
    ))
}

fn apply(method: &mut Method, patch: &Patch<Field>) -> Result<(), ApiError> {
    match patch.field {
        Field::ApiKeyRequired => method.api_key_required = Some(patch.truth()),
        Field::AuthorizationType => {
            method.authorization_type = Some(authorization_type(patch.value.as_deref().unwrap_or_default())?);
        }
        Field::AuthorizerId => method.authorizer_id = patch.text(),
        Field::OperationName => method.operation_name = patch.text(),
        Field::RequestValidatorId => method.request_validator_id = patch.text(),
        Field::RequestModel => {
            let model = patch.value.clone().unwrap_or_default();
            patch.on_map(&mut method.request_models, model, "Content-Type specified was not found")?;
        }
        Field::RequestParameter => {
            patch.on_map(
                &mut method.request_parameters,
                patch.truth(),
                "Invalid parameter name specified",
            )?;
        }
        Field::AuthorizationScopes => {
            // The value is one scope, or several with commas between them.
            let given = patch.value.as_deref().unwrap_or_default();
            let given: Vec<String> = given
                .split(',')
                .map(str::trim)
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect();
            let scopes = method.authorization_scopes.get_or_insert_default();
            scopes.retain(|scope| !given.contains(scope));
            if patch.op == Op::Add {
                scopes.extend(given);
            }
            if scopes.is_empty() {
                method.authorization_scopes = None;
            }
        }
    }
    Ok(())
}
