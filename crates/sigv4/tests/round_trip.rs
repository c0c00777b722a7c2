//! What is signed verifies, whatever the request is made of.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail loudly.

use proptest::prelude::*;
use stagedoor_sigv4::{Credential, Expected, Presented, Request, SigningScope, sign};
use time::OffsetDateTime;

proptest! {
    #[test]
    fn signed_requests_verify(
        path in "(/[ -~]{0,12}){0,4}",
        query in "([a-zA-Z%0-9 +~-]{0,8}=[a-zA-Z%0-9 +~-]{0,8}&?){0,4}",
        extra in proptest::collection::vec(("x-[a-z]{1,8}", "[ -~]{0,20}"), 0..4),
        secret in "[!-~]{1,40}",
        token in proptest::option::of("[!-~]{1,20}"),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        seconds in 0_i64..4_000_000_000,
    ) {
        let credential =
            Credential { access_key_id: "AKID".to_owned(), secret_access_key: secret, session_token: token };
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let mut headers = vec![("Host", "localhost")];
        headers.extend(extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request =
            Request { method: "POST", path: &path, query: &query, headers: headers.clone().into(), body: &body };
        let scope = SigningScope { region: "eu-central-1", service: "execute-api" };
        let added = sign(&request, &credential, scope, at);
        headers.extend(added.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let signed = Request { headers: headers.into(), ..request };
        let presented = Presented::find(&signed).unwrap().unwrap();
        let expected = Expected { region: Some("eu-central-1"), service: "execute-api", now: at };
        prop_assert_eq!(presented.verify(&signed, &credential, &expected), Ok(()));
        let other = Credential { secret_access_key: "?".to_owned() + &credential.secret_access_key, ..credential };
        prop_assert!(presented.verify(&signed, &other, &expected).is_err());
    }
}
