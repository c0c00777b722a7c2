//! REST APIs themselves.

use stagedoor_shapes::apigateway::{
    ApiKeySourceType, ApiStatus, CreateRestApiRequest, DeleteRestApiRequest, EndpointAccessMode,
    EndpointConfiguration, EndpointType, GetRestApiRequest, GetRestApisRequest, IpAddressType, Op, Resource,
    RestApi, RestApis, SecurityPolicy, UpdateRestApiRequest,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, required, whole_seconds};
use crate::keys;
use crate::page::{by_date, page};
use crate::patch::{ENTRY, MEMBER, Patch, REPLACE, Style, Table};
use crate::tree::{copied, replace_api};
use crate::tx::Tx;
use crate::{api_mappings, domain_name_rules, ids, models, policy, tags, usage_plans};

/// The tag that sets the id of a new API, so that its URLs stay the same wherever the definition is applied.
const CUSTOM_ID_TAG: &str = "_custom_id_";

/// The largest body that a compression threshold can ask for, in bytes.
const COMPRESSION_MAX: i32 = 10_485_760;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Description,
    Policy,
    ApiKeySource,
    MinimumCompressionSize,
    DisableExecuteApiEndpoint,
    SecurityPolicy,
    EndpointAccessMode,
    BinaryMediaType,
    EndpointType,
    VpcEndpointIds,
    IpAddressType,
}

const PATCHES: Table<Field> = Table {
    style: Style::Terse,
    rows: &[
        ("/name", REPLACE, Field::Name),
        ("/description", ENTRY, Field::Description),
        ("/policy", REPLACE, Field::Policy),
        ("/apiKeySource", REPLACE, Field::ApiKeySource),
        ("/minimumCompressionSize", REPLACE, Field::MinimumCompressionSize),
        ("/disableExecuteApiEndpoint", REPLACE, Field::DisableExecuteApiEndpoint),
        ("/securityPolicy", REPLACE, Field::SecurityPolicy),
        ("/endpointAccessMode", REPLACE, Field::EndpointAccessMode),
        ("/binaryMediaTypes/{}", ENTRY, Field::BinaryMediaType),
        // Refused with a message of its own, so any operation finds its way to the field.
        ("/endpointConfiguration/types/{}", ENTRY, Field::EndpointType),
        ("/endpointConfiguration/vpcEndpointIds", MEMBER, Field::VpcEndpointIds),
        ("/endpointConfiguration/ipAddressType", REPLACE, Field::IpAddressType),
    ],
};

impl ControlPlane {
    /// `CreateRestApi`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for settings that AWS refuses, [`ApiError::Conflict`] if a custom id is taken.
    pub fn create_rest_api(&self, input: CreateRestApiRequest) -> Result<RestApi, ApiError> {
        let api = RestApi {
            name: input.name,
            description: input.description,
            version: input.version,
            binary_media_types: input.binary_media_types.filter(|types| !types.is_empty()),
            minimum_compression_size: input.minimum_compression_size,
            api_key_source: input.api_key_source.or(Some(ApiKeySourceType::Header)),
            endpoint_configuration: input.endpoint_configuration,
            policy: input.policy.filter(|policy| !policy.is_empty()),
            tags: input.tags.filter(|tags| !tags.is_empty()),
            disable_execute_api_endpoint: input.disable_execute_api_endpoint.or(Some(false)),
            security_policy: input.security_policy,
            endpoint_access_mode: input.endpoint_access_mode,
            ..RestApi::default()
        };
        if api.description.as_deref() == Some("") {
            return bad_request("Description cannot be an empty string");
        }
        if api.name.as_deref().is_none_or(|name| name.trim().is_empty()) {
            return bad_request("Name cannot be empty");
        }
        check_compression(api.minimum_compression_size)?;
        tags::check(api.tags.as_ref())?;
        self.transact(|tx| {
            let api = self.new_api(tx, api.clone())?;
            let whole = match input.clone_from.as_deref() {
                Some(original) => copied(self.load_api(tx, original)?, &api)?,
                None => empty(api)?,
            };
            self.settings.quotas.check_apis(tx, &whole.rest_api)?;
            replace_api(tx, required(&whole.rest_api.id), &whole)?;
            Ok(answer(whole.rest_api))
        })
    }

