//! What holds for every text: reading never panics, and JSON and YAML of one document define the same.

use proptest::prelude::*;
use stagedoor_openapi::Document;

/// JSON values that look like parts of OpenAPI documents.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let keys = prop::sample::select(vec![
        "openapi",
        "swagger",
        "info",
        "title",
        "paths",
        "/a",
        "/a/{b}",
        "get",
        "post",
        "parameters",
        "in",
        "name",
        "responses",
        "200",
        "default",
        "content",
        "schema",
        "$ref",
        "components",
        "schemas",
        "properties",
        "items",
        "security",
        "x-amazon-apigateway-integration",
        "type",
        "uri",
        "requestTemplates",
        "x-amazon-apigateway-policy",
        "é \"quoted\"",
        "x-amazon-apigateway-gateway-responses",
        "tags",
        "servers",
        "url",
        "statusCode",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        prop::sample::select(vec![
            "3.0.1",
            "2.0",
            "#/paths",
            "#/components/schemas/a",
            "mock",
            "body",
            "path",
            "- x: *y"
        ])
        .prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|members| {
                serde_json::Value::Object(
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

/// The same values as YAML in block style, with every string quoted.
fn yaml(value: &serde_json::Value, indent: usize) -> String {
    let pad = "  ".repeat(indent);
    match value {
        serde_json::Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(key, value)| {
                format!("\n{pad}{}: {}", serde_json::Value::from(key.as_str()), yaml(value, indent + 1))
            })
            .collect(),
        serde_json::Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{pad}- {}", yaml(item, indent + 1))).collect()
        }
        other => other.to_string(),
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    (values(), values()).prop_map(|(path, components)| {
        serde_json::json!({
            "openapi": "3.0.1", "info": {"title": "t"}, "paths": {"/a": path}, "components": components,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        drop(Document::read(&text));
    }

    #[test]
    fn any_yaml_like_text_is_read_or_refused(text in "[-a:\\[\\]{}&*!?|>'\"%@#, \n\t0~<]{0,80}") {
        drop(Document::read(&text));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Document::read(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn any_document_is_read_or_refused(document in document()) {
        drop(Document::read(&document.to_string()));
    }

    #[test]
    fn json_and_yaml_define_the_same(document in document()) {
        let json = Document::read(&document.to_string());
        let block = Document::read(&yaml(&document, 0));
        match (json, block) {
            (Ok(json), Ok(block)) => {
                prop_assert_eq!(&json.definition, &block.definition);
                prop_assert_eq!(json.root().node.to_json(), block.root().node.to_json());
                prop_assert_eq!(json.findings.len(), block.findings.len());
            }
            (Err(json), Err(block)) => {
                let mut messages = [json, block].map(|found| found.into_iter().map(|one| one.message).collect::<Vec<_>>());
                messages.iter_mut().for_each(|list| list.sort());
                prop_assert_eq!(&messages[0], &messages[1]);
            }
            (json, block) => prop_assert!(false, "{:?} and {:?}", json.err(), block.err()),
        }
    }
}
