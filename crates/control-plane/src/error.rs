//! What a refused call answers. One type for all operations; `wire` turns it into AWS's envelope in one place.

use crate::store::{CommitError, StoreError};

/// Why an operation was refused, in AWS's terms. The text is AWS's message, word for word where AWS has one.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400 `BadRequestException`.
    #[error("{0}")]
    BadRequest(String),
    /// 401 `UnauthorizedException`.
    #[error("{0}")]
    Unauthorized(String),
    /// 403 `AccessDeniedException`.
    #[error("{0}")]
    AccessDenied(String),
    /// 404 `NotFoundException`.
    #[error("{0}")]
    NotFound(String),
    /// 409 `ConflictException`.
    #[error("{0}")]
    Conflict(String),
    /// 410 `GoneException`.
    #[error("{0}")]
    Gone(String),
    /// 429 `LimitExceededException`.
    #[error("{0}")]
    LimitExceeded(String),
    /// 429 `TooManyRequestsException`.
    #[error("{0}")]
    TooManyRequests(String),
    /// 501 `NotImplementedException`: the operation, or this use of it, is not built yet; the text names it.
    #[error("{0}")]
    NotImplemented(String),
    /// 500 `InternalFailure`: a fault of ours, such as a full disk. The text says what happened.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict(
                "Unable to complete operation due to concurrent modification. Please try again later."
                    .to_owned(),
            ),
            CommitError::Store(error) => error.into(),
        }
    }
}