    /// Completes a new API: its id, its date, the id of its root resource and AWS's defaults. Does not write it.
    ///
    /// What is checked: endpoint configuration, policy, the custom id.
    pub(crate) fn new_api(&self, tx: &Tx, mut api: RestApi) -> Result<RestApi, ApiError> {
        api.endpoint_configuration = Some(endpoint_configuration(api.endpoint_configuration)?);
        check_security(&api)?;
        api.api_key_source = api.api_key_source.or(Some(ApiKeySourceType::Header));
        api.disable_execute_api_endpoint = api.disable_execute_api_endpoint.or(Some(false));
        let id = new_id(tx, api.tags.as_ref())?;
        api.policy.as_deref().map_or(Ok(()), |policy| self.settings.quotas.check_policy(policy))?;
        api.policy =
            api.policy.map(|policy| policy::stored(&policy, &self.execute_api_arn(&id))).transpose()?;
        api.id = Some(id);
        api.created_date = Some(self.now());
        api.root_resource_id = Some(ids::root_resource()?);
        Ok(api)
    }

    /// `GetRestApi`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_rest_api(&self, input: GetRestApiRequest) -> Result<RestApi, ApiError> {
        self.read(|tx| Ok(answer_with_tags(self.api(tx, required(&input.rest_api_id))?)))
    }

    /// `GetRestApis`: in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_rest_apis(&self, input: GetRestApisRequest) -> Result<RestApis, ApiError> {
        let apis: Vec<RestApi> = self.read(|tx| tx.top_level(keys::APIS))?;
        let mut apis: Vec<_> =
            apis.into_iter().map(|api| (by_date(api.created_date, required(&api.id)), answer(api))).collect();
        apis.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (items, position) = page(apis, input.position.as_deref(), input.limit)?;
        Ok(RestApis { items, position })
    }

    /// `UpdateRestApi`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_rest_api(&self, input: UpdateRestApiRequest) -> Result<RestApi, ApiError> {
        let id = required(&input.rest_api_id);
        self.transact(|tx| {
            let mut api = self.api(tx, id)?;
            let before = (api.security_policy, api.endpoint_access_mode);
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                self.patch_api(&mut api, &patch)?;
            }
            check_security(&api)?;
            self.settings.quotas.check_apis(tx, &api)?;
            tx.put(&keys::api(id), &api)?;
            // What AWS takes a quarter of an hour for is done by the time the next call asks.
            if before != (api.security_policy, api.endpoint_access_mode) {
                api.api_status = Some(ApiStatus::Updating);
            }
            Ok(answer_with_tags(api))
        })
    }

    fn patch_api(&self, api: &mut RestApi, patch: &Patch<Field>) -> Result<(), ApiError> {
        match patch.field {
            Field::Name => match patch.text() {
                Some(name) => api.name = Some(name),
                None => return bad_request("Name cannot be empty"),
            },
            Field::Description => api.description = patch.text(),
            Field::Policy => {
                let arn = self.execute_api_arn(required(&api.id));
                patch.text().map_or(Ok(()), |policy| self.settings.quotas.check_policy(&policy))?;
                api.policy = patch.text().map(|policy| policy::stored(&policy, &arn)).transpose()?;
            }
            Field::ApiKeySource => {
                let message = "Invalid API key source specified. Valid options are HEADER,AUTHORIZER";
                api.api_key_source = Some(patch.one_of::<ApiKeySourceType>(message)?);
            }
            Field::MinimumCompressionSize => {
                let size = patch.text().map(|size| size.parse().unwrap_or(-1));
                check_compression(size)?;
                api.minimum_compression_size = size;
            }
            Field::DisableExecuteApiEndpoint => api.disable_execute_api_endpoint = Some(patch.truth()),
            Field::SecurityPolicy => {
                api.security_policy =
                    Some(patch.one_of::<SecurityPolicy>("Invalid security policy specified")?);
            }
            Field::EndpointAccessMode => {
                let message = "Invalid endpoint access mode specified. Valid options are BASIC,STRICT";
                // An empty one takes it away, as a policy without one needs it.
                let mode = patch.text().map(|_| patch.one_of::<EndpointAccessMode>(message)).transpose()?;
                api.endpoint_access_mode = mode;
            }
            Field::BinaryMediaType => patch_media_types(api, patch)?,
            Field::EndpointType | Field::VpcEndpointIds | Field::IpAddressType => patch_endpoint(api, patch)?,
        }
        Ok(())
    }

    /// `DeleteRestApi`, with everything that belongs to it.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API, [`ApiError::BadRequest`] if a custom domain leads to it.
    pub fn delete_rest_api(&self, input: DeleteRestApiRequest) -> Result<(), ApiError> {
        let id = required(&input.rest_api_id);
        self.transact(|tx| {
            self.api(tx, id)?;
            api_mappings::check_unmapped(tx, id, None)?;
            tx.delete(&keys::api(id));
            usage_plans::forget_stages(tx, id, None)?;
            tx.delete_all(&keys::within(id))
        })
    }

    pub(crate) fn api(&self, tx: &Tx, id: &str) -> Result<RestApi, ApiError> {
        tx.get(&keys::api(id))?.ok_or_else(|| self.no_such_api(id))
    }

    /// The ARN below which an API's methods stand in policies.
    pub(crate) fn execute_api_arn(&self, id: &str) -> String {
        format!("arn:aws:execute-api:{}:{}:{id}", self.settings.region, self.settings.account_id)
    }
}

