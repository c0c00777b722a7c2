//! Integrations: one file a kind.

mod aws_lambda;
mod aws_proxy;
mod event;
mod http;
mod http_proxy;
mod mock;

use std::time::Duration;

use bytes::Bytes;
use stagedoor_http::BodyError;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::lambda::{LambdaAnswer, LambdaCall, LambdaError};
use crate::plan::integration::{Integration, LambdaFunction};
use crate::upstream::UpstreamError;

/// Calls the method's integration.
///
/// # Errors
/// What went wrong, as AWS names it.
pub async fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = exchange.method() else { return Err(Fault::missing_authentication_token()) };
    match &method.integration {
        Integration::Mock(mock) => mock::run(exchange, mock),
        Integration::Http(http) => http::run(exchange, http).await,
        Integration::HttpProxy(proxy) => http_proxy::run(exchange, proxy).await,
        Integration::Lambda(lambda) => aws_lambda::run(exchange, lambda).await,
        Integration::LambdaProxy(function) => aws_proxy::run(exchange, function).await,
        Integration::Broken(reason) => Err(Fault::configuration(*reason)),
    }
}

/// What a failed call of an HTTP backend means for the client.
fn upstream_fault(error: UpstreamError) -> Fault {
    match error {
        UpstreamError::Timeout(_) => Fault::integration_timeout(error.to_string()),
        UpstreamError::RequestBody(BodyError::TooLarge { .. }) => Fault::request_too_large(),
        UpstreamError::RequestBody(error) => Fault::client_gone(error),
        UpstreamError::Connect { .. }
        | UpstreamError::Tls { .. }
        | UpstreamError::Closed
        | UpstreamError::Protocol(_) => Fault::integration_failure(error.to_string()),
    }
}

/// Calls a function and waits for its answer.
async fn call_function(
    exchange: &Exchange<'_>,
    function: &LambdaFunction,
    payload: Bytes,
    asynchronous: bool,
) -> Result<LambdaAnswer, Fault> {
    let call = LambdaCall {
        function_arn: std::sync::Arc::clone(&function.arn),
        payload,
        asynchronous,
        trace_id: Some(String::from_utf8_lossy(exchange.trace_id()).into_owned()),
    };
    let answer = exchange.worker.services.lambda.invoke(call);
    match tokio::time::timeout(function.timeout, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(lambda_fault(&error)),
        Err(_) => Err(timed_out(function.timeout)),
    }
}

fn timed_out(timeout: Duration) -> Fault {
    Fault::integration_timeout(format!("the function did not answer within {} ms", timeout.as_millis()))
}

fn lambda_fault(error: &LambdaError) -> Fault {
    match error {
        // AWS finds neither the function nor the permission to call it, and tells the client the same for both.
        LambdaError::NotFound(_) => Fault::configuration(error.to_string()),
        LambdaError::PayloadTooLarge(_) => Fault::request_too_large(),
        LambdaError::TooManyRequests | LambdaError::Failed(_) => Fault::internal(error.to_string()),
    }
}
