//! Whole documents: what comes out of both dialects and both notations, and what is said about mistakes.

use super::*;

/// Reads a text and gives all that was found, one finding a line.
fn findings(text: &str) -> String {
    let findings = Document::read(text).map_or_else(|findings| findings, |document| document.findings);
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Checks what is said about a document whose top is given.
fn check(rest: &str, expected: &str) {
    assert_eq!(findings(&format!("openapi: 3.0.1\ninfo: {{title: t}}\n{rest}")), expected, "{rest}");
}

#[test]
fn what_is_no_document() {
    assert_eq!(findings("[]"), "line 1, column 1: an OpenAPI document is an object, and this is a list");
    assert_eq!(
        findings("openapi: 3.1.0\n"),
        "openapi (line 1, column 10): OpenAPI '3.1.0' is not read; API Gateway takes 3.0 and Swagger 2.0"
    );
    check("", "line 1, column 1: 'paths' is missing");
}

#[test]
fn misspelt_names_are_found() {
    check(
        "paths:\n  /a:\n    get:\n      responses: {}\n      x-amazon-apigateway-integration:\n        type: mock\n        \
         passThroughBehaviour: never\n        tlsConfig: {insecureSkipVerfication: true}\n",
        "paths./a.get.x-amazon-apigateway-integration.passThroughBehaviour (line 9, column 9): an integration has no \
         member 'passThroughBehaviour'; did you mean 'passthroughBehavior'?\n\
         paths./a.get.x-amazon-apigateway-integration.tlsConfig.insecureSkipVerfication (line 10, column 21): tlsConfig \
         has no member 'insecureSkipVerfication'; did you mean 'insecureSkipVerification'?",
    );
    check(
        "paths:\n  /a:\n    gett: {}\n    x-amazon-apigateway-policy: {}\n    post: {x-amazon-apigateway-integraton: {}}\n",
        "paths./a.gett (line 5, column 5): a path has no member 'gett'; did you mean 'get'?\n\
         paths./a.x-amazon-apigateway-policy (line 6, column 5): 'x-amazon-apigateway-policy' has no effect here; it \
         belongs in the document's top level\n\
         paths./a.post.x-amazon-apigateway-integraton (line 7, column 12): 'x-amazon-apigateway-integraton' is no \
         extension of API Gateway; did you mean 'x-amazon-apigateway-integration'?",
    );
}

#[test]
fn what_cannot_be_applied_is_said() {
    check(
        "paths:\n  /a:\n    trace: {}\n    get:\n      parameters: [{in: cookie, name: c}]\n      responses: {default: {}}\n",
        "paths./a.trace (line 5, column 5): API Gateway has no TRACE method; it is left out\n\
         paths./a.get.parameters.0 (line 7, column 20): Parameter type cookie for parameter c not supported. Ignoring.\n\
         paths./a.get.responses.default (line 8, column 19): API Gateway does not support Swagger's 'default' method \
         response (found on 'GET /a')",
    );
}

#[test]
fn references() {
    check(
        "paths: {/a: {get: {parameters: [{$ref: '#/components/parameters/A'}]}}}\ncomponents:\n  parameters:\n    A: {$ref: \
         '#/components/parameters/B'}\n    B: {$ref: '#/components/parameters/A'}\n",
        "paths./a.get.parameters.0 (line 3, column 33): this reference comes back to itself: #/components/parameters/A \
         -> #/components/parameters/B -> #/components/parameters/A",
    );
    check(
        "paths: {/a: {$ref: 'other.yaml#/x'}, /b: {$ref: '#/nowhere'}}",
        "paths./a (line 3, column 9): the reference 'other.yaml#/x' leaves this document, and only references that \
         start with '#/' are followed; put what it points to into this document\n\
         paths./b (line 3, column 38): the reference '#/nowhere' points to nothing in this document",
    );
    let schema = |schema: &str| format!("paths: {{}}\ncomponents: {{schemas: {{A: {schema}}}}}");
    check(&schema("{properties: {next: {$ref: '#/components/schemas/A'}}}"), "");
    check(
        &schema("{$ref: '#/components/schemas/A'}"),
        "components.schemas.A (line 4, column 24): this reference comes back to itself: #/components/schemas/A -> \
         #/components/schemas/A",
    );
    check(
        &schema("{properties: {p: {$ref: '#/components/schemas/A/properties/p'}}}"),
        "components.schemas.A.properties.p (line 4, column 41): this reference comes back to itself: \
         #/components/schemas/A/properties/p -> #/components/schemas/A/properties/p",
    );
    check(
        &schema("{items: {$ref: '#/components/schemas/B'}}"),
        "components.schemas.A.items (line 4, column 28): Reference to model 'B' not found. Ignoring.",
    );
}

#[test]
fn a_path_is_found_in_the_text() {
    let text = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration:\n        \
                type: mock\n        uri: here\n";
    let document = Document::read(text).unwrap();
    let integration = document.definition.paths[0].operations[0].integration.as_ref().unwrap();
    assert_eq!(integration.at.to_string(), "paths./a.get.x-amazon-apigateway-integration");
    assert_eq!(document.locate(&integration.at.child("uri")), Position { line: 8, column: 14 });
    assert_eq!(document.locate(&integration.at.child("nowhere")), Position { line: 6, column: 7 });
}

#[test]
fn base_paths() {
    let check = |servers: &str, expected: &str| {
        let text = format!("openapi: 3.0.1\ninfo: {{title: t}}\npaths: {{}}\nservers: {servers}\n");
        assert_eq!(Document::read(&text).unwrap().definition.base_path, expected, "{servers}");
    };
    check("[{url: 'https://a.example/b/c/'}]", "/b/c");
    check("[{url: 'https://a.example'}]", "");
    check("[{url: /v1}]", "/v1");
    check("[{url: 'https://a.example/{x}/c', variables: {x: {default: b}}}]", "/b/c");
    check("[{url: 'https://a.example', variables: {basePath: {default: /b}}}]", "/b");
}

/// One API in Swagger and in OpenAPI: they define the same.
#[test]
fn both_dialects_define_the_same() {
    let swagger = r##"{"swagger": "2.0", "info": {"title": "t", "version": 1.10}, "basePath": "/v1", "paths": {"/a/{id}": {"put": {
        "parameters": [{"in": "path", "name": "id", "required": true, "type": "string"},
                       {"in": "body", "name": "b", "schema": {"$ref": "#/definitions/M"}}],
        "responses": {"200": {"description": "", "schema": {"type": "array", "items": {"$ref": "#/definitions/M"}},
                              "headers": {"H": {"type": "string"}}}},
        "security": [{"key": []}]}}},
        "securityDefinitions": {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}},
        "definitions": {"M": {"type": "object", "x-example": 1, "properties": {"m": {"$ref": "#/definitions/M"}}}}}"##;
    let openapi = "openapi: 3.0.0\ninfo: {title: t, version: 1.10}\nservers: [{url: /v1}]\npaths:\n  /a/{id}:\n    put:\n      \
        parameters: [{in: path, name: id, required: true, schema: {type: string}}]\n      requestBody: {content: \
        {application/json: {schema: {$ref: '#/components/schemas/M'}}}}\n      responses:\n        200:\n          \
        description: ''\n          headers: {H: {schema: {type: string}}}\n          content: {application/json: {schema: \
        {type: array, items: {$ref: '#/components/schemas/M'}}}}\n      security: [key: []]\ncomponents:\n  \
        securitySchemes: {key: {type: apiKey, name: x-api-key, in: header}}\n  schemas: {M: {type: object, properties: \
        {m: {$ref: '#/components/schemas/M'}}}}\n";
    let swagger = Document::read(swagger).unwrap();
    let openapi = Document::read(openapi).unwrap();
    assert_eq!((swagger.findings, openapi.findings), (vec![], vec![]));
    assert_eq!(swagger.definition.version.as_deref(), Some("1.10"));
    // Only where things stand differs.
    let plain = |definition: &ApiDefinition| {
        let mut text = format!("{:?}{:?}", definition.paths, definition.models);
        while let Some(start) = text.find("at: DocPath(") {
            let end = text[start..].find("])").unwrap() + start + 2;
            text.replace_range(start..end, "");
        }
        text
    };
    assert_eq!(plain(&swagger.definition), plain(&openapi.definition));
}
