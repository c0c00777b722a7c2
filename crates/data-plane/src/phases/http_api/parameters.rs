//! Applies parameter mappings: to the request before the integration, and to its answer.
//!
//! All values are read before anything is changed, so that renaming and swapping work whatever the order.

use bytes::Bytes;
use stagedoor_http::{Body, Headers, is_valid_value};

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::transformation::encode_query;
use crate::plan::MAX_PAYLOAD_BYTES;
use crate::plan::final_status;
use crate::plan::http_api::parameters::{Answer, Change, Mapping};

/// Changes the request's headers in place, and keeps its new path and query for the integration.
///
/// # Errors
/// A [`Fault`] if the body has to be read and cannot be.
pub async fn request(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let parameters = exchange.method().and_then(|method| method.http_parameters.as_ref());
    let Some(parameters) = parameters.and_then(|parameters| parameters.request.as_ref()) else {
        return Ok(());
    };
    if parameters.needs_body {
        exchange.whole_body().await?;
    }
    let path = parameters.path.as_ref().and_then(|path| path.value(exchange, None));
    let headers: Vec<_> =
        parameters.headers.iter().map(|mapping| (mapping, mapping.value.value(exchange, None))).collect();
    if !parameters.query.is_empty() {
        let mut query = exchange.query().to_vec();
        for mapping in &parameters.query {
            let value = mapping.value.value(exchange, None);
            change_query(&mut query, mapping, value);
        }
        let pairs = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        exchange.mapped_query = Some(encode_query(pairs));
    }
    exchange.mapped_path = path.map(|path| if path.starts_with('/') { path } else { format!("/{path}") });
    for (mapping, value) in headers {
        let sets_host = mapping.change == Change::Overwrite && mapping.name.eq_ignore_ascii_case("host");
        let is_set = sets_host && value.as_ref().is_some_and(|value| is_valid_value(value.as_bytes()));
        change_header(&mut exchange.head.headers, mapping, value);
        if is_set {
            // Functions see the header; a backend gets a host of its own where none was set.
            exchange.mapped_host = exchange.head.headers.get("host").cloned();
        }
    }
    Ok(())
}

/// Changes the answer, by its status.
///
/// # Errors
/// A [`Fault`] if the answer's body has to be read and cannot be.
pub async fn response(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let parameters = exchange.method().and_then(|method| method.http_parameters.as_ref());
    let Some((mut head, mut body)) = exchange.response.take() else { return Ok(()) };
    let by_status = parameters.map(|parameters| &parameters.response).into_iter().flatten();
    let Some((_, parameters)) = by_status.into_iter().find(|(status, _)| *status == head.status) else {
        exchange.response = Some((head, body));
        return Ok(());
    };
    let mut bytes = Bytes::new();
    if parameters.needs_body {
        let whole = body.collect(MAX_PAYLOAD_BYTES).await;
        bytes = whole.map_err(|error| Fault::integration_failure(error.to_string()))?;
        body = Body::from(bytes.clone());
    }
    let json = match parameters.needs_body {
        true => serde_json::from_slice(&bytes).ok(),
        false => None,
    };
    let answer = Answer { headers: &head.headers, body: &bytes, json: json.as_ref() };
    let values: Vec<_> = parameters
        .headers
        .iter()
        .map(|mapping| (mapping, mapping.value.value(exchange, Some(answer))))
        .collect();
    let status = parameters.status.as_ref().and_then(|status| status.value(exchange, Some(answer)));
    for (mapping, value) in values {
        change_header(&mut head.headers, mapping, value);
    }
    if let Some(status) = status.and_then(|status| final_status(&status)) {
        head.status = status;
    }
    exchange.response = Some((head, body));
    Ok(())
}

fn change_header(headers: &mut Headers, mapping: &Mapping, value: Option<String>) {
    match (mapping.change, value.filter(|value| is_valid_value(value.as_bytes()))) {
        (Change::Remove, _) => headers.remove(&mapping.name),
        // What is mapped from nothing changes nothing.
        (_, None) => {}
        (Change::Append, Some(value)) => headers.append(Bytes::from(mapping.name.to_string()), value),
        (Change::Overwrite, Some(value)) => headers.set(Bytes::from(mapping.name.to_string()), value),
    }
}

fn change_query(query: &mut Vec<(String, String)>, mapping: &Mapping, value: Option<String>) {
    if value.is_none() && mapping.change != Change::Remove {
        return;
    }
    if mapping.change != Change::Append {
        query.retain(|(name, _)| **name != *mapping.name);
    }
    if mapping.change != Change::Remove {
        query.extend(value.map(|value| (mapping.name.to_string(), value)));
    }
}
