//! Gateway responses: what the gateway itself answers when a request does not reach its integration.
//!
//! Only responses that were changed are stored; the others follow AWS's defaults and, where they have the status class
//! of `DEFAULT_4XX` or `DEFAULT_5XX`, what was set for these.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    DeleteGatewayResponseRequest, GatewayResponse, GatewayResponseType, GatewayResponses,
    GetGatewayResponseRequest, GetGatewayResponsesRequest, Op, PutGatewayResponseRequest,
    UpdateGatewayResponseRequest,
};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::integrations::check_templates;
use crate::keys::{self, Kind};
use crate::mapping;
use crate::page::page;
use crate::patch::{ENTRY, Patch, REPLACE, Style, Table};
use crate::tx::Tx;

const DEFAULT_TEMPLATE: &str = "{\"message\":$context.error.messageString}";

#[derive(Clone, Copy, Debug)]
enum Field {
    StatusCode,
    Parameter,
    Template,
}

const PATCHES: Table<Field> = Table {
    style: Style::PathOnly,
    rows: &[
        ("/statusCode", REPLACE, Field::StatusCode),
        ("/responseParameters/{}", ENTRY, Field::Parameter),
        ("/responseTemplates/{}", ENTRY, Field::Template),
    ],
};

impl ControlPlane {
    /// `PutGatewayResponse`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for what AWS refuses.
    pub fn put_gateway_response(
        &self,
        input: PutGatewayResponseRequest,
    ) -> Result<GatewayResponse, ApiError> {
        let api = required(&input.rest_api_id);
        let kind = kind(input.response_type)?;
        let response = complete(GatewayResponse {
            response_type: Some(kind),
            status_code: input.status_code,
            response_parameters: input.response_parameters,
            response_templates: input.response_templates,
            default_response: Some(false),
        })?;
        self.transact(|tx| {
            self.api(tx, api)?;
            tx.put(&keys::one(api, Kind::GatewayResponse, kind.as_str()), &response)
        })?;
        Ok(response)
    }

    /// `GetGatewayResponse`: one that was never put is answered as it is by default.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_gateway_response(
        &self,
        input: GetGatewayResponseRequest,
    ) -> Result<GatewayResponse, ApiError> {
        let kind = kind(input.response_type)?;
        self.read(|tx| self.gateway_response(tx, required(&input.rest_api_id), kind))
    }

    /// `GetGatewayResponses`: all of them, by name.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_gateway_responses(
        &self,
        input: GetGatewayResponsesRequest,
    ) -> Result<GatewayResponses, ApiError> {
        let api = required(&input.rest_api_id);
        let responses = self.read(|tx| {
            let all = GatewayResponseType::VALUES.iter();
            all.map(|kind| Ok((kind.as_str().to_owned(), self.gateway_response(tx, api, *kind)?)))
                .collect::<Result<BTreeMap<_, _>, ApiError>>()
        })?;
        let (items, position) = page(responses, input.position.as_deref(), input.limit)?;
        Ok(GatewayResponses { items, position })
    }

    /// `UpdateGatewayResponse`: one that was never put is changed from its default.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or an entry that is not there, [`ApiError::BadRequest`] for a patch that
    /// AWS refuses.
    pub fn update_gateway_response(
        &self,
        input: UpdateGatewayResponseRequest,
    ) -> Result<GatewayResponse, ApiError> {
        let api = required(&input.rest_api_id);
        let kind = kind(input.response_type)?;
        self.transact(|tx| {
            let mut response = self.gateway_response(tx, api, kind)?;
            response.default_response = Some(false);
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                apply(&mut response, &patch)?;
            }
            let response = complete(response)?;
            tx.put(&keys::one(api, Kind::GatewayResponse, kind.as_str()), &response)?;
            Ok(response)
        })
    }

    /// `DeleteGatewayResponse`: it is as it is by default again.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, or if it was never put.
    pub fn delete_gateway_response(&self, input: DeleteGatewayResponseRequest) -> Result<(), ApiError> {
        let api = required(&input.rest_api_id);
        let key = keys::one(api, Kind::GatewayResponse, kind(input.response_type)?.as_str());
        self.transact(|tx| {
            self.api(tx, api)?;
            if !tx.exists(&key)? {
                return not_found("Gateway response type not defined on api");
            }
            tx.delete(&key);
            Ok(())
        })
    }

    fn gateway_response(
        &self,
        tx: &Tx,
        api: &str,
        kind: GatewayResponseType,
    ) -> Result<GatewayResponse, ApiError> {
        self.api(tx, api)?;
        let stored = |kind: GatewayResponseType| {
            tx.get::<GatewayResponse>(&keys::one(api, Kind::GatewayResponse, kind.as_str()))
        };
        if let Some(response) = stored(kind)? {
            return Ok(response);
        }
        let own = default(kind);
        let class = match own.status_code.as_deref() {
            Some(status) if status.starts_with('4') => GatewayResponseType::Default4xx,
            Some(_) => GatewayResponseType::Default5xx,
            None => return Ok(own),
        };
        Ok(match stored(class)? {
            Some(general) => GatewayResponse {
                response_type: own.response_type,
                status_code: general.status_code.or(own.status_code),
                response_parameters: general.response_parameters,
                response_templates: general.response_templates,
                default_response: Some(true),
            },
            None => own,
        })
    }
}

