//! Mappings of a custom domain's paths to stages. `apigateway` calls them base path mappings
//! (`base_path_mappings.rs`), `apigatewayv2` API mappings; both see the same ones. Only the newer service makes
//! mappings of several segments.
//!
//! A mapping takes effect at once, without a deployment.

use serde::{Deserialize, Serialize};
use stagedoor_shapes::apigateway::{DomainName, EndpointType, RoutingMode, SecurityPolicy};
use stagedoor_shapes::apigatewayv2::{
    Api, ApiMapping, CreateApiMappingRequest, CreateApiMappingResponse, DeleteApiMappingRequest,
    GetApiMappingRequest, GetApiMappingResponse, GetApiMappingsRequest, GetApiMappingsResponse, ProtocolType,
    UpdateApiMappingRequest, UpdateApiMappingResponse,
};

use crate::control_plane::{bad_request, conflict, not_found, required};
use crate::keys::{self, Kind};
use crate::tx::Tx;
use crate::v2::{self, V2, page_of, routing_rules};
use crate::{ApiError, domain_name_rules, domain_names, ids};

/// Where the mappings of all domains stand in the store.
pub(crate) const PREFIX: &str = "domainmappings/";

/// The longest path of a mapping, in characters.
const PATH_MAX: usize = 300;

/// Mappings that one domain takes.
const MAPPINGS_MAX: usize = 200;

/// A mapping as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The mapping's id, which the older service does not show.
    pub id: String,
    /// The path without slashes around it; empty for what nothing else matches.
    pub path: String,
    /// The API.
    pub api_id: String,
    /// The stage; without one, clients name it in the segment after the path.
    pub stage: Option<String>,
}

pub(crate) fn all(identity: &str) -> String {
    format!("{PREFIX}{identity}/")
}

pub(crate) fn key(identity: &str, id: &str) -> String {
    format!("{PREFIX}{identity}/{id}")
}

pub(crate) fn of_domain(tx: &Tx, identity: &str) -> Result<Vec<Mapping>, ApiError> {
    Ok(tx.scan::<Mapping>(&all(identity))?.into_values().collect())
}

/// The names of the domains that have a mapping to an API, or to one stage of it.
pub(crate) fn domains_of(tx: &Tx, api: &str, stage: Option<&str>) -> Result<Vec<String>, ApiError> {
    let mut domains = Vec::new();
    for (key, mapping) in tx.scan::<Mapping>(PREFIX)? {
        let names_it = mapping.api_id == api && (stage.is_none() || mapping.stage.as_deref() == stage);
        let identity = key.strip_prefix(PREFIX).and_then(|rest| rest.split('/').next());
        // A private domain's name is followed by its id.
        let domain = identity.and_then(|identity| identity.split('+').next()).unwrap_or_default();
        if names_it && domains.last().is_none_or(|last| last != domain) {
            domains.push(domain.to_owned());
        }
    }
    Ok(domains)
}

/// Refuses to take away a REST API, or a stage of one, that a mapping leads to.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message, which names the domains.
pub(crate) fn check_unmapped(tx: &Tx, api: &str, stage: Option<&str>) -> Result<(), ApiError> {
    let domains = domains_of(tx, api, stage)?;
    if domains.is_empty() {
        return Ok(());
    }
    let (what, kind) = match stage {
        Some(stage) => (format!("stage {stage}"), "stage"),
        None => (format!("RestApi {api}"), "RestApi"),
    };
    bad_request(format!(
        "Deleting {what} failed. Please remove all base path mappings related to the {kind} in your domains: {}",
        domains.join(", ")
    ))
}

/// The same of an API of the newer service, or a stage of one: AWS has words of its own for the API alone.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check_unmapped_v2(tx: &Tx, api: &str, stage: Option<&str>) -> Result<(), ApiError> {
    if stage.is_some() {
        return check_unmapped(tx, api, stage);
    }
    if domains_of(tx, api, None)?.is_empty() {
        return Ok(());
    }
    bad_request(format!(
        "Deleting API {api} failed. Please remove all API mappings for the API from your custom domain names."
    ))
}

/// Refuses a path that AWS would not take.
pub(crate) fn check_path(path: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"$-_.+!*'()/".contains(&byte);
    if path.len() > PATH_MAX {
        return bad_request(format!("A mapping's path can have at most {PATH_MAX} characters"));
    }
    if !path.bytes().all(allowed) {
        return bad_request("API mapping key should only contain letters, numbers and $-_.+!*'()/");
    }
    if path.starts_with('/') || path.ends_with('/') || path.contains("//") {
        return bad_request("API mapping key should not start or end with a '/' or have consecutive '/'s.");
    }
    Ok(())
}

