//! `AWS_PROXY`: a Lambda function sees the request as an event and gives a response object.
//!
//! AWS is strict about that object: a member it does not know, a header that is a list, a status that is no number,
//! all end in 502. It is lenient about scalars: numbers and booleans are taken for texts, and texts for both. HTTP APIs
//! read the same object with a status that has to be there, and pass over what they do not know.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use stagedoor_http::{Body, Headers, ResponseHead, is_valid_name, is_valid_value};

use super::aws_lambda::error_message;
use super::{call_function, event, streaming};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::content_handling;
use crate::phases::headers::{is_remapped_by_proxy, remapped_name};
use crate::plan::FINAL_STATUSES;
use crate::plan::integration::LambdaFunction;

/// Calls the function and turns its result into the response.
///
/// # Errors
/// 502 if the function failed or gave no response object, 504 if it did not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, function: &LambdaFunction) -> Result<(), Fault> {
    if function.streams {
        return streaming::run(exchange, function).await;
    }
    let body = exchange.whole_body().await?;
    let event = event::write(exchange, &body);
    let answer = call_function(exchange, function, event, false).await?;
    if let Some(error) = answer.function_error {
        let payload = String::from_utf8_lossy(&answer.payload);
        let message = error_message(&answer.payload).unwrap_or_default();
        let id = exchange.record.integration.request_id.as_deref().unwrap_or_default();
        let text = format!(
            "Lambda execution failed with status 200 due to customer function error: {message}. Lambda request id: {id}"
        );
        return Err(Fault::malformed_answer(format!("the function failed ({error}): {payload}")).logged(text));
    }
    let result = Output::parse(&answer.payload).map_err(Fault::malformed_answer)?;
    exchange.record.integration.status = Some(result.status.as_u16());

    let mut body = result.body;
    let accepts_binary = exchange.plan.binary_media_types.contains(&exchange.accepted_type());
    if result.is_base64 && accepts_binary {
        body = content_handling::decode(&body)?;
    }
    respond(exchange, result.status, result.headers, Body::from(body));
    Ok(())
}

/// Makes the response of what the function gave.
pub(super) fn respond(exchange: &mut Exchange<'_>, status: StatusCode, answered: Headers, body: Body) {
    let mut headers = Headers::with_capacity(answered.len() + 4);
    headers.append("x-amzn-RequestId", exchange.request_id.clone());
    headers.append("x-amz-apigw-id", exchange.extended_request_id().clone());
    headers.append("X-Amzn-Trace-Id", exchange.trace_id().clone());
    if !answered.contains("content-type") {
        headers.append("Content-Type", "application/json");
    }
    for header in answered {
        if header.is("transfer-encoding") {
            continue;
        }
        let name = if is_remapped_by_proxy(&header.name) { remapped_name(&header.name) } else { header.name };
        headers.append(name, header.value);
    }
    exchange.response = Some((ResponseHead { status, headers }, body));
}

/// A function's response object.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: StatusCode,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    pub(super) is_base64: bool,
}

impl Output {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, String> {
        Self::of(members(payload)?)
    }

