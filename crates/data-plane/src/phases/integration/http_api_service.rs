//! First-class service integrations of HTTP APIs: the parameters become a request to the service, and the service's
//! answer goes to the client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use stagedoor_http::{Body, Headers, ResponseHead};

use super::aws_service::{ServiceRequest, call};
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::transformation::encode_query;
use crate::plan::http_api::services::{Action, ServiceIntegration};
use crate::plan::uri::QUERY_VALUE;

/// The version of SQS's API.
const SQS_VERSION: &str = "2012-11-05";

/// Asks the service.
///
/// # Errors
/// 503 if it cannot be reached or does not answer in time.
pub(super) async fn run(exchange: &mut Exchange<'_>, integration: &ServiceIntegration) -> Result<(), Fault> {
    if integration.needs_body {
        exchange.whole_body().await?;
    } else {
        exchange.drop_body().await?;
    }
    let values = integration.parameters.iter();
    let parameters: Parameters =
        values.filter_map(|(name, value)| Some((name.to_string(), value.json(exchange)?))).collect();
    let request = match integration.action {
        Action::Sqs(action) => query(action, &parameters),
        Action::Json(target, version) => json(target, version, &Value::Object(members(parameters))),
        Action::PutEvents => json("AWSEvents.PutEvents", "1.1", &event(parameters)),
        Action::GetConfiguration => configuration(&parameters),
    };
    let (head, body) = call(exchange, &integration.service, request, integration.timeout).await?;
    let mut headers = Headers::with_capacity(4);
    for name in ["content-type", "configuration-version"] {
        if let Some(value) = head.headers.get(name) {
            headers.append(name, value.clone());
        }
    }
    exchange.response = Some((ResponseHead { status: head.status, headers }, Body::from(body)));
    Ok(())
}

type Parameters = Vec<(String, Value)>;

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value that is a structure, written as JSON in a text or taken from a body.
fn structure(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

fn json(target: &str, version: &str, body: &Value) -> ServiceRequest {
    ServiceRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![
            ("Content-Type".to_owned(), format!("application/x-amz-json-{version}")),
            ("X-Amz-Target".to_owned(), target.to_owned()),
        ],
        body: Bytes::from(body.to_string()),
    }
}

/// The members of a JSON request: names begin in lower case in Step Functions, and data is base64 in Kinesis.
fn members(parameters: Parameters) -> Map<String, Value> {
    let is_record = parameters.iter().any(|(name, _)| name == "StreamName");
    let member = |(name, value): (String, Value)| {
        let value = text(&value);
        if !is_record {
            return (lower_first(&name), Value::String(value));
        }
        let value = if name == "Data" { STANDARD.encode(value) } else { value };
        (name, Value::String(value))
    };
    parameters.into_iter().map(member).collect()
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

/// One event of EventBridge.
fn event(parameters: Parameters) -> Value {
    let mut entry = Map::new();
    for (name, value) in parameters {
        let value = match name.as_str() {
            "Resources" => {
                structure(&value).filter(Value::is_array).unwrap_or_else(|| Value::from(vec![value]))
            }
            // Seconds since 1970, or a date.
            "Time" => match text(&value).parse::<f64>() {
                Ok(seconds) => seconds.into(),
                Err(_) => date(&text(&value)),
            },
            _ => Value::String(text(&value)),
        };
        entry.insert(name, value);
    }
    serde_json::json!({ "Entries": [entry] })
}

fn date(text: &str) -> Value {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, &Rfc3339)
        .map_or_else(|_| Value::String(text.to_owned()), |date| date.unix_timestamp().into())
}

