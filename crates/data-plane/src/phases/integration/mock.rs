//! `MOCK`: the request's template says which status to pretend, and the response's templates do the rest.

use bytes::Bytes;
use http::StatusCode;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::transformation::{IntegrationAnswer, Selector};
use crate::plan::integration::MockIntegration;

/// Reads the status out of what the request's template made.
///
/// # Errors
/// 500 if there is no `statusCode`.
pub(super) fn run(exchange: &mut Exchange<'_>, _mock: &MockIntegration) -> Result<(), Fault> {
    let body = std::mem::take(&mut exchange.integration_request.body);
    let status = status_code(&body).ok_or_else(|| Fault::configuration("Unable to parse statusCode"))?;
    // Templates of the response see an answer without a body: what they need of the request's, the request's template has
    // to leave in `$context.requestOverride`. In WebSocket APIs they see the message.
    let body = if exchange.socket.is_some() { exchange.read_body() } else { Bytes::new() };
    let selector = Some(Selector::Status(status));
    exchange.integration_answer = Some(IntegrationAnswer { selector, body, ..IntegrationAnswer::default() });
    Ok(())
}

/// The `statusCode` of an object that need not be strict JSON: AWS takes names without quotes and a comma too many.
fn status_code(body: &[u8]) -> Option<StatusCode> {
    // The way it is nearly always written.
    let usual = body.strip_prefix(br#"{"statusCode": "#).and_then(|rest| rest.strip_suffix(b"}"));
    if let Some(digits @ [_, _, _]) = usual
        && let Ok(status) = StatusCode::from_bytes(digits)
    {
        return Some(status);
    }
    let text = std::str::from_utf8(body).ok()?;
    let inside = text.trim().strip_prefix('{')?;
    let mut rest = inside;
    loop {
        let at = rest.find("statusCode")?;
        rest = rest.get(at + "statusCode".len()..)?;
        let value = rest.trim_start_matches(['"', '\'']).trim_start();
        let Some(value) = value.strip_prefix(':') else { continue };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        return StatusCode::from_u16(value.get(..end)?.parse().ok()?).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes() {
        let check = |body: &str, expected: Option<u16>| {
            assert_eq!(status_code(body.as_bytes()).map(|status| status.as_u16()), expected, "{body}");
        };
        check(r#"{"statusCode": 200}"#, Some(200));
        check("\n{\n  \"statusCode\": 201\n}\n", Some(201));
        check("{statusCode: 404}", Some(404));
        check(r#"{'statusCode': "500",}"#, Some(500));
        check(r#"{"a": "statusCode", "statusCode":302}"#, Some(302));
        check(r#"{"statusCode": "x"}"#, None);
        check(r#"{"statusCode": 99}"#, None);
        check(r#"{"status": 200}"#, None);
        check("statusCode: 200", None);
        check("", None);
    }
}
