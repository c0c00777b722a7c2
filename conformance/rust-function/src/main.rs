//! Answers with its event, or fails, or streams, as the event says.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    match event.get("path").and_then(Value::as_str) {
        Some("/fail") => Err("asked to fail".into()),
        Some("/panic") => panic!("asked to panic"),
        path => Ok(json!({
            "statusCode": 200,
            "body": json!({"path": path, "id": context.request_id, "arn": context.invoked_function_arn}).to_string(),
        })),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}
