//! Values as they stand in the text: each with its position.
//!
//! Numbers keep their spelling. A version `1.10` must not become `1.1`, and an account id with a leading zero is no
//! octal number.

use std::fmt;

use indexmap::IndexMap;

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A value and where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, or nothing at all in YAML.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is spelt.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// Members in the order of the text.
    Map(Map),
}

/// Members in the order of the text.
pub type Map = IndexMap<String, Entry>;

/// A member of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where its key stands.
    pub key_at: Position,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A scalar as text, whatever type YAML gave it: `200` and `"200"` are the same status code.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::String(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The same as JSON, without positions. A number that JSON cannot spell becomes a string.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(text) => number(text),
            Value::String(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(map) => serde_json::Value::Object(
                map.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect(),
            ),
        }
    }

    /// What it is, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }
}

/// A number's spelling as a JSON value.
fn number(text: &str) -> serde_json::Value {
    let plain = text.strip_prefix('+').unwrap_or(text);
    serde_json::from_str::<serde_json::Number>(plain)
        .or_else(|_| {
            // YAML also writes `.5` and `1.`, which JSON does not.
            let starts_ok = plain.starts_with('.') || plain.ends_with('.');
            let value = if starts_ok { plain.parse::<f64>().ok() } else { None };
            value.and_then(serde_json::Number::from_f64).ok_or(())
        })
        .map_or_else(|()| serde_json::Value::String(text.to_owned()), serde_json::Value::Number)
}

/// A path in a document: `paths./orders.post.x-amazon-apigateway-integration.uri`. Items of lists are numbers from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DocPath(Vec<String>);

impl DocPath {
    /// The path of the document itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of a member.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        let mut parts = Vec::with_capacity(self.0.len() + 1);
        parts.extend(self.0.iter().cloned());
        parts.push(key.to_owned());
        Self(parts)
    }

    /// Its parts, from the root.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl From<Vec<String>> for DocPath {
    fn from(parts: Vec<String>) -> Self {
        Self(parts)
    }
}

impl fmt::Display for DocPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("."))
    }
}
