//! How values are printed: as Java's `toString` does, and as JSON within lists out of JSON documents.

use std::fmt::Write as _;

use crate::value::{Key, List, Map, Value};

/// A text that may grow to a limit.
#[derive(Debug)]
pub(crate) struct Output {
    text: String,
    limit: usize,
}

/// The limit has been reached, or a value is nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Bytes,
    Depth,
}

/// The deepest value that is printed. A container that holds itself ends here, as it overflows Java's stack.
const DEPTH_MAX: usize = 450;

impl Output {
    pub(crate) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }

    pub(crate) fn with_capacity(capacity: usize, limit: usize) -> Self {
        Self { text: String::with_capacity(capacity), limit }
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<(), Full> {
        if self.text.len() + text.len() > self.limit {
            return Err(Full::Bytes);
        }
        self.text.push_str(text);
        Ok(())
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// Prints a value as Java does. An object without a text, and a block, print nothing: the renderer sees to both.
    pub(crate) fn value(&mut self, value: &Value) -> Result<(), Full> {
        self.java(value, 0)
    }

    fn java(&mut self, value: &Value, depth: usize) -> Result<(), Full> {
        if depth > DEPTH_MAX {
            return Err(Full::Depth);
        }
        match value {
            Value::Null => self.push("null"),
            Value::Bool(flag) => self.push(if *flag { "true" } else { "false" }),
            Value::Int(number) => self.integer(i64::from(*number)),
            Value::Long(number) => self.integer(*number),
            Value::Double(number) => self.push(&double(*number)),
            Value::String(text) => self.push(text),
            Value::List(list) if list.is_json() => self.json(value, depth),
            Value::List(list) => self.java_list(list, depth),
            Value::Map(map) => self.java_map(map, depth),
            Value::Object(object) => self.push(&object.text().unwrap_or_default()),
            Value::Block(_) => Ok(()),
        }
    }

    fn integer(&mut self, number: i64) -> Result<(), Full> {
        if self.text.len() + 20 > self.limit {
            return self.push(&number.to_string());
        }
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{number}");
        Ok(())
    }

    fn java_list(&mut self, list: &List, depth: usize) -> Result<(), Full> {
        self.push("[")?;
        list.with(|items| {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    self.push(", ")?;
                }
                match item {
                    Value::List(inner) if inner.is_same(list) => self.push("(this Collection)")?,
                    item => self.java(item, depth + 1)?,
                }
            }
            Ok(())
        })?;
        self.push("]")
    }

    fn java_map(&mut self, map: &Map, depth: usize) -> Result<(), Full> {
        self.push("{")?;
        map.with(|entries| {
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    self.push(", ")?;
                }
                self.key(key)?;
                self.push("=")?;
                match value {
                    Value::Map(inner) if inner.is_same(map) => self.push("(this Map)")?,
                    value => self.java(value, depth + 1)?,
                }
            }
            Ok(())
        })?;
        self.push("}")
    }

    fn key(&mut self, key: &Key) -> Result<(), Full> {
        match key {
            Key::String(text) => self.push(text),
            key => self.java(&key.to_value(), 0),
        }
    }

    fn json(&mut self, value: &Value, depth: usize) -> Result<(), Full> {
        if depth > DEPTH_MAX {
            return Err(Full::Depth);
        }
        match value {
            Value::List(list) => {
                self.push("[")?;
                list.with(|items| {
                    for (index, item) in items.iter().enumerate() {
                        if index > 0 {
                            self.push(",")?;
                        }
                        self.json(item, depth + 1)?;
                    }
                    Ok(())
                })?;
                self.push("]")
            }
            Value::Map(map) => {
                self.push("{")?;
                map.with(|entries| {
                    for (index, (key, value)) in entries.iter().enumerate() {
                        if index > 0 {
                            self.push(",")?;
                        }
                        self.json_string(&key.to_value().to_text())?;
                        self.push(":")?;
                        self.json(value, depth + 1)?;
                    }
                    Ok(())
                })?;
                self.push("}")
            }
            Value::String(text) => self.json_string(text),
            Value::Object(object) => self.json_string(&object.text().unwrap_or_default()),
            Value::Block(_) => self.push("null"),
            Value::Double(number) if !number.is_finite() => self.push("null"),
            scalar => self.java(scalar, depth),
        }
    }

    fn json_string(&mut self, text: &str) -> Result<(), Full> {
        self.push(&serde_json::Value::from(text).to_string())
    }
}

impl Value {
    /// The value as Java's `toString` prints it. What contains itself is cut off where Java's stack would overflow.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut output = Output::new(usize::MAX);
        // A value too deep is cut off; there is no other limit.
        let _ = output.value(self);
        output.into_string()
    }
}

/// A double as `Double.toString` prints it: decimal between 0.001 and ten million, otherwise with an exponent.
pub(crate) fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: f64, expected: &str) {
        assert_eq!(double(number), expected);
    }

    #[test]
    fn doubles_print_as_in_java() {
        check(0.0, "0.0");
        check(-0.0, "-0.0");
        check(1.0, "1.0");
        check(0.1, "0.1");
        check(0.001, "0.001");
        check(0.0001, "1.0E-4");
        check(9_999_999.0, "9999999.0");
        check(1e7, "1.0E7");
        check(1.5e-7, "1.5E-7");
        check(-1.25e300, "-1.25E300");
        check(f64::NAN, "NaN");
    }
}
