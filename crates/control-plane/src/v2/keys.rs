//! Where HTTP and WebSocket APIs stand in the store.

pub(crate) const APIS: &str = "apis/";

pub(crate) fn api(api: &str) -> String {
    format!("{APIS}{api}")
}

/// What belongs to an API, all kinds of it.
pub(crate) fn within(api: &str) -> String {
    format!("{APIS}{api}/")
}

/// The names of the stages that a project put in place.
pub(crate) fn project_stages(api: &str) -> String {
    format!("{APIS}{api}/project-stages")
}

/// Whether what a key holds bears on traffic: what is being edited does only once a snapshot of it is deployed.
pub(crate) fn is_served(key: &str) -> bool {
    let mut parts = key.strip_prefix(APIS).unwrap_or_default().split('/').skip(1);
    parts.next().is_none_or(|kind| [Kind::Snapshot.segment(), Kind::Stage.segment()].contains(&kind))
}

/// All of one kind that belongs to an API.
pub(crate) fn all(api: &str, kind: Kind) -> String {
    format!("{APIS}{api}/{}/", kind.segment())
}

/// One of a kind that belongs to an API.
pub(crate) fn one(api: &str, kind: Kind, id: &str) -> String {
    format!("{APIS}{api}/{}/{id}", kind.segment())
}

/// All of a kind that belongs to something of an API.
pub(crate) fn all_of(api: &str, kind: Kind, owner: &str) -> String {
    format!("{APIS}{api}/{}/{owner}/", kind.segment())
}

/// One of a kind that belongs to something of an API.
pub(crate) fn one_of(api: &str, kind: Kind, owner: &str, id: &str) -> String {
    format!("{APIS}{api}/{}/{owner}/{id}", kind.segment())
}

/// The kinds of things that belong to an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Route,
    RouteResponse,
    Integration,
    IntegrationResponse,
    Authorizer,
    Model,
    Deployment,
    Snapshot,
    Stage,
}

impl Kind {
    fn segment(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::RouteResponse => "route-responses",
            Self::Integration => "integrations",
            Self::IntegrationResponse => "integration-responses",
            Self::Authorizer => "authorizers",
            Self::Model => "models",
            Self::Deployment => "deployments",
            Self::Snapshot => "snapshots",
            Self::Stage => "stages",
        }
    }

    /// AWS's name for the kind, in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Route => "Route",
            Self::RouteResponse => "RouteResponse",
            Self::Integration => "Integration",
            Self::IntegrationResponse => "IntegrationResponse",
            Self::Authorizer => "Authorizer",
            Self::Model => "Model",
            Self::Deployment | Self::Snapshot => "Deployment",
            Self::Stage => "stage",
        }
    }
}