    /// What stands before the body of an answer that streams: status, headers, and cookies beside them.
    pub(super) fn parse_metadata(metadata: &[u8]) -> Result<Self, String> {
        let mut members = members(metadata)?;
        if let Some(name) =
            ["body", "isBase64Encoded", "base64Encoded"].into_iter().find(|name| members.contains_key(*name))
        {
            return Err(malformed(&format!("{name} is no member of what stands before a body")));
        }
        let cookies = match members.remove("cookies") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(cookies)) => cookies,
            Some(_) => return Err(malformed("cookies is no list")),
        };
        let mut output = Self::of(members)?;
        for cookie in cookies {
            let cookie = scalar(cookie).filter(|cookie| is_valid_value(cookie.as_bytes()));
            output.headers.append("Set-Cookie", cookie.ok_or_else(|| malformed("a cookie is no text"))?);
        }
        Ok(output)
    }

    /// The answer to an HTTP API's event of format 1.0.
    pub(super) fn parse_for_http_api(payload: &[u8]) -> Result<Self, String> {
        let mut members = members(payload)?;
        if members.get("statusCode").is_none_or(Value::is_null) {
            return Err(malformed("statusCode is missing"));
        }
        members.retain(|name, _| HTTP_API_MEMBERS.contains(&name.as_str()));
        Self::of(members)
    }

    fn of(mut members: Map<String, Value>) -> Result<Self, String> {
        let status = match members.remove("statusCode") {
            None | Some(Value::Null) => Some(200),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let status = status
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| FINAL_STATUSES.contains(status))
            .and_then(|status| StatusCode::from_u16(status).ok())
            .ok_or_else(|| malformed("statusCode is no status"))?;
        let body = match members.remove("body") {
            None | Some(Value::Null) => Bytes::new(),
            Some(value) => scalar(value).ok_or_else(|| malformed("body is no text"))?.into(),
        };
        // Java's usual way to write such a member leaves out the `is`; AWS reads that too, and prefers it.
        let (named, short) = (members.remove("isBase64Encoded"), members.remove("base64Encoded"));
        let named = flag(named).ok_or_else(|| malformed("isBase64Encoded is no boolean"))?;
        let short = flag(short).ok_or_else(|| malformed("base64Encoded is no boolean"))?;
        let is_base64 = short.or(named).unwrap_or(false);
        let single = object(members.remove("headers")).ok_or_else(|| malformed("headers is no object"))?;
        let multiple = object(members.remove("multiValueHeaders"))
            .ok_or_else(|| malformed("multiValueHeaders is no object"))?;
        if let Some(name) = members.keys().next() {
            return Err(malformed(&format!("{name} is no member of a response")));
        }
        let headers = merge(single, multiple).map_err(|name| malformed(&format!("the header {name}")))?;
        Ok(Self { status, headers, body, is_base64 })
    }
}

/// What a response of format 1.0 is made of where nothing else counts.
const HTTP_API_MEMBERS: [&str; 5] = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"];

/// A boolean, also one that is written as a text in the two spellings that AWS's parser knows; nothing of nothing.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether it can be read, the inner whether it is there"
)]
pub(super) fn flag(value: Option<Value>) -> Option<Option<bool>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Bool(flag)) => Some(Some(flag)),
        Some(Value::String(text)) => match text.trim() {
            "true" | "True" => Some(Some(true)),
            "false" | "False" => Some(Some(false)),
            "" => Some(None),
            _ => None,
        },
        Some(_) => None,
    }
}

fn malformed(what: &str) -> String {
    format!("Malformed Lambda proxy response: {what}")
}

