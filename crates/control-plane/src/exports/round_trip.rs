//! Export, import, export: the same document, whatever an API has, in both dialects and both forms.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use stagedoor_shapes::apigateway::{DocumentationVersion, ImportRestApiRequest};

use super::*;
use crate::{MemoryStore, Settings};

const ALL: Extensions =
    Extensions { integrations: true, authorizers: true, documentation: true, settings: true };

/// What a generated definition says besides its paths.
#[derive(Clone, Debug)]
struct Case {
    document: Value,
    dialect: Dialect,
    as_yaml: bool,
    extensions: Extensions,
}

/// Imports a text and exports what it has become.
fn there_and_back(text: &str, case: &Case) -> String {
    let plane = ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default());
    let body = Some(Blob(text.as_bytes().to_vec()));
    let parameters = Some(BTreeMap::from([("endpointConfigurationTypes".to_owned(), "REGIONAL".to_owned())]));
    let request = ImportRestApiRequest { body, parameters, ..Default::default() };
    let made = plane.import_rest_api(request).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let id = required(&made.id).to_owned();
    let (snapshot, parts) =
        plane.read(|tx| Ok((plane.load_api(tx, &id)?, plane.documentation_parts(tx, &id)?))).unwrap();
    let parts: Vec<_> = parts.into_iter().map(|stored| stored.part).collect();
    let published = DocumentationVersion { version: Some("v".to_owned()), ..DocumentationVersion::default() };
    let version = version(&snapshot);
    let export = Export {
        dialect: case.dialect,
        extensions: case.extensions,
        snapshot: &snapshot,
        stage: "test",
        // The address would name the API.
        host: "api.example.com".to_owned(),
        version: &version,
        documentation: Some(Documentation::new(published, parts)),
    };
    let document = export.document().unwrap();
    if case.as_yaml { yaml::print(&document) } else { print::print(&document) }
}

/// A word that texts, names and YAML have trouble with, or none.
fn word() -> impl Strategy<Value = String> {
    "[a-z]{1,6}|[ -~é\\n]{1,12}|yes|null|1\\.0|2020-01-01|- a|#x|: "
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (word(), 0..9u8)
            .prop_map(|(text, least)| json!({"type": "string", "description": text, "minLength": least})),
        (-9..9i32, any::<bool>())
            .prop_map(|(most, less)| json!({"maximum": most, "exclusiveMaximum": less, "type": "integer"})),
        (1..9u8).prop_map(|step| json!({"type": "number", "multipleOf": step, "format": "double"})),
        word().prop_map(|text| json!({"enum": [text, null, 1, {"required": ["b", "a"]}]})),
        (0..4u8).prop_map(|other| json!({"$ref": format!("#/components/schemas/Model{other}")})),
        Just(json!({"type": ["string", "null"], "default": "x"})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let members = prop::collection::btree_map("[a-z]{1,5}|type|enum|\\$x", inner.clone(), 1..4);
        prop_oneof![
            (members, word()).prop_map(|(members, title)| {
                let required: Vec<_> = members.keys().rev().cloned().collect();
                json!({"title": title, "required": required, "properties": members, "type": "object"})
            }),
            (inner.clone(), 0..3u8)
                .prop_map(|(item, most)| json!({"type": "array", "items": item, "maxItems": most})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| json!({"allOf": all})),
            inner.prop_map(|one| json!({"additionalProperties": one, "type": "object", "minProperties": 1})),
        ]
    })
}

fn integration() -> impl Strategy<Value = Value> {
    let pattern = prop::option::of(prop::sample::select(vec!["4\\d{2}", "5.*"]));
    let responses = (word(), pattern).prop_map(|(text, pattern)| {
        let mut responses = json!({"default": {
            "statusCode": "200",
            "responseParameters": {"method.response.header.X-A": "'x'"},
            "responseTemplates": {"application/json": text.replace(['#', '$'], "")},
        }});
        if let Some(pattern) = pattern {
            responses[pattern] = json!({"statusCode": "404", "contentHandling": "CONVERT_TO_BINARY"});
        }
        responses
    });
    let responses = responses.boxed();
    let function = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                    arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
    prop_oneof![
        responses.clone().prop_map(|responses| json!({
            "type": "mock", "requestTemplates": {"application/json": "{\"statusCode\": 200}"},
            "responses": responses, "passthroughBehavior": "never",
        })),
        (responses, 50..29_000i32).prop_map(|(responses, timeout)| json!({
            "type": "http", "httpMethod": "POST", "uri": "http://example.com/{id}", "timeoutInMillis": timeout,
            "requestParameters": {"integration.request.path.id": "method.request.path.id"},
            "cacheKeyParameters": ["method.request.path.id"], "cacheNamespace": "here", "responses": responses,
        })),
        Just(json!({
            "type": "http_proxy", "httpMethod": "ANY", "uri": "https://example.com", "connectionType": "VPC_LINK",
            "connectionId": "${stageVariables.link}", "tlsConfig": {"insecureSkipVerification": true},
            "responseTransferMode": "STREAM",
        })),
        any::<bool>().prop_map(move |convert| {
            let mut value = json!({"type": "aws_proxy", "httpMethod": "POST", "uri": function});
            if convert {
                value["contentHandling"] = "CONVERT_TO_TEXT".into();
                value["credentials"] = "arn:aws:iam::000000000000:role/r".into();
            }
            value
        }),
    ]
}

