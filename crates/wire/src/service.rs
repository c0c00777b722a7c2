//! The three services that share the control plane's address.

use stagedoor_shapes::{Operation, apigateway, apigatewaymanagementapi, apigatewayv2};

/// A service, told apart by the path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// `apigateway`, 2015-07-09: REST APIs.
    Rest,
    /// `apigatewayv2`, 2018-11-29: HTTP and WebSocket APIs.
    Http,
    /// `apigatewaymanagementapi`, 2018-11-29: `@connections`.
    Connections,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Rest, Self::Http, Self::Connections];

    pub(crate) fn operations(self) -> &'static [Operation] {
        match self {
            Self::Rest => apigateway::OPERATIONS,
            Self::Http => apigatewayv2::OPERATIONS,
            Self::Connections => apigatewaymanagementapi::OPERATIONS,
        }
    }

    /// The name that signatures are scoped to.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::Rest | Self::Http => "apigateway",
            Self::Connections => "execute-api",
        }
    }

    /// The name that AWS's documentation uses.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rest => "Amazon API Gateway",
            Self::Http => "Amazon API Gateway V2",
            Self::Connections => "Amazon API Gateway Management API",
        }
    }

    /// The code of an answer to input that the model does not allow.
    pub(crate) fn validation_code(self) -> &'static str {
        match self {
            Self::Rest => "ValidationException",
            // The newer services document no other code for bad input.
            Self::Http | Self::Connections => "BadRequestException",
        }
    }

    /// The code of an answer to a body that is no JSON, or JSON of other types than the model's.
    pub(crate) fn serialization_code(self) -> &'static str {
        match self {
            Self::Rest => "SerializationException",
            Self::Http | Self::Connections => "BadRequestException",
        }
    }
}
