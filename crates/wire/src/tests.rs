//! The protocol as clients see it.

use proptest::prelude::*;
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
        "GET",
        "/v2/portals",
        "",
        (
            501,
            "NotImplementedException",
            r#"{"message":"ListPortals of Amazon API Gateway V2 is not implemented."}"#,
        ),
    );
}

#[test]
fn connections_are_managed_elsewhere() {
    let place = "http://{api-id}.execute-api.localhost:8080/{stage}/@connections/{connectionId}";
    let message = format!("Connections are managed at the address of their API and stage, such as {place}");
    let body = format!(r#"{{"message":"{message}"}}"#);
    check("GET", "/@connections/x", "", (403, "ForbiddenException", &body));
}

proptest! {
    #[test]
    fn every_request_is_answered(
        method in "GET|PUT|POST|PATCH|DELETE|HEAD|[A-Z]{1,9}",
        path in "(/(restapis|v2|apis|tags|apikeys|resources|methods|[!-~&&[^?#]]{0,8})){1,6}",
        query in proptest::option::of("[!-~&&[^#]]{0,30}"),
        authorization in proptest::option::of("(AWS4-HMAC-SHA256 )?[ -~]{0,60}"),
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let target = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        let request = Request::builder().method(method.as_str()).uri(&target);
        let request = authorization.iter().fold(request, |request, value| request.header("authorization", value));
        // Not every such target is one that a server lets through.
        let Ok(request) = request.body(Bytes::from(body)) else { return Ok(()) };
        let call = |_: Service, _: &'static str, input: Map<String, Value>| Ok(Value::Object(input));
        let key = Credential {
            access_key_id: "AKID".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        };
        let router = Router::new();
        for credentials in [Vec::new(), vec![key]] {
            let settings = WireSettings { credentials, region: None };
            let response = answer(&router, &settings, &request, OffsetDateTime::now_utc(), call);
            prop_assert!(settings.credentials.is_empty() || response.status() == 403);
        }
    }
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
    let aws = Conversation::begin();
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

        // Whatever the rules make of it, the shapes take it.
        let (status, headers, body) = aws.say(text("method"), text("target"), text("body"));
        let code = headers.get("x-amzn-errortype").map_or("", |code| code.to_str().unwrap());
        let built = dispatch::is_built(matched.route.service, name);
        assert!(built || status == 501, "{name}: {body}");
        assert!(code != "SerializationException" && status != 500, "{name}: {body}");
        seen += 1;
    }
    let known: usize = Service::ALL.iter().map(|service| service.operations().len()).sum();
    assert_eq!(seen, known, "a botocore of another age: refresh models/ or the one installed");
}

/// A conversation with a real control plane.
struct Conversation {
    wire: Wire,
}

impl Conversation {
    fn begin() -> Self {
        let settings = stagedoor_control_plane::Settings::default();
        let store = Arc::new(stagedoor_control_plane::MemoryStore::new());
        Self { wire: Wire::new(Arc::new(ControlPlane::new(store, settings)), WireSettings::default()) }
    }

    fn say(&self, method: &str, target: &str, body: &str) -> (u16, http::HeaderMap, String) {
        let request =
            Request::builder().method(method).uri(target).body(Bytes::from(body.to_owned())).unwrap();
        let (head, body) = self.wire.handle(request).into_parts();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Says something that has to succeed, and reads the answer.
    fn get(&self, method: &str, target: &str, body: &str, status: u16) -> Value {
        let (found, _, text) = self.say(method, target, body);
        assert_eq!(found, status, "{method} {target}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Says something that has to be refused.
    fn refused(&self, method: &str, target: &str, body: &str, status: u16, code: &str, message: &str) {
        let (found, headers, text) = self.say(method, target, body);
        assert_eq!((found, headers["x-amzn-errortype"].to_str().unwrap()), (status, code), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::json!({ "message": message }));
    }
}

#[test]
fn a_rest_api_from_creation_to_deletion() {
    let aws = Conversation::begin();
    let api = aws.get("POST", "/restapis", r#"{"name": "orders", "tags": {"a": "b"}, "unknown": 1}"#, 201);
    assert!(api["createdDate"].is_i64() || api["createdDate"].is_f64(), "a date is a number: {api}");
    let id = api["id"].as_str().unwrap();
    let root = api["rootResourceId"].as_str().unwrap();

    let listed = aws.get("GET", "/restapis?limit=10", "", 200);
    assert_eq!(listed["item"][0]["id"], api["id"], "a collection is called item: {listed}");

    let target = format!("/restapis/{id}/resources/{root}/methods/GET");
    let method =
        aws.get("PUT", &target, r#"{"authorizationType": "NONE", "httpMethod": "ignored in the body"}"#, 201);
    assert_eq!(method["httpMethod"], "GET");
    let integration = r#"{"type": "HTTP_PROXY", "httpMethod": "POST", "uri": "http://localhost:1/x"}"#;
    let integration = aws.get("PUT", &format!("{target}/integration"), integration, 201);
    assert_eq!(integration["httpMethod"], "POST");

    let deployment = aws.get("POST", &format!("/restapis/{id}/deployments"), r#"{"stageName": "dev"}"#, 201);
    assert!(deployment["id"].is_string());
    let stages = aws.get("GET", &format!("/restapis/{id}/stages"), "", 200);
    assert_eq!(stages["item"][0]["stageName"], "dev", "{stages}");
    let tags =
        aws.get("GET", &format!("/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Frestapis%2F{id}"), "", 200);
    assert_eq!(tags["tags"], serde_json::json!({"a": "b"}));

    let (status, headers, body) = aws.say("DELETE", &format!("/restapis/{id}"), "");
    assert_eq!((status, body.as_str(), headers.get("content-type")), (202, "", None));
    let account = "000000000000";
    aws.refused(
        "GET",
        &format!("/restapis/{id}"),
        "",
        404,
        "NotFoundException",
        &format!("Invalid API identifier specified {account}:{id}"),
    );
}

#[test]
fn refusals_come_in_one_envelope() {
    let aws = Conversation::begin();
    aws.refused(
        "POST",
        "/restapis",
        "{}",
        400,
        "ValidationException",
        "1 validation error detected: Value null at 'createRestApiInput.name' failed to satisfy constraint: Member \
         must not be null",
    );
    aws.refused(
        "POST",
        "/restapis",
        r#"{"name": true}"#,
        400,
        "SerializationException",
        "class java.lang.Boolean can not be converted to an String",
    );
    aws.refused(
        "POST",
        "/restapis",
        r#"{"name": "x", "description": ""}"#,
        400,
        "BadRequestException",
        "Description cannot be an empty string",
    );
    aws.refused(
        "GET",
        "/restapis?limit=many",
        "",
        400,
        "SerializationException",
        r#""many" can not be converted to an Integer"#,
    );
}
