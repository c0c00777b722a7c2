//! `AWS_PROXY` of WebSocket APIs: a function sees the event of a connection, and the body that it gives back is for
//! the client where the route answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stagedoor_http::ResponseHead;

use super::aws_lambda::error_message;
use super::aws_proxy::Output;
use super::{call_function, socket_event};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::integration::LambdaFunction;

/// Calls the function and takes its result for the response.
///
/// # Errors
/// 502 if the function failed or gave no response object, 504 if it did not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, function: &LambdaFunction) -> Result<(), Fault> {
    let event = socket_event::write(exchange, &exchange.read_body());
    let answer = call_function(exchange, function, event, false).await?;
    if let Some(error) = answer.function_error {
        let payload = String::from_utf8_lossy(&answer.payload);
        let message = error_message(&answer.payload).unwrap_or_default();
        let text =
            format!("Lambda execution failed with status 200 due to customer function error: {message}.");
        return Err(Fault::malformed_answer(format!("the function failed ({error}): {payload}")).logged(text));
    }
    let output = Output::parse(&answer.payload).map_err(Fault::malformed_answer)?;
    let body = match output.is_base64 {
        true => STANDARD
            .decode(&output.body)
            .map(Bytes::from)
            .map_err(|error| Fault::malformed_answer(format!("the function's body is no base64: {error}")))?,
        false => output.body,
    };
    exchange.record.integration.status = Some(output.status.as_u16());
    exchange.response = Some((ResponseHead { status: output.status, headers: output.headers }, body.into()));
    Ok(())
}
