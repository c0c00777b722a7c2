//! Values from JSON and back.

use serde_json::{Number, Value as Json};

use crate::value::{Key, List, Map, Value};

/// Deeper values than this become `null` in JSON: only a container that holds itself is so deep.
const DEPTH_MAX: usize = 256;

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

    /// The value as JSON. A block, an object and what is nested more than 256 deep become their text or `null`;
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

fn number_from_json(number: &Number) -> Value {
    match number.as_i64() {
        Some(integer) => Value::integer(integer),
        None => number.as_f64().map_or(Value::Null, Value::Double),
    }
}
