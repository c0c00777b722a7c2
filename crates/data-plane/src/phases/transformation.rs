//! From the method request to the integration request, and from the integration's answer to the method response.
//!
//! Proxy integrations do without both.

use bytes::Bytes;
use http::StatusCode;
use stagedoor_http::{Headers, ResponseHead, is_valid_name, is_valid_value};

use super::content_handling;
use super::headers::{is_remapped, remapped_name};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::final_status;
use crate::plan::integration::{
    Integration, Passthrough, RequestTransformation, ResponseChoice, ResponseTransformation,
};
use crate::plan::mapping::Source;
use crate::vtl::{Overrides, Side};

/// What goes to an integration that does not see the client's own request.
#[derive(Debug, Default)]
pub struct IntegrationRequest {
    /// Mapped headers.
    pub headers: Headers,
    /// Mapped query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Path parameters that a template overrode.
    pub path: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The body's media type, if a template made it.
    pub media_type: Option<Bytes>,
}

/// What came back from an integration that is not a proxy.
#[derive(Debug, Default)]
pub struct IntegrationAnswer {
    /// What selection patterns are compared with.
    pub selector: Option<Selector>,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

/// What selection patterns are compared with.
#[derive(Debug)]
pub enum Selector {
    /// The status.
    Status(StatusCode),
    /// A function's error message.
    ErrorMessage(String),
}

impl Selector {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::ErrorMessage(message) => message,
        }
    }
}

/// Makes the integration request.
///
/// # Errors
/// 415 if no template fits and the body may not pass; 413 or 400 if the body is too large or malformed, whether or not
/// a template reads it; 500 if a template fails.
pub async fn request(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(transformation) = request_of(exchange) else { return Ok(()) };
    let media_type = exchange.content_type().into_owned();
    let found =
        transformation.templates.iter().find(|(candidate, _)| candidate.as_ref() == media_type.as_bytes());
    if found.is_none() {
        let passes = match transformation.passthrough {
            Passthrough::WhenNoMatch => true,
            Passthrough::WhenNoTemplates => transformation.templates.is_empty(),
            Passthrough::Never => false,
        };
        if !passes {
            return Err(Fault::unsupported_media_type());
        }
    }
    if found.is_none() || transformation.needs_body() {
        let body = exchange.whole_body().await?;
        let is_binary = exchange.plan.binary_media_types.contains(&media_type);
        let body = content_handling::request(body, is_binary, transformation.content_handling)?;
        if found.is_some() && std::str::from_utf8(&body).is_err() {
            return Err(Fault::configuration("a mapping template cannot read a binary body"));
        }
        exchange.body = crate::exchange::RequestBody::Whole(body);
    } else {
        exchange.drop_body().await?;
    }
    if transformation.maps_body {
        check_mapped_body(exchange)?;
    }
    // Mappings see the request as it came; overrides come after them and win.
    let mut outgoing = IntegrationRequest::default();
    for (name, source) in &transformation.headers {
        for value in source.values(exchange) {
            append_valid(&mut outgoing.headers, name, &value);
        }
    }
    for (name, source) in &transformation.query {
        let values = source.values(exchange).into_iter().map(|value| (name.to_string(), value.into_owned()));
        outgoing.query.extend(values);
    }
    match found {
        Some((media_type, template)) => {
            outgoing.body = template.render(exchange, Side::Request)?;
            outgoing.media_type = Some(media_type.clone());
        }
        None => outgoing.body = exchange.read_body(),
    }
    if let Some(scope) = &exchange.templates {
        apply_request_overrides(&mut outgoing, scope.request_overrides());
    }
    exchange.integration_request = outgoing;
    Ok(())
}

/// AWS reads a body that a parameter is mapped from as JSON, even where the whole is asked for. Nearly everything is JSON to
/// it: what is none begins like an object, a list or a text and does not end so.
///
/// # Errors
/// 400 if the body is none.
pub fn check_mapped_body(exchange: &Exchange<'_>) -> Result<(), Fault> {
    let body = exchange.read_body();
    if body.is_empty() || exchange.lenient_document(&body).is_ok() {
        return Ok(());
    }
    Err(Fault::unmappable_body())
}

