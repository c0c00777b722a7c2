//! What CreateDeployment freezes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::apigateway::{Authorizer, GatewayResponse, Model, RequestValidator, Resource, RestApi, VpcLink};
use crate::apigatewayv2 as v2;

/// What stands before an integration's id in the target of a route.
pub const INTEGRATION_TARGET: &str = "integrations/";

/// A REST API as it was when it was deployed: everything that serving its traffic depends on, apart from the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RestApiSnapshot {
    /// The API itself.
    pub rest_api: RestApi,
    /// The tree, each resource with its methods and their integrations.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Models, which request validation refers to by name.
    #[serde(default)]
    pub models: Vec<Model>,
    /// Request validators, which methods refer to by id.
    #[serde(default)]
    pub request_validators: Vec<RequestValidator>,
    /// Authorizers, which methods refer to by id.
    #[serde(default)]
    pub authorizers: Vec<Authorizer>,
    /// The gateway responses that were changed from AWS's defaults.
    #[serde(default)]
    pub gateway_responses: Vec<GatewayResponse>,
    /// VPC links by id, as they are when the API is served: no part of what is frozen, because an integration may name
    /// one by a stage variable.
    #[serde(skip)]
    pub vpc_links: BTreeMap<String, VpcLink>,
    /// The names of the VPC links of the second kind, by id. As with the others, no part of what is frozen.
    #[serde(skip)]
    pub vpc_link_names: BTreeMap<String, String>,
}

/// An HTTP or WebSocket API as it was when it was deployed: everything that serving its traffic depends on, apart from
/// the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiSnapshot {
    /// The API itself, with its protocol and its CORS configuration.
    pub api: v2::Api,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<v2::Route>,
    /// The responses of routes, each with the id of its route.
    #[serde(default)]
    pub route_responses: Vec<(String, v2::RouteResponse)>,
    /// Integrations, which routes refer to as `integrations/{id}`.
    #[serde(default)]
    pub integrations: Vec<v2::Integration>,
    /// The responses of integrations, each with the id of its integration.
    #[serde(default)]
    pub integration_responses: Vec<(String, v2::IntegrationResponse)>,
    /// Authorizers, which routes refer to by id.
    #[serde(default)]
    pub authorizers: Vec<v2::Authorizer>,
    /// Models.
    #[serde(default)]
    pub models: Vec<v2::Model>,
    /// The names of VPC links by id, as they are when the API is served: no part of what is frozen, because an
    /// integration may name one by a stage variable.
    #[serde(skip)]
    pub vpc_link_names: BTreeMap<String, String>,
}
