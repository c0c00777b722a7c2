//! What is wrong with a body, in the words of AWS's validator (`json-schema-validator`, whose messages users of API Gateway
//! publish): `[object has missing required properties (["name"])]`.
//!
//! It looks at an object's or list's own keywords first and at what is inside only if they hold, members in the order of
//! their names; once something is wrong it looks no deeper.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::error::TypeKind;
use jsonschema::{JsonType, ValidationError, Validator};
use serde_json::Value;

use super::formats;

/// How many mistakes are looked at, and how many of them told.
const LOOKED_AT_MAX: usize = 1000;
const TOLD_MAX: usize = 10;

/// What AWS says of a body that is no JSON.
pub(super) const NO_JSON: &str = "[Unknown error parsing request body]";

/// A place in a document that sorts as it is walked: by index in lists, by name in objects.
type Place = Vec<(usize, String)>;

/// What is wrong with a document that does not fit.
pub(super) fn describe(schema: &Validator, document: &Value) -> Option<String> {
    let mut by_place: BTreeMap<Place, Vec<ValidationError<'_>>> = BTreeMap::new();
    for error in schema.iter_errors(document).take(LOOKED_AT_MAX) {
        by_place.entry(place(document, error.instance_path().as_str())).or_default().push(error);
    }
    let (first, _) = by_place.first_key_value()?;
    let first = first.clone();
    // Beside the first place that does not fit, its neighbours and those of the places around it are looked at.
    let is_told = |place: &Place| {
        *place == first
            || place
                .split_last()
                .is_some_and(|(_, above)| above.len() < first.len() && first.starts_with(above))
    };
    let messages = by_place.iter().filter(|(place, _)| is_told(place)).flat_map(|(_, errors)| own(errors));
    let messages: Vec<_> = messages.take(TOLD_MAX).collect();
    Some(format!("[{}]", messages.join(", ")))
}

fn place(document: &Value, pointer: &str) -> Place {
    let mut at = Some(document);
    let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    steps
        .map(|step| match at {
            Some(Value::Array(items)) => {
                let index = step.parse().unwrap_or_default();
                at = items.get(index);
                (index, String::new())
            }
            _ => {
                at = at.and_then(|value| value.get(&step));
                (0, step)
            }
        })
        .collect()
}

