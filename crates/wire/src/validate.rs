//! What the model asks of an input, and AWS's words for what is wrong with it.

use regex::Regex;
use serde_json::{Map, Value};
use stagedoor_shapes::{Binding, Constraint, Member, Operation, Shape, Structure};

use crate::{java, service::Service};

/// Numbers whose range AWS judges with the rest of the noun, in words of its own: before them a wrong combination of
/// members may be what is refused, and for WebSocket APIs the limits are others than the model's.
const JUDGED_LATER: [&str; 3] = ["authorizerResultTtlInSeconds", "maxAge", "timeoutInMillis"];

/// Members whose absence AWS tells with the rest of the noun, in words of its own.
const MISSED_LATER: [(&str, &str); 3] =
    [("CreateApi", "name"), ("CreateAuthorizer", "authorizerType"), ("CreateVpcLink", "subnetIds")];

/// The message of a refusal, or `None` if the input is as the model wants it.
pub(crate) fn violations(
    service: Service,
    operation: &Operation,
    members: &Map<String, Value>,
) -> Option<String> {
    let input = operation.input?;
    // In REST APIs the body is a structure of its own, named after the operation.
    let body_path = match service {
        Service::Rest => format!("{}Input.", lower_first(operation.name)),
        Service::Http | Service::Connections => String::new(),
    };
    let mut found = Vec::new();
    let told_later = |member: &Member| {
        service == Service::Http
            && !members.contains_key(member.key)
            && MISSED_LATER.contains(&(operation.name, member.key))
    };
    let in_body = |member: &Member| member.binding == Binding::Body;
    structure(input, members, &body_path, |member| in_body(member) && !told_later(member), &mut found);
    structure(input, members, "", |member| !in_body(member), &mut found);
    if found.is_empty() {
        return None;
    }
    let noun = if found.len() == 1 { "error" } else { "errors" };
    Some(format!("{} validation {noun} detected: {}", found.len(), found.join("; ")))
}

fn structure(
    structure: &Structure,
    members: &Map<String, Value>,
    prefix: &str,
    wanted: impl Fn(&Member) -> bool,
    found: &mut Vec<String>,
) {
    for member in structure.members.iter().filter(|member| wanted(member)) {
        let name = if member.binding == Binding::Body { member.wire } else { member.key };
        let path = format!("{prefix}{name}");
        match members.get(member.key) {
            Some(Value::Number(_)) if JUDGED_LATER.contains(&member.key) => {}
            Some(value) => check(value, &member.shape, &path, found),
            None if member.required => found.push(format!(
                "Value null at '{path}' failed to satisfy constraint: Member must not be null"
            )),
            None => {}
        }
    }
}

fn check(value: &Value, shape: &Shape, path: &str, found: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Structure(inner), Value::Object(members)) => {
            structure(inner, members, &format!("{path}."), |_| true, found);
        }
        (Shape::List(inner), Value::Array(items)) if scalar(inner) => {
            // AWS reports the list as a whole, with all that its members have to satisfy.
            if items.iter().any(|item| !broken(item, inner).is_empty()) {
                found.push(refusal(value, path, &nested("Member", inner)));
            }
        }
        (Shape::List(inner), Value::Array(items)) => {
            for (at, item) in items.iter().enumerate() {
                check(item, inner, &format!("{path}.{}.member", at + 1), found);
            }
        }
        (Shape::Map(inner), Value::Object(members)) if scalar(inner) => {
            if members.values().any(|item| !broken(item, inner).is_empty()) {
                found.push(refusal(value, path, &nested("Map value", inner)));
            }
        }
        (Shape::Map(inner), Value::Object(members)) => {
            for (name, item) in members {
                check(item, inner, &format!("{path}.{name}.member"), found);
            }
        }
        (shape, value) => {
            for requirement in broken(value, shape) {
                found.push(refusal(value, path, &requirement));
            }
        }
    }
}

fn refusal(value: &Value, path: &str, requirement: &str) -> String {
    format!("Value '{}' at '{path}' failed to satisfy constraint: {requirement}", java::show(value))
}

/// What the members of a collection have to satisfy, all of it in one.
fn nested(subject: &str, shape: &Shape) -> String {
    let requirements: Vec<String> = match constraint(shape) {
        Some((constraint, unit)) => {
            requirements(constraint, unit).into_iter().map(|(text, _)| text).collect()
        }
        None => Vec::new(),
    };
    format!("{subject} must satisfy constraint: [{}]", requirements.join(", "))
}

fn scalar(shape: &Shape) -> bool {
    !matches!(shape, Shape::Structure(_) | Shape::List(_) | Shape::Map(_))
}

/// What limits mean for a shape.
#[derive(Clone, Copy)]
enum Unit {
    Length,
    Value,
}

fn constraint(shape: &Shape) -> Option<(&Constraint, Unit)> {
    match shape {
        Shape::String(constraint) | Shape::Blob(constraint) => Some((constraint, Unit::Length)),
        Shape::Integer(constraint) => Some((constraint, Unit::Value)),
        _ => None,
    }
}

