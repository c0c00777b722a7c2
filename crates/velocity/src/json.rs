//! Values from JSON and back.

use std::io;

use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Number, Value as Json};

use crate::text::double;
use crate::value::{Key, List, Map, Value};

/// Deeper values than this become `null` in JSON: only a container that holds itself is so deep.
const DEPTH_MAX: usize = 450;

impl Value {
    /// The value Java's JSON parsers make: `LinkedHashMap`s, JSON lists, the narrowest number type that fits.
    #[must_use]
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => number_from_json(number),
            Json::String(text) => Self::string(text.as_str()),
            Json::Array(items) => Self::List(List::json(items.iter().map(Self::from_json).collect())),
            Json::Object(entries) => Self::Map(
                entries.iter().map(|(key, value)| (key.as_str(), Self::from_json(value))).collect::<Map>(),
            ),
        }
    }

    /// The value as JSON. A block, an object and what is nested more than 450 deep become their text or `null`;
    /// doubles JSON cannot write become `null`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.to_json_within(0)
    }

    fn to_json_within(&self, depth: usize) -> Json {
        if depth > DEPTH_MAX {
            return Json::Null;
        }
        match self {
            Self::Null | Self::Block(_) => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(number) => Json::from(*number),
            Self::Long(number) => Json::from(*number),
            Self::Double(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Self::String(text) => Json::String(text.to_string()),
            Self::List(list) => list
                .with(|items| Json::Array(items.iter().map(|item| item.to_json_within(depth + 1)).collect())),
            Self::Map(map) => map.with(|entries| {
                let entry = |(key, value): (&Key, &Value)| {
                    (key.to_value().to_text(), value.to_json_within(depth + 1))
                };
                Json::Object(entries.iter().map(entry).collect())
            }),
            Self::Object(object) => object.text().map_or(Json::Null, Json::String),
        }
    }
}

/// JSON as Java's writers print it: as short as can be, with doubles as Java prints them (`1.0E30`).
#[must_use]
pub fn json_text(json: &Json) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = json.serialize(&mut Serializer::with_formatter(&mut text, JavaNumbers));
    String::from_utf8(text).unwrap_or_default()
}

struct JavaNumbers;

impl Formatter for JavaNumbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        writer.write_all(double(number).as_bytes())
    }
}

fn number_from_json(number: &Number) -> Value {
    match number.as_i64() {
        Some(integer) => Value::integer(integer),
        None => number.as_f64().map_or(Value::Null, Value::Double),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_printed_as_in_java() {
        let check = |text: &str, expected: &str| {
            assert_eq!(json_text(&serde_json::from_str(text).unwrap()), expected, "{text}");
        };
        check(
            "{ \"a\": [1, 2.50, 1e30, 1e-7, -0.0, 9007199254740993] }",
            "{\"a\":[1,2.5,1.0E30,1.0E-7,-0.0,9007199254740993]}",
        );
        check("\"é\\u2028<\\n\\\"\"", "\"é\u{2028}<\\n\\\"\"");
        check("[null, true, {}]", "[null,true,{}]");
    }
}
