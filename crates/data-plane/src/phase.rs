//! The phases of the pipeline. Their order is written in [`crate::pipeline`].

use crate::pipeline;
use crate::plan::authorization::Authorization;
use crate::plan::integration::Integration;

/// A step that a request goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The API's resource policy.
    ResourcePolicy,
    /// The signature of the request, and what its signer's policies allow.
    Authentication,
    /// The method's authorizer.
    Authorizer,
    /// The client's API key, and a usage plan for it.
    ApiKey,
    /// Throttles and quotas.
    Throttle,
    /// Required parameters and the body's model.
    Validation,
    /// Looks whether the stage's cache has the response.
    CacheLookup,
    /// From the method request to the integration request: mappings and templates.
    RequestTransformation,
    /// The call of the integration.
    Integration,
    /// From the integration response to the method response: choice, mappings and templates.
    ResponseTransformation,
    /// Puts the response into the stage's cache.
    CacheStore,
    /// Parameter mapping of an HTTP API's request.
    RequestParameters,
    /// Parameter mapping of an HTTP API's answer.
    ResponseParameters,
    /// From a message of a WebSocket API to the integration request.
    RouteRequest,
    /// From the integration's answer to what the client of a WebSocket API is sent.
    RouteResponse,
}

impl Phase {
    /// Whether it belongs to what AWS calls the execution of a method. What comes before decides whether the request
    /// may come in at all.
    #[must_use]
    pub fn is_execution(self) -> bool {
        match self {
            Self::ResourcePolicy
            | Self::Authentication
            | Self::Authorizer
            | Self::ApiKey
            | Self::Throttle => false,
            Self::Validation
            | Self::CacheLookup
            | Self::RequestTransformation
            | Self::Integration
            | Self::ResponseTransformation
            | Self::CacheStore
            | Self::RequestParameters
            | Self::ResponseParameters
            | Self::RouteRequest
            | Self::RouteResponse => true,
        }
    }

    /// The phases that a method's requests go through, in the pipeline's order. What a method does not use costs its
    /// requests nothing.
    #[must_use]
    pub fn needed(
        has_resource_policy: bool,
        authorization: &Authorization,
        wants_key: bool,
        is_throttled: bool,
        validates: bool,
        caches: bool,
        integration: &Integration,
    ) -> Vec<Self> {
        let transforms = match integration {
            Integration::Mock(_) | Integration::Http(_) | Integration::Lambda(_) | Integration::Aws(_) => {
                true
            }
            Integration::HttpProxy(_)
            | Integration::LambdaProxy(_)
            | Integration::HttpApiBackend(_)
            | Integration::HttpApiFunction(_)
            | Integration::SocketFunction(_)
            | Integration::HttpApiService(_)
            | Integration::Broken(_) => false,
        };
        let needed = |phase: &Self| match phase {
            Self::ResourcePolicy => has_resource_policy,
            Self::Authentication => matches!(authorization, Authorization::Iam),
            Self::Authorizer => match authorization {
                Authorization::None | Authorization::Iam => false,
                Authorization::Lambda(_)
                | Authorization::Cognito(_)
                | Authorization::Jwt(_)
                | Authorization::RestJwt(_)
                | Authorization::HttpLambda(_) => true,
            },
            Self::ApiKey => wants_key,
            Self::Throttle => is_throttled,
            Self::Validation => validates,
            Self::RequestTransformation | Self::ResponseTransformation => transforms,
            Self::CacheLookup | Self::CacheStore => caches,
            Self::Integration => true,
            Self::RequestParameters | Self::ResponseParameters | Self::RouteRequest | Self::RouteResponse => {
                false
            }
        };
        pipeline::REST.iter().copied().filter(needed).collect()
    }
}