/// Makes the method response.
///
/// # Errors
/// 500 if no integration response fits, or a template, a mapping or conversion fails.
pub fn response(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(transformation) = response_of(exchange) else { return Ok(()) };
    let selector = exchange
        .integration_answer
        .as_ref()
        .and_then(|answer| answer.selector.as_ref())
        .map(Selector::as_str);
    let Some(choice) = transformation.choose(selector) else {
        let status = match (selector, exchange.record.integration.status) {
            // A function's error message is no status.
            (_, Some(status)) => status.to_string(),
            (selector, None) => selector.unwrap_or_default().to_owned(),
        };
        return Err(Fault::configuration("no integration response fits, and there is no default")
            .logged_as_configuration_error(&format!(
                "No match for output mapping and no default output mapping configured. Endpoint Response Status Code: \
                 {status}"
            )));
    };
    if choice.headers.iter().any(|(_, source)| source.needs_answer_body())
        && let Some(answer) = &exchange.integration_answer
        && !answer.body.is_empty()
        && exchange.lenient_document(&answer.body).is_err()
    {
        return Err(Fault::configuration("a header is mapped from an answer that is no JSON"));
    }
    let mapped: Vec<(Bytes, Bytes)> = choice
        .headers
        .iter()
        .flat_map(|(name, source)| {
            source.values(exchange).into_iter().map(|value| (name.clone(), Bytes::from(value.into_owned())))
        })
        .collect();
    let (media_type, body) = response_body(exchange, choice)?;

    let mut headers = Headers::with_capacity(mapped.len() + 4);
    headers.append("x-amzn-RequestId", exchange.request_id.clone());
    headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
    if !matches!(exchange.method().map(|method| &method.integration), Some(Integration::Mock(_))) {
        headers.append("X-Amzn-Trace-Id", exchange.trace_id().clone());
    }
    let mut content_type = Some(media_type);
    for (name, value) in mapped {
        if name.eq_ignore_ascii_case(b"content-type") {
            content_type = Some(value);
        } else {
            append_response_header(&mut headers, &name, value);
        }
    }
    let mut status = choice.status;
    if let Some(scope) = &exchange.templates {
        let overrides = scope.response_overrides();
        for (name, value) in overrides.headers {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.into());
            } else if is_valid_name(name.as_bytes()) {
                headers.remove(&name);
                append_response_header(&mut headers, &Bytes::from(name), value.into());
            }
        }
        // AWS passes over what is no status.
        if let Some(overridden) = overrides.status.and_then(|text| final_status(text.trim())) {
            status = overridden;
        }
    }
    if let Some(content_type) = content_type.filter(|value| is_valid_value(value)) {
        headers.append("Content-Type", content_type);
    }
    exchange.response = Some((ResponseHead { status, headers }, body.into()));
    Ok(())
}

/// The response's media type and body.
fn response_body(exchange: &mut Exchange<'_>, choice: &ResponseChoice) -> Result<(Bytes, Bytes), Fault> {
    const JSON: Bytes = Bytes::from_static(b"application/json");
    let answered_type = exchange.integration_answer.as_ref().and_then(|answer| {
        let value = answer.headers.get_str("content-type")?.split(';').next()?;
        Some(value.trim().to_ascii_lowercase())
    });
    let binary_types = &exchange.plan.binary_media_types;
    let is_binary = answered_type.is_some_and(|media_type| binary_types.contains(&media_type));
    let accepts_binary = binary_types.contains(&exchange.accepted_type());
    let template = choice.template(&exchange.accepted_type());
    if let Some((media_type, template)) = template {
        if is_binary && let Some(answer) = &mut exchange.integration_answer {
            // A template sees binary as base64, whatever becomes of its result.
            let handling = Some(stagedoor_shapes::apigateway::ContentHandlingStrategy::ConvertToText);
            answer.body =
                content_handling::response(std::mem::take(&mut answer.body), true, false, handling)?;
        }
        let body = template.render(exchange, Side::Response)?;
        let handling = choice.content_handling;
        let decodes =
            handling == Some(stagedoor_shapes::apigateway::ContentHandlingStrategy::ConvertToBinary);
        let body = if decodes { content_handling::decode(&body)? } else { body };
        return Ok((media_type.clone(), body));
    }
    // A mock has no answer of its own to pass on.
    if matches!(exchange.method().map(|method| &method.integration), Some(Integration::Mock(_))) {
        return Ok((JSON, Bytes::new()));
    }
    let body = exchange.integration_answer.as_mut().map(|answer| std::mem::take(&mut answer.body));
    let body = content_handling::response(
        body.unwrap_or_default(),
        is_binary,
        accepts_binary,
        choice.content_handling,
    )?;
    Ok((JSON, body))
}

