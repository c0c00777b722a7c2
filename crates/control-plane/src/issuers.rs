//! Issuers of tokens: whether they can be had, which AWS asks when an authorizer names one.
//!
//! Asking takes time, so it is done outside of transactions, and before them.

use std::collections::BTreeSet;

use crate::ApiError;
use crate::control_plane::{Settings, bad_request};

/// Asks issuers of tokens for their discovery documents (OpenID Connect Discovery 1.0 §4).
pub trait Issuers: Send + Sync {
    /// Those of the issuers that no authorizer may name. They are asked all at once, and for a bounded time.
    fn refused(&self, issuers: &BTreeSet<&str>) -> BTreeSet<String>;
}

/// Asks nobody: every issuer may be named.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyIssuer;

impl Issuers for AnyIssuer {
    fn refused(&self, _: &BTreeSet<&str>) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// Those of these issuers that no authorizer may name. What a stage variable is to tell cannot be asked yet.
pub(crate) fn refused<'i>(
    settings: &Settings,
    issuers: impl IntoIterator<Item = &'i str>,
) -> BTreeSet<String> {
    let issuers: BTreeSet<&str> = issuers.into_iter().filter(|issuer| !issuer.contains("${")).collect();
    if issuers.is_empty() { BTreeSet::new() } else { settings.issuers.refused(&issuers) }
}

/// Whether an authorizer may name this issuer.
///
/// # Errors
/// [`ApiError::BadRequest`] in AWS's words.
pub(crate) fn check(settings: &Settings, issuer: &str) -> Result<(), ApiError> {
    if refused(settings, [issuer]).is_empty() { Ok(()) } else { bad_request(refusal(issuer)) }
}

/// What AWS's users report that it says of an issuer without a discovery document.
pub(crate) fn refusal(issuer: &str) -> String {
    format!(
        "Caught exception when connecting to {}/.well-known/openid-configuration for issuer {issuer}. Please try again \
         later. Error: Invalid issuer: {issuer}. Issuer must have a valid discovery endpoint ended with \
         '/.well-known/openid-configuration'",
        issuer.trim_end_matches('/')
    )
}
