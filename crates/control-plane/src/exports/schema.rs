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

/// A model's schema, with its references to other models as the document spells them, and their names noted.
pub(super) fn exported(
    schema: &Value,
    dialect: Dialect,
    prefix: &str,
    references: &mut BTreeSet<String>,
) -> Value {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(Value::as_str).and_then(model_name) {
                references.insert(name.to_owned());
                return serde_json::json!({ "$ref": format!("{prefix}{name}") });
            }
            let order = match dialect {
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
                        let schemas = schemas
                            .map(|(name, one)| (name.clone(), exported(one, dialect, prefix, references)));
                        Value::Object(schemas.collect())
                    }
                    _ => exported(value, dialect, prefix, references),
                };
                found.insert(name.clone(), value);
            }
            Value::Object(found)
        }
        Value::Array(items) => items.iter().map(|item| exported(item, dialect, prefix, references)).collect(),
        other => other.clone(),
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
        // Members that are named like keywords are members, and data is data.
        let odd = json!({"enum": [{"required": ["b", "a"]}], "properties": {"enum": {"minimum": 1, "type": "string"}}});
        let expected =
            r#"{"properties":{"enum":{"type":"string","minimum":1}},"enum":[{"required":["b","a"]}]}"#;
        check(Dialect::Swagger2, odd, expected, &[]);
    }
}
