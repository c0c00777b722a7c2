//! Integrations: one file a kind.

mod aws;
mod aws_lambda;
mod aws_proxy;
mod aws_service;
mod balanced;
pub(in crate::phases) mod event;
mod http;
mod http_api_backend;
pub(in crate::phases) mod http_api_event;
mod http_api_function;
mod http_api_service;
mod http_proxy;
mod log;
mod mock;
mod socket_event;
mod socket_function;
pub mod streaming;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stagedoor_http::{Body, BodyError, BodyStream, RequestHead, ResponseHead, clock};
use stagedoor_sigv4::Credential;

use crate::exchange::Exchange;
use crate::forward::{Waits, watched};
use crate::gateway_response::Fault;
use crate::ids;
use crate::lambda::{LambdaAnswer, LambdaCall, LambdaError};
use crate::phases::authorization;
use crate::phases::content_encoding::Coding;
use crate::plan::MAX_PAYLOAD_BYTES;
use crate::plan::integration::{HttpEndpoint, Integration, LambdaFunction};
use crate::roles::{RoleError, Signer};
use crate::upstream::UpstreamError;

/// What a caller's policies are asked about a function.
const INVOKE_FUNCTION: &str = "lambda:invokefunction";
/// What the execution log says where a function may not be called.
const INVALID_PERMISSIONS: &str = "Invalid permissions on Lambda function";

/// Calls the method's integration.
///
/// # Errors
/// What went wrong, as AWS names it.
pub async fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = exchange.method() else { return Err(Fault::missing_authentication_token()) };
    let outcome = match &method.integration {
        Integration::Mock(mock) => mock::run(exchange, mock),
        Integration::Http(http) => http::run(exchange, http).await,
        Integration::HttpProxy(proxy) => http_proxy::run(exchange, proxy).await,
        Integration::Lambda(lambda) => aws_lambda::run(exchange, lambda).await,
        Integration::Aws(service) => aws::run(exchange, service).await,
        Integration::LambdaProxy(function) => aws_proxy::run(exchange, function).await,
        Integration::HttpApiBackend(backend) => http_api_backend::run(exchange, backend).await,
        Integration::HttpApiService(service) => http_api_service::run(exchange, service).await,
        Integration::HttpApiFunction(function) => http_api_function::run(exchange, function).await,
        Integration::SocketFunction(function) => socket_function::run(exchange, function).await,
        Integration::Broken(reason) => {
            // What stands before a colon are AWS's words.
            let text = reason.split(':').next().unwrap_or(reason);
            Err(Fault::configuration(*reason).logged_as_configuration_error(text))
        }
    };
    if let Err(fault) = &outcome {
        exchange.record.integration.error.get_or_insert_with(|| fault.reason_to_log().into());
    }
    outcome
}

/// What a failed call of an HTTP backend means for the client.
fn upstream_fault(error: UpstreamError) -> Fault {
    match error {
        UpstreamError::Timeout(_) => Fault::integration_timeout(error.to_string()),
        UpstreamError::RequestBody(BodyError::TooLarge { .. }) => Fault::request_too_large(),
        UpstreamError::RequestBody(BodyError::Undecodable(detail)) => Fault::undecodable_body(detail),
        UpstreamError::RequestBody(error) => Fault::client_gone(error),
        UpstreamError::Connect { .. }
        | UpstreamError::Tls { .. }
        | UpstreamError::Closed
        | UpstreamError::Broken(_)
        | UpstreamError::Overloaded
        | UpstreamError::Protocol(_) => Fault::integration_failure(error.to_string()),
    }
}

/// What HTTP APIs say of a role in `$context.integrationErrorMessage`.
const NO_ROLE: &str = "API Gateway doesn\u{2019}t have permissions to assume the IAM role configured on the integration. \
                       Check the permissions and try again.";

/// The same of a function that is not there or may not be called.
const NO_PERMISSION: &str = "The IAM role configured on the integration or API Gateway doesn't have permissions to call the \
                             integration. Check the permissions and try again.";

/// The keys that a call is signed with; none for the gateway's own.
async fn keys(exchange: &Exchange<'_>, signer: &Signer) -> Result<Option<Arc<Credential>>, Fault> {
    match signer {
        Signer::Gateway => Ok(None),
        Signer::Role(role) => match role.credential(exchange.worker).await {
            Ok(credential) => Ok(Some(credential)),
            Err(RoleError { arn, .. }) => {
                let logged =
                    format!("API Gateway does not have permission to assume the provided role {arn}");
                let reason = if exchange.plan.http_api.is_some() { NO_ROLE } else { &*logged };
                Err(Fault::configuration(reason).logged_as_configuration_error(&logged))
            }
        },
        Signer::Caller => match &exchange.caller {
            Some(key) => Ok(Some(Arc::new(key.credential.clone()))),
            None => Err(Fault::configuration(
                "the caller's credentials are to be used, and the method has no AWS_IAM authorization",
            )),
        },
    }
}

