//! From a message to the integration's request, and from the integration's answer to the client's, in WebSocket APIs.

use bytes::Bytes;
use http::StatusCode;
use stagedoor_http::{Headers, ResponseHead};

use super::content_handling;
use super::headers::for_integration;
use super::transformation::{IntegrationRequest, append_valid};
use crate::exchange::{Exchange, RequestBody};
use crate::gateway_response::Fault;
use crate::phases::transformation::Selector;
use crate::plan::final_status;
use crate::plan::integration::Passthrough;
use crate::plan::websocket::SocketMethod;
use crate::vtl::Side;
use crate::websocket::event::EventKind;

fn method<'a>(exchange: &Exchange<'a>) -> Option<&'a SocketMethod> {
    exchange.method()?.socket.as_deref()
}

/// Checks what a route asks for: the parameters of a handshake, the model of a message.
///
/// # Errors
/// 400, as for a REST API's method.
pub fn validation(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = method(exchange) else { return Ok(()) };
    super::validation::check_parameters(exchange, &method.required)?;
    let Some(models) = &method.models else { return Ok(()) };
    let Some(model) = models.choose(exchange) else {
        let detail = "no model for the message, and no $default".to_owned();
        return Err(Fault::invalid_body(detail));
    };
    let Some(model) = model else { return Ok(()) };
    match crate::plan::validation::mismatch_of(model, &exchange.document(&exchange.read_body())) {
        Some(detail) => {
            let text = format!("Request body does not match model schema: {detail}");
            Err(Fault::invalid_body(detail).logged(text))
        }
        None => Ok(()),
    }
}

/// Makes the integration's request.
///
/// # Errors
/// 415 if no template fits and the message may not pass; 400 or 500 if a template fails.
pub fn request(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(method) = method(exchange) else { return Ok(()) };
    let request = &method.request;
    let template = request.templates.choose(exchange);
    let passes = match request.passthrough {
        Passthrough::WhenNoMatch => true,
        Passthrough::WhenNoTemplates => request.templates.is_empty(),
        Passthrough::Never => false,
    };
    if template.is_none() && !passes {
        return Err(Fault::unsupported_media_type());
    }
    if request.content_handling.is_some() {
        let body = content_handling::request(exchange.read_body(), false, request.content_handling)?;
        exchange.body = RequestBody::Whole(body);
    }
    let mut outgoing = IntegrationRequest::default();
    for (name, source) in &request.headers {
        for value in source.values(exchange) {
            append_valid(&mut outgoing.headers, name, &value);
        }
    }
    if method.is_http_proxy && is_handshake(exchange) {
        // What is mapped takes the place of what the client sent.
        for header in for_integration(exchange) {
            if !header.is("host") && !outgoing.headers.contains(header.name_str()) {
                outgoing.headers.append(header.name, header.value);
            }
        }
        let mapped = |name: &String| request.query.iter().any(|(mapped, _)| **mapped == **name);
        outgoing.query.extend(exchange.query().iter().filter(|(name, _)| !mapped(name)).cloned());
    }
    for (name, source) in &request.query {
        let values = source.values(exchange).into_iter().map(|value| (name.to_string(), value.into_owned()));
        outgoing.query.extend(values);
    }
    outgoing.body = match template {
        Some(template) => template.render(exchange, Side::Request)?,
        None => exchange.read_body(),
    };
    if let Some(scope) = &exchange.templates {
        super::transformation::apply_request_overrides(&mut outgoing, scope.request_overrides());
    }
    exchange.integration_request = outgoing;
    Ok(())
}

fn is_handshake(exchange: &Exchange<'_>) -> bool {
    exchange.socket.as_ref().is_some_and(|socket| matches!(socket.kind, EventKind::Connect))
}

/// Makes the response of the integration's answer. Its status counts for a handshake alone, its body for routes that
/// answer.
///
/// # Errors
/// 500 if no integration response fits, or a template fails.
pub fn response(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    // A function behind a proxy has made the response itself.
    let (Some(method), None) = (method(exchange), &exchange.response) else { return Ok(()) };
    let mut status = answered_status(exchange);
    let mut headers = Headers::new();
    let Some(responses) = method.responses.as_ref().filter(|responses| !responses.is_empty()) else {
        let answer = exchange.integration_answer.take().unwrap_or_default();
        if let Some(protocol) = answer.headers.get("sec-websocket-protocol") {
            headers.append("Sec-WebSocket-Protocol", protocol.clone());
        }
        exchange.response = Some((ResponseHead { status, headers }, answer.body.into()));
        return Ok(());
    };
    let Some(choice) = responses.choose(exchange) else {
        return Err(Fault::configuration("no integration response fits, and there is no $default")
            .logged_as_configuration_error(
                "No match for output mapping and no default output mapping configured",
            ));
    };
    for (name, source) in &choice.headers {
        for value in source.values(exchange) {
            append_valid(&mut headers, name, &value);
        }
    }
    let body = match choice.templates.choose(exchange) {
        Some(template) => template.render(exchange, Side::Response)?,
        None => exchange
            .integration_answer
            .as_mut()
            .map(|answer| std::mem::take(&mut answer.body))
            .unwrap_or_default(),
    };
    let body = match choice.content_handling {
        None => body,
        handling => content_handling::response(body, false, false, handling)?,
    };
    if let Some(scope) = &exchange.templates {
        let overrides = scope.response_overrides();
        for (name, value) in overrides.headers {
            if stagedoor_http::is_valid_name(name.as_bytes()) {
                headers.remove(&name);
                append_valid(&mut headers, &Bytes::from(name), &value);
            }
        }
        if let Some(overridden) = overrides.status.and_then(|text| final_status(text.trim())) {
            status = overridden;
        }
    }
    exchange.response = Some((ResponseHead { status, headers }, body.into()));
    Ok(())
}

/// The status of the integration's answer. A function that failed has none of its own: 500.
fn answered_status(exchange: &Exchange<'_>) -> StatusCode {
    let selector = exchange
        .integration_answer
        .as_ref()
        .and_then(|answer| answer.selector.as_ref())
        .map(Selector::as_str);
    match (selector, exchange.record.integration.status) {
        (Some(selector), _) => final_status(selector).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        (None, Some(status)) => final_status(&status.to_string()).unwrap_or(StatusCode::BAD_GATEWAY),
        (None, None) => StatusCode::OK,
    }
}
