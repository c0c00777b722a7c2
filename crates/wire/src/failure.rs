//! Refusals: one envelope for all of them.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use stagedoor_control_plane::ApiError;

use crate::service::Service;

/// Why a call was refused, in the terms of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// AWS's name of the error, without namespace.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn not_built(service: Service, operation: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplementedException",
            format!("{operation} of {} is not implemented.", service.title()),
        )
    }

    /// The data plane answers for connections.
    pub(crate) fn connections_are_elsewhere() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "ForbiddenException",
            "Connections are managed at the address of their API and stage, such as \
             http://{api-id}.execute-api.localhost:8080/{stage}/@connections/{connectionId}",
        )
    }

    pub(crate) fn into_response(self) -> Response<Vec<u8>> {
        let body = match self.code {
            // AWS answers this member here, and it never says anything.
            "LimitExceededException" => json!({ "message": self.message, "retryAfterSeconds": null }),
            _ => json!({ "message": self.message }),
        };
        let mut response = Response::new(body.to_string().into_bytes());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        response
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (status, code) = match error {
            ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequestException"),
            ApiError::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "UnauthorizedException"),
            ApiError::AccessDenied(_) => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "NotFoundException"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "ConflictException"),
            ApiError::Gone(_) => (StatusCode::GONE, "GoneException"),
            ApiError::LimitExceeded(_) => (StatusCode::TOO_MANY_REQUESTS, "LimitExceededException"),
            ApiError::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
            ApiError::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "NotImplementedException"),
            ApiError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
        };
        Self::new(status, code, error.to_string())
    }
}
