//! Whether a model's schema is one that AWS takes: JSON Schema draft 4 and nothing else in it, and references only to
//! models that are there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The keywords of draft 4.
const KEYWORDS: &[&str] = &[
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "definitions",
    "dependencies",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
];

const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// Where a reference to another model points.
const CANONICAL: &str = "https://apigateway.amazonaws.com/restapis/";

/// What is wrong with a schema.
#[derive(Default)]
struct Found {
    invalid: bool,
    unsupported: BTreeSet<String>,
    not_canonical: bool,
    models: BTreeSet<String>,
}

/// What AWS says is wrong with a schema. `is_model` tells whether there is a model of a name.
pub(crate) fn errors(schema: &Value, is_model: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Found::default();
    found.schema(schema);
    let mut errors = Vec::new();
    if found.invalid {
        errors.push("Invalid model schema specified".to_owned());
    } else if !found.unsupported.is_empty() {
        let names: Vec<String> = found.unsupported.iter().map(|name| format!("\"{name}\"")).collect();
        errors.push(format!("Invalid model schema specified. Unsupported keyword(s): [{}]", names.join(",")));
    }
    if found.not_canonical {
        errors.push("Model reference must be in canonical form".to_owned());
    }
    let missing = found.models.iter().filter(|name| !is_model(name));
    errors.extend(missing.map(|name| format!("Invalid model specified: {name}")));
    errors
}

/// The way to the first keyword in a schema that is none, and `None` if there is no such keyword.
pub(crate) fn unsupported(schema: &Value) -> Option<Vec<String>> {
    let under = |name: &str, below: Option<Vec<String>>| {
        below.map(|way| std::iter::once(name.to_owned()).chain(way).collect())
    };
    for (name, value) in schema.as_object()? {
        let found = match (name.as_str(), value) {
            ("properties" | "patternProperties" | "definitions" | "dependencies", Value::Object(schemas)) => {
                let mut below = schemas.iter().map(|(key, one)| under(key, unsupported(one)));
                under(name, below.find_map(|found| found))
            }
            ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(schemas)) => {
                let mut below = schemas
                    .iter()
                    .enumerate()
                    .map(|(index, one)| under(&index.to_string(), unsupported(one)));
                under(name, below.find_map(|found| found))
            }
            ("items" | "not" | "additionalProperties" | "additionalItems", _) => {
                under(name, unsupported(value))
            }
            (known, _) if KEYWORDS.contains(&known) => None,
            (other, _) => Some(vec![other.to_owned()]),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

impl Found {
    /// A schema inside another is only as deep as JSON may be, so this ends.
    fn schema(&mut self, schema: &Value) {
        let Some(members) = schema.as_object() else {
            self.invalid = true;
            return;
        };
        if let Some(reference) = members.get("$ref") {
            self.reference(reference);
        }
        for (name, value) in members {
            if KEYWORDS.contains(&name.as_str()) {
                self.keyword(name, value);
            } else {
                self.unsupported.insert(name.clone());
            }
        }
    }

    fn reference(&mut self, reference: &Value) {
        let Some(reference) = reference.as_str() else {
            self.invalid = true;
            return;
        };
        if reference.starts_with('#') {
            return;
        }
        let model = reference.strip_prefix(CANONICAL).and_then(|path| path.split_once("/models/"));
        match model {
            Some((_, name)) => drop(self.models.insert(name.to_owned())),
            None => self.not_canonical = true,
        }
        // What is no address at all is no schema either.
        self.invalid |=
            reference.contains(|letter: char| letter.is_whitespace() || "{}<>\"".contains(letter));
    }

    fn keyword(&mut self, name: &str, value: &Value) {
        let valid = match name {
            "type" => is_type(value),
            "required" => names(value),
            "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
            "properties" | "patternProperties" | "definitions" => self.schemas(value.as_object()),
            "allOf" | "anyOf" | "oneOf" => {
                let list = value.as_array().filter(|list| !list.is_empty());
                list.into_iter().flatten().for_each(|one| self.schema(one));
                list.is_some()
            }
            "items" if value.is_array() => {
                value.as_array().into_iter().flatten().for_each(|one| self.schema(one));
                true
            }
            "items" | "not" => {
                self.schema(value);
                true
            }
            "additionalProperties" | "additionalItems" => {
                if !value.is_boolean() {
                    self.schema(value);
                }
                true
            }
            "dependencies" => {
                let Some(members) = value.as_object() else {
                    self.invalid = true;
                    return;
                };
                members.values().all(|one| {
                    let is_list = one.is_array();
                    if !is_list {
                        self.schema(one);
                    }
                    !is_list || names(one)
                })
            }
            "maximum" | "minimum" => value.is_number(),
            "multipleOf" => value.as_f64().is_some_and(|number| number > 0.0),
            "exclusiveMaximum" | "exclusiveMinimum" | "uniqueItems" => value.is_boolean(),
            "maxItems" | "minItems" | "maxLength" | "minLength" | "maxProperties" | "minProperties" => {
                value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
            }
            "title" | "description" | "format" | "pattern" | "id" | "$schema" => value.is_string(),
            _ => true,
        };
        self.invalid |= !valid;
    }

    fn schemas(&mut self, members: Option<&Map<String, Value>>) -> bool {
        members.into_iter().flatten().for_each(|(_, one)| self.schema(one));
        members.is_some()
    }
}

fn is_type(value: &Value) -> bool {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    known(value) || value.as_array().is_some_and(|names| !names.is_empty() && names.iter().all(known))
}

/// A list of names, at least one, none twice.
fn names(value: &Value) -> bool {
    let Some(names) = value.as_array().filter(|names| !names.is_empty()) else { return false };
    let texts: BTreeSet<&str> = names.iter().filter_map(Value::as_str).collect();
    texts.len() == names.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(schema: Value, expected: &[&str]) {
        assert_eq!(errors(&schema, |name| name == "There"), expected, "{schema}");
    }

    #[test]
    fn schemas_are_judged_as_aws_judges_them() {
        let invalid = &["Invalid model schema specified"];
        check(json!({}), &[]);
        check(json!({"type": "object", "properties": {"type": {"type": ["string", "null"]}}}), &[]);
        check(json!({"type": "Object"}), invalid);
        check(json!({"required": []}), invalid);
        check(json!({"properties": {"a": []}}), invalid);
        check(json!({"minimum": "1"}), invalid);
        check(json!([]), invalid);
        check(json!({"allOf": [{"maxLength": -1}]}), invalid);
        check(
            json!({"dependencies": {"a": ["b"], "c": {"type": "string"}}, "additionalProperties": false}),
            &[],
        );
        check(
            json!({"properties": {"a": {"example": 1, "type": "string"}}, "discriminator": "x"}),
            &[r#"Invalid model schema specified. Unsupported keyword(s): ["discriminator","example"]"#],
        );
    }

    #[test]
    fn references_are_to_models() {
        let to = |name: &str| json!({"items": {"$ref": format!("{CANONICAL}a1b2c3/models/{name}")}});
        check(to("There"), &[]);
        check(to("Gone"), &["Invalid model specified: Gone"]);
        check(json!({"definitions": {"a": {}}, "items": {"$ref": "#/definitions/a"}}), &[]);
        let canonical = "Model reference must be in canonical form";
        check(json!({"$ref": "https://example.com/a.json"}), &[canonical]);
        check(json!({"$ref": "{{model: A}}"}), &["Invalid model schema specified", canonical]);
    }

    proptest! {
        #[test]
        fn any_value_is_judged(value in crate::exports::any_value()) {
            errors(&value, |_| false);
        }
    }
}
