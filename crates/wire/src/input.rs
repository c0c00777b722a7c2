//! From a request to the members of an operation's input, as one JSON object under their keys.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use stagedoor_shapes::{Binding, Member, Shape, Structure};

use crate::{java, router::Matched};

/// A request that does not even have the types of the model; the text is AWS's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// Reads the members from where the model says they travel. What the model does not know is ignored, as AWS does.
pub(crate) fn read(
    matched: &Matched<'_, '_>,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Map<String, Value>, Unreadable> {
    let mut members = Map::new();
    let Some(input) = matched.route.operation.input else { return Ok(members) };
    let mut json = parse_body(input, body)?;
    for member in input.members {
        let value = match member.binding {
            Binding::Uri => matched
                .route
                .labels
                .iter()
                .zip(&matched.values)
                .find(|(label, _)| **label == member.wire)
                .map(|(_, value)| decode(value))
                .transpose()?
                .map(Value::String),
            Binding::Query => from_query(member, input, matched.route.query, query)?,
            Binding::Header => headers
                .get(member.wire)
                .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned())),
            Binding::Payload => (!body.is_empty()).then(|| Value::String(STANDARD.encode(body))),
            Binding::Body => match json.remove(member.wire) {
                Some(value) => typed(value, &member.shape)?,
                None => None,
            },
        };
        if let Some(value) = value {
            members.insert(member.key.to_owned(), value);
        }
    }
    Ok(members)
}

/// The JSON object of a body; empty where the input has no member there, whatever was sent.
fn parse_body(input: &Structure, body: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let wanted = input.members.iter().any(|member| member.binding == Binding::Body);
    if !wanted || body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Array(_)) => Err(Unreadable(LIST.to_owned())),
        Ok(_) => Err(Unreadable(SCALAR.to_owned())),
        Err(error) => Err(Unreadable(format!("The request body is not valid JSON: {error}"))),
    }
}

const LIST: &str = "Start of list found where not expected";
const MAP: &str = "Start of structure or map found where not expected.";
const SCALAR: &str = "Unexpected field type";

/// Brings a value to the types of the model, or says with AWS's words why that cannot be. Null is absence.
fn typed(value: Value, shape: &Shape) -> Result<Option<Value>, Unreadable> {
    let unreadable = |text: &str| Err(Unreadable(text.to_owned()));
    let value = match (shape, value) {
        (_, Value::Null) => return Ok(None),
        (Shape::Structure(structure), Value::Object(mut object)) => {
            let mut kept = Map::new();
            for member in structure.members {
                if let Some(value) = object.remove(member.wire)
                    && let Some(value) = typed(value, &member.shape)?
                {
                    kept.insert(member.key.to_owned(), value);
                }
            }
            Value::Object(kept)
        }
        (Shape::Map(shape), Value::Object(object)) => {
            let mut kept = Map::new();
            for (name, value) in object {
                if let Some(value) = typed(value, shape)? {
                    kept.insert(name, value);
                } else if let Shape::String(_) = shape {
                    // An entry without a value is an entry all the same: a template of nothing.
                    kept.insert(name, Value::String(String::new()));
                }
            }
            Value::Object(kept)
        }
        (Shape::List(shape), Value::Array(items)) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                kept.extend(typed(item, shape)?);
            }
            Value::Array(kept)
        }
        (Shape::Structure(_) | Shape::Map(_), Value::Array(_)) => return unreadable(LIST),
        (Shape::List(_), Value::Object(_)) => return unreadable(MAP),
        (Shape::Structure(_) | Shape::Map(_) | Shape::List(_), _) => return unreadable(SCALAR),
        (_, Value::Array(_)) => return unreadable(LIST),
        (_, Value::Object(_)) => return unreadable(MAP),
        (Shape::String(_) | Shape::Blob(_), value @ Value::String(_)) => value,
        (Shape::String(_), value) => return Err(mismatch(&value, "String")),
        (Shape::Blob(_), value) => return Err(mismatch(&value, "ByteBuffer")),
        (Shape::Boolean, value @ Value::Bool(_)) => value,
        (Shape::Boolean, value) => match value.as_str() {
            Some("true") => true.into(),
            Some("false") => false.into(),
            _ => return Err(mismatch(&value, "Boolean")),
        },
        (Shape::Integer(_), Value::Number(number)) => {
            whole(&number, i64::from(i32::MIN), i64::from(i32::MAX))?
        }
        (Shape::Integer(_), value) => return Err(mismatch(&value, "Integer")),
        (Shape::Long, Value::Number(number)) => whole(&number, i64::MIN, i64::MAX)?,
        (Shape::Long, value) => return Err(mismatch(&value, "Long")),
        (Shape::Double | Shape::Timestamp, value @ Value::Number(_)) => value,
        // Dates may be text; what kind of text is the shape's own matter.
        (Shape::Timestamp, value @ Value::String(_)) => value,
        (Shape::Timestamp, value) => return Err(mismatch(&value, "Date")),
        (Shape::Double, value) => return Err(mismatch(&value, "Double")),
    };
    Ok(Some(value))
}

