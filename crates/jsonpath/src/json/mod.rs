//! Reading JSON as Java's parsers do.
//!
//! Nearly every text is JSON as `serde_json` reads it, and then that is all. What it refuses is read again: [`read`]
//! takes what Jackson takes (half of a surrogate pair, numbers beyond a double's range, deep nesting), and
//! [`read_leniently`] what Jayway's own parser takes, json-smart in its permissive mode: names and texts without quotes,
//! single quotes, commas too many. To it a form (`a=1&b=2`) is one text, which mapping templates rely on.
//!
//! Half of a surrogate pair becomes `?`, which is what Java writes for it. Numbers beyond a double's range become the
//! largest double. What is nested deeper than [`DEPTH_MAX`] is refused by both.

mod lenient;
mod strict;

use serde_json::{Number, Value};

/// How deep lists and objects may be nested, as in json-smart.
pub const DEPTH_MAX: usize = 400;

/// Reads JSON as Jackson does.
///
/// # Errors
/// What Jackson says is wrong where.
pub fn read(text: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(text) {
        Ok(value) => Ok(value),
        Err(_) => strict::read(text),
    }
}

/// Reads JSON, and what resembles it, as Jayway does. What is no UTF-8 is read with replacement characters.
///
/// # Errors
/// A sentence that says what is wrong where.
pub fn read_leniently(text: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(text) {
        Ok(value) => Ok(value),
        // A mark of the byte order is no text, as it is none to the strict reader.
        Err(_) => lenient::read(&String::from_utf8_lossy(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text))),
    }
}

/// An integer, or the double next to one that is too long.
fn integer(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(number) => Some(Value::from(number)),
        Err(_) => double(text),
    }
}

fn double(text: &str) -> Option<Value> {
    let number: f64 = text.parse().ok()?;
    let number = number.clamp(f64::MIN, f64::MAX);
    Number::from_f64(number).map(Value::Number)
}

/// Collects the characters of a Java text, which come in units of 16 bits.
#[derive(Default)]
struct Text {
    text: String,
    /// The first half of a pair whose second has not come yet.
    half: Option<u16>,
}

impl Text {
    fn push(&mut self, part: &str) {
        if !part.is_empty() {
            self.end_half();
            self.text.push_str(part);
        }
    }

    fn push_unit(&mut self, unit: u16) {
        if let Some(half) = self.half.take() {
            if let Some(Ok(character)) = char::decode_utf16([half, unit]).next() {
                return self.text.push(character);
            }
            self.text.push('?');
        }
        match char::from_u32(u32::from(unit)) {
            Some(character) => self.text.push(character),
            None if unit < 0xDC00 => self.half = Some(unit),
            None => self.text.push('?'),
        }
    }

    fn end_half(&mut self) {
        if self.half.take().is_some() {
            self.text.push('?');
        }
    }

    fn finish(mut self) -> String {
        self.end_half();
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_both_read() {
        let check = |text: &str, expected: Value| {
            assert_eq!(read(text.as_bytes()), Ok(expected.clone()), "{text}");
            assert_eq!(read_leniently(text.as_bytes()), Ok(expected), "{text}");
        };
        check(r#"{"a": [1, "x", null]}"#, json!({"a": [1, "x", null]}));
        check(r#""\ud800""#, json!("?"));
        check(
            r#"["\ud83d\ude00", "\ude00\ud83d", "\ud83dx\ud83d\ud83d\ude00"]"#,
            json!(["😀", "??", "?x?😀"]),
        );
        check("[1e400, -1e400, 1e-400]", json!([f64::MAX, f64::MIN, 0.0]));
        check(r#"{"é": "\ud800é\n"}"#, json!({"é": "?é\n"}));
        let mut deep = json!([]);
        for _ in 1..DEPTH_MAX {
            deep = json!([deep]);
        }
        check(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)), deep);
    }

    #[test]
    fn what_neither_reads() {
        let brackets = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        let braces = r#"{"a":"#.repeat(100_000);
        for text in ["", "{", "[1,", "{\"a\"", "{\"a\":1]", "}", ":", "\"a", &brackets, &braces] {
            assert!(read(text.as_bytes()).is_err(), "{text:.20}");
            assert!(read_leniently(text.as_bytes()).is_err(), "{text:.20}");
        }
    }

    #[test]
    fn what_jackson_says() {
        let check = |text: &str, expected: &str| {
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error, expected, "{text}");
        };
        let source = |text: &str| format!("[Source: (byte[])\"{text}\"; line: 1, column: ");
        let wanted = "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
        let at = source("token=x&a=b");
        check("token=x&a=b", &format!("Unrecognized token 'token': {wanted}\n at {at}7]"));
        let at = source("--x");
        let digit = "expected digit (0-9) to follow minus sign, for valid numeric value";
        check("--x", &format!("Unexpected character ('-' (code 45)) in numeric value: {digit}\n at {at}3]"));
        let at = source(r#"{"a":1 "b"}"#);
        let comma = "was expecting comma to separate Object entries";
        check(r#"{"a":1 "b"}"#, &format!("Unexpected character ('\"' (code 34)): {comma}\n at {at}9]"));
        let at = source(r#"{,}"#);
        let name = "was expecting double-quote to start field name";
        check("{,}", &format!("Unexpected character (',' (code 44)): {name}\n at {at}3]"));
        let long = format!("\"{}", "x".repeat(600));
        assert!(
            read(long.as_bytes()).unwrap_err().contains("\"[truncated 101 bytes]; line: 1, column: 602]")
        );
    }

    proptest! {
        /// Whatever comes is read or refused.
        #[test]
        fn anything_is_read_or_refused(text in any::<Vec<u8>>(), pieces in "[\\[\\]{}:,'\"a1e. \\\\u-]{0,40}") {
            for text in [&text[..], pieces.as_bytes()] {
                let _ = (read(text), read_leniently(text));
            }
        }
    }
}
