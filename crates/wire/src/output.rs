//! From an operation's output to an answer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use stagedoor_shapes::{Binding, Operation};

use crate::failure::Failure;

/// Puts the members of an output where the model says they travel.
pub(crate) fn write(operation: &Operation, output: Value) -> Result<Response<Vec<u8>>, Failure> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::from_u16(operation.status).unwrap_or(StatusCode::OK);
    let (Some(structure), Value::Object(mut members)) = (operation.output, output) else {
        return Ok(response);
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut payload = None;
    for member in structure.members {
        match member.binding {
            Binding::Header => {
                let Some(Value::String(text)) = members.remove(member.key) else { continue };
                let name = HeaderName::from_bytes(member.wire.as_bytes());
                // A name of the model is always good; a value may hold what a header cannot, such as a newline.
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&text)) {
                    response.headers_mut().insert(name, value);
                }
            }
            Binding::Payload => {
                let text = members.remove(member.key);
                let text = text.as_ref().and_then(Value::as_str).unwrap_or_default();
                let bytes = STANDARD.decode(text).map_err(|error| internal(error.to_string()))?;
                payload = Some(bytes);
            }
            _ => {}
        }
    }
    members.iter_mut().for_each(|(name, value)| blank_templates(name, value));
    *response.body_mut() = match payload {
        Some(bytes) => bytes,
        None => serde_json::to_vec(&members).map_err(|error| internal(error.to_string()))?,
    };
    Ok(response)
}

/// AWS answers an empty mapping template with null.
fn blank_templates(name: &str, value: &mut Value) {
    let templates = matches!(name, "requestTemplates" | "responseTemplates");
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if templates && value.as_str() == Some("") {
                    *value = Value::Null;
                } else {
                    blank_templates(name, value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| blank_templates("", item)),
        _ => {}
    }
}

pub(crate) fn internal(message: String) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stagedoor_shapes::{Blob, apigateway};

    use super::*;
    use crate::service::Service;

    fn check(operation: &str, output: Value, status: u16, content_type: Option<&str>, body: &str) {
        let operation = Service::Rest.operations().iter().find(|known| known.name == operation).unwrap();
        let response = write(operation, output).unwrap();
        assert_eq!(response.status().as_u16(), status);
        let found = response.headers().get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(found, content_type);
        assert_eq!(String::from_utf8_lossy(response.body()), body);
    }

    #[test]
    fn members_go_where_they_travel() {
        let json = Some("application/json");
        check("CreateRestApi", json!({"id": "a"}), 201, json, r#"{"id":"a"}"#);
        let response = json!({"responseTemplates": {"a/b": "", "c/d": "x"}, "selectionPattern": ""});
        let expected = r#"{"responseTemplates":{"a/b":null,"c/d":"x"},"selectionPattern":""}"#;
        check("PutIntegrationResponse", response, 201, json, expected);
        check("DeleteRestApi", Value::Null, 202, None, "");
        check("DeleteMethod", Value::Null, 204, None, "");
        let apis = apigateway::RestApis { items: Some(Vec::new()), ..Default::default() };
        check("GetRestApis", serde_json::to_value(apis).unwrap(), 200, json, r#"{"item":[]}"#);
        let export = apigateway::ExportResponse {
            content_type: Some("application/yaml".to_owned()),
            content_disposition: Some("attachment; filename=\"x.yaml\"".to_owned()),
            body: Some(Blob(b"openapi: 3.0.1".to_vec())),
        };
        let export = serde_json::to_value(export).unwrap();
        check("GetExport", export, 200, Some("application/yaml"), "openapi: 3.0.1");
    }
}
