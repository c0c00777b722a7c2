//! Mapping templates through real sockets, after recorded answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test may fail loudly, and uses a part of what tests share"
)]

mod support;

use serde_json::{Value, json};
use support::{Api, Origin, header, one_method};

const FUNCTION: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations";

fn mock(request: &str, response: &str) -> Value {
    one_method(json!({
        "type": "MOCK",
        "requestTemplates": {"application/json": request},
        "integrationResponses": {"200": {
            "statusCode": "200",
            "selectionPattern": "2\\d{2}",
            "responseTemplates": {"application/json": response},
        }},
    }))
}

#[test]
fn overrides_travel_from_the_request_to_the_response() {
    let api = Api::serve(&mock(
        "#set($context.responseOverride.status = 444)\n#set($context.responseOverride.header.foo = \"bar\")\n\
         #set($context.responseOverride.custom = \"is also passed around\")\n{\n  \"statusCode\": 200\n}\n",
        "#set($statusOverride = $context.responseOverride.status)\n{\"statusOverride\": \"$statusOverride\", \
         \"fooHeader\": \"$context.responseOverride.header.foo\", \"custom\": \"$context.responseOverride.custom\"}",
    ));
    let response = api.get("/x");
    assert_eq!(response.status, 444, "{}", response.text());
    assert_eq!(response.header("foo"), Some("bar"));
    let expected = json!({"custom": "is also passed around", "fooHeader": "bar", "statusOverride": "444"});
    assert_eq!(response.json(), expected);
}

#[test]
fn overrides_are_maps() {
    let api = Api::serve(&mock(
        "#set($paramName = \"foo\")\n#set($context.requestOverride.querystring[$paramName] = \"bar\")\n\
         #set($paramPutName = \"putfoo\")\n$context.requestOverride.querystring.put($paramPutName, \"putBar\")\n\
         #set($context[\"requestOverride\"].querystring[\"nestedfoo\"] = \"nestedFoo\")\n{\n  \"statusCode\": 200\n}\n",
        "#set($q = $context.requestOverride.querystring)\n{\"value\": \"$q[\"foo\"]\", \"value2\": \"$q.putfoo\", \
         \"value3\": \"$q[\"nestedfoo\"]\"}",
    ));
    let response = api.get("/x");
    let expected = json!({"value": "bar", "value2": "putBar", "value3": "nestedFoo"});
    assert_eq!((response.status, response.json()), (200, expected));
}

#[test]
fn a_response_template_sees_what_the_request_template_parsed() {
    let api = Api::serve(&mock(
        "#set($body = $util.base64Decode($input.params('proxy')))\n#set($context.requestOverride.path.body = $body)\n\
         {\n \"statusCode\": 200\n}\n",
        "#set($body = $util.parseJson($context.requestOverride.path.body))\n#if($body.message == \"path1\")one#elseif(\
         $body.message == \"path2\")two#{else}else#end",
    ));
    let check = |path: &str, expected: &str| assert_eq!(api.get(path).text().trim(), expected, "{path}");
    check("/eyJtZXNzYWdlIjogInBhdGgxIn0=", "one");
    check("/eyJtZXNzYWdlIjogInBhdGgyIn0=", "two");
    check("/eyJtZXNzYWdlIjogIndoYXRldmVyIn0=", "else");
}

#[test]
fn the_context_tells_about_the_request() {
    let stage = json!({"variables": {"color": "red"}});
    let definition = mock(
        r#"{"statusCode": 200}"#,
        r#"{"api":"$context.apiId","account":"$context.accountId","method":"$context.httpMethod",
            "ip":"$context.identity.sourceIp","agent":"$context.identity.userAgent","path":"$context.path",
            "resource":"$context.resourcePath","stage":"$context.stage","id":"$context.requestId",
            "color":"$stageVariables.color","all":"$stageVariables.get('color')"}"#,
    );
    let api = Api::serve_stage(&definition, &stage, |_| Ok("{}".into()));
    let response = api.send("GET /a/b\nUser-Agent: me", b"");
    let expected = json!({
        "api": "abc", "account": "111111111111", "method": "GET", "ip": "127.0.0.1", "agent": "me", "path": "/dev/a/b",
        "resource": "/{proxy+}", "stage": "dev", "id": response.header("x-amzn-requestid").unwrap(), "color": "red",
        "all": "red",
    });
    assert_eq!(response.json(), expected);
}