/// Refuses a mapping whose path another one has, or one more than AWS takes.
pub(crate) fn check_free(tx: &Tx, identity: &str, mapping: &Mapping, taken: &str) -> Result<(), ApiError> {
    let others = of_domain(tx, identity)?;
    let others = others.iter().filter(|other| other.id != mapping.id);
    if others.clone().any(|other| other.path == mapping.path) {
        return conflict(taken);
    }
    if others.count() >= MAPPINGS_MAX {
        return Err(ApiError::LimitExceeded(format!(
            "Maximum number of API mappings of a domain name has been reached: {MAPPINGS_MAX}"
        )));
    }
    Ok(())
}

/// Whether there is such a stage of a REST API.
pub(crate) fn stage_exists(tx: &Tx, api: &str, stage: &str) -> Result<bool, ApiError> {
    tx.exists(&keys::one(api, Kind::Stage, stage))
}

/// Whether there is such a stage of an API of either service.
fn any_stage_exists(tx: &Tx, api: &str, stage: &str) -> Result<bool, ApiError> {
    Ok(stage_exists(tx, api, stage)? || tx.exists(&v2::keys::one(api, v2::keys::Kind::Stage, stage))?)
}

/// Refuses settings of a domain that its mappings do not allow.
pub(crate) fn check_domain(tx: &Tx, identity: &str, domain: &DomainName) -> Result<(), ApiError> {
    if takes_levels(domain) {
        return Ok(());
    }
    if of_domain(tx, identity)?.iter().any(|mapping| mapping.path.contains('/')) {
        return bad_request(
            "The domain name has API mappings with multiple levels, which need a regional domain name with the \
             security policy TLS_1_2 or a newer one",
        );
    }
    Ok(())
}

fn takes_levels(domain: &DomainName) -> bool {
    let policy = domain.security_policy.unwrap_or(SecurityPolicy::Tls1_2);
    domain_names::has_type(domain, EndpointType::Regional)
        && !domain_names::has_type(domain, EndpointType::Edge)
        && (policy == SecurityPolicy::Tls1_2 || domain_name_rules::is_enhanced(policy))
}

fn find(tx: &Tx, domain: &str, id: &str) -> Result<Mapping, ApiError> {
    domain_names::find(tx, domain)?;
    match tx.get(&key(domain, id))? {
        Some(mapping) => Ok(mapping),
        None => not_found("Invalid API mapping identifier specified"),
    }
}

/// A domain leads to WebSocket APIs or to others, not to both, and rules lead to REST APIs (developer guide; the words
/// are ours).
pub(crate) fn check_protocol(tx: &Tx, domain: &str, mapping: &Mapping) -> Result<(), ApiError> {
    let own = is_websocket(tx, &mapping.api_id)?;
    let mixes = |other: &Mapping| Ok(other.id != mapping.id && is_websocket(tx, &other.api_id)? != own);
    let others = of_domain(tx, domain)?;
    let is_mixed = others.iter().map(mixes).collect::<Result<Vec<bool>, ApiError>>()?.contains(&true);
    if is_mixed || (own && !routing_rules::of_domain(tx, domain)?.is_empty()) {
        return bad_request("A domain name cannot lead to WebSocket APIs and to REST or HTTP APIs at once");
    }
    Ok(())
}

/// The same for a rule.
pub(crate) fn check_rule_protocol(tx: &Tx, domain: &str) -> Result<(), ApiError> {
    for mapping in of_domain(tx, domain)? {
        if is_websocket(tx, &mapping.api_id)? {
            return bad_request("A domain name that leads to WebSocket APIs has no routing rules");
        }
    }
    Ok(())
}

fn is_websocket(tx: &Tx, id: &str) -> Result<bool, ApiError> {
    let api = tx.get::<Api>(&v2::keys::api(id))?;
    Ok(api.is_some_and(|api| api.protocol_type == Some(ProtocolType::Websocket)))
}