fn members(payload: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(malformed("it is no object")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn object(value: Option<Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(object)) => Some(object),
        Some(_) => None,
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// `multiValueHeaders` come first and give a name its spelling; `headers` adds its value unless it is there already
/// (recorded).
fn merge(single: Map<String, Value>, multiple: Map<String, Value>) -> Result<Headers, String> {
    let mut headers = Headers::with_capacity(single.len() + multiple.len());
    let mut append = |name: &str, value: Value| {
        let value =
            scalar(value).filter(|value| is_valid_value(value.as_bytes()) && is_valid_name(name.as_bytes()));
        let value = value.ok_or_else(|| name.to_owned())?;
        let spelled = headers.iter().find(|header| header.is(name)).map(|header| header.name.clone());
        let there = headers.get_all(name).any(|known| *known == value.as_bytes());
        if !there {
            headers.append(spelled.unwrap_or_else(|| Bytes::from(name.to_owned())), value);
        }
        Ok::<(), String>(())
    };
    let mut repeated: Vec<(String, Value)> = Vec::new();
    for (name, values) in multiple {
        let Value::Array(values) = values else { return Err(name) };
        repeated.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    for (name, value) in repeated.into_iter().chain(single) {
        append(&name, value)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expected: &str) {
        let shown = match Output::parse(payload.as_bytes()) {
            Err(_) => "malformed".to_owned(),
            Ok(output) => {
                let headers: Vec<_> = output
                    .headers
                    .iter()
                    .map(|header| format!("{}={}", header.name_str(), header.value_str()))
                    .collect();
                let body = String::from_utf8_lossy(&output.body).into_owned();
                format!("{} [{}] {body:?} {}", output.status.as_u16(), headers.join(" "), output.is_base64)
            }
        };
        assert_eq!(shown, expected, "{payload}");
    }

    #[test]
    fn what_aws_takes() {
        check(r#"{"statusCode":200}"#, r#"200 [] "" false"#);
        check("{}", r#"200 [] "" false"#);
        check(r#"{"statusCode":"201","body":"x"}"#, r#"201 [] "x" false"#);
        check(
            r#"{"headers":{"test-header":"value","header-bool":true}}"#,
            r#"200 [test-header=value header-bool=true] "" false"#,
        );
        check(r#"{"statusCode":200,"headers":null}"#, r#"200 [] "" false"#);
        check(r#"{"multiValueHeaders":{"m":["1","2"]}}"#, r#"200 [m=1 m=2] "" false"#);
        check(
            r#"{"multiValueHeaders":{"tesT-Multi":["value-multi"]},"headers":{"test-multi":"value-solo"}}"#,
            r#"200 [tesT-Multi=value-multi tesT-Multi=value-solo] "" false"#,
        );
        check(r#"{"body":"dGVzdA==","isBase64Encoded":true}"#, r#"200 [] "dGVzdA==" true"#);
        check(r#"{"body":"dGVzdA==","base64Encoded":"True"}"#, r#"200 [] "dGVzdA==" true"#);
        check(
            r#"{"body":"dGVzdA==","isBase64Encoded":true,"base64Encoded":false}"#,
            r#"200 [] "dGVzdA==" false"#,
        );
        check(r#"{"body":7}"#, r#"200 [] "7" false"#);
    }

    #[test]
    fn what_aws_refuses() {
        for payload in [
            "",
            "null",
            r#""justAString""#,
            r#"{"statusCode":200,"wrongValue":"value"}"#,
            r#"{"statusCode":"test"}"#,
            r#"{"statusCode":20}"#,
            r#"{"statusCode":100}"#,
            r#"{"statusCode":"101"}"#,
            r#"{"statusCode":600}"#,
            r#"{"multiValueHeaders":{"m":"1"}}"#,
            r#"{"headers":{"h":["1"]}}"#,
            r#"{"headers":{"h":"a\nb"}}"#,
            r#"{"headers":"h"}"#,
            r#"{"body":{"a":1}}"#,
            r#"{"isBase64Encoded":"TRue"}"#,
            r#"{"isBase64Encoded":1}"#,
            r#"{"base64Encoded":"any"}"#,
        ] {
            check(payload, "malformed");
        }
    }

    #[test]
    fn what_http_apis_take() {
        let check = |payload: &str, expected: &str| {
            let output = Output::parse_for_http_api(payload.as_bytes());
            let shown = output.map(|output| format!("{} {}", output.status.as_u16(), output.is_base64));
            assert_eq!(shown.unwrap_or("malformed".to_owned()), expected, "{payload}");
        };
        check(r#"{"statusCode":201}"#, "201 false");
        check(r#"{"statusCode":200,"key":"value","base64Encoded":true}"#, "200 false");
        check(r#"{"statusCode":200,"isBase64Encoded":"true"}"#, "200 true");
        for payload in [r#"{"body":"x"}"#, r#"{"statusCode":null}"#, "{}", r#""x""#, "null"] {
            check(payload, "malformed");
        }
    }
}
