//! `AWS_PROXY` of HTTP APIs: a function sees the request as an event of format 1.0 or 2.0, and what it gives back is
//! read as the format asks.
//!
//! In format 2.0 anything that is JSON and has no `statusCode` is the body of a 200; format 1.0 assumes nothing. Whatever is
//! wrong is a 500.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use stagedoor_http::{Body, Headers, ResponseHead, is_valid_name, is_valid_value};

use super::aws_proxy::{Output, flag};
use super::{call_function, http_api_event};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::FINAL_STATUSES;
use crate::plan::http_api::FunctionIntegration;

/// Calls the function and turns its result into the response.
///
/// # Errors
/// 500 if the function failed or gave no response, 503 if it did not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, integration: &FunctionIntegration) -> Result<(), Fault> {
    let body = exchange.whole_body().await?;
    let event = match integration.version_2 {
        true => http_api_event::write_2(exchange, &body),
        false => http_api_event::write_1(exchange, &body),
    };
    let answer = call_function(exchange, &integration.function, event, false).await?;
    if let Some(error) = answer.function_error {
        exchange.record.integration.error = Some(told(&answer.payload).into());
        let payload = String::from_utf8_lossy(&answer.payload);
        return Err(Fault::internal(format!("the function failed ({error}): {payload}")));
    }
    let (mut head, body) = match integration.version_2 {
        true => read_2(answer.payload).map_err(Fault::internal)?,
        false => {
            let output = Output::parse_for_http_api(&answer.payload).map_err(Fault::internal)?;
            let body =
                if output.is_base64 { decode(&output.body).map_err(Fault::internal)? } else { output.body };
            (ResponseHead { status: output.status, headers: output.headers }, body)
        }
    };
    exchange.record.integration.status = Some(head.status.as_u16());
    let framing = ["connection", "content-length", "transfer-encoding", "keep-alive", "trailer"];
    head.headers.retain(|header| !framing.iter().any(|name| header.is(name)));
    if !body.is_empty() && !head.headers.contains("content-type") {
        head.headers.append("content-type", "text/plain; charset=utf-8");
    }
    exchange.response = Some((head, Body::from(body)));
    Ok(())
}

/// What AWS says in `$context.integrationErrorMessage` of a function that failed: with its `errorMessage`.
fn told(payload: &[u8]) -> String {
    let error: Option<Value> = serde_json::from_slice(payload).ok();
    let message = error.as_ref().and_then(|error| error.get("errorMessage")).and_then(Value::as_str);
    format!(
        "The Lambda function returned the following error: {}. Check your Lambda function code and try again.",
        message.unwrap_or_default()
    )
}

fn decode(body: &[u8]) -> Result<Bytes, String> {
    let decoded = STANDARD.decode(body);
    decoded.map(Bytes::from).map_err(|error| format!("the function's body is no base64: {error}"))
}

/// Reads a response of format 2.0.
fn read_2(payload: Bytes) -> Result<(ResponseHead, Bytes), String> {
    let value: Value = serde_json::from_slice(&payload)
        .map_err(|error| format!("the function's answer is no JSON: {error}"))?;
    let members = match value {
        Value::Object(members) if members.get("statusCode").is_some_and(|status| !status.is_null()) => {
            members
        }
        inferred => {
            let mut headers = Headers::new();
            headers.append("content-type", "application/json");
            let body = match inferred {
                Value::String(text) => text.into(),
                _ => payload,
            };
            return Ok((ResponseHead { status: StatusCode::OK, headers }, body));
        }
    };
    let status = match members.get("statusCode") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status
        .filter(|status| FINAL_STATUSES.contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or("the function's statusCode is no status")?;
    let mut headers = Headers::new();
    // AWS was seen to send these before cookies among the headers.
    match members.get("cookies") {
        None | Some(Value::Null) => {}
        Some(Value::Array(cookies)) => {
            for cookie in cookies {
                append(&mut headers, "set-cookie", cookie)?;
            }
        }
        Some(_) => return Err("the function's cookies are no list".to_owned()),
    }
    match members.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(named)) => {
            for (name, value) in named {
                append(&mut headers, name, value)?;
            }
        }
        Some(_) => return Err("the function's headers are no object".to_owned()),
    }
    let body = match members.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(value) => scalar(value).ok_or("the function's body is no text")?.into(),
    };
    let is_base64 = flag(members.get("isBase64Encoded").cloned())
        .ok_or("the function's isBase64Encoded is no boolean")?
        .unwrap_or(false);
    let body = if is_base64 { decode(&body)? } else { body };
    Ok((ResponseHead { status, headers }, body))
}

fn append(headers: &mut Headers, name: &str, value: &Value) -> Result<(), String> {
    let text = scalar(value)
        .filter(|text| is_valid_value(text.as_bytes()) && is_valid_name(name.as_bytes()))
        .ok_or_else(|| format!("the function's header {name} is none"))?;
    headers.append(Bytes::from(name.to_owned()), text);
    Ok(())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_of_format_2() {
        let check = |payload: &'static str, expected: &str| {
            let shown = read_2(Bytes::from_static(payload.as_bytes())).map_or(
                "refused".to_owned(),
                |(head, body)| {
                    let headers: Vec<_> = head
                        .headers
                        .iter()
                        .map(|header| format!("{}={}", header.name_str(), header.value_str()))
                        .collect();
                    format!(
                        "{} [{}] {}",
                        head.status.as_u16(),
                        headers.join(" "),
                        String::from_utf8_lossy(&body)
                    )
                },
            );
            assert_eq!(shown, expected, "{payload}");
        };
        // The developer guide's examples.
        check(r#""Hello from Lambda!""#, "200 [content-type=application/json] Hello from Lambda!");
        check(
            r#"{ "message": "Hello from Lambda!" }"#,
            r#"200 [content-type=application/json] { "message": "Hello from Lambda!" }"#,
        );
        check("null", "200 [content-type=application/json] null");
        check("[1]", "200 [content-type=application/json] [1]");
        check(
            r#"{"cookies": ["a=1", "b=2"], "statusCode": 201, "headers": {"X": "y"}, "body": "aGk=", "isBase64Encoded": true}"#,
            "201 [set-cookie=a=1 set-cookie=b=2 X=y] hi",
        );
        check(r#"{"statusCode": "204"}"#, "204 [] ");
        check(r#"{"statusCode": 42}"#, "refused");
        check(r#"{"statusCode": 200, "body": {}}"#, "refused");
        check(r#"{"statusCode": 200, "headers": []}"#, "refused");
        check(r#"{"statusCode": 200, "body": "!", "isBase64Encoded": true}"#, "refused");
        check("not JSON", "refused");
    }
}
