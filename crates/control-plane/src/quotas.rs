//! How much there may be of what, as AWS's quotas say. AWS raises most of them on request, so all can be set.
//!
//! Two of AWS's are not held unless they are set: 300 resources in an API, because definitions that AWS takes only after
//! a raise should not need one here, and the number of APIs, which is about AWS's fleet rather than about an API.

use serde::Deserialize;

use crate::ApiError;
use crate::control_plane::bad_request;

/// The most that there may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Resources in an API, its root among them. AWS's default is 300.
    pub resources_per_api: Option<usize>,
    /// Stages of an API.
    pub stages_per_api: usize,
    /// Authorizers of an API.
    pub authorizers_per_api: usize,
    /// Documentation parts of an API.
    pub documentation_parts_per_api: usize,
    /// VPC links.
    pub vpc_links: usize,
    /// Characters in a resource policy.
    pub policy_characters: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            resources_per_api: None,
            stages_per_api: 10,
            authorizers_per_api: 10,
            documentation_parts_per_api: 2000,
            vpc_links: 20,
            policy_characters: 8192,
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

impl Quotas {
    /// # Errors
    /// [`ApiError::LimitExceeded`] for too many resources.
    pub(crate) fn check_resources(&self, count: usize) -> Result<(), ApiError> {
        check(count, self.resources_per_api.unwrap_or(usize::MAX), "Resources", "API")
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
