//! Methods, integrations and what they answer.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use stagedoor_control_plane::ControlPlane;
use support::{api, call, patch, plane, text};

/// An API's root, and calls on its `GET` method.
struct Root {
    plane: ControlPlane,
    api: String,
    root: String,
}

impl Root {
    fn new() -> Self {
        let plane = plane();
        let (api, root) = api(&plane);
        Self { plane, api, root }
    }

    fn with(&self, more: &Value) -> Value {
        let mut input = json!({ "restApiId": self.api, "resourceId": self.root, "httpMethod": "GET" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    }

    fn put_method(&self, more: Value) -> Value {
        let mut all = json!({ "authorizationType": "NONE" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(|input| self.plane.put_method(input), self.with(&all))
    }

    fn put_integration(&self, more: Value) -> Value {
        call(|input| self.plane.put_integration(input), self.with(&more))
    }

    fn put_response(&self, more: Value) -> Value {
        call(|input| self.plane.put_integration_response(input), self.with(&more))
    }
}

fn bad(message: &str) -> Value {
    json!({ "BadRequest": message })
}

#[test]
fn an_integration_has_the_defaults_of_aws() {
    let it = Root::new();
    it.put_method(json!({}));
    let uri = "http://example.com/a";
    let answer = it.put_integration(json!({ "type": "HTTP", "integrationHttpMethod": "POST", "uri": uri }));
    let expected = json!({
        "type": "HTTP", "httpMethod": "POST", "uri": uri, "connectionType": "INTERNET", "timeoutInMillis": 29000,
        "passthroughBehavior": "WHEN_NO_MATCH", "cacheNamespace": it.root, "cacheKeyParameters": [],
    });
    assert_eq!(answer, expected);
    let mock = it.put_integration(json!({ "type": "MOCK", "uri": uri, "integrationHttpMethod": "GET" }));
    assert!(mock["uri"].is_null() && mock["httpMethod"].is_null() && mock["connectionType"].is_null());
}

#[test]
fn what_an_integration_maps_has_to_be_declared() {
    let it = Root::new();
    it.put_method(json!({ "requestParameters": { "method.request.header.h": false } }));
    let start = "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping \
                 expression";
    let check = |name: &str, expression: &str, expected: Option<String>| {
        let answer = it.put_integration(json!({ "type": "MOCK", "requestParameters": { name: expression } }));
        assert_eq!(answer.get("BadRequest").and_then(Value::as_str).map(str::to_owned), expected, "{answer}");
    };
    check("integration.request.header.x", "method.request.header.h", None);
    check("integration.request.querystring.x", "method.request.multivalueheader.h", None);
    check("integration.request.path.x", "method.request.body.a.b", None);
    check("integration.request.path.x", "'static'", None);
    check("integration.request.path.x", "context.stage", None);
    check("integration.request.path.x", "stageVariables.x", None);
    let undeclared = "method.request.header.other";
    let expected = format!("{start} parameter specified: {undeclared}]");
    check("integration.request.header.x", undeclared, Some(expected));
    check("request.header.x", "'a'", Some(format!("{start} specified: request.header.x]")));
    check("integration.request.header.x", "static", Some(format!("{start} specified: static]")));
}

#[test]
fn a_response_maps_headers_that_the_method_declares() {
    let it = Root::new();
    it.put_method(json!({}));
    it.put_integration(json!({ "type": "MOCK" }));
    let header = "method.response.header.x";
    let parameters =
        json!({ "statusCode": "200", "responseParameters": { header: "integration.response.header.y" } });
    assert!(it.put_response(parameters.clone())["BadRequest"].is_string());
    let declared = it.with(&json!({ "statusCode": "200", "responseParameters": { header: false } }));
    call(|input| it.plane.put_method_response(input), declared);
    assert_eq!(it.put_response(parameters.clone()), parameters);
    let answer = it.put_response(json!({ "statusCode": "200", "responseTemplates": { "123": "x" } }));
    assert_eq!(
        answer,
        bad("Validation Result: warnings : [], errors : [Invalid content type specified: 123]")
    );
}

#[test]
fn a_method_refers_to_what_is_there() {
    let it = Root::new();
    let no_authorizer = "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or \
                         COGNITO_USER_POOLS requires a valid authorizer.";
    assert_eq!(it.put_method(json!({ "authorizationType": "CUSTOM" })), bad(no_authorizer));
    let no_validator = "Invalid Request Validator identifier specified";
    assert_eq!(it.put_method(json!({ "requestValidatorId": "none" })), bad(no_validator));
    let no_model = it.put_method(json!({ "requestModels": { "application/json": "none" } }));
    assert_eq!(no_model, bad("Invalid model identifier specified: none"));
    let twice = json!({ "method.request.header.a": true, "method.request.querystring.a": true });
    let message = "Parameter names must be unique across querystring, header and path";
    assert_eq!(it.put_method(json!({ "requestParameters": twice })), bad(message));

    let uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
    let authorizer = json!({
        "restApiId": it.api, "name": "a", "type": "TOKEN", "authorizerUri": uri,
        "identitySource": "method.request.header.Authorization",
    });
    let authorizer = call(|input| it.plane.create_authorizer(input), authorizer);
    assert_eq!(authorizer["authType"], "custom");
    assert_eq!(authorizer.get("authorizerResultTtlInSeconds"), None, "none was given");
    let method = it.put_method(json!({ "authorizationType": "custom", "authorizerId": authorizer["id"] }));
    assert_eq!(method["authorizationType"], "CUSTOM");
    let input = json!({ "restApiId": it.api, "authorizerId": authorizer["id"] });
    let deleted = call(|input| it.plane.delete_authorizer(input), input);
    assert_eq!(
        deleted,
        json!({ "Conflict": "Cannot delete authorizer 'a', is referenced in method: //GET" })
    );
    assert_eq!(it.put_method(json!({})), json!({ "Conflict": "Method already exists for this resource" }));
}

#[test]
fn models_and_validators_in_use_stay() {
    let it = Root::new();
    let validator = json!({ "restApiId": it.api, "name": "v", "validateRequestBody": true });
    let validator = text(&call(|input| it.plane.create_request_validator(input), validator), "id");
    it.put_method(
        json!({ "requestValidatorId": validator, "requestModels": { "application/json": "Error" } }),
    );
    let input = json!({ "restApiId": it.api, "modelName": "Error" });
    assert!(call(|input| it.plane.delete_model(input), input)["Conflict"].is_string());
    let input = json!({ "restApiId": it.api, "requestValidatorId": validator });
    assert!(call(|input| it.plane.delete_request_validator(input), input.clone())["Conflict"].is_string());
    let patches = it.with(&json!({ "patchOperations": patch("replace", "/requestValidatorId", "") }));
    assert!(call(|input| it.plane.update_method(input), patches)["requestValidatorId"].is_null());
    assert!(call(|input| it.plane.delete_request_validator(input), input).is_null());
    let template = json!({ "restApiId": it.api, "modelName": "Error" });
    let template = call(|input| it.plane.get_model_template(input), template);
    assert_eq!(template["value"], "#set($inputRoot = $input.path('$'))\n{\n  \"message\" : \"foo\"\n}");
}

#[test]
fn an_integration_is_patched_under_the_same_rules() {
    let it = Root::new();
    it.put_method(json!({ "requestParameters": { "method.request.querystring.q": true } }));
    it.put_integration(
        json!({ "type": "HTTP_PROXY", "integrationHttpMethod": "ANY", "uri": "http://a/{x}" }),
    );
    let update = |op: &str, path: &str, value: &str| {
        let input = it.with(&json!({ "patchOperations": patch(op, path, value) }));
        call(|input| it.plane.update_integration(input), input)
    };
    let parameter = "/requestParameters/integration.request.path.x";
    let answer = update("add", parameter, "method.request.querystring.q");
    assert_eq!(answer["requestParameters"]["integration.request.path.x"], "method.request.querystring.q");
    assert!(update("replace", parameter, "method.request.querystring.other")["BadRequest"].is_string());
    assert!(update("remove", parameter, "")["requestParameters"].is_null());
    assert_eq!(update("replace", "/uri", "nothing"), bad("Invalid HTTP endpoint specified for URI"));
    assert_eq!(
        update("replace", "/timeoutInMillis", "49"),
        bad("Timeout should be between 50 ms and 29000 ms")
    );
    assert_eq!(update("replace", "/timeoutInMillis", "50")["timeoutInMillis"], 50);
    let key = "/cacheKeyParameters/method.request.querystring.q";
    assert_eq!(update("add", key, "")["cacheKeyParameters"], json!(["method.request.querystring.q"]));
    assert_eq!(update("remove", key, "")["cacheKeyParameters"], json!([]));
    assert_eq!(
        update("add", "/requestTemplates/application~1json", "{}")["requestTemplates"]["application/json"],
        "{}"
    );
    assert_eq!(
        update("add", "/uri", "x"),
        bad("Invalid patch operation specified. Must be one of: [replace]")
    );
    assert_eq!(update("replace", "/none", "x"), bad("Invalid patch path /none"));
}