/// The template that AWS's console offers to pass everything on.
#[test]
fn a_function_gets_what_the_template_makes() {
    let template = r#"#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
}
}"#;
    let api = Api::serve_stage(
        &one_method(json!({
            "type": "AWS",
            "httpMethod": "POST",
            "uri": FUNCTION,
            "requestTemplates": {"application/json": template},
            "integrationResponses": {"200": {"statusCode": "200", "responseTemplates": {"application/json":
                "#set($inputRoot = $input.path('$'))\n$input.json(\"$.params\")\n#if($inputRoot.toString().contains(\"customerror\"))\
                 #set($context.responseOverride.status = 400)#end"}}},
        })),
        &json!({}),
        |event| Ok(bytes::Bytes::copy_from_slice(event)),
    );
    let response =
        api.send("POST /a?q=1&q=2\nConnection-Not: x\nMax-Forwards: 3", br#"{"kind":"customerror"}"#);
    assert_eq!(response.status, 400, "{}", response.text());
    let params = response.json();
    assert_eq!(params["path"], json!({"proxy": "a"}));
    assert_eq!(params["querystring"], json!({"q": "2"}));
    assert_eq!(params["header"]["Host"], "abc.execute-api.localhost:8080");
    assert_eq!(params["header"]["Connection-Not"], "x");
    assert_eq!(params["header"].get("Max-Forwards"), None);
    assert_eq!(params["header"]["X-Forwarded-For"], "127.0.0.1");

    let response = api.send("POST /a", b"{not json");
    assert_eq!(response.status, 400, "{}", response.text());
    assert!(
        response.text().starts_with(r#"{"message": "Could not parse request body into json:"#),
        "{}",
        response.text()
    );
}

#[test]
fn request_overrides_win_over_mappings() {
    let origin = Origin::start(Some("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
    let api = Api::serve(&one_method(json!({
        "type": "HTTP",
        "httpMethod": "POST",
        "uri": origin.url("/{id}"),
        "requestParameters": {
            "integration.request.path.id": "'mapped'",
            "integration.request.querystring.q": "'mapped'",
            "integration.request.header.X-H": "'mapped'",
        },
        "requestTemplates": {"application/json":
            "#set($context.requestOverride.path.id = 'over/ridden')#set($context.requestOverride.querystring.q = 'o')\
             #set($context.requestOverride.header.X-H = 'o')#set($context.requestOverride.header['X-New'] = 'n')body"},
        "integrationResponses": {"200": {"statusCode": "200"}},
    })));
    assert_eq!(api.get("/x").status, 200);
    let request = origin.request();
    assert_eq!(request.lines().next(), Some("POST /over/ridden?q=o HTTP/1.1"));
    assert_eq!((header(&request, "X-H"), header(&request, "X-New")), (Some("o"), Some("n")), "{request}");
    assert!(request.ends_with("\r\n\r\nbody"), "{request}");
}

/// Recorded: what a client sends of these never reaches a template, and what a mapping sets comes back renamed.
#[test]
fn headers_are_dropped_and_remapped() {
    let dropped = [
        "Content-MD5",
        "Expect-Not",
        "Max-Forwards",
        "Proxy-Authenticate",
        "Server",
        "TE",
        "Trailer",
        "WWW-Authenticate",
    ];
    let kept = [
        "Accept-Charset",
        "Age",
        "Authorization",
        "Content-Encoding",
        "Date",
        "Pragma",
        "Referer",
        "Via",
        "Warn",
    ];
    let remapped = [
        "Authorization",
        "Connection",
        "Content-Length",
        "Content-MD5",
        "Date",
        "Expect",
        "Host",
        "Max-Forwards",
        "Proxy-Authenticate",
        "Server",
        "Trailer",
        "Upgrade",
        "User-Agent",
        "WWW-Authenticate",
    ];
    let same = ["Accept", "Age", "Content-Encoding", "Content-Type", "Pragma", "Range", "TE", "Via", "Warn"];
    let shown: Vec<_> =
        dropped.iter().chain(&kept).map(|name| format!("\"{name}\": \"$input.params('{name}')\"")).collect();
    let mapped = remapped.iter().chain(&same).chain(&["Transfer-Encoding"]);
    let mapped: serde_json::Map<_, _> = mapped
        .map(|name| (format!("method.response.header.{name}"), json!(format!("'mapped {name}'"))))
        .collect();
    let api = Api::serve_stage(
        &one_method(json!({
            "type": "AWS",
            "httpMethod": "POST",
            "uri": FUNCTION,
            "requestTemplates": {"application/json": format!("{{{}}}", shown.join(","))},
            "integrationResponses": {"200": {"statusCode": "200", "responseParameters": mapped}},
        })),
        &json!({}),
        |event| Ok(bytes::Bytes::copy_from_slice(event)),
    );
    // A coding that is not known would be refused before anything sees it.
    let value = |name: &str| if name == "Content-Encoding" { "identity" } else { "sent" };
    let sent: Vec<_> = dropped.iter().chain(&kept).map(|name| format!("{name}: {}", value(name))).collect();
    let response = api.send(&format!("GET /x\n{}", sent.join("\n")), b"");
    assert_eq!(response.status, 200, "{}", response.text());
    let seen = response.json();
    for name in dropped.iter().filter(|name| **name != "Expect-Not") {
        assert_eq!(seen[name], "", "{name}");
    }
    for name in kept.iter().chain(&["Expect-Not"]) {
        assert_eq!(seen[name], value(name), "{name}");
    }
    for name in remapped {
        let expected = format!("mapped {name}");
        assert_eq!(
            response.header(&format!("x-amzn-Remapped-{name}")),
            Some(&*expected),
            "{}",
            response.head
        );
    }
    for name in same {
        let expected = format!("mapped {name}");
        assert_eq!(response.header(name), Some(&*expected), "{}", response.head);
    }
    assert!(!response.head.contains("mapped Transfer-Encoding"), "{}", response.head);
}

#[test]
fn a_template_that_is_none_does_not_compile() {
    let errors = support::compile(&mock("#if($a) {\"statusCode\": 200}", ""), &json!({})).err().unwrap();
    let error = errors[0].to_string();
    assert!(error.starts_with("ANY /{proxy+}, request template application/json: "), "{error}");
    assert!(error.contains("line 1"), "{error}");
}
