//! What CreateDeployment freezes.

use serde::{Deserialize, Serialize};

use crate::apigateway::{Authorizer, GatewayResponse, Model, RequestValidator, Resource, RestApi};

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
}
