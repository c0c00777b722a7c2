//! What the log tells about requests that fail.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test may fail loudly, and uses a part of what tests share"
)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{Api, one_method};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines about requests since the last call.
    fn take(&self) -> Vec<Value> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "request").collect()
    }
}

// One test, because a process has one log.
#[test]
fn the_reason_of_a_failure_is_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .init();
    let function = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations";
    let check = |integration: Value, answer: &'static str, levels: &[&str], reason: &str| {
        let api = Api::serve_stage(&one_method(integration), &json!({}), move |_| Ok(answer.into()));
        api.get("/x");
        // The line is written before the answer leaves.
        let lines = log.take();
        let seen: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(seen, levels, "{lines:#?}");
        for line in &lines {
            let logged = line["fields"]["reason"].as_str().unwrap_or_default();
            assert!(logged.starts_with(reason) && logged.len() <= 1000, "{line:#}");
        }
    };
    let proxy = |uri: &str| json!({"type": "AWS_PROXY", "httpMethod": "POST", "uri": uri});
    let both = ["WARN", "DEBUG"];
    check(proxy(function), "{}", &["DEBUG"], "");
    check(proxy(function), r#"{"wrong":1}"#, &both, "Malformed Lambda proxy response: wrong");
    let long = format!(r#"{{"{}":1}}"#, "\u{e9}".repeat(2000)).leak();
    check(proxy(function), long, &both, "Malformed Lambda proxy response: ");
    check(proxy(&function.replace(":f/", ":missing/")), "{}", &both, "");
    let backend = json!({"type": "HTTP_PROXY", "httpMethod": "GET", "uri": "http://127.0.0.1:1/"});
    check(backend, "", &["DEBUG"], "");
    let mock = json!({
        "type": "MOCK",
        "requestTemplates": {"application/json": "{\"statusCode\": \"200\"}"},
        "integrationResponses": {"200": {"statusCode": "200"}},
    });
    check(mock, "", &both, "statusCode should be an integer");
}
