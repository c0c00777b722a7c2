//! Models as schemas of an exported document.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Dialect;

/// The orders of the libraries that write AWS's exports; what is in neither list comes last, as it stands.
const OPENAPI3: &[&str] = &[
    "title",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "type",
    "not",
    "properties",
    "additionalProperties",
    "description",
    "format",
    "items",
    "enum",
    "default",
];
const SWAGGER2: &[&str] = &[
    "type",
    "format",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "description",
    "title",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "enum",
    "default",
];

/// Keywords whose value is data, not schemas.
const DATA: &[&str] = &["enum", "default", "required", "type"];

/// Keywords whose value maps names to schemas.
const NAMED: &[&str] = &["properties", "patternProperties", "definitions"];

/// How large what references of models to parts of themselves put in place may become in one document.
pub(super) const INLINED_BYTES_MAX: usize = 1024 * 1024;
/// How deep a schema may be nested once that is in place, as JSON anywhere here.
const DEPTH_MAX: usize = 400;

/// Why a schema cannot be exported: what would become too much once its references to parts of itself are in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("its references to parts of itself stand for more than {INLINED_BYTES_MAX} bytes")]
    Bytes,
    #[error("its references to parts of itself nest more than {DEPTH_MAX} deep")]
    Depth,
}

/// A model's schema, with its references to other models as the document spells them, and their names noted. What it
/// refers to within itself is put in place: in a document such a reference would lead elsewhere. `left` is how many
/// bytes may still be put in place, for one reference may stand for many others.
///
/// # Errors
/// [`TooMuch`] if that is not enough.
pub(super) fn exported(
    schema: &Value,
    dialect: Dialect,
    prefix: &str,
    references: &mut BTreeSet<String>,
    left: &mut usize,
) -> Result<Value, TooMuch> {
    Model { whole: schema, dialect, prefix, references, within: Vec::new(), left, depth: 0 }.exported(schema)
}

struct Model<'a> {
    whole: &'a Value,
    dialect: Dialect,
    prefix: &'a str,
    references: &'a mut BTreeSet<String>,
    /// The references that are being put in place, of which none may come up again.
    within: Vec<String>,
    /// How many bytes may still be put in place.
    left: &'a mut usize,
    /// How deep what is being exported is nested.
    depth: usize,
}

impl Model<'_> {
    fn inlined(&mut self, reference: &str) -> Result<Value, TooMuch> {
        let found = reference.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
        let is_within = self.within.iter().any(|one| one == reference);
        let Some(found) = found.filter(|_| !is_within) else {
            return Ok(Value::Object(Map::new()));
        };
        self.within.push(reference.to_owned());
        let schema = self.exported(found);
        self.within.pop();
        schema
    }

    /// Takes what is about to be put in place out of what is left.
    fn take(&mut self, bytes: usize) -> Result<(), TooMuch> {
        if !self.within.is_empty() {
            *self.left = self.left.checked_sub(bytes).ok_or(TooMuch::Bytes)?;
        }
        Ok(())
    }

    fn exported(&mut self, schema: &Value) -> Result<Value, TooMuch> {
        if self.depth == DEPTH_MAX {
            return Err(TooMuch::Depth);
        }
        self.depth += 1;
        let found = self.value(schema);
        self.depth -= 1;
        found
    }

    fn value(&mut self, schema: &Value) -> Result<Value, TooMuch> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Array(items) => {
                self.take(size(items.len()))?;
                return items.iter().map(|item| self.exported(item)).collect();
            }
            other => return self.data(other),
        };
        let reference = members.get("$ref").and_then(Value::as_str);
        if let Some(name) = reference.and_then(model_name) {
            self.take(self.prefix.len() + name.len() + size(1))?;
            self.references.insert(name.to_owned());
            return Ok(serde_json::json!({ "$ref": format!("{}{name}", self.prefix) }));
        }
        if let Some(reference) = reference.filter(|reference| reference.starts_with('#')) {
            return self.inlined(reference);
        }
        self.members(members)
    }

    /// What is no schema, as it is.
    fn data(&mut self, value: &Value) -> Result<Value, TooMuch> {
        self.take(size_of(value))?;
        Ok(value.clone())
    }

    fn members(&mut self, members: &Map<String, Value>) -> Result<Value, TooMuch> {
        let order = match self.dialect {
            Dialect::OpenApi3 => OPENAPI3,
            Dialect::Swagger2 => SWAGGER2,
        };
        let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        // What says which JSON Schema it is has no place in an OpenAPI document.
        let kept = members.iter().filter(|(name, _)| !matches!(name.as_str(), "$schema" | "id"));
        let mut sorted: Vec<_> = kept.collect();
        sorted.sort_by_key(|(name, _)| rank(name));
        self.take(sorted.iter().map(|(name, _)| size(name.len())).sum())?;
        let mut found = Map::new();
        for (name, value) in sorted {
            let value = match name.as_str() {
                "required" => sorted_names(self.data(value)?),
                data if DATA.contains(&data) || data.starts_with("x-") => self.data(value)?,
                named if NAMED.contains(&named) => {
                    let schemas = value.as_object().into_iter().flatten();
                    let schemas = schemas.map(|(name, one)| {
                        self.take(size(name.len()))?;
                        Ok((name.clone(), self.exported(one)?))
                    });
                    Value::Object(schemas.collect::<Result<_, TooMuch>>()?)
                }
                _ => self.exported(value)?,
            };
            found.insert(name.clone(), value);
        }
        Ok(Value::Object(found))
    }
}

