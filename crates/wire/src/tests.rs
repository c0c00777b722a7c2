//! The protocol as clients see it.

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
