//! REST APIs through real sockets: what clients, backends and functions see.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod support;

use serde_json::{Value, json};
use support::{Api, Origin, compile, header, one_method};

fn mock(status: u16, body: &str) -> Value {
    json!({
        "type": "MOCK",
        "requestTemplates": {"application/json": format!("{{\"statusCode\": {status}}}")},
        "integrationResponses": {
            "200": {"statusCode": "200", "responseTemplates": {"application/json": body}},
            "404": {"statusCode": "404", "selectionPattern": "4\\d{2}", "responseTemplates": {"application/json": "{\"gone\":true}"}},
        },
    })
}

#[test]
fn a_mock_answers_by_its_templates() {
    let api = Api::serve(&one_method(mock(200, r#"{"data":"ok"}"#)));
    let response = api.get("/health");
    assert_eq!((response.status, response.text()), (200, r#"{"data":"ok"}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-amzn-requestid").map(str::len), Some(36));
    assert_eq!(response.header("x-amz-apigw-id").map(str::len), Some(16));
    assert_eq!(response.header("x-amzn-trace-id"), None);

    let api = Api::serve(&one_method(mock(404, "{}")));
    assert_eq!(api.get("/health").status, 404);
}

#[test]
fn what_is_not_there_is_a_missing_token() {
    let mut definition = one_method(mock(200, "{}"));
    definition["resources"][0]["path"] = json!("/users/{id}");
    let method = definition["resources"][0]["resourceMethods"]["ANY"].take();
    definition["resources"][0]["resourceMethods"] = json!({"GET": method});
    let api = Api::serve(&definition);
    for request in ["GET /other", "POST /users/1", "GET /", "GET /users/1/2", "GET "] {
        let response = api.send(request, b"");
        assert_eq!(
            (response.status, response.text()),
            (403, r#"{"message":"Missing Authentication Token"}"#),
            "{request}"
        );
        assert_eq!(response.header("x-amzn-errortype"), Some("MissingAuthenticationTokenException"));
    }
    assert_eq!(api.get("/users/1/").status, 200);
    assert_eq!(api.send("POST /users/1\nX-HTTP-Method-Override: GET", b"").status, 200);
}

#[test]
fn a_proxied_backend_sees_the_clients_request() {
    let origin = Origin::start(Some(
        "HTTP/1.1 201 Created\r\nServer: origin\r\nDate: today\r\nX-Mine: 1\r\nContent-Encoding: gzip\r\nVia: 1.1 x\r\nContent-Length: 4\r\n\r\nbody",
    ));
    let api = Api::serve(&one_method(json!({
        "type": "HTTP_PROXY",
        "httpMethod": "ANY",
        "uri": origin.url("/base/{proxy}"),
        "requestParameters": {
            "integration.request.path.proxy": "method.request.path.proxy",
            "integration.request.header.X-Stage": "context.stage",
            "integration.request.header.User-Agent": "'Override-Agent'",
            "integration.request.header.TE": "'gzip'",
        },
    })));
    let response = api.send(
        "POST /a%2Fb/c?x=1&y=%20\nUser-Agent: test\ntEsT-HEADeR: aValUE\nContent-MD5: x\nX-Forwarded-For: 10.0.0.1\nExpect-Not: 1",
        b"hello",
    );
    let request = origin.request();
    assert_eq!(request.lines().next(), Some("POST /base/a%2Fb/c?x=1&y=%20 HTTP/1.1"));
    assert!(request.ends_with("\r\n\r\nhello"), "{request}");
    let expected = [
        ("Host", Some(origin.authority())),
        ("User-Agent", Some("Override-Agent".to_owned())),
        ("X-Stage", Some("dev".to_owned())),
        ("X-Amzn-Apigateway-Api-Id", Some("abc".to_owned())),
        ("X-Forwarded-For", Some("10.0.0.1, 127.0.0.1".to_owned())),
        ("X-Forwarded-Port", Some("8080".to_owned())),
        ("X-Forwarded-Proto", Some("http".to_owned())),
        ("Content-MD5", None),
        ("TE", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&request, name), value.as_deref(), "{name} of {request}");
    }
    assert!(header(&request, "X-Amzn-Trace-Id").is_some_and(|id| id.starts_with("Root=1-")));
    assert!(request.contains("tEsT-HEADeR: aValUE"), "{request}");

    assert_eq!((response.status, response.text()), (201, "body"));
    let expected = [
        ("x-amzn-Remapped-Server", Some("origin")),
        ("x-amzn-Remapped-Date", Some("today")),
        ("x-amzn-Remapped-Content-Length", Some("4")),
        ("Server", None),
        ("Via", None),
        ("Content-Encoding", None),
        ("X-Mine", Some("1")),
        ("x-amzn-errortype", None),
        ("X-Amzn-Trace-Id", None),
    ];
    for (name, value) in expected {
        assert_eq!(response.header(name), value, "{name} of {}", response.head);
    }
}

#[test]
fn chunked_bodies_are_passed_on_and_empty_ones_are_none() {
    let origin = Origin::start(Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let proxy = json!({"type": "HTTP_PROXY", "httpMethod": "POST", "uri": origin.url("/")});
    let api = Api::serve(&one_method(proxy));
    let chunked = "GET /x\nTransfer-Encoding: chunked\nContent-Encoding: deflate\nVia: 1.1 x";
    assert_eq!(api.send(chunked, b"0\r\n\r\n").status, 200);
    let request = origin.request();
    assert_eq!(header(&request, "Content-Length"), Some("0"), "{request}");
    assert_eq!((header(&request, "Content-Encoding"), header(&request, "Via")), (None, None), "{request}");

    // One that is there whole is sent with its length.
    let body = b"3\r\n{}x\r\n2\r\nyz\r\n0\r\n\r\n";
    assert_eq!(api.send("GET /x\nTransfer-Encoding: chunked", body).status, 200);
    let request = origin.request();
    assert_eq!(header(&request, "Content-Length"), Some("5"), "{request}");
    assert!(
        header(&request, "Transfer-Encoding").is_none() && request.ends_with("\r\n\r\n{}xyz"),
        "{request}"
    );

    // The origin has closed the connection without a word. This body streams and could not be sent a second time, so the
    // gateway has to notice before it sends it.
    let body = format!("{:x}\r\n{}\r\n2\r\nyz\r\n0\r\n\r\n", 200_000, "x".repeat(200_000));
    assert_eq!(api.send("GET /x\nTransfer-Encoding: chunked", body.as_bytes()).status, 200);
    let request = origin.request();
    assert_eq!(header(&request, "Transfer-Encoding"), Some("chunked"));
    assert!(request.ends_with("yz\r\n0\r\n\r\n"));
}

#[test]
fn mapped_query_parameters_join_the_clients() {
    let origin = Origin::start(Some("HTTP/1.1 204 No Content\r\n\r\n"));
    let api = Api::serve(&one_method(json!({
        "type": "HTTP_PROXY",
        "httpMethod": "GET",
        "uri": origin.url("/x?fixed=1"),
        "requestParameters": {
            "integration.request.querystring.a": "'mapped & more'",
            "integration.request.querystring.h": "method.request.header.none",
        },
    })));
    assert_eq!(api.send("POST /y?a=client&b=2", b"").status, 204);
    assert_eq!(origin.request().lines().next(), Some("GET /x?fixed=1&b=2&a=mapped%20%26%20more HTTP/1.1"));
}

#[test]
fn a_backend_that_fails_is_an_integration_failure() {
    let closed = Origin::start(Some(""));
    let silent = Origin::start(None);
    let check = |uri: String, status: u16, message: &str| {
        let api = Api::serve(&one_method(
            json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": uri, "timeoutInMillis": 60}),
        ));
        let response = api.get("/x");
        assert_eq!((response.status, response.json()["message"].as_str()), (status, Some(message)), "{uri}");
    };
    check("http://127.0.0.1:1/".to_owned(), 504, "Network error communicating with endpoint");
    check(closed.url("/"), 504, "Network error communicating with endpoint");
    check(silent.url("/"), 504, "Endpoint request timed out");
}

#[test]
fn a_backend_that_breaks_off_breaks_the_answer_off() {
    let origin = Origin::start(Some("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin"));
    let api =
        Api::serve(&one_method(json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": origin.url("/")})));
    let response = api.get("/x");
    assert_eq!(
        (response.status, response.header("content-length"), response.text()),
        (200, Some("100"), "begin")
    );
}

#[test]
fn what_aws_deploys_and_cannot_call_answers_500() {
    let check = |integration: Value| {
        let api = Api::serve(&one_method(integration));
        let response = api.get("/x");
        assert_eq!((response.status, response.text()), (500, r#"{"message": "Internal server error"}"#));
        assert_eq!(response.header("x-amzn-errortype"), Some("InternalServerErrorException"));
    };
    let function = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations";
    check(json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "https://${stageVariables.host}"}));
    check(
        json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://localhost:1", "requestParameters": {"integration.request.header.Transfer-Encoding": "'deflate'"}}),
    );
    check(
        json!({"type": "AWS_PROXY", "httpMethod": "POST", "uri": function, "requestParameters": {"integration.request.header.TE": "'gzip'"}}),
    );
    check(json!({"type": "AWS_PROXY", "httpMethod": "GET", "uri": function}));
    check(json!({"type": "AWS_PROXY", "httpMethod": "POST", "uri": function.replace(":f/", ":missing/")}));
    check(json!({"type": "MOCK"}));
    check(json!({"type": "MOCK", "requestTemplates": {"application/json": "{\"statusCode\": 200}"}}));
}

#[test]
fn what_is_no_request_is_refused_as_other_errors_are() {
    let api = Api::serve(&one_method(mock(200, "{}")));
    let check = |request: &str, status: u16, error_type: Option<&str>| {
        let response = api.send_bytes(request.as_bytes());
        assert_eq!(
            (response.status, response.header("x-amzn-errortype")),
            (status, error_type),
            "{}",
            response.head
        );
        assert_eq!(response.header("x-amzn-requestid").map(str::len), Some(36));
        assert_eq!(response.header("x-amz-apigw-id").map(str::len), Some(16));
        assert_eq!(response.header("connection"), Some("close"));
        assert!(response.json()["message"].is_string());
    };
    let bad = Some("BadRequestException");
    check("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, bad);
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(300)), 431, bad);
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, None);
    check("GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505, None);
}

/// A chunked body of so many MiB and a last piece.
fn chunks(mebibytes: usize, last: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..mebibytes {
        body.extend_from_slice(b"100000\r\n");
        body.extend(std::iter::repeat_n(b'x', 0x10_0000));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(last);
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[test]
fn bodies_that_nothing_reads_are_checked_all_the_same() {
    let api = Api::serve(&one_method(mock(200, "{}")));
    let check = |body: &[u8], status: u16| {
        let response = api.send("POST /x\nTransfer-Encoding: chunked", body);
        assert_eq!(response.status, status, "{}", response.head);
    };
    check(&chunks(10, b""), 200);
    check(&chunks(10, b"1\r\nx\r\n"), 413);
    check(b"zz\r\n", 400);
    check(b"0\r\n\r\n", 200);
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let origin = Origin::start(Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let api =
        Api::serve(&one_method(json!({"type": "HTTP_PROXY", "httpMethod": "ANY", "uri": origin.url("/")})));
    let response = api.send("POST /x", &vec![b'x'; 10 * 1024 * 1024 + 1]);
    assert_eq!((response.status, response.text()), (413, r#"{"message":"Request Too Long"}"#));

    let response = api.send("POST /x\nTransfer-Encoding: chunked", &chunks(10, b"1\r\nx\r\n"));
    assert_eq!(response.status, 413, "{}", response.head);

    let response = api.send(&format!("GET /x\nX-Large: {}", "x".repeat(10_240)), b"");
    assert_eq!(response.status, 431);
}

#[test]
fn gateway_responses_are_customised() {
    let mut definition = one_method(mock(200, "{}"));
    definition["resources"][0]["path"] = json!("/only");
    definition["gatewayResponses"] = json!([
        {
            "responseType": "DEFAULT_4XX",
            "statusCode": "418",
            "responseParameters": {
                "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
                "gatewayresponse.header.X-Agent": "method.request.header.User-Agent",
            },
            "responseTemplates": {
                "application/json": "{\"m\":$context.error.messageString,\"t\":\"$context.error.responseType\",\"s\":\"$stageVariables.color\"}",
            },
        },
    ]);
    let stage = json!({"variables": {"color": "red"}});
    let api = Api::serve_stage(&definition, &stage, |_| Ok("{}".into()));
    let response = api.send("GET /nope\nUser-Agent: me", b"");
    assert_eq!(response.status, 418);
    assert_eq!(
        response.text(),
        r#"{"m":"Missing Authentication Token","t":"MISSING_AUTHENTICATION_TOKEN","s":"red"}"#
    );
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("x-agent"), Some("me"));
}

#[test]
fn requests_are_validated() {
    let mut definition = one_method(mock(200, "{}"));
    let method = &mut definition["resources"][0]["resourceMethods"]["ANY"];
    method["requestValidatorId"] = json!("v");
    method["requestParameters"] =
        json!({"method.request.querystring.qs1": true, "method.request.header.x-header-param": true});
    method["requestModels"] = json!({"application/json": "M"});
    definition["validators"] =
        json!([{"id": "v", "validateRequestBody": true, "validateRequestParameters": true}]);
    definition["models"] = json!([{"name": "M", "schema": r#"{"type":"object","required":["a"]}"#}]);
    let api = Api::serve(&definition);
    let check = |head: &str, body: &str, status: u16, message: Option<&str>| {
        let response = api.send(head, body.as_bytes());
        assert_eq!(
            (response.status, response.json()["message"].as_str()),
            (status, message),
            "{head} {body}"
        );
    };
    let missing = "Missing required request parameters: [x-header-param, qs1]";
    check("POST /x?qs1=", "{\"a\":1}", 400, Some(missing));
    check("POST /x?qs1=1\nx-header-param: 1", "{\"b\":1}", 400, Some("Invalid request body"));
    check("GET /x?qs1=1\nX-Header-Param: 1", "", 400, Some("Invalid request body"));
    check("POST /x?qs1=1\nx-header-param: 1", "{\"a\":1}", 200, None);
}

const FUNCTION: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations";

fn echo_proxy() -> Value {
    one_method(json!({"type": "AWS_PROXY", "httpMethod": "POST", "uri": FUNCTION}))
}

/// Puts the event into the body of a response.
fn echo(event: &[u8]) -> Result<bytes::Bytes, bytes::Bytes> {
    Ok(json!({"statusCode": 200, "body": String::from_utf8_lossy(event)}).to_string().into())
}

#[test]
fn a_function_gets_the_event_of_aws() {
    let stage = json!({"variables": {"color": "red"}});
    let api = Api::serve_stage(&echo_proxy(), &stage, echo);
    let response = api.send(
        "POST //proxy-value/a//b/?category=electronics&category=books&plus=a+b%2B\nUser-Agent: python-requests/testing\n\
         tEsT-HEADeR: aValUE\nX-Multi: 1\nx-multi: 2\nContent-Type: application/json\nContent-MD5: x",
        br#"{"message": "hello"}"#,
    );
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.header("x-amzn-trace-id").is_some_and(|id| id.starts_with("Root=1-")));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let mut event = response.json();
    let request_id = response.header("x-amzn-requestid").unwrap();
    for (pointer, check) in [
        ("/requestContext/requestTime", Value::is_string as fn(&Value) -> bool),
        ("/requestContext/requestTimeEpoch", Value::is_u64),
        ("/headers/X-Amzn-Trace-Id", Value::is_string),
        ("/multiValueHeaders/X-Amzn-Trace-Id", Value::is_array),
    ] {
        let value = event.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert!(check(value), "{pointer}: {value}");
        *value = json!("varies");
    }
    let expected = json!({
        "resource": "/{proxy+}",
        "path": "/proxy-value/a//b/",
        "httpMethod": "POST",
        "headers": {
            "Host": "abc.execute-api.localhost:8080",
            "User-Agent": "python-requests/testing",
            "tEsT-HEADeR": "aValUE",
            "X-Multi": "2",
            "Content-Type": "application/json",
            "X-Amzn-Trace-Id": "varies",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Port": "8080",
            "X-Forwarded-Proto": "http",
        },
        "multiValueHeaders": {
            "Host": ["abc.execute-api.localhost:8080"],
            "User-Agent": ["python-requests/testing"],
            "tEsT-HEADeR": ["aValUE"],
            "X-Multi": ["1", "2"],
            "Content-Type": ["application/json"],
            "X-Amzn-Trace-Id": "varies",
            "X-Forwarded-For": ["127.0.0.1"],
            "X-Forwarded-Port": ["8080"],
            "X-Forwarded-Proto": ["http"],
        },
        "queryStringParameters": {"category": "books", "plus": "a b+"},
        "multiValueQueryStringParameters": {"category": ["electronics", "books"], "plus": ["a b+"]},
        "pathParameters": {"proxy": "proxy-value/a//b"},
        "stageVariables": {"color": "red"},
        "requestContext": {
            "accountId": "111111111111",
            "apiId": "abc",
            "deploymentId": "dep123",
            "domainName": "abc.execute-api.localhost",
            "domainPrefix": "abc",
            "extendedRequestId": response.header("x-amz-apigw-id").unwrap(),
            "httpMethod": "POST",
            "identity": {
                "accessKey": null, "accountId": null, "caller": null, "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null, "cognitoIdentityId": null, "cognitoIdentityPoolId": null,
                "principalOrgId": null, "sourceIp": "127.0.0.1", "user": null,
                "userAgent": "python-requests/testing", "userArn": null,
            },
            "path": "/dev//proxy-value/a//b/",
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "requestTime": "varies",
            "requestTimeEpoch": "varies",
            "resourceId": "res1",
            "resourcePath": "/{proxy+}",
            "stage": "dev",
        },
        "body": "{\"message\": \"hello\"}",
        "isBase64Encoded": false,
    });
    assert_eq!(event, expected, "{event:#}");
}

#[test]
fn functions_that_fail_are_bad_gateways() {
    let check = |answer: fn(&[u8]) -> Result<bytes::Bytes, bytes::Bytes>| {
        let api = Api::serve_stage(&echo_proxy(), &json!({}), answer);
        let response = api.get("/x");
        assert_eq!((response.status, response.text()), (502, r#"{"message": "Internal server error"}"#));
    };
    check(|_| Ok("null".into()));
    check(|_| Ok(r#"{"statusCode":200,"wrongValue":1}"#.into()));
    check(|_| Err(r#"{"errorMessage":"no"}"#.into()));

    let mut slow = echo_proxy();
    let integration = &mut slow["resources"][0]["resourceMethods"]["ANY"]["methodIntegration"];
    integration["uri"] = json!(FUNCTION.replace(":f/", ":slow/"));
    integration["timeoutInMillis"] = json!(50);
    let response = Api::serve_stage(&slow, &json!({}), echo).get("/x");
    assert_eq!(
        (response.status, response.json()["message"].as_str()),
        (504, Some("Endpoint request timed out"))
    );
}

#[test]
fn no_answer_has_an_interim_status() {
    let response =
        Api::serve_stage(&echo_proxy(), &json!({}), |_| Ok(r#"{"statusCode":100}"#.into())).get("/x");
    assert_eq!(response.status, 502, "{}", response.head);

    let template = "#set($context.responseOverride.status = 101){}";
    assert_eq!(Api::serve(&one_method(mock(200, template))).get("/x").status, 200);

    let origin = Origin::start(Some("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"));
    let proxy = json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": origin.url("/")});
    let response = Api::serve(&one_method(proxy)).get("/x");
    assert_eq!(
        (response.status, response.text()),
        (504, r#"{"message": "Network error communicating with endpoint"}"#)
    );
}

#[test]
fn binary_media_types_decide_about_base64() {
    let mut definition = echo_proxy();
    definition["restApi"] = json!({"binaryMediaTypes": ["image/png"]});
    let api = Api::serve_stage(&definition, &json!({}), |event| {
        let event: Value = serde_json::from_slice(event).unwrap();
        Ok(json!({"body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}).to_string().into())
    });
    let check = |headers: &str, body: &[u8], status: u16, expected: &[u8]| {
        let response = api.send(&format!("POST /x\n{headers}"), body);
        assert_eq!((response.status, &*response.body), (status, expected), "{headers}");
    };
    check("Content-Type: image/png\nAccept: image/png", b"\x89PNG", 200, b"\x89PNG");
    check("Content-Type: image/png\nAccept: image/webp,image/png", b"\x89PNG", 200, b"iVBORw==");
    check("Content-Type: image/png", b"\x89PNG", 200, b"iVBORw==");
    check("Content-Type: text/plain\nAccept: image/png", b"text", 200, b"text");
}

#[test]
fn function_errors_choose_the_response() {
    let response = |pattern: &str| json!({"statusCode": "200", "selectionPattern": pattern});
    let api = Api::serve_stage(
        &one_method(json!({
            "type": "AWS",
            "httpMethod": "POST",
            "uri": FUNCTION,
            "integrationResponses": {
                "200": {"statusCode": "200"},
                "405": {"statusCode": "405", "selectionPattern": ".*four hundred.*",
                        "responseParameters": {"method.response.header.X-Kind": "integration.response.body.errorType",
                                               "method.response.header.Server": "'mine'"}},
                "502": {"statusCode": "502", "selectionPattern": ".+"},
                "504": response("200"),
            },
        })),
        &json!({}),
        |event| match event {
            b"400" => Err(r#"{"errorMessage":"Error: four hundred","errorType":"Exception"}"#.into()),
            b"500" => Err(r#"{"errorMessage":"other"}"#.into()),
            other => Ok(bytes::Bytes::copy_from_slice(other)),
        },
    );
    assert_eq!((api.send("POST /x", b"[1]").status, api.send("POST /x", b"500").status), (200, 502));
    assert_eq!(api.send("POST /x", b"").text(), "", "nothing is sent of nothing");
    let response = api.send("POST /x", b"400");
    assert_eq!(response.status, 405);
    assert_eq!(response.header("x-kind"), Some("Exception"));
    assert_eq!(response.header("x-amzn-remapped-server"), Some("mine"));
}

#[test]
fn an_http_backend_sees_only_what_is_mapped() {
    let origin = Origin::start(Some(
        "HTTP/1.1 404 Not Found\r\nX-Mine: 1\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ngone",
    ));
    let api = Api::serve(&one_method(json!({
        "type": "HTTP",
        "httpMethod": "POST",
        "uri": origin.url("/x/{id}"),
        "requestParameters": {
            "integration.request.path.id": "method.request.querystring.id",
            "integration.request.querystring.q": "method.request.body.nested.value",
            "integration.request.header.X-All": "method.request.multivalueheader.X-In",
        },
        "requestTemplates": {"application/xml": "<fixed/>"},
        "passthroughBehavior": "WHEN_NO_MATCH",
        "integrationResponses": {
            "200": {"statusCode": "200"},
            "400": {"statusCode": "400", "selectionPattern": "4\\d{2}",
                    "responseParameters": {"method.response.header.X-Out": "integration.response.header.X-Mine"}},
        },
    })));
    let response =
        api.send("PUT /y?id=a%20b\nX-In: 1\nUser-Agent: me\nX-Other: 1", br#"{"nested":{"value":7}}"#);
    let request = origin.request();
    assert_eq!(request.lines().next(), Some("POST /x/a%20b?q=7 HTTP/1.1"));
    let expected = [
        ("User-Agent", Some("AmazonAPIGateway_abc")),
        ("Accept", Some("application/json")),
        ("Content-Type", Some("application/json")),
        ("X-Amzn-Apigateway-Api-Id", Some("abc")),
        ("X-All", Some("1")),
        ("X-Other", None),
    ];
    for (name, value) in expected {
        assert_eq!(header(&request, name), value, "{name} of {request}");
    }
    assert!(request.ends_with(r#"{"nested":{"value":7}}"#));
    assert_eq!((response.status, response.text()), (400, "gone"));
    assert_eq!(response.header("x-out"), Some("1"));
    assert_eq!(response.header("content-type"), Some("application/json"));

    api.send("PUT /y?id=1\nContent-Type: application/xml", b"<a/>");
    assert!(origin.request().ends_with("<fixed/>"));
}

#[test]
fn media_types_without_a_template_may_be_refused() {
    let check = |behavior: &str, content_type: &str, status: u16| {
        let mut integration = mock(200, "{}");
        integration["passthroughBehavior"] = json!(behavior);
        let api = Api::serve(&one_method(integration));
        let response = api.send(&format!("POST /x\nContent-Type: {content_type}"), b"{\"statusCode\":200}");
        assert_eq!(response.status, status, "{behavior} {content_type} {}", response.text());
    };
    check("WHEN_NO_MATCH", "application/xml", 200);
    check("WHEN_NO_TEMPLATES", "application/xml", 415);
    check("NEVER", "application/xml", 415);
    check("NEVER", "application/json;charset=utf-8", 200);
}

#[test]
fn what_would_be_left_open_does_not_compile() {
    let check = |change: fn(&mut Value), stage: Value, expected: &str| {
        let mut definition = one_method(mock(200, "{}"));
        change(&mut definition);
        let errors = compile(&definition, &stage).err().unwrap_or_default();
        assert!(errors.iter().any(|error| error.to_string().contains(expected)), "{expected}: {errors:?}");
    };
    fn method(definition: &mut Value) -> &mut Value {
        &mut definition["resources"][0]["resourceMethods"]["ANY"]
    }
    check(
        |d| method(d)["authorizationType"] = json!("CUSTOM"),
        json!({}),
        "ANY /{proxy+}: the method's authorizer is not there",
    );
    check(
        |d| method(d)["methodIntegration"]["integrationResponses"]["200"]["statusCode"] = json!("100"),
        json!({}),
        "\"100\" is no status code from 200 to 599",
    );
    check(
        |d| d["gatewayResponses"] = json!([{"responseType": "DEFAULT_4XX", "statusCode": "101"}]),
        json!({}),
        "\"101\" is no status code from 200 to 599",
    );
    check(|d| d["restApi"] = json!({"policy": "nonsense"}), json!({}), "policy");
    check(|_| (), json!({"webAclArn": "arn:x"}), "web ACLs");
    check(|d| method(d)["methodIntegration"] = Value::Null, json!({}), "No integration defined for method");
    check(
        |d| {
            method(d)["methodIntegration"] =
                json!({"type": "AWS", "uri": "arn:aws:apigateway:us-east-1:sqs:path/1/q"})
        },
        json!({}),
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ENDPOINT_URL_SQS",
    );
    check(
        |d| method(d)["methodIntegration"] = json!({"type": "HTTP_PROXY", "uri": "nonsense"}),
        json!({}),
        "Invalid HTTP endpoint specified for URI",
    );
}
