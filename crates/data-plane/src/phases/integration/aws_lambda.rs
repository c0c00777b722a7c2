//! `AWS` with a Lambda function: templates make the event, and templates make the response of its result.

use super::{call_function, log, refuse_event};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::transformation::{IntegrationAnswer, Selector};
use crate::plan::integration::LambdaIntegration;

/// Calls the function.
///
/// # Errors
/// 504 if it does not answer in time, 500 if it cannot be called, 400 if its event is no JSON.
pub(super) async fn run(exchange: &mut Exchange<'_>, integration: &LambdaIntegration) -> Result<(), Fault> {
    let payload = std::mem::take(&mut exchange.integration_request.body);
    // Nothing is an empty object to a function.
    if !payload.is_empty()
        && serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_err()
        && let Err(error) = stagedoor_jsonpath::json::read(&payload)
    {
        let message =
            format!("Could not parse request body into json: Could not parse payload into json: {error}");
        return Err(refuse_event(exchange, &integration.function, payload, message).await);
    }
    let invocation_type = exchange.integration_request.headers.get_str("x-amz-invocation-type");
    let asynchronous = invocation_type.is_some_and(|value| value.eq_ignore_ascii_case("Event"));
    let answer = call_function(exchange, &integration.function, payload, asynchronous).await?;
    let selector = answer
        .function_error
        .as_ref()
        .and_then(|_| error_message(&answer.payload))
        .map(Selector::ErrorMessage);
    let headers = match integration.reads_headers {
        true => log::lambda_headers(exchange, &answer),
        false => log::lambda_media_type(&answer),
    };
    exchange.integration_answer = Some(IntegrationAnswer { selector, headers, body: answer.payload });
    Ok(())
}

/// What selection patterns are compared with when the function failed.
pub(super) fn error_message(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_message: Option<String>,
    }
    serde_json::from_slice::<Failure>(payload).ok()?.error_message
}