impl V2<'_> {
    /// Checks a mapping and keeps it, as the newer service does.
    fn put_mapping(&self, tx: &Tx, domain_name: &str, mapping: &Mapping) -> Result<(), ApiError> {
        let domain = domain_names::find(tx, domain_name)?;
        if domain_names::has_type(&domain, EndpointType::Private) {
            return not_found("Invalid domain name identifier specified");
        }
        check_path(&mapping.path)?;
        if mapping.path.contains('/') && !takes_levels(&domain) {
            return bad_request(
                "API mappings with multiple levels need a regional domain name with the security policy TLS_1_2 or a \
                 newer one",
            );
        }
        if !tx.exists(&keys::api(&mapping.api_id))? {
            match tx.get::<Api>(&v2::keys::api(&mapping.api_id))? {
                None => return bad_request("Invalid API identifier specified"),
                Some(_)
                    if domain.routing_mode.is_some_and(|mode| mode != RoutingMode::BasePathMappingOnly) =>
                {
                    return bad_request(
                        "APIs with a protocol type of HTTP or WEBSOCKET cannot be associated to domains that have a \
                         routingMode that uses RoutingRules",
                    );
                }
                Some(_) if domain.security_policy != Some(SecurityPolicy::Tls1_2) => {
                    return bad_request(
                        "Only REST APIs can be attached to a domain name whose security policy is not TLS_1_2",
                    );
                }
                Some(_) if !domain_names::has_type(&domain, EndpointType::Regional) => {
                    return bad_request("Only REST APIs can be attached to an edge-optimized domain name");
                }
                Some(_) => {}
            }
        }
        if !any_stage_exists(tx, &mapping.api_id, required(&mapping.stage))? {
            return bad_request("Invalid stage identifier specified");
        }
        check_protocol(tx, domain_name, mapping)?;
        check_free(tx, domain_name, mapping, "ApiMapping key already exists for this domain name")?;
        tx.put(&key(domain_name, &mapping.id), mapping)
    }

    /// `CreateApiMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for an unknown API or stage or a path that
    /// AWS refuses, [`ApiError::Conflict`] for a path that is mapped already.
    pub fn create_api_mapping(
        &self,
        input: CreateApiMappingRequest,
    ) -> Result<CreateApiMappingResponse, ApiError> {
        let mapping = Mapping {
            id: ids::short()?,
            path: input.api_mapping_key.clone().unwrap_or_default(),
            api_id: required(&input.api_id).to_owned(),
            stage: input.stage.clone(),
        };
        self.0.transact(|tx| self.put_mapping(tx, required(&input.domain_name), &mapping))?;
        let ApiMapping { api_id, api_mapping_id, api_mapping_key, stage } = answer(mapping);
        Ok(CreateApiMappingResponse { api_id, api_mapping_id, api_mapping_key, stage })
    }

    /// `GetApiMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or mapping.
    pub fn get_api_mapping(&self, input: GetApiMappingRequest) -> Result<GetApiMappingResponse, ApiError> {
        let mapping =
            self.0.read(|tx| find(tx, required(&input.domain_name), required(&input.api_mapping_id)))?;
        let ApiMapping { api_id, api_mapping_id, api_mapping_key, stage } = answer(mapping);
        Ok(GetApiMappingResponse { api_id, api_mapping_id, api_mapping_key, stage })
    }

    /// `GetApiMappings`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_api_mappings(&self, input: GetApiMappingsRequest) -> Result<GetApiMappingsResponse, ApiError> {
        let domain = required(&input.domain_name);
        let mappings = self.0.read(|tx| {
            domain_names::find(tx, domain)?;
            tx.scan::<Mapping>(&all(domain))
        })?;
        let mappings = mappings.into_iter().map(|(key, mapping)| (key, answer(mapping)));
        let (items, next_token) =
            page_of(mappings, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetApiMappingsResponse { items, next_token })
    }

    /// `UpdateApiMapping`.
    ///
    /// # Errors
    /// As for `CreateApiMapping`.
    pub fn update_api_mapping(
        &self,
        input: UpdateApiMappingRequest,
    ) -> Result<UpdateApiMappingResponse, ApiError> {
        let domain = required(&input.domain_name);
        let mapping = self.0.transact(|tx| {
            let mut mapping = find(tx, domain, required(&input.api_mapping_id))?;
            let api = required(&input.api_id);
            if !api.is_empty() {
                mapping.api_id = api.to_owned();
            }
            mapping.stage = input.stage.clone().or(mapping.stage);
            mapping.path = input.api_mapping_key.clone().unwrap_or(mapping.path);
            self.put_mapping(tx, domain, &mapping)?;
            Ok(mapping)
        })?;
        let ApiMapping { api_id, api_mapping_id, api_mapping_key, stage } = answer(mapping);
        Ok(UpdateApiMappingResponse { api_id, api_mapping_id, api_mapping_key, stage })
    }

    /// `DeleteApiMapping`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown domain or mapping.
    pub fn delete_api_mapping(&self, input: DeleteApiMappingRequest) -> Result<(), ApiError> {
        let (domain, id) = (required(&input.domain_name), required(&input.api_mapping_id));
        self.0.transact(|tx| {
            find(tx, domain, id)?;
            tx.delete(&key(domain, id));
            Ok(())
        })
    }
}

fn answer(mapping: Mapping) -> ApiMapping {
    ApiMapping {
        api_id: Some(mapping.api_id),
        api_mapping_id: Some(mapping.id),
        api_mapping_key: Some(mapping.path),
        stage: Some(mapping.stage.unwrap_or_default()),
    }
}
