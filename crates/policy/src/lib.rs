//! AWS's policy language: who may do what with which resource, and under which conditions.
//!
//! A [`Policy`] is parsed once ([`Policy::parse`]), with everything compiled that does not depend on a request, and
//! then evaluated for each ([`Policy::evaluate`]) without allocating, unless it has policy variables. Why a request was
//! decided as it was, [`Policy::explain`] says statement by statement; both go through the same code.
//!
//! [`Combination`] joins an identity's and a resource's policy by the rules of one account or of two.
//!
//! Traps: names of condition keys have no case, values have. A wildcard in what a policy variable stands for is no
//! wildcard. Negated operators hold for a key that is absent.

mod combine;
mod condition;
mod document;
mod evaluate;
mod pattern;
mod principal;

pub use combine::{Combination, Denial, combine};
pub use document::{Kind, Malformed, Policy};
pub use evaluate::{Decision, Explanation, Outcome, Request, StatementOutcome, Verdict};
pub use principal::Caller;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The values that a condition key has in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values<'a> {
    /// The request does not have the key.
    Absent,
    /// One value.
    One(Cow<'a, str>),
    /// A multivalued key; may be empty.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Values<'a> {
    /// One value, or none.
    #[must_use]
    pub fn from_option(value: Option<Cow<'a, str>>) -> Self {
        value.map_or(Self::Absent, Self::One)
    }

    pub(crate) fn as_slice(&self) -> &[Cow<'a, str>] {
        match self {
            Self::Absent => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Where the values of condition keys and policy variables come from.
pub trait ContextKeys {
    /// The values of a key, whose name comes in lower case: `aws:sourceip`.
    fn values(&self, key: &str) -> Values<'_>;
}

/// No keys at all.
impl ContextKeys for () {
    fn values(&self, _: &str) -> Values<'_> {
        Values::Absent
    }
}

/// Keys in lower case.
impl ContextKeys for BTreeMap<String, Vec<String>> {
    fn values(&self, key: &str) -> Values<'_> {
        match self.get(key).map(Vec::as_slice) {
            None => Values::Absent,
            Some([one]) => Values::One(Cow::Borrowed(one)),
            Some(many) => Values::Many(many.iter().map(|value| Cow::Borrowed(value.as_str())).collect()),
        }
    }
}