/// AWS keeps the names of required members as a sorted set.
fn sorted_names(value: Value) -> Value {
    let names = value.as_array().into_iter().flatten().map(Value::as_str);
    let names: Option<BTreeSet<&str>> = names.collect();
    match names.filter(|_| value.is_array()) {
        Some(names) => names.into_iter().collect(),
        None => value,
    }
}

/// About what a text, a name or a list of this length takes in a document, with its signs.
fn size(length: usize) -> usize {
    length + 4
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => size(text.len()),
        Value::Array(items) => size(items.len()) + items.iter().map(size_of).sum::<usize>(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| size(name.len()) + size_of(value)).sum::<usize>() + size(0)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => size(4),
    }
}

/// The model that an address of AWS's names.
fn model_name(address: &str) -> Option<&str> {
    let path = address.strip_prefix("https://apigateway.amazonaws.com/restapis/")?;
    let (_, name) = path.split_once("/models/")?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(dialect: Dialect, schema: Value, expected: &str, names: &[&str]) {
        let mut references = BTreeSet::new();
        let found = exported(&schema, dialect, "#/definitions/", &mut references, &mut 10_000);
        assert_eq!(found.unwrap().to_string(), expected);
        assert_eq!(references.iter().map(String::as_str).collect::<Vec<_>>(), names);
    }

    #[test]
    fn members_come_in_aws_order() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "title": "Pet", "type": "object", "properties": {
                "price": {"type": "number", "minimum": 1, "maximum": 2},
                "title": {"$ref": "https://apigateway.amazonaws.com/restapis/a1/models/Title"},
            },
            "required": ["title", "price"],
        });
        let swagger = r##"{"type":"object","required":["price","title"],"properties":{"price":{"type":"number","minimum":1,"maximum":2},"title":{"$ref":"#/definitions/Title"}},"title":"Pet"}"##;
        check(Dialect::Swagger2, schema.clone(), swagger, &["Title"]);
        let openapi = r##"{"title":"Pet","required":["price","title"],"type":"object","properties":{"price":{"maximum":2,"minimum":1,"type":"number"},"title":{"$ref":"#/definitions/Title"}}}"##;
        check(Dialect::OpenApi3, schema, openapi, &["Title"]);
        let local = json!({"definitions": {"a": {"items": {"$ref": "#/definitions/a"}}}, "not": {"$ref": "#/definitions/a"}});
        let expected = r#"{"not":{"items":{}},"definitions":{"a":{"items":{"items":{}}}}}"#;
        check(Dialect::OpenApi3, local, expected, &[]);
        // Members that are named like keywords are members, and data is data.
        let odd = json!({"enum": [{"required": ["b", "a"]}], "properties": {"enum": {"minimum": 1, "type": "string"}}});
        let expected =
            r#"{"properties":{"enum":{"type":"string","minimum":1}},"enum":[{"required":["b","a"]}]}"#;
        check(Dialect::Swagger2, odd, expected, &[]);
    }

    /// A schema whose definition `n` has these members, in which REF stands for a reference to definition `n + 1`.
    fn chain(length: usize, members: &str) -> Value {
        let one = |n: usize| {
            let next = format!(r##"{{"$ref": "#/definitions/d{}"}}"##, n + 1);
            (format!("d{n}"), serde_json::from_str(&members.replace("REF", &next)).unwrap())
        };
        let definitions: Map<String, Value> = (0..length).map(one).collect();
        json!({"definitions": definitions, "not": {"$ref": "#/definitions/d0"}})
    }

    #[test]
    fn references_that_stand_for_too_much_are_refused() {
        let outcome = |schema: &Value, mut left: usize| {
            exported(schema, Dialect::OpenApi3, "#", &mut BTreeSet::new(), &mut left).map(|_| ())
        };
        let doubling = chain(60, r#"{"properties": {"a": REF, "b": REF}}"#);
        assert_eq!(outcome(&doubling, 50_000), Err(TooMuch::Bytes));
        let long = format!(r#"{{"enum": ["{}"], "allOf": [REF, REF]}}"#, "x".repeat(100_000));
        assert_eq!(outcome(&chain(10, &long), INLINED_BYTES_MAX), Err(TooMuch::Bytes));
        assert_eq!(outcome(&chain(500, r#"{"not": REF}"#), INLINED_BYTES_MAX), Err(TooMuch::Depth));
        // Only what is put in place counts.
        let plain = json!({"enum": ["x".repeat(1000)]});
        assert_eq!(outcome(&plain, 0), Ok(()));
        let twice = json!({"definitions": {"a": plain}, "items": [{"$ref": "#/definitions/a"}, {"$ref": "#/definitions/a"}]});
        assert_eq!((outcome(&twice, 1500), outcome(&twice, 2100)), (Err(TooMuch::Bytes), Ok(())));
    }
}