fn request_of<'a>(exchange: &Exchange<'a>) -> Option<&'a RequestTransformation> {
    match &exchange.method()?.integration {
        Integration::Mock(mock) => Some(&mock.request),
        Integration::Http(http) => Some(&http.request),
        Integration::Lambda(lambda) => Some(&lambda.request),
        Integration::Aws(service) => Some(&service.request),
        Integration::HttpProxy(_)
        | Integration::LambdaProxy(_)
        | Integration::HttpApiBackend(_)
        | Integration::HttpApiFunction(_)
        | Integration::SocketFunction(_)
        | Integration::HttpApiService(_)
        | Integration::Broken(_) => None,
    }
}

fn response_of<'a>(exchange: &Exchange<'a>) -> Option<&'a ResponseTransformation> {
    match &exchange.method()?.integration {
        Integration::Mock(mock) => Some(&mock.responses),
        Integration::Http(http) => Some(&http.responses),
        Integration::Lambda(lambda) => Some(&lambda.responses),
        Integration::Aws(service) => Some(&service.responses),
        Integration::HttpProxy(_)
        | Integration::LambdaProxy(_)
        | Integration::HttpApiBackend(_)
        | Integration::HttpApiFunction(_)
        | Integration::SocketFunction(_)
        | Integration::HttpApiService(_)
        | Integration::Broken(_) => None,
    }
}

pub(super) fn apply_request_overrides(outgoing: &mut IntegrationRequest, overrides: Overrides) {
    for (name, value) in overrides.headers {
        if is_valid_name(name.as_bytes()) && is_valid_value(value.as_bytes()) {
            outgoing.headers.set(name, value);
        }
    }
    for (name, value) in overrides.query {
        outgoing.query.retain(|(candidate, _)| *candidate != name);
        outgoing.query.push((name, value));
    }
    outgoing.path = overrides.path;
}

/// Values come from clients and templates; one that would break the message's framing is left out.
pub(crate) fn append_valid(headers: &mut Headers, name: &Bytes, value: &str) {
    if is_valid_value(value.as_bytes()) {
        headers.append(name.clone(), Bytes::from(value.to_owned()));
    }
}

fn append_response_header(headers: &mut Headers, name: &Bytes, value: Bytes) {
    if !is_valid_value(&value) || name.eq_ignore_ascii_case(b"transfer-encoding") {
        return;
    }
    let name = if is_remapped(name) { remapped_name(name) } else { name.clone() };
    headers.append(name, value);
}

/// Mapped values of a query, encoded.
pub(crate) fn encode_query<'q>(pairs: impl Iterator<Item = (&'q str, &'q str)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        let separator = if query.is_empty() { "" } else { "&" };
        query.push_str(separator);
        query.extend(percent_encoding::utf8_percent_encode(name, crate::plan::uri::QUERY_VALUE));
        query.push('=');
        query.extend(percent_encoding::utf8_percent_encode(value, crate::plan::uri::QUERY_VALUE));
    }
    query
}

/// Evaluates mapped query parameters of a proxy.
pub(crate) fn mapped_query(
    mappings: &[(Box<str>, Source)],
    exchange: &Exchange<'_>,
) -> Vec<(String, String)> {
    let values = mappings.iter().flat_map(|(name, source)| {
        source.values(exchange).into_iter().map(|value| (name.to_string(), value.into_owned()))
    });
    values.collect()
}
