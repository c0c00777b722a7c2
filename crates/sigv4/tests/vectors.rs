//! The published examples: AWS's documentation works IAM's ListUsers through step by step, and its test suite signs
//! small requests for a made-up service with the same key. Signatures here are those AWS published.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

use stagedoor_sigv4::{Credential, Expected, Presented, Request, SigningScope, VerifyError, sign};
use time::{Duration, OffsetDateTime};

fn credential() -> Credential {
    Credential {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
    }
}

fn signed_at() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap()
}

fn signature(request: &Request<'_>, service: &str) -> String {
    let scope = SigningScope { region: "us-east-1", service };
    let added = sign(request, &credential(), scope, signed_at());
    let (_, authorization) = added.last().unwrap();
    authorization.rsplit_once("Signature=").unwrap().1.to_owned()
}

#[test]
fn documentation_example_for_iam() {
    let request = Request {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: vec![
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("Host", "iam.amazonaws.com"),
        ]
        .into(),
        body: b"",
    };
    assert_eq!(
        signature(&request, "iam"),
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn test_suite_cases() {
    let check = |method: &str, path: &str, query: &str, expected: &str| {
        let headers = vec![("Host", "example.amazonaws.com")].into();
        let request = Request { method, path, query, headers, body: b"" };
        assert_eq!(signature(&request, "service"), expected, "{method} {path}?{query}");
    };
    // get-vanilla, get-vanilla-query-order-key-case, post-vanilla, get-relative and get-slash of the suite.
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    check("GET", "/", "", vanilla);
    check("GET", "/example/..", "", vanilla);
    check("GET", "//", "", vanilla);
    check(
        "GET",
        "/",
        "Param2=value2&Param1=value1",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    );
    check("POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

#[test]
fn what_does_not_hold_is_refused_in_aws_words() {
    let base = Request {
        method: "POST",
        path: "/restapis",
        query: "mode=import",
        headers: vec![("host", "localhost:4566")].into(),
        body: b"{}",
    };
    let scope = SigningScope { region: "us-east-1", service: "apigateway" };
    let added = sign(&base, &credential(), scope, signed_at());
    let mut headers = base.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let request = Request { headers: headers.into(), ..base };
    let presented = Presented::find(&request).unwrap().unwrap();
    let expected = Expected { region: None, service: "apigateway", now: signed_at() };

    assert_eq!(presented.verify(&request, &credential(), &expected), Ok(()));
    let mismatch = Err(VerifyError::Mismatch);
    for changed in [
        Request { body: b"{ }", ..request.clone() },
        Request { query: "mode=merge", ..request.clone() },
        Request { path: "/restapi", ..request.clone() },
        Request { method: "PUT", ..request.clone() },
    ] {
        assert_eq!(presented.verify(&changed, &credential(), &expected), mismatch);
    }
    let other = Credential { secret_access_key: "another".to_owned(), ..credential() };
    assert_eq!(presented.verify(&request, &other, &expected), mismatch);
    let temporary = Credential { session_token: Some("t".to_owned()), ..credential() };
    assert_eq!(presented.verify(&request, &temporary, &expected), Err(VerifyError::Token));

    let says = |expected: &Expected<'_>| {
        presented.verify(&request, &credential(), expected).unwrap_err().to_string()
    };
    let late = Expected { now: signed_at() + Duration::seconds(301), ..expected };
    assert_eq!(
        says(&late),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    );
    let early = Expected { now: signed_at() - Duration::seconds(301), ..expected };
    assert!(says(&early).starts_with("Signature not yet current: 20150830T123600Z is still later than"));
    let elsewhere = Expected { region: Some("eu-west-1"), ..expected };
    assert_eq!(says(&elsewhere), "Credential should be scoped to a valid region, not 'us-east-1'. ");
    let service = Expected { service: "execute-api", ..expected };
    assert_eq!(says(&service), "Credential should be scoped to correct service: 'execute-api'. ");
}