/// What is wrong at one place. All properties that are missing are told at once.
fn own(errors: &[ValidationError<'_>]) -> Vec<String> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let mut missing = BTreeSet::new();
    let mut messages: Vec<String> = Vec::new();
    for error in errors {
        match error.kind() {
            Kind::Required { property } => {
                missing.insert(property.as_str().unwrap_or_default());
            }
            _ => messages.push(message(error)),
        }
    }
    if !missing.is_empty() {
        messages.push(format!("object has missing required properties ({})", names(&missing)));
    }
    messages.sort();
    messages
}

fn names<N: AsRef<str>>(names: &BTreeSet<N>) -> String {
    names.iter().map(|name| Value::from(name.as_ref())).collect::<Value>().to_string()
}

fn message(error: &ValidationError<'_>) -> String {
    use jsonschema::error::ValidationErrorKind as Kind;
    let found = error.instance();
    let length = || match &**found {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::String(text) => text.chars().count(),
        _ => 0,
    };
    let text = || found.as_str().unwrap_or_default();
    match error.kind() {
        Kind::AdditionalItems { limit } => {
            format!("schema only allows {limit} elements in array but instance has {} elements", length())
        }
        Kind::AdditionalProperties { unexpected } => {
            let unexpected: BTreeSet<_> = unexpected.iter().collect();
            format!(
                "object instance has properties which are not allowed by the schema: {}",
                names(&unexpected)
            )
        }
        Kind::AnyOf { context } => {
            format!("instance failed to match at least one required schema among {}", context.len())
        }
        Kind::OneOfNotValid { context } => {
            format!("instance failed to match exactly one schema (matched 0 out of {})", context.len())
        }
        Kind::OneOfMultipleValid { context } => {
            let matched = context.iter().filter(|errors| errors.is_empty()).count();
            format!(
                "instance failed to match exactly one schema (matched {matched} out of {})",
                context.len()
            )
        }
        Kind::Enum { options } => {
            format!("instance value ({found}) not found in enum (possible values: {options})")
        }
        Kind::Maximum { limit } => too_large(limit, found),
        Kind::Minimum { limit } => too_small(limit, found),
        Kind::ExclusiveMaximum { limit } if found.as_f64() > limit.as_f64() => too_large(limit, found),
        Kind::ExclusiveMinimum { limit } if found.as_f64() < limit.as_f64() => too_small(limit, found),
        Kind::ExclusiveMaximum { limit } => {
            format!("numeric instance is not strictly lower than the required maximum {limit}")
        }
        Kind::ExclusiveMinimum { limit } => {
            format!("numeric instance is not strictly greater than the required minimum {limit}")
        }
        Kind::MinItems { limit } => {
            let length = length();
            format!(
                "array is too short: must have at least {limit} elements but instance has {length} elements"
            )
        }
        Kind::MaxItems { limit } => {
            let length = length();
            format!(
                "array is too long: must have at most {limit} elements but instance has {length} elements"
            )
        }
        Kind::MinLength { limit } => {
            let length = length();
            format!("string {found} is too short (length: {length}, required minimum: {limit})")
        }
        Kind::MaxLength { limit } => {
            format!("string {found} is too long (length: {}, maximum allowed: {limit})", length())
        }
        Kind::MinProperties { limit } => {
            let length = length();
            format!("object has too few properties (found {length} but schema requires at least {limit})")
        }
        Kind::MaxProperties { limit } => {
            let length = length();
            format!("object has too many properties (found {length} but schema requires at most {limit})")
        }
        Kind::MultipleOf { multiple_of } => {
            format!("remainder of division is not zero ({found} / {multiple_of})")
        }
        Kind::Not { .. } => "instance matched a schema which it should not have".to_owned(),
        Kind::Pattern { pattern } => {
            format!("ECMA 262 regex \"{pattern}\" does not match input string \"{}\"", text())
        }
        Kind::Format { format } => formats::message(format, text()),
        Kind::Type { kind } => {
            let allowed: BTreeSet<&str> = match kind {
                TypeKind::Single(kind) => with_integers([*kind].into_iter()),
                TypeKind::Multiple(kinds) => with_integers(kinds.iter()),
            };
            let (kind, allowed) = (type_of(found), names(&allowed));
            format!("instance type ({kind}) does not match any allowed primitive type (allowed: {allowed})")
        }
        Kind::UniqueItems => "array must not contain duplicate elements".to_owned(),
        _ => error.to_string(),
    }
}

fn too_large(limit: &Value, found: &Value) -> String {
    format!("numeric instance is greater than the required maximum (maximum: {limit}, found: {found})")
}

fn too_small(limit: &Value, found: &Value) -> String {
    format!("numeric instance is lower than the required minimum (minimum: {limit}, found: {found})")
}

/// Names of types; every integer is a number too.
fn with_integers(kinds: impl Iterator<Item = JsonType>) -> BTreeSet<&'static str> {
    let mut names: BTreeSet<_> = kinds.map(JsonType::as_str).collect();
    if names.contains("number") {
        names.insert("integer");
    }
    names
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::validation::compiled;

    fn check(schema: Value, document: Value, expected: &str) {
        let validator = compiled(&schema).unwrap();
        let told = (!validator.is_valid(&document)).then(|| describe(&validator, &document)).flatten();
        assert_eq!(told.unwrap_or_default(), expected, "{schema} of {document}");
    }

    #[test]
    fn in_the_words_of_aws() {
        let user = json!({
            "type": "object",
            "required": ["repeatPassword", "email", "password"],
            "properties": {"email": {"type": "string"}},
            "additionalProperties": false,
        });
        check(
            user.clone(),
            json!({}),
            r#"[object has missing required properties (["email","password","repeatPassword"])]"#,
        );
        check(
            json!({"required": ["bar"], "properties": {"bar": {}}, "additionalProperties": false}),
            json!({"foo": 1}),
            "[object has missing required properties ([\"bar\"]), object instance has properties which are not allowed by \
             the schema: [\"foo\"]]",
        );
        check(
            json!({"type": "number"}),
            json!("x"),
            r#"[instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])]"#,
        );
        check(
            json!({"enum": ["a", 1]}),
            json!("b"),
            r#"[instance value ("b") not found in enum (possible values: ["a",1])]"#,
        );
        check(
            json!({"minimum": 5, "exclusiveMinimum": true}),
            json!(5),
            "[numeric instance is not strictly greater than the required minimum 5]",
        );
        check(
            json!({"minimum": 5, "exclusiveMinimum": true}),
            json!(4),
            "[numeric instance is lower than the required minimum (minimum: 5, found: 4)]",
        );
        check(
            json!({"maxLength": 1}),
            json!("ab"),
            "[string \"ab\" is too long (length: 2, maximum allowed: 1)]",
        );
        check(
            json!({"pattern": "^a$"}),
            json!("b"),
            "[ECMA 262 regex \"^a$\" does not match input string \"b\"]",
        );
        check(
            json!({"format": "email"}),
            json!("nobody"),
            "[string \"nobody\" is not a valid email address]",
        );
        check(
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            json!(1),
            "[instance failed to match exactly one schema (matched 0 out of 2)]",
        );
    }

    #[test]
    fn nothing_is_told_of_what_is_inside_of_what_does_not_fit() {
        let string = json!({"type": "string"});
        let schema = json!({
            "required": ["z"],
            "properties": {"a": {"properties": {"x": string}}, "b": string, "c": {"properties": {"x": string}}},
        });
        check(schema.clone(), json!({"a": {"x": 1}}), r#"[object has missing required properties (["z"])]"#);
        let wrong = |kind: &str| {
            format!(
                r#"instance type ({kind}) does not match any allowed primitive type (allowed: ["string"])"#
            )
        };
        check(
            schema,
            json!({"z": 1, "c": {"x": 1}, "b": null, "a": {"x": 1}}),
            &format!("[{}, {}]", wrong("integer"), wrong("null")),
        );
        let list = json!({"items": string});
        check(list, json!([1, "a", 2]), &format!("[{}, {}]", wrong("integer"), wrong("integer")));
    }
}
