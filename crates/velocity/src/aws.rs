//! `$util`, the object of API Gateway's that needs nothing of the gateway.
//!
//! `$input`, `$context` and `$stageVariables` are the embedder's; `tests/input.rs` shows how `$input` is made.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use percent_encoding::percent_decode_str;

use crate::{Object, RenderError, Value};

/// `$util`: `escapeJavaScript`, `parseJson`, `urlEncode`, `urlDecode`, `base64Encode` and `base64Decode`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Util;

impl Object for Util {
    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        let [argument] = arguments else { return None };
        let text = || argument.to_text();
        Some(match method {
            "escapeJavaScript" => Ok(escape_javascript(&text()).into()),
            "parseJson" => parse_json(&text()),
            // Of nothing AWS makes nothing (recorded), not the word.
            "urlEncode" if matches!(argument, Value::Null) => Ok("".into()),
            "urlEncode" => Ok(url_encode(&text()).into()),
            "urlDecode" => url_decode(&text()).map(Value::from),
            "base64Encode" => Ok(STANDARD.encode(text()).into()),
            "base64Decode" => base64_decode(&text()).map(Value::from),
            _ => return None,
        })
    }
}

/// Escapes a text for a JavaScript string, single quotes and slashes included, as Apache Commons Lang's
/// `escapeJavaScript` does; a single quote therefore makes invalid JSON, which AWS documents.
#[must_use]
pub fn escape_javascript(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '\u{8}' => out.push_str("\\b"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\'' | '"' | '\\' | '/' => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

fn parse_json(text: &str) -> Result<Value, RenderError> {
    serde_json::from_str(text).map(|json| Value::from_json(&json)).map_err(|error| {
        RenderError::host(format!("$util.parseJson was given a text that is no JSON: {error}"))
    })
}

/// Form encoding, as `java.net.URLEncoder` does it: a space becomes `+`.
fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn url_decode(text: &str) -> Result<String, RenderError> {
    let spaced = text.replace('+', " ");
    let bytes = spaced.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        let digits = bytes.get(at + 1..at + 3);
        *byte == b'%' && !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return Err(RenderError::host("$util.urlDecode was given a text with an incomplete % escape"));
    }
    Ok(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn base64_decode(text: &str) -> Result<String, RenderError> {
    // Like Java's decoder: padding may be missing, trailing bits are ignored.
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let bytes = GeneralPurpose::new(&alphabet::STANDARD, config).decode(text).map_err(|error| {
        RenderError::host(format!("$util.base64Decode was given a text that is no base64: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, argument: &str, expected: &str) {
        let result = Util.call(method, &[Value::from(argument)]);
        assert_eq!(
            result.map(|value| value.map(|value| value.to_text())),
            Some(Ok(expected.to_owned())),
            "{method}"
        );
    }

    #[test]
    fn util_does_what_java_does() {
        check(
            "escapeJavaScript",
            "He said \"it's\" a/b\\\n\u{e9}\u{1F600}",
            r#"He said \"it\'s\" a\/b\\\n\u00E9\uD83D\uDE00"#,
        );
        check("urlEncode", "a b&c=é*~", "a+b%26c%3D%C3%A9*%7E");
        check("urlDecode", "a+b%26c%3D%C3%A9", "a b&c=é");
        check("base64Encode", "hello", "aGVsbG8=");
        check("base64Decode", "aGVsbG8=", "hello");
        check("base64Decode", "aGVsbG8", "hello");
        check("parseJson", r#"{"a":[1,"x"],"b":{"c":null}}"#, r#"{a=[1,"x"], b={c=null}}"#);
    }

    #[test]
    fn nothing_is_encoded_as_nothing() {
        let result = Util.call("urlEncode", &[Value::Null]);
        assert_eq!(result.map(|value| value.map(|value| value.to_text())), Some(Ok(String::new())));
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        for (method, argument) in [("parseJson", "{"), ("urlDecode", "%4"), ("base64Decode", "!")] {
            assert!(
                Util.call(method, &[Value::from(argument)]).is_some_and(|result| result.is_err()),
                "{method}"
            );
        }
        assert!(Util.call("none", &[Value::Null]).is_none());
    }
}
