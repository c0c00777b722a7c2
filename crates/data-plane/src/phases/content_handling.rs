//! Conversions between text and binary payloads (the developer guide's two tables).
//!
//! A payload is binary if its media type is one of the API's binary media types. *Text* is base64 of binary, whenever
//! one is asked for in place of the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stagedoor_shapes::apigateway::ContentHandlingStrategy as Handling;

use crate::gateway_response::Fault;

/// Converts a request's payload for the integration.
///
/// # Errors
/// 500 if text that is to become binary is no base64.
pub fn request(body: Bytes, is_binary: bool, handling: Option<Handling>) -> Result<Bytes, Fault> {
    match (is_binary, handling) {
        (true, Some(Handling::ConvertToText)) => Ok(encode(&body)),
        (true, _) => Ok(body),
        (false, Some(Handling::ConvertToBinary)) => decode(&body),
        (false, _) => Ok(text(body)),
    }
}

/// Converts an integration's payload for the client, who accepts binary or not.
///
/// # Errors
/// 500 if text that is to become binary is no base64.
pub fn response(
    body: Bytes,
    is_binary: bool,
    accepts_binary: bool,
    handling: Option<Handling>,
) -> Result<Bytes, Fault> {
    match (is_binary, accepts_binary, handling) {
        (false, _, Some(Handling::ConvertToBinary)) | (false, true, None) => decode(&body),
        (false, _, Some(Handling::ConvertToText)) | (false, false, None) => Ok(text(body)),
        (true, _, Some(Handling::ConvertToBinary)) | (true, true, None) => Ok(body),
        (true, _, Some(Handling::ConvertToText)) | (true, false, None) => Ok(encode(&body)),
    }
}

/// Decodes base64.
///
/// # Errors
/// 500 if it is none.
pub fn decode(text: &[u8]) -> Result<Bytes, Fault> {
    STANDARD.decode(text.trim_ascii()).map(Bytes::from).map_err(|error| {
        Fault::configuration(format!(
            "Execution failed due to configuration error: Unable to base64 decode the body: {error}"
        ))
    })
}

fn encode(binary: &[u8]) -> Bytes {
    STANDARD.encode(binary).into()
}

/// Text is UTF-8; bytes that are not are lost, as they are on AWS.
fn text(body: Bytes) -> Bytes {
    match std::str::from_utf8(&body) {
        Ok(_) => body,
        Err(_) => String::from_utf8_lossy(&body).into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO_BINARY: Option<Handling> = Some(Handling::ConvertToBinary);
    const TO_TEXT: Option<Handling> = Some(Handling::ConvertToText);

    #[test]
    fn requests() {
        let check = |body: &'static [u8], is_binary: bool, handling, expected: Result<&str, ()>| {
            let found = request(Bytes::from_static(body), is_binary, handling).map_err(|_| ());
            assert_eq!(found, expected.map(|text| Bytes::from(text.to_owned())), "{is_binary} {handling:?}");
        };
        check(b"YWI=", false, None, Ok("YWI="));
        check(b"YWI=", false, TO_BINARY, Ok("ab"));
        check(b"a b", false, TO_BINARY, Err(()));
        check(b"YWI=", false, TO_TEXT, Ok("YWI="));
        check(b"\xff", false, None, Ok("\u{fffd}"));
        check(b"ab", true, None, Ok("ab"));
        check(b"ab", true, TO_BINARY, Ok("ab"));
        check(b"ab", true, TO_TEXT, Ok("YWI="));
    }

    #[test]
    fn responses() {
        let check = |is_binary: bool, accepts: bool, handling, expected: &str| {
            let body = Bytes::from_static(if is_binary { b"ab" } else { b"YWI=" });
            let found = response(body, is_binary, accepts, handling).unwrap();
            assert_eq!(found, expected, "{is_binary} {accepts} {handling:?}");
        };
        check(false, false, None, "YWI=");
        check(false, false, TO_BINARY, "ab");
        check(false, false, TO_TEXT, "YWI=");
        check(false, true, None, "ab");
        check(false, true, TO_BINARY, "ab");
        check(false, true, TO_TEXT, "YWI=");
        check(true, false, None, "YWI=");
        check(true, false, TO_BINARY, "ab");
        check(true, false, TO_TEXT, "YWI=");
        check(true, true, None, "ab");
        check(true, true, TO_BINARY, "ab");
        check(true, true, TO_TEXT, "YWI=");
    }
}
