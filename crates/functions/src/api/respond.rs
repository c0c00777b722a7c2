//! Answers and errors of the Lambda API, in AWS's form.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct ApiError {
    status: u16,
    kind: &'static str,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: u16, kind: &'static str, message: &str) -> Self {
        Self { status, kind, message: message.to_owned() }
    }

    /// A member that has an impossible value.
    pub(super) fn parameter(message: &str) -> Self {
        Self::new(400, "InvalidParameterValueException", message)
    }

    /// A member outside of the model's constraints.
    pub(super) fn validation(value: &str, member: &str, constraint: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        );
        Self::new(400, "ValidationException", &message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::new(404, "ResourceNotFoundException", message)
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self::new(409, "ResourceConflictException", message)
    }

    /// Somebody else has changed it in between.
    pub(super) fn precondition() -> Self {
        Self::stale("GetFunction/GetAlias")
    }

    /// The same of a resource policy.
    pub(super) fn policy_precondition() -> Self {
        Self::stale("GetPolicy")
    }

    fn stale(operation: &str) -> Self {
        let message = format!(
            "The Revision Id provided does not match the latest Revision Id. Call the {operation} API to retrieve the latest Revision Id"
        );
        Self::new(412, "PreconditionFailedException", &message)
    }

    /// The function's concurrency is used up.
    pub(super) fn too_many_requests() -> Self {
        Self::new(429, "TooManyRequestsException", "Rate Exceeded.")
    }

    /// A function of somebody else's. AWS gives no reason.
    pub(super) fn access_denied() -> Self {
        Self::new(403, "AccessDeniedException", "")
    }

    /// Something of Lambda that is not built here.
    pub(super) fn not_built(what: &str) -> Self {
        Self::new(501, "NotImplementedException", &format!("{what} is not available"))
    }

    /// A fault of ours.
    pub(super) fn service(message: &str) -> Self {
        Self::new(500, "ServiceException", message)
    }
}

impl ApiError {
    /// The body. Lambda's own errors say whose fault it is, some of them with a capital M, as its model has it; what its
    /// front end finds in a request does not.
    fn told(&self) -> Value {
        if matches!(self.kind, "ValidationException" | "RequestEntityTooLargeException") {
            return json!({ "message": self.message });
        }
        if self.kind == "AccessDeniedException" {
            return json!({ "Message": null });
        }
        let by = if self.status < 500 { "User" } else { "Service" };
        let member = match self.kind {
            "ResourceNotFoundException" | "ServiceException" => "Message",
            _ => "message",
        };
        let mut told = json!({ "Type": by, member: self.message });
        if let Some(fields) = told.as_object_mut().filter(|_| self.status == 429) {
            fields.insert(
                "Reason".to_owned(),
                Value::from("ReservedFunctionConcurrentInvocationLimitExceeded"),
            );
        }
        told
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::service(&error.to_string())
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum ApiBody {
    /// All of it.
    Full(Bytes),
    /// Pieces as they come; it ends when the sender is gone.
    Stream(mpsc::Receiver<Bytes>),
}

/// What a request is answered.
pub(super) struct Answer {
    status: u16,
    body: ApiBody,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::raw(status, body.to_string().into())
    }

    pub(super) fn empty() -> Self {
        Self::raw(204, Bytes::new())
    }

    pub(super) fn raw(status: u16, body: Bytes) -> Self {
        Self { status, body: ApiBody::Full(body), headers: Vec::new() }
    }

    /// An event stream.
    pub(super) fn stream(pieces: mpsc::Receiver<Bytes>) -> Self {
        let mut answer = Self { status: 200, body: ApiBody::Stream(pieces), headers: Vec::new() };
        answer.header("content-type", "application/vnd.amazon.eventstream".to_owned());
        answer
    }

    pub(super) fn header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }
}

pub(super) fn response(answer: Result<Answer, ApiError>) -> Response<ApiBody> {
    let answer = answer.unwrap_or_else(|error| {
        let mut answer = Answer::json(error.status, &error.told());
        answer.header("x-amzn-errortype", error.kind.to_owned());
        answer
    });
    let mut response = Response::new(answer.body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = answer.headers;
    headers.push(("x-amzn-requestid", uuid::Uuid::new_v4().to_string()));
    if matches!(response.body(), ApiBody::Full(bytes) if !bytes.is_empty()) {
        headers.push(("content-type", "application/json".to_owned()));
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
