//! The canonical form of a request: what is hashed and signed.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest as _, Sha256};

use crate::UNSIGNED_PAYLOAD;

/// RFC 3986's unreserved characters stay as they are; everything else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The one service with rules of its own.
pub(crate) const S3: &str = "s3";

/// A request as it travels.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The path as on the request line, percent-encoded, without the query.
    pub path: &'a str,
    /// The query as on the request line, without the `?`; empty if there is none.
    pub query: &'a str,
    /// The headers, in order; names in any case, values without leading or trailing white space.
    pub headers: Cow<'a, [(&'a str, &'a str)]>,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The first value of a header; the name is compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameters(self.query).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the signature covers the body, so that it has to be read before it can be verified.
    pub fn covers_body(&self) -> bool {
        let claimed = self.header("x-amz-content-sha256").map(str::to_owned);
        claimed.or_else(|| self.parameter("X-Amz-Content-Sha256")).as_deref() != Some(UNSIGNED_PAYLOAD)
    }

    /// What goes into the canonical request for the body.
    pub(crate) fn payload_hash(&self) -> String {
        let claimed = self.header("x-amz-content-sha256").map(str::to_owned);
        match claimed.or_else(|| self.parameter("X-Amz-Content-Sha256")) {
            Some(claim) if claim == UNSIGNED_PAYLOAD => claim,
            // Hashing what arrived, not what is claimed, is what protects the body.
            _ => hex(&Sha256::digest(self.body)),
        }
    }

    /// The canonical request to a service over the given headers (lower case, sorted).
    pub(crate) fn canonical(&self, service: &str, signed_headers: &[String], payload_hash: &str) -> String {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in self.headers.iter() {
            let name = name.to_ascii_lowercase();
            if signed_headers.contains(&name) {
                values.entry(name).or_default().push(collapse(value));
            }
        }
        // A key of S3 may hold empty and dot segments that mean something, so S3 signs the path as it travels.
        let path = if service == S3 { self.path.to_owned() } else { canonical_path(self.path) };
        let mut out = format!("{}\n{path}\n{}\n", self.method, canonical_query(self.query));
        for name in signed_headers {
            let joined = values.get(name).map(|values| values.join(",")).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name}:{joined}");
        }
        let _ = write!(out, "\n{}\n{payload_hash}", signed_headers.join(";"));
        out
    }
}

/// Name and value of each parameter, decoded. A plus stays a plus: AWS's clients send a space as `%20`.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Sorted by encoded name, then value; without the signature itself, which a presigned request carries.
fn canonical_query(query: &str) -> String {
    let raw = |text: &str| -> String {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (raw(name), raw(value)))
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Dot segments and empty segments go; what is left is encoded once more, `%` included.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut normal = format!("/{}", segments.join("/"));
    let ends_with_slash = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if ends_with_slash && !segments.is_empty() {
        normal.push('/');
    }
    percent_encode(normal.as_bytes(), ENCODED_IN_PATH).to_string()
}

/// Runs of white space become one space.
fn collapse(value: &str) -> String {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    words.join(" ")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_paths() {
        let check = |path: &str, expected: &str| assert_eq!(canonical_path(path), expected, "{path}");
        check("", "/");
        check("/", "/");
        check("//", "/");
        check("/foo/..", "/");
        check("/./", "/");
        check("/./foo", "/foo");
        check("//foo//", "/foo/");
        check("/foo/bar/../..", "/");
        check("/tags/arn%3Aaws%2Fx", "/tags/arn%253Aaws%252Fx");
        check("/a b/\u{1234}~", "/a%20b/%E1%88%B4~");
    }

    #[test]
    fn sorts_and_encodes_queries() {
        let check = |query: &str, expected: &str| assert_eq!(canonical_query(query), expected, "{query}");
        check("", "");
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1", "a=1&a=2");
        check("flag", "flag=");
        check("a=b=c&x=%2f", "a=b%3Dc&x=%2F");
        check("X-Amz-Signature=00&a=%20+", "a=%20%2B");
        check("%FF=1", "%FF=1");
    }
}