/// A request in AWS's query protocol. Lists and maps become numbered parameters.
fn query(action: &str, parameters: &Parameters) -> ServiceRequest {
    let mut form =
        vec![("Action".to_owned(), action.to_owned()), ("Version".to_owned(), SQS_VERSION.to_owned())];
    for (name, value) in parameters {
        match (name.as_str(), structure(value)) {
            ("MessageAttributes" | "MessageSystemAttributes", Some(Value::Object(attributes))) => {
                let name = name.trim_end_matches('s');
                for (index, (key, attribute)) in attributes.iter().enumerate() {
                    let number = index + 1;
                    form.push((format!("{name}.{number}.Name"), key.clone()));
                    for (member, value) in attribute.as_object().into_iter().flatten() {
                        form.push((format!("{name}.{number}.Value.{member}"), text(value)));
                    }
                }
            }
            ("AttributeNames" | "AttributeName" | "MessageAttributeNames", Some(Value::Array(names))) => {
                let name = name.trim_end_matches('s');
                let numbered = names.iter().enumerate();
                form.extend(numbered.map(|(index, value)| (format!("{name}.{}", index + 1), text(value))));
            }
            ("AttributeNames" | "AttributeName" | "MessageAttributeNames", _) => {
                form.push((format!("{}.1", name.trim_end_matches('s')), text(value)));
            }
            _ => form.push((name.clone(), text(value))),
        }
    }
    let body = encode_query(form.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    ServiceRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: body.into(),
    }
}

fn configuration(parameters: &Parameters) -> ServiceRequest {
    let get = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| text(value));
    let encoded = |name: &str| utf8_percent_encode(&get(name).unwrap_or_default(), QUERY_VALUE).to_string();
    let mut query = format!("client_id={}", encoded("ClientId"));
    if get("ClientConfigurationVersion").is_some() {
        query = format!("{query}&client_configuration_version={}", encoded("ClientConfigurationVersion"));
    }
    ServiceRequest {
        method: Method::GET,
        path: format!(
            "/applications/{}/environments/{}/configurations/{}",
            encoded("Application"),
            encoded("Environment"),
            encoded("Configuration")
        ),
        query,
        headers: Vec::new(),
        body: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters(value: Value) -> Parameters {
        let Value::Object(members) = value else { panic!("{value}") };
        members.into_iter().collect()
    }

    #[test]
    fn forms() {
        let check = |action: &str, given: Value, expected: &str| {
            let request = query(action, &parameters(given));
            assert_eq!(String::from_utf8_lossy(&request.body), expected);
        };
        check(
            "SendMessage",
            json!({"QueueUrl": "http://q/1", "MessageBody": {"a": 1}}),
            "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fq%2F1&MessageBody=%7B%22a%22%3A1%7D",
        );
        check(
            "SendMessage",
            json!({"MessageAttributes": r#"{"k": {"DataType": "String", "StringValue": "v"}}"#}),
            "Action=SendMessage&Version=2012-11-05&MessageAttribute.1.Name=k&MessageAttribute.1.Value.DataType=String\
             &MessageAttribute.1.Value.StringValue=v",
        );
        check(
            "ReceiveMessage",
            json!({"AttributeNames": "All", "MessageAttributeNames": ["a", "b"]}),
            "Action=ReceiveMessage&Version=2012-11-05&AttributeName.1=All&MessageAttributeName.1=a&MessageAttributeName.2=b",
        );
    }

    #[test]
    fn json_bodies() {
        let check = |found: Value, expected: Value| assert_eq!(found, expected);
        check(
            event(parameters(json!({"Detail": {"a": 1}, "Time": "1970-01-01T00:01:00Z", "Resources": "x"}))),
            json!({"Entries": [{"Detail": "{\"a\":1}", "Time": 60, "Resources": ["x"]}]}),
        );
        check(
            members(parameters(json!({"StreamName": "s", "Data": "hi"}))).into(),
            json!({"StreamName": "s", "Data": "aGk="}),
        );
        check(
            members(parameters(json!({"StateMachineArn": "s", "Input": {"a": 1}}))).into(),
            json!({"stateMachineArn": "s", "input": "{\"a\":1}"}),
        );
    }

    #[test]
    fn configurations() {
        let request = configuration(&parameters(json!({
            "Application": "a b", "Environment": "e", "Configuration": "c", "ClientId": "1", "ClientConfigurationVersion": "2"
        })));
        assert_eq!(request.path, "/applications/a%20b/environments/e/configurations/c");
        assert_eq!(request.query, "client_id=1&client_configuration_version=2");
    }
}