/// The call of a function, with an id that the record knows.
///
/// # Errors
/// A [`Fault`] if it is to be called by a role that cannot be assumed, or by a caller who may not.
async fn lambda_call(
    exchange: &mut Exchange<'_>,
    function: &LambdaFunction,
    payload: Bytes,
    asynchronous: bool,
) -> Result<LambdaCall, Fault> {
    let credential = keys(exchange, &function.signer).await?;
    if matches!(function.signer, Signer::Caller)
        && !authorization::caller_may(exchange, INVOKE_FUNCTION, &function.arn)
    {
        let reason = format!("the caller may not invoke {} (lambda:InvokeFunction)", function.arn);
        return Err(Fault::configuration(reason).logged_as_configuration_error(INVALID_PERMISSIONS));
    }
    let request_id = String::from_utf8_lossy(&ids::request_id()).into_owned();
    exchange.record.integration.request_id = Some(request_id.as_str().into());
    log::lambda_request(exchange, function, &payload);
    Ok(LambdaCall {
        request_id,
        function_arn: Arc::clone(&function.arn),
        payload,
        asynchronous,
        trace_id: Some(String::from_utf8_lossy(exchange.trace_id()).into_owned()),
        source_arn: function.source_arn(exchange.head.method.as_str()),
        credential,
    })
}

/// Calls a function and waits for its answer.
async fn call_function(
    exchange: &mut Exchange<'_>,
    function: &LambdaFunction,
    payload: Bytes,
    asynchronous: bool,
) -> Result<LambdaAnswer, Fault> {
    let call = lambda_call(exchange, function, payload, asynchronous).await?;
    let request_id = call.request_id.clone();
    let began = Instant::now();
    let answer = exchange.worker.services.lambda.invoke(call);
    let answer = tokio::time::timeout(function.timeout, answer).await;
    let record = &mut exchange.record.integration;
    record.ended(began);
    match answer {
        Ok(Ok(answer)) => {
            let status = if asynchronous { 202 } else { 200 };
            record.service_status = Some(status);
            record.status = Some(status);
            log::lambda_response(exchange, &answer);
            Ok(answer)
        }
        Ok(Err(error)) => {
            record.service_status = error.status();
            record.status = record.service_status;
            if exchange.plan.http_api.is_some()
                && matches!(error, LambdaError::NotFound(_) | LambdaError::NotPermitted(_))
            {
                record.error = Some(NO_PERMISSION.into());
            }
            Err(refused_call(exchange, &error, &request_id))
        }
        Err(_) => Err(timed_out(function.timeout)),
    }
}

/// What it means for the client, and the execution log, that Lambda refuses a call.
fn refused_call(exchange: &mut Exchange<'_>, error: &LambdaError, request_id: &str) -> Fault {
    let fault = match error {
        // HTTP APIs know no such failures.
        LambdaError::TooManyRequests | LambdaError::InvalidRequest(_) if exchange.plan.http_api.is_some() => {
            Fault::internal(error.to_string())
        }
        _ => lambda_fault(error),
    };
    let status = match error {
        LambdaError::NotFound(_) | LambdaError::NotPermitted(_) => {
            return fault.logged_as_configuration_error(INVALID_PERMISSIONS);
        }
        _ => error.status().unwrap_or_default(),
    };
    let text = format!("Lambda invocation failed with status: {status}. Lambda request id: {request_id}");
    match error {
        LambdaError::TooManyRequests | LambdaError::InvalidRequest(_) => {
            exchange.log_error(|_| text);
            fault
        }
        _ => fault.logged(text),
    }
}

/// What becomes of an event that Lambda refuses before a function sees it.
async fn refuse_event(
    exchange: &mut Exchange<'_>,
    function: &LambdaFunction,
    payload: Bytes,
    message: String,
) -> Fault {
    let call = match lambda_call(exchange, function, payload, false).await {
        Ok(call) => call,
        Err(fault) => return fault,
    };
    let error = LambdaError::InvalidRequest(message);
    let record = &mut exchange.record.integration;
    record.ended(Instant::now());
    record.service_status = error.status();
    record.status = record.service_status;
    log::refused_event(exchange, &error);
    refused_call(exchange, &error, &call.request_id)
}