fn kind(given: Option<GatewayResponseType>) -> Result<GatewayResponseType, ApiError> {
    given.ok_or_else(|| ApiError::BadRequest("Invalid response type specified".to_owned()))
}

/// The status that AWS answers unless another was set; `DEFAULT_4XX` and `DEFAULT_5XX` have none.
pub(crate) fn default_status(kind: GatewayResponseType) -> Option<&'static str> {
    use GatewayResponseType as Kind;
    Some(match kind {
        Kind::Default4xx | Kind::Default5xx => return None,
        Kind::BadRequestParameters | Kind::BadRequestBody => "400",
        Kind::Unauthorized => "401",
        Kind::InvalidApiKey
        | Kind::AccessDenied
        | Kind::InvalidSignature
        | Kind::ExpiredToken
        | Kind::MissingAuthenticationToken
        | Kind::WafFiltered => "403",
        Kind::ResourceNotFound => "404",
        Kind::RequestTooLarge => "413",
        Kind::UnsupportedMediaType => "415",
        Kind::Throttled | Kind::QuotaExceeded => "429",
        Kind::AuthorizerFailure | Kind::AuthorizerConfigurationError | Kind::ApiConfigurationError => "500",
        Kind::IntegrationFailure | Kind::IntegrationTimeout => "504",
    })
}

fn default(kind: GatewayResponseType) -> GatewayResponse {
    GatewayResponse {
        response_type: Some(kind),
        status_code: default_status(kind).map(str::to_owned),
        response_parameters: Some(BTreeMap::new()),
        response_templates: Some(default_templates()),
        default_response: Some(true),
    }
}

fn default_templates() -> BTreeMap<String, String> {
    BTreeMap::from([("application/json".to_owned(), DEFAULT_TEMPLATE.to_owned())])
}

/// Holds a gateway response against AWS's rules and gives it AWS's defaults.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn complete(mut response: GatewayResponse) -> Result<GatewayResponse, ApiError> {
    let kind = kind(response.response_type)?;
    response.status_code = response.status_code.or_else(|| default_status(kind).map(str::to_owned));
    if !response.status_code.as_deref().is_none_or(is_status) {
        return bad_request("Invalid status code specified");
    }
    response.default_response = Some(false);
    let parameters = response.response_parameters.get_or_insert_default();
    for (name, expression) in &*parameters {
        if expression.is_empty() {
            return bad_request("Invalid null or empty value in responseParameters");
        }
        mapping::check_gateway_response(name, expression)?;
    }
    response.response_templates = response.response_templates.filter(|templates| !templates.is_empty());
    let templates = response.response_templates.get_or_insert_with(default_templates);
    check_templates(Some(templates))?;
    Ok(response)
}

/// Whether this is a status as AWS's models have them: `[1-5]\d\d`.
pub(crate) fn is_status(code: &str) -> bool {
    matches!(code.as_bytes(), [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'])
}

fn apply(response: &mut GatewayResponse, patch: &Patch<Field>) -> Result<(), ApiError> {
    let (map, member) = match patch.field {
        Field::StatusCode => {
            let status = patch.text().filter(|status| is_status(status));
            if status.is_none() {
                return bad_request("Invalid status code specified");
            }
            response.status_code = status;
            return Ok(());
        }
        Field::Parameter => (&mut response.response_parameters, "responseParameters"),
        Field::Template => (&mut response.response_templates, "responseTemplates"),
    };
    let value = patch.text().unwrap_or_default();
    if value.is_empty() && patch.op != Op::Remove {
        return bad_request(format!("Invalid null or empty value in {member}"));
    }
    patch.on_map(map, value, "Invalid parameter name specified")
}
