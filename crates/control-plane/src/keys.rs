//! Where everything stands in the store.

pub(crate) const APIS: &str = "restapis/";

pub(crate) fn api(api: &str) -> String {
    format!("restapis/{api}")
}

/// A number that grows with each API that counts against a quota: what two calls that make one at the same time meet at.
pub(crate) const APIS_MADE: &str = "apismade";

/// What belongs to an API, all kinds of it.
pub(crate) fn within(api: &str) -> String {
    format!("restapis/{api}/")
}

/// All of one kind that belongs to an API.
pub(crate) fn all(api: &str, kind: Kind) -> String {
    format!("restapis/{api}/{}/", kind.segment())
}

/// One of a kind that belongs to an API.
pub(crate) fn one(api: &str, kind: Kind, id: &str) -> String {
    format!("restapis/{api}/{}/{id}", kind.segment())
}

/// Which names the resources of an API have, below their parents. The prefix itself is a key too: see `places`.
pub(crate) fn places(api: &str) -> String {
    format!("restapis/{api}/places/")
}

/// Which names the children of a resource have. Below each stands the child's id.
pub(crate) fn places_below(api: &str, parent: &str) -> String {
    format!("{}{parent}/", places(api))
}

/// All API keys.
pub(crate) const API_KEYS: &str = "apikeys/";

pub(crate) fn api_key(id: &str) -> String {
    format!("{API_KEYS}{id}")
}

/// Which API key has a value: no two have the same. Below it stands the key's id.
pub(crate) const API_KEY_VALUES: &str = "apikeyvalues/";

pub(crate) fn api_key_value(value: &str) -> String {
    format!("{API_KEY_VALUES}{value}")
}

/// API keys as lists show them: the newest first. Below it stands the key's id.
pub(crate) const API_KEY_ORDER: &str = "apikeyorder/";

/// When a key was made, in seconds, and its id.
pub(crate) fn api_key_order(made: Option<f64>, id: &str) -> String {
    format!("{API_KEY_ORDER}{}{id}", newest_first(made))
}

/// The keys of a plan as lists show them. Below it stands the key's id.
pub(crate) fn plan_key_orders(plan: &str) -> String {
    format!("usageplankeyorder/{plan}/")
}

pub(crate) fn plan_key_order(plan: &str, made: Option<f64>, id: &str) -> String {
    format!("usageplankeyorder/{plan}/{}{id}", newest_first(made))
}

/// Text that sorts dates backwards: microseconds from the end of time in a fixed width.
fn newest_first(date: Option<f64>) -> String {
    format!("{:016x}", u64::MAX - (date.unwrap_or_default() * 1_000_000.0) as u64)
}

/// All usage plans.
pub(crate) const USAGE_PLANS: &str = "usageplans/";

pub(crate) fn usage_plan(id: &str) -> String {
    format!("{USAGE_PLANS}{id}")
}

/// The keys of a plan. Nothing is stored below but that they are there.
pub(crate) fn plan_keys(plan: &str) -> String {
    format!("usageplankeys/{plan}/")
}

pub(crate) fn plan_key(plan: &str, key: &str) -> String {
    format!("usageplankeys/{plan}/{key}")
}

/// The same from the other end: the plans of all keys.
pub(crate) const KEY_PLANS: &str = "keyplans/";

/// The plans of a key.
pub(crate) fn key_plans(key: &str) -> String {
    format!("{KEY_PLANS}{key}/")
}

pub(crate) fn key_plan(key: &str, plan: &str) -> String {
    format!("{KEY_PLANS}{key}/{plan}")
}

/// The kinds of things that belong to an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Resource,
    Model,
    Validator,
    Authorizer,
    GatewayResponse,
    Deployment,
    Snapshot,
    Stage,
    CacheFlush,
    DocumentationPart,
    DocumentationVersion,
}

impl Kind {
    fn segment(self) -> &'static str {
        match self {
            Self::Resource => "resources",
            Self::Model => "models",
            Self::Validator => "validators",
            Self::Authorizer => "authorizers",
            Self::GatewayResponse => "gatewayresponses",
            Self::Deployment => "deployments",
            Self::Snapshot => "snapshots",
            Self::Stage => "stages",
            Self::CacheFlush => "cache-flushes",
            Self::DocumentationPart => "documentation-parts",
            Self::DocumentationVersion => "documentation-versions",
        }
    }
}