/// The requirements that a value does not meet.
fn broken(value: &Value, shape: &Shape) -> Vec<String> {
    let Some((constraint, unit)) = constraint(shape) else { return Vec::new() };
    let size = match (shape, value) {
        (Shape::String(_), Value::String(text)) => i64::try_from(text.encode_utf16().count()).ok(),
        // Base64 has four characters for three bytes, one less for each `=`.
        (Shape::Blob(_), Value::String(text)) => {
            let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
            i64::try_from((text.len() / 4 * 3).saturating_sub(padding)).ok()
        }
        (_, Value::Number(number)) => number.as_i64(),
        _ => None,
    };
    let text = value.as_str().unwrap_or_default();
    requirements(constraint, unit)
        .into_iter()
        .filter(|(_, requirement)| match *requirement {
            Requirement::Pattern(pattern) => !matches(pattern, text),
            Requirement::Max(max) => size.is_some_and(|size| size > max),
            Requirement::Min(min) => size.is_some_and(|size| size < min),
            Requirement::OneOf(values) => !values.contains(&text),
        })
        .map(|(text, _)| text)
        .collect()
}

enum Requirement {
    Pattern(&'static str),
    Max(i64),
    Min(i64),
    OneOf(&'static [&'static str]),
}

/// A constraint as AWS words it.
fn requirements(constraint: &Constraint, unit: Unit) -> Vec<(String, Requirement)> {
    let noun = match unit {
        Unit::Length => "length",
        Unit::Value => "value",
    };
    let mut out = Vec::new();
    if let Some(pattern) = constraint.pattern {
        let text = format!("Member must satisfy regular expression pattern: {pattern}");
        out.push((text, Requirement::Pattern(pattern)));
    }
    if let Some(max) = constraint.max {
        out.push((format!("Member must have {noun} less than or equal to {max}"), Requirement::Max(max)));
    }
    if let Some(min) = constraint.min {
        out.push((format!("Member must have {noun} greater than or equal to {min}"), Requirement::Min(min)));
    }
    if !constraint.values.is_empty() {
        let values = java::set_order(constraint.values).join(", ");
        let text = format!("Member must satisfy enum value set: [{values}]");
        out.push((text, Requirement::OneOf(constraint.values)));
    }
    out
}

fn matches(pattern: &str, text: &str) -> bool {
    // A pattern that does not compile would be a fault of the model, not of the caller; a test compiles them all.
    whole_value(pattern).map_or(true, |regex| regex.is_match(text))
}

/// The whole value has to match, and `\d` means the ten ASCII digits, as in Java.
fn whole_value(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?-u:{pattern})$"))
}

fn lower_first(name: &str) -> String {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(service: Service, operation: &str, members: Value, expected: &str) {
        let operation = service.operations().iter().find(|known| known.name == operation).unwrap();
        let Value::Object(members) = members else { panic!("an input is an object") };
        assert_eq!(violations(service, operation, &members).unwrap_or_default(), expected);
    }

    #[test]
    fn words_are_the_recorded_ones() {
        check(
            Service::Rest,
            "CreateRestApi",
            json!({"name": "x", "endpointConfiguration": {"ipAddressType": "wrong", "types": ["wrong"]}}),
            "2 validation errors detected: Value '[wrong]' at 'createRestApiInput.endpointConfiguration.types' \
             failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: \
             [PRIVATE, EDGE, REGIONAL]]; Value 'wrong' at \
             'createRestApiInput.endpointConfiguration.ipAddressType' failed to satisfy constraint: Member must \
             satisfy enum value set: [ipv4, dualstack]",
        );
        check(
            Service::Rest,
            "UpdateMethodResponse",
            json!({"restApiId": "a", "resourceId": "b", "httpMethod": "GET", "statusCode": "wrong",
                   "patchOperations": [{"op": "wrong_op"}, {"op": "add"}]}),
            "2 validation errors detected: Value 'wrong_op' at \
             'updateMethodResponseInput.patchOperations.1.member.op' failed to satisfy constraint: Member must \
             satisfy enum value set: [add, remove, move, test, replace, copy]; Value 'wrong' at 'statusCode' \
             failed to satisfy constraint: Member must satisfy regular expression pattern: [1-5]\\d\\d",
        );
        check(
            Service::Rest,
            "CreateBasePathMapping",
            json!({"domainName": "x"}),
            "1 validation error detected: Value null at 'createBasePathMappingInput.restApiId' failed to satisfy \
             constraint: Member must not be null",
        );
        check(Service::Rest, "CreateRestApi", json!({"name": ""}), "");
        check(
            Service::Http,
            "CreateIntegration",
            json!({"apiId": "a", "integrationType": "AWS_PROXY", "timeoutInMillis": 20}),
            "",
        );
        check(
            Service::Http,
            "CreateRoutingRule",
            json!({"domainName": "a", "actions": [], "conditions": [], "priority": 0}),
            "1 validation error detected: Value '0' at 'priority' failed to satisfy constraint: Member must have \
             value greater than or equal to 1",
        );
    }

    #[test]
    fn all_patterns_compile() {
        fn walk(shape: &Shape, seen: &mut Vec<&'static str>) {
            match shape {
                Shape::Structure(structure) if !seen.contains(&structure.name) => {
                    seen.push(structure.name);
                    structure.members.iter().for_each(|member| walk(&member.shape, seen));
                }
                Shape::List(inner) | Shape::Map(inner) => walk(inner, seen),
                Shape::String(Constraint { pattern: Some(pattern), .. }) => {
                    whole_value(pattern).unwrap();
                }
                _ => {}
            }
        }
        for service in Service::ALL {
            let mut seen = Vec::new();
            for input in service.operations().iter().filter_map(|operation| operation.input) {
                walk(&Shape::Structure(input), &mut seen);
            }
        }
    }
}
