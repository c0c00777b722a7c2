//! The canonical form of a request: what is hashed and signed.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest as _, Sha256};

use crate::UNSIGNED_PAYLOAD;

/// RFC 3986's unreserved characters stay as they are; everything else is encoded.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
        self.claimed_hash().as_deref() != Some(UNSIGNED_PAYLOAD)
    }

    /// Whether the body comes in chunks of AWS's own format (`aws-chunked`), which [`crate::Presented::verify_chunks`]
    /// alone can verify.
    pub fn is_chunked(&self) -> bool {
        self.claimed_hash().is_some_and(|claim| claim.starts_with("STREAMING-"))
    }

    /// What the request says in place of the hash of its body.
    pub(crate) fn claimed_hash(&self) -> Option<Cow<'a, str>> {
        let header = self.header("x-amz-content-sha256").map(Cow::Borrowed);
        header.or_else(|| self.parameter("X-Amz-Content-Sha256").map(Cow::Owned))
    }

    /// What goes into the canonical request for the body.
    pub(crate) fn payload_hash(&self) -> String {
        match self.claimed_hash() {
            Some(claim) if claim == UNSIGNED_PAYLOAD => claim.into_owned(),
            // Hashing what arrived, not what is claimed, is what protects the body.
            _ => hex(&Sha256::digest(self.body)),
        }
    }

    /// The canonical request to a service over the given headers (lower case, sorted).
    pub(crate) fn canonical(&self, service: &str, signed_headers: &[String], payload_hash: &str) -> String {
        let mut out = String::with_capacity(512);
        out.push_str(self.method);
        out.push('\n');
        // A key of S3 may hold empty and dot segments that mean something, so S3 signs the path as it travels.
        if service == S3 {
            out.push_str(self.path);
        } else {
            canonical_path(self.path, &mut out);
        }
        out.push('\n');
        canonical_query(self.query, &mut out);
        out.push('\n');
        for name in signed_headers {
            out.push_str(name);
            let same = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let mut between = ':';
            for (_, value) in same {
                out.push(between);
                collapse(value, &mut out);
                between = ',';
            }
            if between == ':' {
                out.push(between);
            }
            out.push('\n');
        }
        out.push('\n');
        for (at, name) in signed_headers.iter().enumerate() {
            if at > 0 {
                out.push(';');
            }
            out.push_str(name);
        }
        out.push('\n');
        out.push_str(payload_hash);
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
fn canonical_query(query: &str, out: &mut String) {
    let raw = |text: &str| -> String {
        let bytes: Cow<'_, [u8]> = percent_decode_str(text).into();
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
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// Dot segments and empty segments go; what is left is encoded once more, `%` included.
fn canonical_path(path: &str, out: &mut String) {
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
    for segment in &segments {
        out.push('/');
        out.extend(percent_encode(segment.as_bytes(), ENCODED));
    }
    let ends_with_slash = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if ends_with_slash || segments.is_empty() {
        out.push('/');
    }
}

/// Runs of white space become one space.
fn collapse(value: &str, out: &mut String) {
    for (at, word) in value.split_ascii_whitespace().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_paths() {
        let check = |path: &str, expected: &str| {
            let mut out = String::new();
            canonical_path(path, &mut out);
            assert_eq!(out, expected, "{path}");
        };
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
        let check = |query: &str, expected: &str| {
            let mut out = String::new();
            canonical_query(query, &mut out);
            assert_eq!(out, expected, "{query}");
        };
        check("", "");
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1", "a=1&a=2");
        check("flag", "flag=");
        check("a=b=c&x=%2f", "a=b%3Dc&x=%2F");
        check("X-Amz-Signature=00&a=%20+", "a=%20%2B");
        check("%FF=1", "%FF=1");
    }
}
