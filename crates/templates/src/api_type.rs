//! Whether a document makes a REST API or an HTTP API.
//!
//! AWS decides that by the operation that the document is given to (`ImportRestApi`, `ImportApi`). Here the document says
//! it (`x-stagedoor-api-type`), or has something that only HTTP APIs have, as all that AWS exports of them do.

use std::path::Path;

use serde_json::Value;
use stagedoor_openapi::Place;

use crate::Problem;

/// The extension that sets it.
pub(crate) const NAME: &str = "x-stagedoor-api-type";

/// The type of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiType {
    /// `apigateway`.
    Rest,
    /// `apigatewayv2`, protocol HTTP.
    Http,
}

/// The type that a document asks for, or the one that its extensions are of.
pub(crate) fn read(file: &Path, root: &Place<'_>, problems: &mut Vec<Problem>) -> ApiType {
    let Some(place) = root.get(NAME) else { return of(&root.node.to_json()) };
    match place.text().as_deref() {
        Some("http") => ApiType::Http,
        Some("rest") => ApiType::Rest,
        _ => {
            problems.push(Problem::at(file, &place, "an API's type is 'rest' or 'http'"));
            ApiType::Rest
        }
    }
}

const INTEGRATION: &str = "x-amazon-apigateway-integration";
const AUTHORIZER: &str = "x-amazon-apigateway-authorizer";

fn of(root: &Value) -> ApiType {
    let has = |name: &str| root.get(name).is_some();
    let shared = root.pointer("/components/x-amazon-apigateway-integrations");
    let is_http = has("x-amazon-apigateway-cors")
        || has("x-amazon-apigateway-importexport-version")
        || shared.is_some()
        || root.pointer("/paths/~1$default").is_some()
        || root.pointer("/paths/$default").is_some()
        || root
            .pointer("/components/securitySchemes")
            .is_some_and(|schemes| members(schemes).any(is_http_authorizer))
        || root.get("paths").is_some_and(|paths| members(paths).flat_map(members).any(has_http_integration));
    if is_http { ApiType::Http } else { ApiType::Rest }
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_object().into_iter().flatten().map(|(_, member)| member)
}

fn is_http_authorizer(scheme: &Value) -> bool {
    let Some(authorizer) = scheme.get(AUTHORIZER) else { return false };
    // REST APIs have JWT authorizers too, with several issuers.
    if authorizer.pointer("/jwtConfiguration/issuers").is_some() {
        return false;
    }
    authorizer.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("jwt"))
        || ["authorizerPayloadFormatVersion", "enableSimpleResponses", "jwtConfiguration"]
            .iter()
            .any(|member| authorizer.get(member).is_some())
}

fn has_http_integration(operation: &Value) -> bool {
    let Some(integration) = operation.get(INTEGRATION) else { return false };
    let version = integration.get("payloadFormatVersion");
    let is_2 =
        version.is_some_and(|version| version.as_str() == Some("2.0") || version.as_f64() == Some(2.0));
    is_2 || integration.get("integrationSubtype").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(root: &Value, expected: ApiType) {
        assert_eq!(of(root), expected, "{root}");
    }

    #[test]
    fn what_only_http_apis_have() {
        let with = |integration: Value| json!({"paths": {"/a": {"get": {INTEGRATION: integration}}}});
        check(&with(json!({"type": "aws_proxy"})), ApiType::Rest);
        check(&with(json!({"type": "aws_proxy", "payloadFormatVersion": "1.0"})), ApiType::Rest);
        check(&with(json!({"type": "aws_proxy", "payloadFormatVersion": "2.0"})), ApiType::Http);
        check(&with(json!({"type": "aws_proxy", "payloadFormatVersion": 2.0})), ApiType::Http);
        check(&with(json!({"type": "aws_proxy", "integrationSubtype": "SQS-SendMessage"})), ApiType::Http);
        check(&json!({"x-amazon-apigateway-cors": {}}), ApiType::Http);
        check(&json!({"x-amazon-apigateway-importexport-version": "1.0"}), ApiType::Http);
        check(&json!({"paths": {"/$default": {}}}), ApiType::Http);
        check(&json!({"paths": {"$default": {}}}), ApiType::Http);
        check(&json!({"components": {"x-amazon-apigateway-integrations": {}}}), ApiType::Http);
        let scheme =
            |authorizer: Value| json!({"components": {"securitySchemes": {"a": {AUTHORIZER: authorizer}}}});
        check(&scheme(json!({"type": "jwt"})), ApiType::Http);
        check(&scheme(json!({"type": "jwt", "jwtConfiguration": {"issuer": "a"}})), ApiType::Http);
        check(&scheme(json!({"type": "jwt", "jwtConfiguration": {"issuers": []}})), ApiType::Rest);
        check(&scheme(json!({"type": "request", "enableSimpleResponses": true})), ApiType::Http);
        check(&scheme(json!({"type": "request"})), ApiType::Rest);
        check(&json!({"paths": {"/a": {"parameters": []}}}), ApiType::Rest);
    }
}
