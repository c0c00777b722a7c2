//! Request validation: parameters first, then the body, as AWS does.

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::validation::Parameter;

/// Checks a request against its method's validator.
///
/// # Errors
/// 400: one message that names every missing parameter, or one that tells nothing about the body (the detail is in
/// `$context.error.validationErrorString`).
pub async fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = exchange.method() else { return Ok(()) };
    if method.socket.is_some() {
        return super::websocket::validation(exchange);
    }
    let Some(validation) = &method.validation else { return Ok(()) };
    check_parameters(exchange, &validation.required)?;
    if validation.models.is_empty() {
        return Ok(());
    }
    let body = exchange.whole_body().await?;
    match validation.check_body(&exchange.content_type(), || exchange.document(&body)) {
        Some(detail) => {
            let content_type = exchange.content_type();
            let text =
                format!("Request body does not match model schema for content type {content_type}: {detail}");
            Err(Fault::invalid_body(detail).logged(text))
        }
        None => {
            exchange
                .log_info(|x| format!("Request validation succeeded for content type {}", x.content_type()));
            Ok(())
        }
    }
}

/// Checks that a request has its parameters.
///
/// # Errors
/// 400: one message that names every missing parameter.
pub(super) fn check_parameters(exchange: &Exchange<'_>, required: &[Parameter]) -> Result<(), Fault> {
    let is_missing = |parameter: &&Parameter| {
        let blank = |value: Option<&str>| value.is_none_or(|value| value.trim().is_empty());
        match parameter {
            Parameter::Header(name) => blank(exchange.header(name).as_deref()),
            Parameter::Path(name) => blank(exchange.path_parameter(name)),
            Parameter::Query(name) => blank(exchange.query_parameter(name)),
        }
    };
    let missing: Vec<_> = required.iter().filter(is_missing).map(Parameter::name).collect();
    if missing.is_empty() { Ok(()) } else { Err(Fault::missing_parameters(&missing)) }
}