fn mismatch(value: &Value, wanted: &str) -> Unreadable {
    Unreadable(format!("{} can not be converted to an {wanted}", java::class(value)))
}

/// AWS drops the fraction of a number that should be whole.
fn whole(number: &serde_json::Number, min: i64, max: i64) -> Result<Value, Unreadable> {
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.abs() < 9e15)?;
        Some(float.trunc() as i64)
    });
    match whole {
        Some(whole) if (min..=max).contains(&whole) => Ok(whole.into()),
        _ => Err(Unreadable(format!("{number} is out of range"))),
    }
}

/// Name and value of each parameter, decoded; a plus is a space, as browsers and AWS's older SDKs write it.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn from_query(
    member: &Member,
    input: &Structure,
    fixed: Option<(&str, &str)>,
    query: &str,
) -> Result<Option<Value>, Unreadable> {
    let mut values = parameters(query).filter(|(name, _)| name == member.wire).map(|(_, value)| value);
    Ok(match &member.shape {
        Shape::Map(_) => {
            // The map takes what has no place of its own.
            let named = |name: &str| {
                fixed.is_some_and(|(fixed, _)| fixed == name)
                    || input.members.iter().any(|other| {
                        other.binding == Binding::Query
                            && other.wire == name
                            && !matches!(other.shape, Shape::Map(_))
                    })
            };
            let rest: Map<String, Value> = parameters(query)
                .filter(|(name, _)| !named(name) && !name.starts_with("X-Amz-"))
                .map(|(name, value)| (name, Value::String(value)))
                .collect();
            (!rest.is_empty()).then_some(Value::Object(rest))
        }
        Shape::List(_) => {
            let values: Vec<Value> = values.map(Value::String).collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        shape => match values.next() {
            Some(text) => Some(scalar(text, shape)?),
            None => None,
        },
    })
}

/// The value of a parameter in the type of the model.
fn scalar(text: String, shape: &Shape) -> Result<Value, Unreadable> {
    let unreadable = |wanted: &str| Unreadable(format!("{text:?} can not be converted to an {wanted}"));
    Ok(match shape {
        Shape::Integer(_) => text.parse::<i32>().map_err(|_| unreadable("Integer"))?.into(),
        Shape::Long => text.parse::<i64>().map_err(|_| unreadable("Long"))?.into(),
        Shape::Double => text.parse::<f64>().map_err(|_| unreadable("Double"))?.into(),
        // As Java reads it: everything but "true" is false.
        Shape::Boolean => text.eq_ignore_ascii_case("true").into(),
        _ => Value::String(text),
    })
}

fn decode(label: &str) -> Result<String, Unreadable> {
    let decoded = percent_decode_str(label).decode_utf8();
    decoded.map(Into::into).map_err(|_| Unreadable(format!("{label:?} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::router::Router;

    fn members(method: &str, target: &str, body: &[u8]) -> Result<Value, Unreadable> {
        let router = Router::new();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let matched = router.find(method, path, query).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("accept", "application/yaml".parse().unwrap());
        read(&matched, query, &headers, body).map(Value::Object)
    }

    fn check(method: &str, target: &str, body: &str, expected: Value) {
        assert_eq!(members(method, target, body.as_bytes()), Ok(expected), "{method} {target} {body}");
    }

    #[test]
    fn reads_members_from_their_places() {
        check(
            "PUT",
            "/restapis/a%20b/resources/r/methods/GET/integration",
            r#"{"type": "HTTP", "httpMethod": "POST", "unknown": 1, "uri": null, "tlsConfig": {"x": 1}}"#,
            json!({"restApiId": "a b", "resourceId": "r", "httpMethod": "GET", "type": "HTTP",
                   "integrationHttpMethod": "POST", "tlsConfig": {}}),
        );
        check(
            "GET",
            "/restapis/a/resources?embed=methods&embed=x&limit=5&position=%3D%3D",
            "",
            json!({"restApiId": "a", "embed": ["methods", "x"], "limit": 5, "position": "=="}),
        );
        check(
            "POST",
            "/restapis?mode=import&failonwarnings=true&basepath=prepend&ignore=documentation",
            "{}",
            json!({"failOnWarnings": true, "body": "e30=",
                   "parameters": {"basepath": "prepend", "ignore": "documentation"}}),
        );
        check(
            "GET",
            "/restapis/a/stages/dev/exports/oas30?extensions=apigateway",
            "",
            json!({"restApiId": "a", "stageName": "dev", "exportType": "oas30", "accepts": "application/yaml",
                   "parameters": {"extensions": "apigateway"}}),
        );
        check("GET", "/restapis?limit=2", "ignored", json!({"limit": 2}));
        check("POST", "/apikeys", r#"{"enabled": "true"}"#, json!({"enabled": true}));
    }

    #[test]
    fn refuses_other_types_as_aws_does() {
        let check = |body: &str, expected: &str| {
            let target = "/restapis/a/resources/r/methods/GET/integration";
            let refused = members("PUT", target, body.as_bytes());
            assert_eq!(refused, Err(Unreadable(expected.to_owned())), "{body}");
        };
        check(
            r#"{"requestParameters": {"true": true}}"#,
            "class java.lang.Boolean can not be converted to an String",
        );
        check(
            r#"{"requestTemplates": {"application/json": 123}}"#,
            "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String",
        );
        check(r#"{"uri": []}"#, LIST);
        check(r#"{"uri": {}}"#, MAP);
        check(r#"{"cacheKeyParameters": {}}"#, MAP);
        check(r#"{"cacheKeyParameters": 1}"#, SCALAR);
        check("[]", LIST);
        check("{", "The request body is not valid JSON: EOF while parsing an object at line 1 column 1");
        check(r#"{"timeoutInMillis": 99999999999}"#, "99999999999 is out of range");
    }

    proptest! {
        #[test]
        fn labels_and_parameters_arrive_as_they_were_sent(label in "\\PC{1,20}", position in "\\PC{0,20}") {
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            let target = format!("/restapis/{}/resources?position={}", encode(&label), encode(&position));
            let expected = json!({"restApiId": label, "position": position});
            prop_assert_eq!(members("GET", &target, b""), Ok(expected));
        }

        #[test]
        fn any_request_is_read_or_refused(label in "[ -~&&[^/?]]{1,12}", query in "[ -~]{0,30}", body in ".{0,60}") {
            let _ = members("PATCH", &format!("/restapis/{label}?{query}"), body.as_bytes());
            let _ = members("POST", &format!("/apikeys?{query}"), body.as_bytes());
        }
    }
}
