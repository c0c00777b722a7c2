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

/// How many references of a model to parts of itself are put in place.
const INLINED_MAX: usize = 1000;

/// A model's schema, with its references to other models as the document spells them, and their names noted. What it
/// refers to within itself is put in place: in a document such a reference would lead elsewhere.
pub(super) fn exported(
    schema: &Value,
    dialect: Dialect,
    prefix: &str,
    references: &mut BTreeSet<String>,
) -> Value {
    Model { whole: schema, dialect, prefix, references, within: Vec::new(), left: INLINED_MAX }
        .exported(schema)
}

struct Model<'a> {
    whole: &'a Value,
    dialect: Dialect,
    prefix: &'a str,
    references: &'a mut BTreeSet<String>,
    /// The references that are being put in place, of which none may come up again.
    within: Vec<String>,
    /// How many references may still be put in place: one may stand for many others.
    left: usize,
}

impl Model<'_> {
    fn inlined(&mut self, reference: &str) -> Value {
        let found = reference.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
        let is_within = self.within.iter().any(|one| one == reference);
        let Some(found) = found.filter(|_| !is_within && self.left > 0) else {
            return Value::Object(Map::new());
        };
        self.left -= 1;
        self.within.push(reference.to_owned());
        let schema = self.exported(found);
        self.within.pop();
        schema
    }

    fn exported(&mut self, schema: &Value) -> Value {
        let members = match schema {
            Value::Object(members) => members,
            Value::Array(items) => return items.iter().map(|item| self.exported(item)).collect(),
            other => return other.clone(),
        };
        let reference = members.get("$ref").and_then(Value::as_str);
        if let Some(name) = reference.and_then(model_name) {
            self.references.insert(name.to_owned());
            return serde_json::json!({ "$ref": format!("{}{name}", self.prefix) });
        }
        if let Some(reference) = reference.filter(|reference| reference.starts_with('#')) {
            return self.inlined(reference);
        }
        self.members(members)
    }

    fn members(&mut self, members: &Map<String, Value>) -> Value {
        let order = match self.dialect {
            Dialect::OpenApi3 => OPENAPI3,
            Dialect::Swagger2 => SWAGGER2,
        };
        let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        // What says which JSON Schema it is has no place in an OpenAPI document.
        let kept = members.iter().filter(|(name, _)| !matches!(name.as_str(), "$schema" | "id"));
        let mut sorted: Vec<_> = kept.collect();
        sorted.sort_by_key(|(name, _)| rank(name));
        let mut found = Map::new();
        for (name, value) in sorted {
            let value = match name.as_str() {
                "required" => sorted_names(value),
                data if DATA.contains(&data) || data.starts_with("x-") => value.clone(),
                named if NAMED.contains(&named) => {
                    let schemas = value.as_object().into_iter().flatten();
                    let schemas = schemas.map(|(name, one)| (name.clone(), self.exported(one)));
                    Value::Object(schemas.collect())
                }
                _ => self.exported(value),
            };
            found.insert(name.clone(), value);
        }
        Value::Object(found)
    }
}

/// AWS keeps the names of required members as a sorted set.
fn sorted_names(value: &Value) -> Value {
    let Some(names) = value.as_array() else { return value.clone() };
    let names: Option<BTreeSet<&str>> = names.iter().map(Value::as_str).collect();
    names.map_or_else(|| value.clone(), |names| names.into_iter().collect())
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
        let found = exported(&schema, dialect, "#/definitions/", &mut references);
        assert_eq!(found.to_string(), expected);
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
}
