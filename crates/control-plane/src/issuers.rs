//! Issuers of tokens: whether they can be had and where their keys are, which AWS asks when an authorizer names one.
//!
//! Asking takes time, so it is done outside of transactions, and before them.

use std::collections::{BTreeMap, BTreeSet};

use crate::ApiError;
use crate::control_plane::{Settings, bad_request};

/// An issuer that no authorizer may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Where issuers have their key sets. Nothing if that is only found out when the first token comes.
pub type KeySets = BTreeMap<String, Result<Option<String>, Refused>>;

/// Asks issuers of tokens for their discovery documents (OpenID Connect Discovery 1.0 §4).
pub trait Issuers: Send + Sync {
    /// What each of these issuers answers. They are asked all at once, and for a bounded time.
    fn ask(&self, issuers: &BTreeSet<&str>) -> KeySets;
}

/// Asks nobody: every issuer may be named.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyIssuer;

impl Issuers for AnyIssuer {
    fn ask(&self, issuers: &BTreeSet<&str>) -> KeySets {
        issuers.iter().map(|issuer| ((*issuer).to_owned(), Ok(None))).collect()
    }
}

/// What these issuers answer. What a stage variable is to tell cannot be asked yet.
pub(crate) fn ask<'i>(settings: &Settings, issuers: impl IntoIterator<Item = &'i str>) -> KeySets {
    let issuers: BTreeSet<&str> = issuers.into_iter().filter(|issuer| !issuer.contains("${")).collect();
    if issuers.is_empty() { KeySets::new() } else { settings.issuers.ask(&issuers) }
}

/// Those of these issuers that no authorizer may name.
pub(crate) fn refused<'i>(
    settings: &Settings,
    issuers: impl IntoIterator<Item = &'i str>,
) -> BTreeSet<String> {
    let answers = ask(settings, issuers).into_iter();
    answers.filter_map(|(issuer, answer)| answer.is_err().then_some(issuer)).collect()
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