/// An API as `CreateRestApi` and lists answer it.
pub(crate) fn answer(mut api: RestApi) -> RestApi {
    api.created_date = whole_seconds(api.created_date);
    api.policy = api.policy.map(|policy| policy::answered(&policy));
    // AWS tells the status of an API since APIs have security policies. Those that were given none are answered as before.
    if api.security_policy.is_some() {
        api.api_status.get_or_insert(ApiStatus::Available);
    }
    api
}

/// An API as the operations on one API answer it: with tags, even if it has none.
pub(crate) fn answer_with_tags(api: RestApi) -> RestApi {
    let mut api = answer(api);
    api.tags.get_or_insert_default();
    api
}

/// What every new API has: a root, and two models.
fn empty(api: RestApi) -> Result<RestApiSnapshot, ApiError> {
    let root =
        Resource { id: api.root_resource_id.clone(), path: Some("/".to_owned()), ..Resource::default() };
    Ok(RestApiSnapshot {
        rest_api: api,
        resources: vec![root],
        models: models::defaults()?,
        ..RestApiSnapshot::default()
    })
}

/// Whether the settings of an API's own endpoint go together.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check_security(api: &RestApi) -> Result<(), ApiError> {
    let types = api.endpoint_configuration.as_ref().and_then(|endpoint| endpoint.types.as_deref());
    let legacy = SecurityPolicy::Tls1_0;
    let policy = api.security_policy.unwrap_or(legacy);
    domain_name_rules::check_security(policy, api.endpoint_access_mode, types.unwrap_or_default())
}

fn check_compression(size: Option<i32>) -> Result<(), ApiError> {
    match size {
        Some(size) if !(0..=COMPRESSION_MAX).contains(&size) => {
            bad_request(format!("Invalid minimum compression size, must be between 0 and {COMPRESSION_MAX}"))
        }
        _ => Ok(()),
    }
}

/// The endpoint configuration with AWS's defaults, or why there cannot be such a one.
fn endpoint_configuration(given: Option<EndpointConfiguration>) -> Result<EndpointConfiguration, ApiError> {
    let given = given.unwrap_or_default();
    let types = given.types.unwrap_or_else(|| vec![EndpointType::Edge]);
    let kind = match types.as_slice() {
        [] => return bad_request("REGIONAL Configuration and EDGE Configuration cannot be both DISABLED."),
        [kind] => *kind,
        _ => return bad_request("Cannot create an api with multiple Endpoint Types."),
    };
    let private = kind == EndpointType::Private;
    let ip_address_type = match given.ip_address_type {
        Some(IpAddressType::Ipv4) if private => return only_dualstack(),
        Some(given) => given,
        None if private => IpAddressType::Dualstack,
        None => IpAddressType::Ipv4,
    };
    let vpc_endpoint_ids = given.vpc_endpoint_ids.filter(|ids| !ids.is_empty());
    if vpc_endpoint_ids.is_some() && !private {
        return bad_request("VPCEndpoints can only be specified with PRIVATE apis.");
    }
    Ok(EndpointConfiguration { types: Some(types), ip_address_type: Some(ip_address_type), vpc_endpoint_ids })
}

