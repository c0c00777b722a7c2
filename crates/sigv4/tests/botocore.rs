//! AWS's own Python SDK signs; this crate has to agree. Needs Python with botocore: the one that
//! `scripts/test` installs in `.venv`, or else `python3`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

use std::process::Command;

use serde_json::Value;
use stagedoor_sigv4::{Credential, Expected, Presented, Request, SigningScope, sign};
use time::OffsetDateTime;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn botocore_and_this_crate_sign_alike() {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let python = if std::path::Path::new(installed).exists() { installed } else { "python3" };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/botocore_sign.py");
    let output = Command::new(python).args([script, "AKIDEXAMPLE", SECRET]).output().unwrap();
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut verified = 0;
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let pairs = |value: &Value| (value[0].as_str().unwrap().to_owned(), text(&value[1]).to_owned());
        let headers: Vec<(String, String)> = case["headers"].as_array().unwrap().iter().map(pairs).collect();
        let body: Vec<u8> =
            case["body"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
        let credential = Credential {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SECRET.to_owned(),
            session_token: case["token"].as_str().map(str::to_owned),
        };
        let request = Request {
            method: text(&case["method"]),
            path: text(&case["path"]),
            query: text(&case["query"]),
            headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            body: &body,
        };
        let presented = Presented::find(&request).unwrap().unwrap();
        let expected = Expected {
            region: Some("us-east-1"),
            service: text(&case["service"]),
            now: OffsetDateTime::now_utc(),
        };
        assert_eq!(presented.verify(&request, &credential, &expected), Ok(()), "{line}");

        if presented.expires_seconds.is_none() {
            // The other way round: signing what botocore signed gives what botocore gave.
            let unsigned: Vec<(&str, &str)> = request
                .headers
                .iter()
                .copied()
                .filter(|(name, _)| presented.signed_headers.contains(&name.to_ascii_lowercase()))
                .collect();
            let scope = SigningScope { region: "us-east-1", service: text(&case["service"]) };
            let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
            let at = time::PrimitiveDateTime::parse(&presented.timestamp, format).unwrap().assume_utc();
            let again =
                sign(&Request { headers: unsigned.into(), ..request.clone() }, &credential, scope, at);
            let theirs = headers.iter().find(|(name, _)| name == "Authorization").unwrap();
            assert_eq!(again.last().unwrap().1, theirs.1, "{line}");
        }
        verified += 1;
    }
    assert_eq!(verified, 30);
}
