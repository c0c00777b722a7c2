//! The protocol as clients see it.

use stagedoor_shapes::Shape;

use super::*;

fn answered(request: http::request::Builder, body: &'static str) -> (u16, String, String) {
    let request = request.body(Bytes::from_static(body.as_bytes())).unwrap();
    let call = |_: Service, _: &'static str, input: Map<String, Value>| Ok(Value::Object(input));
    let settings = WireSettings::default();
    let response = answer(&Router::new(), &settings, &request, OffsetDateTime::now_utc(), call);
    for id in ["x-amzn-requestid", "x-amz-apigw-id"] {
        assert!(response.headers().contains_key(id), "every answer has its {id}");
    }
    let code = response.headers().get("x-amzn-errortype").map_or("", |value| value.to_str().unwrap());
    let text = String::from_utf8(response.body().to_vec()).unwrap();
    (response.status().as_u16(), code.to_owned(), text)
}

fn check(method: &str, target: &str, body: &'static str, expected: (u16, &str, &str)) {
    let (status, code, text) = answered(Request::builder().method(method).uri(target), body);
    assert_eq!((status, code.as_str(), text.as_str()), expected, "{method} {target}");
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let unknown =
        (403, "MissingAuthenticationTokenException", r#"{"message":"Missing Authentication Token"}"#);
    check("GET", "/", "", unknown);
    check("PATCH", "/restapis", "", unknown);
    check("GET", "/v3/apis", "", unknown);
}

#[test]
fn what_is_not_built_says_so() {
    check(
        "POST",
        "/@connections/x",
        "",
        (
            501,
            "NotImplementedException",
            r#"{"message":"PostToConnection of Amazon API Gateway Management API is not implemented."}"#,
        ),
    );
}

/// What a value given to botocore should arrive as.
fn expected(value: &Value, shape: &Shape) -> Value {
    match (shape, value) {
        (Shape::Structure(structure), Value::Object(given)) => {
            let members = structure.members.iter().filter_map(|member| {
                Some((member.key.to_owned(), expected(given.get(member.name)?, &member.shape)))
            });
            Value::Object(members.collect())
        }
        (Shape::List(inner), Value::Array(items)) => items.iter().map(|item| expected(item, inner)).collect(),
        (Shape::Map(inner), Value::Object(given)) => {
            Value::Object(given.iter().map(|(name, item)| (name.clone(), expected(item, inner))).collect())
        }
        (Shape::Blob(_), Value::String(text)) => STANDARD.encode(text).into(),
        // The only dates that travel in requests are those of the newer services.
        (Shape::Timestamp, _) => "2023-11-14T22:13:20Z".into(),
        (_, value) => value.clone(),
    }
}

/// AWS's Python SDK writes one request for each operation, and all of it arrives.
#[test]
fn requests_of_botocore_arrive_whole() {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let python = if std::path::Path::new(installed).exists() { installed } else { "python3" };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/botocore_requests.py");
    let output = std::process::Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    let router = Router::new();
    let mut seen = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().unwrap();
        let name = text("operation");
        let (path, query) = text("target").split_once('?').unwrap_or((text("target"), ""));
        let matched = router.find(text("method"), path, query).unwrap_or_else(|| panic!("{name}: no route"));
        assert_eq!(matched.route.operation.name, name);
        let mut headers = http::HeaderMap::new();
        for pair in case["headers"].as_array().unwrap() {
            let header: http::HeaderName = pair[0].as_str().unwrap().parse().unwrap();
            headers.insert(header, pair[1].as_str().unwrap().parse().unwrap());
        }
        let members = input::read(&matched, query, &headers, text("body").as_bytes()).unwrap();
        if let Some(structure) = matched.route.operation.input {
            let wanted = expected(&case["params"], &Shape::Structure(structure));
            assert_eq!(Value::Object(members.clone()), wanted, "{name}");
        }
        let refused = validate::violations(matched.route.service, matched.route.operation, &members);
        assert_eq!(refused, None, "{name}");
        seen += 1;
    }
    let known: usize = Service::ALL.iter().map(|service| service.operations().len()).sum();
    assert_eq!(seen, known, "a botocore of another age: refresh models/ or the one installed");
}