fn only_dualstack<T>() -> Result<T, ApiError> {
    bad_request("Only dualstack ipAddressType is supported for Private APIs.")
}

fn patch_endpoint(api: &mut RestApi, patch: &Patch<Field>) -> Result<(), ApiError> {
    let endpoint = api.endpoint_configuration.get_or_insert_default();
    let is_private =
        |endpoint: &EndpointConfiguration| endpoint.types.as_deref() == Some(&[EndpointType::Private]);
    match patch.field {
        Field::EndpointType if patch.op != Op::Replace => {
            return bad_request("Invalid patch operation specified. Must be 'add'|'remove'|'replace'");
        }
        Field::EndpointType => {
            let message = "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE";
            endpoint.types = Some(vec![patch.one_of::<EndpointType>(message)?]);
            if is_private(endpoint) {
                endpoint.ip_address_type = Some(IpAddressType::Dualstack);
            } else {
                endpoint.vpc_endpoint_ids = None;
            }
        }
        Field::VpcEndpointIds => {
            let Some(id) = patch.value.clone().filter(|id| !id.is_empty()) else {
                return bad_request("Invalid VPC endpoint id specified");
            };
            let ids = endpoint.vpc_endpoint_ids.get_or_insert_default();
            ids.retain(|other| *other != id);
            if patch.op == Op::Add {
                ids.push(id);
            }
            if ids.is_empty() {
                endpoint.vpc_endpoint_ids = None;
            } else if !is_private(endpoint) {
                return bad_request("VPCEndpoints can only be specified with PRIVATE apis.");
            }
        }
        _ => {
            let kind = patch.one_of::<IpAddressType>("ipAddressType must be either ipv4 or dualstack.")?;
            if kind == IpAddressType::Ipv4 && is_private(endpoint) {
                return only_dualstack();
            }
            endpoint.ip_address_type = Some(kind);
        }
    }
    Ok(())
}

/// Adds, removes or replaces a media type.
fn patch_media_types(api: &mut RestApi, patch: &Patch<Field>) -> Result<(), ApiError> {
    let types = api.binary_media_types.get_or_insert_default();
    patch.on_list(types, "Invalid binary media type specified")?;
    if types.is_empty() {
        api.binary_media_types = None;
    }
    Ok(())
}

/// The id that the tags of a new API ask for, or one that no API has. All kinds of APIs share their ids, because they
/// share the host names that have them.
///
/// # Errors
/// [`ApiError::BadRequest`] for what cannot be an id, [`ApiError::Conflict`] for one that is taken.
pub(crate) fn new_id(
    tx: &Tx,
    tags: Option<&std::collections::BTreeMap<String, String>>,
) -> Result<String, ApiError> {
    match tags.and_then(|tags| tags.get(CUSTOM_ID_TAG)) {
        Some(id) => custom_id(tx, id),
        None => unused_id(tx),
    }
}

fn is_taken(tx: &Tx, id: &str) -> Result<bool, ApiError> {
    Ok(tx.exists(&keys::api(id))? || tx.exists(&crate::v2::keys::api(id))?)
}

fn custom_id(tx: &Tx, id: &str) -> Result<String, ApiError> {
    // It becomes a part of host names and of keys.
    let valid = !id.is_empty()
        && id.len() <= 63
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !valid {
        return bad_request(format!(
            "Invalid {CUSTOM_ID_TAG} tag: an API id has 1 to 63 letters, digits and hyphens, not '{id}'"
        ));
    }
    if is_taken(tx, id)? {
        return conflict(format!("An API with the id {id} already exists"));
    }
    Ok(id.to_owned())
}

fn unused_id(tx: &Tx) -> Result<String, ApiError> {
    loop {
        let id = ids::api()?;
        if !is_taken(tx, &id)? {
            return Ok(id);
        }
    }
}
