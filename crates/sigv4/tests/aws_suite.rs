//! AWS's signing test suite, for Signature Version 4 and 4A, in headers and presigned. It is read from the sources of AWS's
//! crate `aws-sigv4`, as cargo has fetched them: nothing of it is kept here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may fail loudly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stagedoor_sigv4::{Credential, Expected, Presented, Request, SigningScope, presign, sign};
use time::OffsetDateTime;

fn suite() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).unwrap();
    let package =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "aws-sigv4");
    Path::new(package.unwrap()["manifest_path"].as_str().unwrap()).with_file_name("aws-signing-test-suite")
}

/// A request as a file of the suite has it.
struct Written {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Written {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        // A target may hold spaces.
        let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(':').filter(|_| !line.starts_with(' ')) {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => headers.last_mut().unwrap().1.extend([" ", line.trim()]),
            }
        }
        let [method, path, query, body] = [method, path, query, body].map(str::to_owned);
        Self { method, path, query, headers, body: body.trim_end_matches('\n').to_owned() }
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            body: self.body.as_bytes(),
        }
    }
}

struct Case {
    name: String,
    folder: PathBuf,
    context: Value,
    credential: Credential,
}

/// The cases that are for services which normalise paths, as all but S3 do.
fn cases(version: &str) -> Vec<Case> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(suite().join(version)).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let read = folders.into_iter().filter_map(|folder| {
        let context: Value = serde_json::from_slice(&fs::read(folder.join("context.json")).ok()?).unwrap();
        if context["normalize"] == false {
            return None;
        }
        let text = |name: &str| context["credentials"][name].as_str().map(str::to_owned);
        let credential = Credential {
            access_key_id: text("access_key_id").unwrap(),
            secret_access_key: text("secret_access_key").unwrap(),
            session_token: text("token"),
        };
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        Some(Case { name, folder, context, credential })
    });
    read.collect()
}

fn signed_at() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap()
}

const EXPECTED: fn() -> Expected<'static> =
    || Expected { region: Some("us-east-1"), service: "service", now: signed_at() };

/// Both forms of a case are good as AWS signed them, and no longer once anything in them is changed.
fn verify(version: &str) -> usize {
    let mut verified = 0;
    for case in cases(version) {
        for form in ["header", "query"] {
            let mut written = Written::read(&case.folder.join(format!("{form}-signed-request.txt")));
            let check = |written: &Written, expected: bool| {
                let request = written.request();
                let presented = Presented::find_any(&request).unwrap().unwrap();
                assert_eq!(presented.is_asymmetric, version == "v4a");
                let outcome = presented.verify(&request, &case.credential, &EXPECTED());
                assert_eq!(outcome.is_ok(), expected, "{version} {} {form}: {outcome:?}", case.name);
            };
            if case.context["omit_session_token"] == true {
                // The token is added after signing, and so is no part of what was signed; ours would have to be.
                continue;
            }
            check(&written, true);
            verified += 1;
            written.body.push('x');
            check(&written, false);
            written.body.pop();
            written.path.push('x');
            check(&written, false);
            written.path.pop();
            for (_, value) in written.headers.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("host"))
            {
                value.push('x');
            }
            check(&written, false);
        }
    }
    verified
}

#[test]
fn signatures_of_version_4_verify() {
    assert_eq!(verify("v4"), 60);
}

#[test]
fn signatures_of_version_4a_verify() {
    assert_eq!(verify("v4a"), 60);
}

#[test]
fn requests_are_signed_as_aws_signs_them() {
    let mut signed = 0;
    for case in cases("v4") {
        if case.context["sign_body"] == true || case.context["omit_session_token"] == true {
            // `sign_body` adds a header that we ask no client for.
            continue;
        }
        let mut written = Written::read(&case.folder.join("request.txt"));
        // One of them writes its path otherwise than it was signed.
        written.path = Written::read(&case.folder.join("header-signed-request.txt")).path;
        let (request, scope) = (written.request(), SigningScope { region: "us-east-1", service: "service" });
        let signature = |form: &str| {
            fs::read_to_string(case.folder.join(format!("{form}-signature.txt"))).unwrap().trim().to_owned()
        };
        let added = sign(&request, &case.credential, scope, signed_at());
        assert!(added.last().unwrap().1.ends_with(&signature("header")), "{}", case.name);
        let query = presign(&request, &case.credential, scope, signed_at(), 3600);
        assert!(query.ends_with(&signature("query")), "{}", case.name);
        signed += 1;
    }
    assert_eq!(signed, 28);
}

/// A 4A signature is for the regions that it names and no other.
#[test]
fn signatures_of_version_4a_are_bound_to_their_regions() {
    let case = cases("v4a").into_iter().find(|case| case.name == "get-vanilla").unwrap();
    let written = Written::read(&case.folder.join("header-signed-request.txt"));
    let request = written.request();
    let presented = Presented::find_any(&request).unwrap().unwrap();
    let elsewhere = Expected { region: Some("eu-west-1"), ..EXPECTED() };
    let error = presented.verify(&request, &case.credential, &elsewhere).unwrap_err();
    assert_eq!(error.to_string(), "Credential should be scoped to a valid region, not 'us-east-1'. ");
    let other = Credential { secret_access_key: "x".repeat(40), ..case.credential.clone() };
    assert!(presented.verify(&request, &other, &EXPECTED()).is_err());
    // Whoever asks for Signature Version 4 alone is not given a signature of 4A.
    assert!(Presented::find(&request).unwrap_err().0.contains("AWS4-ECDSA-P256-SHA256"));
}
