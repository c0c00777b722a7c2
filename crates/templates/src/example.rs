//! Values to try a method with: the document's own examples, or the least that its schemas ask for.

use serde_json::{Map, Value, json};

/// Schemas may contain themselves; what lies deeper than this is left out.
const DEPTH_MAX: usize = 8;

/// A document as JSON, in which references are followed.
pub(crate) struct Examples(Value);

impl Examples {
    pub(crate) fn new(document: Value) -> Self {
        Self(document)
    }

    /// What a reference points to, or the value itself.
    fn follow<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        for _ in 0..DEPTH_MAX {
            let target = value.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix('#'));
            let Some(found) = target.and_then(|pointer| self.0.pointer(pointer)) else { break };
            value = found;
        }
        value
    }

    /// The parameters of a method, its own first.
    pub(crate) fn parameters(&self, path: &str, method: &str) -> Vec<&Value> {
        let item = self.0.get("paths").and_then(|paths| paths.get(path));
        let operation = item.and_then(|item| item.get(method));
        let lists = [operation, item].into_iter().flatten().filter_map(|place| place.get("parameters"));
        let mut found: Vec<&Value> = Vec::new();
        for one in lists.filter_map(Value::as_array).flatten().map(|one| self.follow(one)) {
            let key = |value: &Value| (value.get("name").cloned(), value.get("in").cloned());
            if !found.iter().any(|other| key(other) == key(one)) {
                found.push(one);
            }
        }
        found
    }

    /// A parameter's example, if the document has one.
    pub(crate) fn given(&self, parameter: &Value) -> Option<String> {
        let schema = parameter.get("schema").map(|schema| self.follow(schema));
        own_example(parameter).or_else(|| own_example(schema?)).map(as_text)
    }

    /// A value for a parameter that has to be sent.
    pub(crate) fn made(&self, parameter: &Value) -> String {
        // In Swagger 2.0 the parameter is its own schema.
        let schema = parameter.get("schema").unwrap_or(parameter);
        self.given(parameter).unwrap_or_else(|| as_text(self.minimal(schema, 0)))
    }

    /// A body for a method: the example, or the least that the schema asks for.
    pub(crate) fn body(&self, path: &str, method: &str) -> Option<Value> {
        let operation = self.0.get("paths")?.get(path)?.get(method)?;
        let in_body = |one: &&Value| one.get("in").and_then(Value::as_str) == Some("body");
        let holder = match operation.get("requestBody") {
            Some(body) => self.follow(body).get("content")?.get("application/json")?,
            None => self.parameters(path, method).into_iter().find(in_body)?,
        };
        let schema = || holder.get("schema").map(|schema| self.follow(schema));
        let given = own_example(holder).or_else(|| own_example(schema()?));
        given.cloned().or_else(|| Some(self.minimal(schema()?, 0)))
    }

    /// The smallest value that a schema is likely to accept.
    fn minimal(&self, schema: &Value, depth: usize) -> Value {
        let schema = self.follow(schema);
        let chosen = own_example(schema)
            .or_else(|| schema.get("default"))
            .or_else(|| schema.get("const"))
            .or_else(|| schema.get("enum")?.get(0));
        if let Some(value) = chosen {
            return value.clone();
        }
        if depth >= DEPTH_MAX {
            return Value::Null;
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(first) = schema.get(choice).and_then(|list| list.get(0)) {
                return self.minimal(first, depth + 1);
            }
        }
        let kind = schema.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
        let least = schema.get("minimum").filter(|least| least.is_number());
        match kind {
            Some("string") => Value::String(text(schema)),
            Some("integer" | "number") => least.cloned().unwrap_or(json!(1)),
            Some("boolean") => Value::Bool(true),
            Some("null") => Value::Null,
            Some("array") => self.items(schema, depth),
            None if schema.get("properties").is_none() && schema.get("allOf").is_none() => json!({}),
            _ => Value::Object(self.object(schema, depth)),
        }
    }

    fn items(&self, schema: &Value, depth: usize) -> Value {
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(10);
        let item = schema.get("items").map_or(json!({}), |items| self.minimal(items, depth + 1));
        Value::Array((0..count).map(|_| item.clone()).collect())
    }

    /// The required properties alone.
    fn object(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let mut object = Map::new();
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            if let Value::Object(members) = self.minimal(part, depth + 1) {
                object.extend(members);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let property = schema.get("properties").and_then(|properties| properties.get(name));
            let value = property.map_or(json!("text"), |property| self.minimal(property, depth + 1));
            object.insert(name.to_owned(), value);
        }
        object
    }
}

/// `example`, or the first of `examples`.
fn own_example(holder: &Value) -> Option<&Value> {
    holder.get("example").or_else(|| match holder.get("examples")? {
        Value::Object(named) => named.values().next()?.get("value"),
        Value::Array(list) => list.first(),
        _ => None,
    })
}

/// A string of the schema's format and length.
fn text(schema: &Value) -> String {
    let sample = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2025-01-01",
        Some("date-time") => "2025-01-01T00:00:00Z",
        Some("email") => "ada@example.com",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("uri") => "https://example.com/",
        _ => "text",
    };
    let bound = |name| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    let least = bound("minLength").unwrap_or(0).min(256);
    let most = bound("maxLength").unwrap_or(usize::MAX);
    let padding = "x".repeat(least.saturating_sub(sample.len()));
    format!("{sample}{padding}").chars().take(most).collect()
}

fn as_text(value: impl std::borrow::Borrow<Value>) -> String {
    match value.borrow() {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A query parameter as it stands in a URL.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_a_schema_asks_for() {
        let check = |schema: Value, expected: Value| {
            let examples = Examples::new(json!({"definitions": {"Self": {
                "type": "object", "required": ["in"], "properties": {"in": {"$ref": "#/definitions/Self"}}
            }}}));
            assert_eq!(examples.minimal(&schema, 0), expected, "{schema}");
        };
        check(
            json!({"type": "object", "required": ["a", "b"], "properties": {
                "a": {"type": "string", "minLength": 6}, "b": {"type": "integer", "minimum": 3}, "c": {"type": "string"}
            }}),
            json!({"a": "textxx", "b": 3}),
        );
        check(json!({"type": "array", "minItems": 2, "items": {"enum": ["x", "y"]}}), json!(["x", "x"]));
        check(json!({"type": "array"}), json!([]));
        check(json!({"type": "string", "format": "date"}), json!("2025-01-01"));
        check(json!({"oneOf": [{"type": "boolean"}, {"type": "string"}]}), json!(true));
        let examples = Examples::new(json!({"$ref": "#"}));
        assert_eq!(examples.minimal(&json!({"$ref": "#"}), 0), json!({}));
        let deep = json!({"in": {"$ref": "#/definitions/Self"}});
        check(
            json!({"required": ["in"], "type": "object", "properties": {"in": {"default": deep}}}),
            json!({"in": deep}),
        );
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(encoded("a b&c=é'"), "a%20b%26c%3D%C3%A9%27");
    }
}
