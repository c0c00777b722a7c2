//! The Lambda API, request by request, over real functions and a real directory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::io::{Cursor, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use stagedoor_functions::{ApiBody, ApiSettings, Functions, LambdaApi, Settings};

const HANDLER: &str = "exports.handler = async (event) => ({ event, name: process.env.NAME ?? null });\n";

fn zip(files: &[(&str, &str)]) -> String {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    STANDARD.encode(archive.finish().unwrap().into_inner())
}

fn open(data: &Path) -> LambdaApi {
    let settings = ApiSettings {
        data: data.to_owned(),
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    LambdaApi::open(Functions::new(Settings::default()).unwrap(), settings).unwrap()
}

async fn send(api: &LambdaApi, line: &str, body: Value) -> Response<Bytes> {
    let (method, path) = line.split_once(' ').unwrap();
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    assert!(LambdaApi::serves(path.split('?').next().unwrap()));
    let mut request = Request::builder().method(method).uri(path);
    if path.ends_with("/invocations") {
        request = request.header("x-amz-log-type", "Tail");
    }
    let (parts, body) = api.handle(request.body(body).unwrap()).await.into_parts();
    let body = match body {
        ApiBody::Full(body) => body,
        ApiBody::Stream(mut pieces) => {
            let mut whole = Vec::new();
            while let Some(piece) = pieces.recv().await {
                whole.extend_from_slice(&piece);
            }
            whole.into()
        }
    };
    Response::from_parts(parts, body)
}

/// Checks the status and gives the body.
async fn check(api: &LambdaApi, line: &str, body: Value, status: u16) -> Value {
    let response = send(api, line, body).await;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    assert_eq!(response.status(), status, "{line}: {text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

fn create(name: &str) -> Value {
    json!({"FunctionName": name, "Runtime": "nodejs20.x", "Role": "arn:aws:iam::000000000000:role/r",
        "Handler": "index.handler", "Code": {"ZipFile": zip(&[("index.js", HANDLER)])}})
}

#[tokio::test]
async fn a_function_lives_from_creation_to_deletion() {
    let data = tempfile::tempdir().unwrap();
    let api = open(data.path());
    let created = check(&api, "POST /2015-03-31/functions", create("one"), 201).await;
    assert_eq!(created["FunctionArn"], "arn:aws:lambda:us-east-1:000000000000:function:one");
    assert_eq!((&created["State"], &created["Timeout"]), (&json!("Pending"), &json!(3)));
    check(&api, "POST /2015-03-31/functions", create("one"), 409).await;
    let answer = check(&api, "POST /2015-03-31/functions/one/invocations", json!({"a": 1}), 200).await;
    assert_eq!(answer, json!({"event": {"a": 1}, "name": null}));

    let change = json!({"Environment": {"Variables": {"NAME": "n"}}, "Timeout": 9});
    let changed = check(&api, "PUT /2015-03-31/functions/one/configuration", change, 200).await;
    assert_eq!(changed["Environment"]["Variables"]["NAME"], "n");
    let answer = check(&api, "POST /2015-03-31/functions/one/invocations", json!({}), 200).await;
    assert_eq!(answer["name"], "n");

    // Published versions stay as they were, and aliases lead to them.
    let published = check(&api, "POST /2015-03-31/functions/one/versions", json!({}), 201).await;
    assert_eq!(published["Version"], "1");
    let again = check(&api, "POST /2015-03-31/functions/one/versions", json!({}), 201).await;
    assert_eq!(again["Version"], "1");
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    check(&api, "POST /2015-03-31/functions/one/aliases", alias, 201).await;
    let code = json!({"ZipFile": zip(&[("index.js", "exports.handler = async () => 'new';\n")])});
    check(&api, "PUT /2015-03-31/functions/one/code", code, 200).await;
    let line = "POST /2015-03-31/functions/one/invocations";
    assert_eq!(check(&api, line, json!({}), 200).await, "new");
    let line = "POST /2015-03-31/functions/one:live/invocations";
    assert_eq!(check(&api, line, json!({}), 200).await["name"], "n");
    check(&api, "DELETE /2015-03-31/functions/one?Qualifier=1", Value::Null, 409).await;

    // All of it is there after a restart.
    drop(api);
    let api = open(data.path());
    let line = "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aone%3Alive/invocations";
    assert_eq!(check(&api, line, json!({}), 200).await["name"], "n");
    let listed = check(&api, "GET /2015-03-31/functions", Value::Null, 200).await;
    assert_eq!(listed["Functions"].as_array().map(Vec::len), Some(1));
    let found = check(&api, "GET /2015-03-31/functions/one?Qualifier=live", Value::Null, 200).await;
    assert_eq!(found["Configuration"]["Version"], "1");
    check(&api, "DELETE /2015-03-31/functions/one", Value::Null, 204).await;
    let lost = send(&api, "GET /2015-03-31/functions/one", Value::Null).await;
    assert_eq!(lost.status(), 404);
    assert_eq!(lost.headers()["x-amzn-errortype"], "ResourceNotFoundException");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn failures_and_logs_travel_in_headers() {
    let data = tempfile::tempdir().unwrap();
    let api = open(data.path());
    let mut given = create("bad");
    given["Code"] = json!({"ZipFile": zip(&[("other.js", "")])});
    check(&api, "POST /2015-03-31/functions", given, 201).await;
    let response = send(&api, "POST /2015-03-31/functions/bad/invocations", json!({})).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["errorType"], "Runtime.ImportModuleError");
    check(&api, "POST /2015-03-31/functions", create("good"), 201).await;
    let response = send(&api, "POST /2015-03-31/functions/good/invocations", json!({})).await;
    assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
    let log = STANDARD.decode(&response.headers()["x-amz-log-result"]).unwrap();
    assert!(String::from_utf8(log).unwrap().starts_with("START RequestId: "));
}

#[tokio::test]
async fn permissions_concurrency_and_tags_are_kept() {
    let data = tempfile::tempdir().unwrap();
    let api = open(data.path());
    check(&api, "POST /2015-03-31/functions", create("one"), 201).await;
    check(&api, "GET /2015-03-31/functions/one/policy", Value::Null, 404).await;
    let permission = json!({"StatementId": "s", "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com", "SourceArn": "arn:aws:execute-api:us-east-1:000000000000:a/*"});
    check(&api, "POST /2015-03-31/functions/one/policy", permission.clone(), 201).await;
    check(&api, "POST /2015-03-31/functions/one/policy", permission, 409).await;
    let policy = check(&api, "GET /2015-03-31/functions/one/policy", Value::Null, 200).await;
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["Statement"][0]["Principal"]["Service"], "apigateway.amazonaws.com");
    check(&api, "DELETE /2015-03-31/functions/one/policy/s", Value::Null, 204).await;
    check(&api, "GET /2015-03-31/functions/one/policy", Value::Null, 404).await;
    let none = json!({"ReservedConcurrentExecutions": 0});
    check(&api, "PUT /2017-10-31/functions/one/concurrency", none, 200).await;
    check(&api, "POST /2015-03-31/functions/one/invocations", json!({}), 429).await;
    check(&api, "DELETE /2017-10-31/functions/one/concurrency", Value::Null, 204).await;
    check(&api, "POST /2015-03-31/functions/one/invocations", json!({}), 200).await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:one";
    check(&api, &format!("POST /2017-03-31/tags/{arn}"), json!({"Tags": {"a": "1", "b": "2"}}), 204).await;
    check(&api, &format!("DELETE /2017-03-31/tags/{arn}?tagKeys=a"), Value::Null, 204).await;
    let tags = check(&api, &format!("GET /2017-03-31/tags/{arn}"), Value::Null, 200).await;
    assert_eq!(tags, json!({"Tags": {"b": "2"}}));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let api = open(data.path());
    let with = |member: &str, value: Value| {
        let mut given = create("one");
        given[member] = value;
        given
    };
    let line = "POST /2015-03-31/functions";
    check(&api, line, with("Timeout", json!(901)), 400).await;
    check(&api, line, with("MemorySize", json!(64)), 400).await;
    check(&api, line, with("Runtime", json!("java21")), 501).await;
    check(&api, line, with("Runtime", json!("cobol")), 400).await;
    check(&api, line, with("FunctionName", json!("a b")), 400).await;
    check(&api, line, with("Layers", json!(["arn:aws:lambda:us-east-1:0:layer:l:1"])), 400).await;
    check(&api, line, with("Environment", json!({"Variables": {"AWS_REGION": "x"}})), 400).await;
    check(&api, line, with("Code", json!({"ZipFile": "bm8gemlw"})), 400).await;
    check(&api, line, with("Code", json!({"ZipFile": zip(&[("../out.js", "")])})), 400).await;
    check(&api, line, with("Code", json!({"S3Bucket": "b", "S3Key": "k"})), 501).await;
    check(&api, line, with("Code", json!({"S3Bucket": "hot-reload", "S3Key": "/not/there"})), 400).await;
    assert!(!data.path().join("../out.js").exists());
    let unbuilt = check(&api, "GET /2015-03-31/event-source-mappings", Value::Null, 501).await;
    assert_eq!(unbuilt["message"], "ListEventSourceMappings is not available");
    let listed = check(&api, "GET /2015-03-31/functions", Value::Null, 200).await;
    assert_eq!(listed, json!({"Functions": []}));
}

#[tokio::test]
async fn a_directory_is_used_where_it_is_and_its_edits_take_effect() {
    let data = tempfile::tempdir().unwrap();
    let code = tempfile::tempdir().unwrap();
    let api = open(data.path());
    std::fs::write(code.path().join("index.js"), "exports.handler = async () => 1;\n").unwrap();
    let mut given = create("hot");
    given["Code"] = json!({"S3Bucket": "hot-reload", "S3Key": code.path()});
    check(&api, "POST /2015-03-31/functions", given, 201).await;
    let line = "POST /2015-03-31/functions/hot/invocations";
    assert_eq!(check(&api, line, json!({}), 200).await, 1);
    std::fs::write(code.path().join("index.js"), "exports.handler = async () => 2;\n").unwrap();
    let start = std::time::Instant::now();
    while check(&api, line, json!({}), 200).await != 2 {
        assert!(start.elapsed().as_secs() < 20);
    }
    check(&api, "DELETE /2015-03-31/functions/hot", Value::Null, 204).await;
    assert!(code.path().join("index.js").exists());
}

#[tokio::test]
async fn an_unreadable_store_is_refused_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("one")).unwrap();
    let file = data.path().join("one/function.json");
    std::fs::write(&file, "{").unwrap();
    let settings = ApiSettings {
        data: data.path().to_owned(),
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let refused = LambdaApi::open(Functions::new(Settings::default()).unwrap(), settings).err().unwrap();
    assert!(refused.to_string().contains("function.json"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
}
