use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Values of a few levels, with names and texts that are awkward to spell.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~\\n\\t\u{85}\u{2028}é]{0,12}".prop_map(Value::from),
    ];
    let name = "[ -~\\n]{1,8}|true|null|200";
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn check(name: &str, value: &str, expected: Result<Extensions, &str>) {
    let parameters = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let found = extensions(Some(&parameters)).map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{name}={value}");
}

#[test]
fn extensions_are_read() {
    let none = Extensions::default();
    let all = Extensions { integrations: true, authorizers: true, documentation: true, settings: true };
    check("extensions", "integrations", Ok(Extensions { integrations: true, ..none }));
    check(
        "extensions",
        "integrations, authorizers",
        Ok(Extensions { integrations: true, authorizers: true, ..none }),
    );
    check("extensions", "apigateway", Ok(all));
    check("extensions", "postman", Ok(none));
    check("other", "apigateway", Ok(Extensions { documentation: true, ..none }));
    let refused = "Invalid extension specified: x. Must be one of: [apigateway, authorizers, documentation, \
                   integrations, postman]";
    check("extensions", "integrations,x", Err(refused));
    assert_eq!(iso_time(1_479_854_500.9), "2016-11-22T22:41:40Z");
    assert!(is_yaml("text/html, application/yaml;q=1").unwrap());
    assert!(!is_yaml("").unwrap());
    assert!(is_yaml("text/html").is_err());
}

/// Who may call methods survives an export and an import, in both dialects.
#[test]
fn security_is_exported_and_read_back() {
    use crate::{MemoryStore, Settings};
    use stagedoor_shapes::apigateway::{CreateDeploymentRequest, ImportRestApiRequest};
    use std::sync::Arc;

    let plane = ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default());
    let whole = |document: &str, kind: &str| {
        let body = Some(Blob(document.as_bytes().to_vec()));
        let api = plane.import_rest_api(ImportRestApiRequest { body, ..Default::default() }).unwrap().id;
        let stage = Some("s".to_owned());
        let deployment = CreateDeploymentRequest {
            rest_api_id: api.clone(),
            stage_name: stage.clone(),
            ..Default::default()
        };
        plane.create_deployment(deployment).unwrap();
        let parameters = BTreeMap::from([("extensions".to_owned(), "apigateway".to_owned())]);
        let request = GetExportRequest {
            rest_api_id: api,
            stage_name: stage,
            export_type: Some(kind.to_owned()),
            parameters: Some(parameters),
            accepts: None,
        };
        let text = String::from_utf8(plane.get_export(request).unwrap().body.unwrap().0).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        // The address names the API, and each import makes another.
        if kind == "swagger" {
            value["host"] = Value::Null;
        } else {
            value["servers"][0]["url"] = Value::Null;
        }
        value
    };
    let document = include_str!("security.yaml");
    for (kind, other) in [("oas30", "swagger"), ("swagger", "oas30")] {
        let first = whole(document, kind);
        let get = |path: &str| first["paths"][path]["get"]["security"].to_string();
        assert_eq!(get("/token"), r#"[{"token":[]},{"api_key":[]}]"#);
        assert_eq!(get("/pool"), r#"[{"pool":["a/b"]}]"#);
        assert_eq!(get("/iam"), r#"[{"sigv4":[]}]"#);
        assert_eq!(first["x-amazon-apigateway-policy"]["Statement"][0]["Effect"], "Allow");
        assert_eq!(whole(&first.to_string(), kind), first);
        assert_eq!(whole(&whole(&first.to_string(), other).to_string(), kind), first);
    }
}
