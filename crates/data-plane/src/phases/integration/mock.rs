//! `MOCK`: the request's template says which status to pretend, and the response's templates do the rest.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::transformation::{IntegrationAnswer, Selector};
use crate::plan::integration::MockIntegration;

/// AWS's words for a template that makes no object.
const UNREADABLE: &str = "Unable to parse statusCode";
/// AWS's words for an object without a status, or with one that is no integer.
const NO_INTEGER: &str = "statusCode should be an integer which defined in request template";

/// Reads the status out of what the request's template made.
///
/// # Errors
/// 500 if there is no `statusCode`, or none that is an integer.
pub(super) fn run(exchange: &mut Exchange<'_>, _mock: &MockIntegration) -> Result<(), Fault> {
    let body = std::mem::take(&mut exchange.integration_request.body);
    let status = status_code(&body)
        .map_err(|words| Fault::configuration(words).logged_as_configuration_error(words))?;
    // Templates of the response see an answer without a body: what they need of the request's, the request's template has
    // to leave in `$context.requestOverride`. In WebSocket APIs they see the message.
    let body = if exchange.socket.is_some() { exchange.read_body() } else { Bytes::new() };
    // AWS takes any integer, which patterns are compared with all the same.
    let known = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let selector = known.map_or_else(|| Selector::ErrorMessage(status.to_string()), Selector::Status);
    exchange.integration_answer =
        Some(IntegrationAnswer { selector: Some(selector), body, ..IntegrationAnswer::default() });
    Ok(())
}

/// The `statusCode` of an object that need not be strict JSON: AWS takes names without quotes and a comma too many.
fn status_code(body: &[u8]) -> Result<i64, &'static str> {
    // The way it is nearly always written.
    let usual = body.strip_prefix(br#"{"statusCode": "#).and_then(|rest| rest.strip_suffix(b"}"));
    if let Some(digits @ [b'1'..=b'9', _, _]) = usual
        && let Ok(status) = StatusCode::from_bytes(digits)
    {
        return Ok(status.as_u16().into());
    }
    let text = std::str::from_utf8(body).map_err(|_| UNREADABLE)?.trim();
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => {
            return members.get("statusCode").and_then(Value::as_i64).ok_or(NO_INTEGER);
        }
        Ok(_) => return Err(UNREADABLE),
        Err(_) => {}
    }
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or(UNREADABLE)?;
    let mut rest = inside;
    loop {
        let at = rest.find("statusCode").ok_or(NO_INTEGER)?;
        rest = rest.get(at + "statusCode".len()..).ok_or(NO_INTEGER)?;
        let value = rest.trim_start_matches(['"', '\'']).trim_start();
        let Some(value) = value.strip_prefix(':') else { continue };
        let end = value.find(',').unwrap_or(value.len());
        return value.get(..end).and_then(|value| value.trim().parse().ok()).ok_or(NO_INTEGER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes() {
        let check = |body: &str, expected: Result<i64, &str>| {
            assert_eq!(status_code(body.as_bytes()), expected, "{body}");
        };
        check(r#"{"statusCode": 200}"#, Ok(200));
        check("\n{\n  \"statusCode\": 201\n}\n", Ok(201));
        check("{statusCode: 404}", Ok(404));
        check("{ statusCode : 204 , }", Ok(204));
        check(r#"{'statusCode': 500,}"#, Ok(500));
        check(r#"{"a": "statusCode", "statusCode":302}"#, Ok(302));
        check(r#"{a: "statusCode", statusCode:302}"#, Ok(302));
        check(r#"{"statusCode": 99}"#, Ok(99));
        check(r#"{"statusCode": -1000}"#, Ok(-1000));
        for body in [
            r#"{"statusCode": "200"}"#,
            "{statusCode: '200'}",
            r#"{"statusCode": 200.5}"#,
            r#"{"status": 200}"#,
            "{}",
        ] {
            check(body, Err(NO_INTEGER));
        }
        for body in [r#"{"statusCode": 200"#, "statusCode: 200", "[]", "null", "200", ""] {
            check(body, Err(UNREADABLE));
        }
    }
}
