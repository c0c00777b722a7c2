//! How much there may be of what, as AWS's quotas say. AWS raises most of them on request, so all can be set.
//!
//! Those that a gateway of one's own would run into in ordinary work hold only where they are set: how many APIs there may be
//! (AWS: 600 regional, 120 edge-optimized, 600 private), and how many routes and integrations of an HTTP or WebSocket API
//! (AWS: 300 each).

use serde::Deserialize;
use stagedoor_shapes::apigateway::{EndpointType, RestApi};

use crate::control_plane::{bad_request, required};
use crate::tx::Tx;
use crate::{ApiError, keys};

/// The most that there may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Resources in an API, its root among them.
    pub resources_per_api: usize,
    /// REST APIs whose endpoints are regional.
    pub regional_apis: usize,
    /// REST APIs whose endpoints are edge-optimized.
    pub edge_apis: usize,
    /// REST APIs whose endpoints are private.
    pub private_apis: usize,
    /// Routes of an HTTP or WebSocket API.
    pub routes_per_api: usize,
    /// Integrations of an HTTP or WebSocket API.
    pub integrations_per_api: usize,
    /// Stages of an API.
    pub stages_per_api: usize,
    /// Authorizers of an API.
    pub authorizers_per_api: usize,
    /// Documentation parts of an API.
    pub documentation_parts_per_api: usize,
    /// VPC links.
    pub vpc_links: usize,
    /// API keys.
    pub api_keys: usize,
    /// Usage plans.
    pub usage_plans: usize,
    /// Client certificates.
    pub client_certificates: usize,
    /// Custom domain names that are not private.
    pub public_domain_names: usize,
    /// Private custom domain names.
    pub private_domain_names: usize,
    /// Access associations of private custom domain names.
    pub domain_name_access_associations: usize,
    /// Characters in a resource policy.
    pub policy_characters: usize,
    /// The longest time of an integration of an API whose endpoint is regional or private, in milliseconds.
    pub integration_timeout_ms: i32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            resources_per_api: 300,
            regional_apis: usize::MAX,
            edge_apis: usize::MAX,
            private_apis: usize::MAX,
            routes_per_api: usize::MAX,
            integrations_per_api: usize::MAX,
            stages_per_api: 10,
            authorizers_per_api: 10,
            documentation_parts_per_api: 2000,
            vpc_links: 20,
            api_keys: 10_000,
            usage_plans: 300,
            client_certificates: 60,
            public_domain_names: 120,
            private_domain_names: 50,
            domain_name_access_associations: 100,
            policy_characters: 8192,
            integration_timeout_ms: 29_000,
        }
    }
}

/// Refuses one more of something if there are as many as there may be.
///
/// # Errors
/// [`ApiError::LimitExceeded`] with AWS's message.
pub(crate) fn check_one_more(there: usize, max: usize, what: &str, of: &str) -> Result<(), ApiError> {
    check(there.saturating_add(1), max, what, of)
}

/// The same for what stands below a key of an API. Nothing is counted where there is no limit.
///
/// # Errors
/// [`ApiError::LimitExceeded`] with AWS's message.
pub(crate) fn check_one_more_below(tx: &Tx, key: &str, max: usize, what: &str) -> Result<(), ApiError> {
    if max == usize::MAX {
        return Ok(());
    }
    check_one_more(tx.keys(key)?.len(), max, what, "API")
}

/// Refuses more than there may be.
///
/// # Errors
/// [`ApiError::LimitExceeded`] with AWS's message.
pub(crate) fn check(count: usize, max: usize, what: &str, of: &str) -> Result<(), ApiError> {
    if count <= max {
        return Ok(());
    }
    Err(ApiError::LimitExceeded(format!(
        "Maximum number of {what} for this {of} has been reached.  Please contact AWS if you need additional {what}."
    )))
}

fn type_of(api: &RestApi) -> EndpointType {
    let types = api.endpoint_configuration.as_ref().and_then(|endpoints| endpoints.types.as_ref());
    types.and_then(|types| types.first().copied()).unwrap_or(EndpointType::Edge)
}

/// Whether an API's endpoint is edge-optimized, which it is unless it says something else.
pub(crate) fn is_edge(api: &RestApi) -> bool {
    type_of(api) == EndpointType::Edge
}

impl Quotas {
    /// # Errors
    /// [`ApiError::LimitExceeded`] for too many resources.
    pub(crate) fn check_resources(&self, count: usize) -> Result<(), ApiError> {
        check(count, self.resources_per_api, "Resources", "API")
    }

    /// To be called before an API is written, new or changed.
    ///
    /// # Errors
    /// [`ApiError::LimitExceeded`] for one more API with endpoints of its type than there may be.
    pub(crate) fn check_apis(&self, tx: &Tx, api: &RestApi) -> Result<(), ApiError> {
        let kept: Option<RestApi> = tx.get(&keys::api(required(&api.id)))?;
        if kept.is_some_and(|kept| type_of(&kept) == type_of(api)) {
            return Ok(());
        }
        let (max, what) = match type_of(api) {
            EndpointType::Regional => (self.regional_apis, "Regional APIs"),
            EndpointType::Edge => (self.edge_apis, "Edge-optimized APIs"),
            EndpointType::Private => (self.private_apis, "Private APIs"),
        };
        if max == usize::MAX {
            return Ok(());
        }
        let apis: Vec<RestApi> = tx.top_level(keys::APIS)?;
        let there = apis.iter().filter(|there| type_of(there) == type_of(api)).count();
        check_one_more(there, max, what, "account")?;
        // Counting leaves no trace in the transaction. Whoever else makes an API meanwhile changes this number too, so that
        // one of the two has to count again.
        let made: u64 = tx.get(keys::APIS_MADE)?.unwrap_or_default();
        tx.put(keys::APIS_MADE, &(made + 1))
    }

    /// # Errors
    /// [`ApiError::BadRequest`] for a policy that is too long.
    pub(crate) fn check_policy(&self, policy: &str) -> Result<(), ApiError> {
        if policy.chars().count() > self.policy_characters {
            return bad_request(format!(
                "Invalid policy document. The policy has more than {} characters.",
                self.policy_characters
            ));
        }
        Ok(())
    }
}