fn operation() -> impl Strategy<Value = Value> {
    let body = prop::option::of(prop_oneof![
        (0..4u8).prop_map(|model| json!({"$ref": format!("#/components/schemas/Model{model}")})),
        schema(),
    ]);
    let security = prop::option::of(prop::sample::subsequence(vec!["token", "request", "pool", "sigv4"], 1));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (integration(), body, security, flags, prop::option::of("[a-zA-Z]{1,9}")).prop_map(
        |(integration, body, security, (required, has_key, validated), id)| {
            let mut value = json!({
                "parameters": [
                    {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
                    {"name": "q.x", "in": "query", "required": required, "schema": {"type": "string"}},
                    {"name": "X-B", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {"description": "d", "headers": {"X-A": {"schema": {"type": "string"}}}},
                    "404": {"description": "d"},
                },
                "x-amazon-apigateway-integration": integration,
            });
            if let Some(schema) = body {
                value["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
                value["responses"]["200"]["content"] =
                    json!({"application/json": {"schema": {"$ref": "#/components/schemas/Model0"}}});
            }
            let mut schemes: Vec<&str> = security.into_iter().flatten().collect();
            if has_key {
                schemes.push("api_key");
            }
            if !schemes.is_empty() {
                let scopes = |name: &str| if name == "pool" { json!(["a/b"]) } else { json!([]) };
                value["security"] = schemes.iter().map(|name| json!({ *name: scopes(name) })).collect();
            }
            if validated {
                value["x-amazon-apigateway-request-validator"] = "both".into();
            }
            if let Some(id) = id {
                value["operationId"] = id.into();
            }
            value
        },
    )
}

fn part() -> impl Strategy<Value = Value> {
    let location = prop_oneof![
        Just(json!({"type": "API"})),
        Just(json!({"type": "MODEL", "name": "Model0"})),
        Just(json!({"type": "MODEL", "name": "Model1"})),
        Just(json!({"type": "AUTHORIZER", "name": "token"})),
        Just(json!({"type": "RESOURCE", "path": "/a/{id}"})),
        Just(json!({"type": "METHOD", "path": "/a/{id}", "method": "GET"})),
        Just(json!({"type": "PATH_PARAMETER", "path": "/a/{id}", "method": "GET", "name": "id"})),
        Just(json!({"type": "QUERY_PARAMETER", "path": "/a/{id}", "method": "GET", "name": "q.x"})),
        Just(json!({"type": "REQUEST_BODY", "path": "/a/{id}", "method": "GET"})),
        Just(json!({"type": "RESPONSE", "path": "/a/{id}", "method": "GET", "statusCode": "200"})),
        Just(
            json!({"type": "RESPONSE_HEADER", "path": "/a/{id}", "method": "GET", "statusCode": "200", "name": "X-A"})
        ),
    ];
    (location, word(), word()).prop_map(|(location, title, text)| {
        let mut properties =
            json!({"title": title, "description": text, "summary": text, "x-vendor": {"$ref": "y"}});
        if location["type"] == "API" {
            properties = json!({
                "info": {"description": text, "contact": {"name": title}, "x-info": [1]},
                "tags": [{"name": title}], "externalDocs": {"url": "https://example.com"},
            });
        }
        json!({"location": location, "properties": properties})
    })
}

fn document() -> impl Strategy<Value = Value> {
    let paths = prop::sample::subsequence(vec!["/a/{id}", "/b/{id}/c", "/b/{id}", "/c/{id+}"], 1..4);
    let methods =
        prop::sample::subsequence(vec!["get", "put", "post", "x-amazon-apigateway-any-method"], 1..3);
    let items = prop::collection::vec((methods, prop::collection::vec(operation(), 3)), 4);
    let settings = (word(), prop::option::of(word()), any::<bool>(), prop::option::of(0..9_999u32));
    let parts = prop::collection::vec(part(), 0..6);
    (paths, items, prop::collection::vec(schema(), 4), settings, parts).prop_map(
        |(paths, items, schemas, (title, description, by_authorizer, size), mut parts)| {
            let title = format!("T{title}");
            let function = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/\
                            arn:aws:lambda:us-east-1:000000000000:function:f/invocations";
            let mut root = json!({
                "openapi": "3.0.1",
                "info": {"title": title, "version": "1.10"},
                "paths": {},
                "components": {"schemas": {}, "securitySchemes": {
                    "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
                    "sigv4": {"type": "apiKey", "name": "Authorization", "in": "header",
                              "x-amazon-apigateway-authtype": "awsSigv4"},
                    "token": {"type": "apiKey", "name": "X-T", "in": "header", "x-amazon-apigateway-authorizer": {
                        "type": "token", "authorizerUri": function, "identityValidationExpression": "[a-z]+",
                        "authorizerResultTtlInSeconds": 60}},
                    "request": {"type": "apiKey", "name": "Unused", "in": "header",
                                "x-amazon-apigateway-authorizer": {
                        "type": "request", "authorizerUri": function,
                        "identitySource": "method.request.header.A, context.identity.sourceIp"}},
                    "pool": {"type": "apiKey", "name": "Authorization", "in": "header",
                             "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": [
                        "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_a"]}},
                }},
                "x-amazon-apigateway-request-validators": {
                    "both": {"validateRequestBody": true, "validateRequestParameters": true},
                    "body only": {"validateRequestBody": true},
                },
                "x-amazon-apigateway-gateway-responses": {
                    "DEFAULT_4XX": {"responseParameters": {"gatewayresponse.header.X": "'a'"}},
                    "THROTTLED": {"statusCode": 420, "responseTemplates": {"text/plain": "slow"}},
                },
                "x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "*",
                    "Condition": {"StringEquals": {"aws:SourceIp": title}}}]},
                "x-amazon-apigateway-binary-media-types": ["image/png", "*/*"],
                "x-amazon-apigateway-documentation": {"version": "v"},
            });
            for (path, (methods, operations)) in paths.iter().zip(items) {
                let mut item = serde_json::Map::new();
                for (method, operation) in methods.into_iter().zip(operations) {
                    item.insert(method.to_owned(), operation);
                }
                root["paths"][*path] = Value::Object(item);
            }
            for (index, schema) in schemas.into_iter().enumerate() {
                // A model that is nothing but another one may come back to itself.
                let schema = if schema.get("$ref").is_some() { json!({"items": schema}) } else { schema };
                root["components"]["schemas"][format!("Model{index}")] = schema;
            }
            if let Some(description) = description {
                root["info"]["description"] = description.into();
            }
            if by_authorizer {
                root["x-amazon-apigateway-api-key-source"] = "AUTHORIZER".into();
                root["x-amazon-apigateway-endpoint-configuration"] = json!({"disableExecuteApiEndpoint": true});
            }
            if let Some(size) = size {
                root["x-amazon-apigateway-minimum-compression-size"] = size.into();
            }
            // One part a place.
            let mut seen = Vec::new();
            parts.retain(|part| {
                let place = part["location"].to_string();
                let is_new = !seen.contains(&place);
                seen.push(place);
                is_new
            });
            root["x-amazon-apigateway-documentation"]["documentationParts"] = parts.into();
            root
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let dialect = prop_oneof![Just(Dialect::OpenApi3), Just(Dialect::Swagger2)];
    (document(), dialect, any::<bool>()).prop_map(|(document, dialect, as_yaml)| Case {
        document,
        dialect,
        as_yaml,
        extensions: ALL,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn exports_read_back_as_what_they_are_of(case in case()) {
        let first = there_and_back(&case.document.to_string(), &case);
        let second = there_and_back(&first, &case);
        prop_assert_eq!(&second, &first);
        // The other dialect, and the other form, lose nothing either.
        let other = match case.dialect {
            Dialect::OpenApi3 => Dialect::Swagger2,
            Dialect::Swagger2 => Dialect::OpenApi3,
        };
        let through = there_and_back(&first, &Case { dialect: other, as_yaml: !case.as_yaml, ..case.clone() });
        prop_assert_eq!(there_and_back(&through, &case), first);
    }

    /// Without extensions a document says less, and says that again: who may call, what is sent and answered.
    #[test]
    fn documents_without_extensions_read_back(mut case in case()) {
        case.extensions = Extensions { documentation: true, ..Extensions::default() };
        for path in case.document["paths"].as_object_mut().into_iter().flatten() {
            for operation in path.1.as_object_mut().into_iter().flatten() {
                operation.1["security"] = json!([{"sigv4": []}, {"api_key": []}]);
            }
        }
        let mut first = there_and_back(&case.document.to_string(), &case);
        if case.dialect == Dialect::Swagger2 {
            // `consumes` and `produces` name the media types of templates as well, which are gone then.
            first = there_and_back(&first, &case);
        }
        prop_assert_eq!(there_and_back(&first, &case), first);
    }
}