/// Sends a request to an HTTP backend, and notes what came of it. `body_wait_max` limits each wait for more of the
/// answer's body.
async fn call_backend(
    exchange: &mut Exchange<'_>,
    endpoint: &HttpEndpoint,
    head: RequestHead,
    body: Body,
    body_wait_max: Duration,
) -> Result<(ResponseHead, Body), Fault> {
    let body = log::http_request(exchange, &endpoint.uri.upstream, &head, body).await?;
    let waits = Waits {
        timers: &exchange.connection.timers,
        began: called_at(exchange),
        head_max: endpoint.timeout,
        piece_max: body_wait_max,
    };
    // The time that the client takes to send the body is not the backend's.
    let (body, sender) = watched(body);
    let answered = match &endpoint.backends {
        Some(backends) => balanced::forward(exchange, backends, &head, body, sender.as_ref(), waits).await,
        None => {
            let upstream = exchange.plan.shown(&endpoint.uri.upstream);
            exchange.worker.forward(&upstream, &head, body, sender.as_ref(), waits).await
        }
    };
    let record = &mut exchange.record.integration;
    record.ended(sender.map_or(waits.began, |sender| sender.done_since()));
    match answered {
        Ok((head, body)) => {
            record.status = Some(head.status.as_u16());
            log::received(exchange);
            Ok((head, body))
        }
        Err(error) => Err(upstream_fault(error)),
    }
}

/// When a backend is called that is called now: as the request came, if nothing has held that up. A clock is not read for
/// what is done in no time.
fn called_at(exchange: &Exchange<'_>) -> Instant {
    let is_first = exchange.record.steps.is_empty() && exchange.record.log.is_none();
    if is_first && exchange.came_whole { exchange.started } else { clock::now() }
}

/// Reads an answer whole, without its coding. It has what is left of the integration's time, however it arrives.
async fn whole_answer(
    exchange: &mut Exchange<'_>,
    head: &ResponseHead,
    body: Body,
    timeout: Duration,
) -> Result<Bytes, Fault> {
    let coding = head.headers.get("content-encoding").and_then(|name| Coding::parse(name));
    let body = coding.unwrap_or(Coding::Identity).undo(body);
    let left = time_left(exchange, timeout);
    let read = async {
        let body = log::http_response(exchange, head, body).await?;
        body.collect(MAX_PAYLOAD_BYTES).await.map_err(body_fault)
    };
    let read = tokio::time::timeout(left, read).await;
    read.unwrap_or_else(|_| {
        Err(Fault::integration_timeout(format!("the answer did not end within {timeout:?}")))
    })
}

/// Waits for an answer's body to begin, so that a backend that fails until then still gets a fault's answer.
async fn begun_answer(exchange: &Exchange<'_>, body: Body, timeout: Duration) -> Result<Body, Fault> {
    let Body::Stream(_) = body else { return Ok(body) };
    let begun = tokio::time::timeout(time_left(exchange, timeout), begun(body)).await;
    match begun {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(body_fault(error)),
        Err(_) => {
            let reason = format!("the answer's body did not begin within {timeout:?}");
            Err(Fault::integration_timeout(reason))
        }
    }
}

/// What the call of a backend has left of the integration's time.
fn time_left(exchange: &Exchange<'_>, timeout: Duration) -> Duration {
    timeout.saturating_sub(exchange.record.integration.latency.unwrap_or_default())
}

/// A body that has begun, or turned out to be none.
async fn begun(mut body: Body) -> Result<Body, BodyError> {
    match body.chunk().await {
        None => Ok(Body::Empty),
        Some(Ok(first)) => Ok(Body::Stream(Box::new(Begun { first, rest: body }))),
        Some(Err(error)) => Err(error),
    }
}

/// A body whose first piece has been read.
struct Begun {
    /// Empty once it has been handed on: pieces never are.
    first: Bytes,
    rest: Body,
}

impl BodyStream for Begun {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.first.is_empty() {
            return self.rest.poll_chunk(context);
        }
        Poll::Ready(Some(Ok(std::mem::take(&mut self.first))))
    }

    fn remaining(&self) -> Option<u64> {
        self.rest.remaining().map(|rest| rest.saturating_add(self.first.len() as u64))
    }
}

/// What it means for the client that an answer's body ends before its end.
fn body_fault(error: BodyError) -> Fault {
    match error {
        BodyError::TimedOut => Fault::integration_timeout(error.to_string()),
        BodyError::TooLarge { .. } => {
            Fault::configuration("the integration's answer is larger than 10,485,760 bytes")
        }
        error => Fault::integration_failure(error.to_string()),
    }
}

fn timed_out(timeout: Duration) -> Fault {
    Fault::integration_timeout(format!("the function did not answer within {} ms", timeout.as_millis()))
}

fn lambda_fault(error: &LambdaError) -> Fault {
    match error {
        // AWS finds neither the function nor the permission to call it, and tells the client the same for both.
        LambdaError::NotFound(_) | LambdaError::NotPermitted(_) => Fault::configuration(error.to_string()),
        LambdaError::PayloadTooLarge(_) => Fault::request_too_large(),
        LambdaError::TooManyRequests => Fault::throttled_function(error.to_string()),
        LambdaError::InvalidRequest(message) => Fault::refused_event(message.clone()),
        LambdaError::Failed(_) => Fault::internal(error.to_string()),
    }
}
