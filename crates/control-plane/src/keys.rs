//! Where everything stands in the store.

pub(crate) const APIS: &str = "restapis/";

pub(crate) fn api(api: &str) -> String {
    format!("restapis/{api}")
}

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
            Self::DocumentationPart => "documentation-parts",
            Self::DocumentationVersion => "documentation-versions",
        }
    }
}
