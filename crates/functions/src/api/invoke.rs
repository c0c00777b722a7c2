//! Invocations through the Lambda API: `Invoke`, and `InvokeWithResponseStream` in AWS's event stream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::LambdaApi;
use super::event_stream::{self, PIECE_BYTES_MAX};
use super::respond::{Answer, ApiError};
use super::routes::Route;
use crate::config::FunctionRef;
use crate::error::InvokeError;
use crate::functions::{Invocation, InvocationType};
use crate::reply::{StreamEnd, StreamedInvocation, StreamedOutput};

/// How many frames wait for a slow client.
const FRAMES_MAX: usize = 4;

impl LambdaApi {
    pub(super) async fn invoke(&self, route: &Route, request: &Request<Bytes>) -> Result<Answer, ApiError> {
        let (invocation, reference) = self.invocation(route, request)?;
        let invocation_type = invocation.invocation_type;
        let output = self.inner.functions.invoke(invocation).await;
        let output = output.map_err(|error| self.invoke_failed(error, reference))?;
        let status = match invocation_type {
            InvocationType::RequestResponse => 200,
            InvocationType::Event => 202,
            InvocationType::DryRun => 204,
        };
        let mut answer = Answer::raw(status, output.payload);
        answer.header("x-amz-executed-version", output.executed_version);
        if let Some(error) = output.function_error {
            answer.header("x-amz-function-error", error);
        }
        if let Some(tail) = output.log_tail {
            answer.header("x-amz-log-result", tail);
        }
        Ok(answer)
    }

    pub(super) async fn invoke_with_response_stream(
        &self,
        route: &Route,
        request: &Request<Bytes>,
    ) -> Result<Answer, ApiError> {
        let (invocation, reference) = self.invocation(route, request)?;
        let invocation_type = invocation.invocation_type;
        if invocation_type == InvocationType::Event {
            return Err(ApiError::validation(
                "Event",
                "invocationType",
                "Member must satisfy enum value set: [RequestResponse, DryRun]",
            ));
        }
        let output = self.inner.functions.invoke_streaming(invocation).await;
        let output = output.map_err(|error| self.invoke_failed(error, reference))?;
        let (version, answer) = match output {
            StreamedOutput::Whole(output) if invocation_type == InvocationType::DryRun => {
                (output.executed_version, Answer::empty())
            }
            StreamedOutput::Whole(output) => {
                let (frames, pieces) = mpsc::channel(FRAMES_MAX);
                let failed = output.function_error.is_some();
                let (payload, error) =
                    if failed { (Bytes::new(), output.payload) } else { (output.payload, Bytes::new()) };
                let end =
                    StreamEnd { function_error: output.function_error, error, log_tail: output.log_tail };
                self.inner.functions.handle().spawn(async move {
                    if send(&frames, payload).await {
                        let _ = frames.send(complete(&end)).await;
                    }
                });
                (output.executed_version, Answer::stream(pieces))
            }
            StreamedOutput::Stream(stream) => {
                let version = stream.executed_version.clone();
                let (frames, pieces) = mpsc::channel(FRAMES_MAX);
                self.inner.functions.handle().spawn(relay(stream, frames));
                (version, Answer::stream(pieces))
            }
        };
        let mut answer = answer;
        answer.header("x-amz-executed-version", version);
        Ok(answer)
    }

    /// What a request asks for.
    fn invocation<'r>(
        &self,
        route: &'r Route,
        request: &Request<Bytes>,
    ) -> Result<(Invocation, FunctionRef<'r>), ApiError> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let invocation_type = match header("x-amz-invocation-type") {
            None | Some("RequestResponse") => InvocationType::RequestResponse,
            Some("Event") => InvocationType::Event,
            Some("DryRun") => InvocationType::DryRun,
            Some(other) => {
                return Err(ApiError::validation(
                    other,
                    "invocationType",
                    "Member must satisfy enum value set: [RequestResponse, Event, DryRun]",
                ));
            }
        };
        let log_tail = match header("x-amz-log-type") {
            None | Some("None") => false,
            Some("Tail") => true,
            Some(other) => {
                return Err(ApiError::validation(
                    other,
                    "logType",
                    "Member must satisfy enum value set: [None, Tail]",
                ));
            }
        };
        let client_context = match header("x-amz-client-context").map(|text| STANDARD.decode(text)) {
            None => None,
            Some(Ok(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Some(Err(_)) => {
                return Err(ApiError::parameter(
                    "Client context must be a valid Base64-encoded JSON object.",
                ));
            }
        };
        let body = request.body();
        if !body.is_empty()
            && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body)
        {
            let message = format!("Could not parse request body into json: {error}");
            return Err(ApiError::new(400, "InvalidRequestContentException", &message));
        }
        let reference = self.reference(route)?;
        let function = match reference.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", reference.name),
            None => reference.name.to_owned(),
        };
        let invocation = Invocation {
            function,
            payload: body.clone(),
            request_id: None,
            client_context,
            trace_id: header("x-amzn-trace-id").map(str::to_owned),
            log_tail,
            source_arn: None,
            invocation_type,
        };
        Ok((invocation, reference))
    }

    fn invoke_failed(&self, error: InvokeError, reference: FunctionRef<'_>) -> ApiError {
        match error {
            InvokeError::NotFound(_) => self.not_found(reference),
            InvokeError::TooManyRequests => ApiError::too_many_requests(),
            InvokeError::PayloadTooLarge { .. } | InvokeError::EventTooLarge { .. } => {
                ApiError::new(413, "RequestEntityTooLargeException", &error.to_string())
            }
            InvokeError::NotPermitted(_) => ApiError::new(403, "AccessDeniedException", &error.to_string()),
            InvokeError::Start { .. } | InvokeError::NotQueued(_) | InvokeError::ShuttingDown => {
                ApiError::service(&error.to_string())
            }
        }
    }
}

/// Sends a result as `PayloadChunk` events; false once the client has gone.
async fn send(frames: &mpsc::Sender<Bytes>, payload: Bytes) -> bool {
    for piece in payload.chunks(PIECE_BYTES_MAX) {
        let frame = event_stream::event("PayloadChunk", "application/octet-stream", piece);
        if frames.send(frame).await.is_err() {
            return false;
        }
    }
    true
}

async fn relay(mut stream: StreamedInvocation, frames: mpsc::Sender<Bytes>) {
    while let Some(piece) = stream.next().await {
        if !send(&frames, piece).await {
            return;
        }
    }
    let _ = frames.send(complete(&stream.end().await)).await;
}

fn complete(end: &StreamEnd) -> Bytes {
    let mut told = json!({});
    if let Some(fields) = told.as_object_mut() {
        if let Some(error) = &end.function_error {
            fields.insert("ErrorCode".to_owned(), Value::from(error.clone()));
            fields.insert("ErrorDetails".to_owned(), Value::from(String::from_utf8_lossy(&end.error)));
        }
        if let Some(tail) = &end.log_tail {
            fields.insert("LogResult".to_owned(), Value::from(tail.clone()));
        }
    }
    event_stream::event("InvokeComplete", "application/json", told.to_string().as_bytes())
}
