//! The canonical form of a request: what is hashed and signed.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest as _, Sha256};

use crate::UNSIGNED_PAYLOAD;

/// RFC 3986's unreserved characters stay as they are; everything else is encoded.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The one service with rules of its own.
pub(crate) const S3: &str = "s3";

/// How whoever serves a request reads its path and query. AWS's algorithm takes several spellings for one; where a server
/// does not, a signature over one of them must not hold for another that leads elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As the algorithm does.
    #[default]
    Normalised,
    /// Dot segments are segments, and `;` parts parameters.
    Dots,
    /// The same, and empty segments are segments too.
    Segments,
}

impl Reading {
    /// Whether a path says something else to the server than what the algorithm makes of it.
    fn takes_apart(self, path: &str) -> bool {
        let has = |is: fn(&str) -> bool| path.split('/').any(is);
        let dots = || has(|segment| matches!(segment, "." | ".."));
        match self {
            Self::Normalised => false,
            Self::Dots => dots(),
            Self::Segments => dots() || path.contains("//"),
        }
    }
}

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

    /// The canonical request to a service over the given headers (lower case, sorted). The parameter `X-Amz-Signature` is
    /// left out of the query where it holds the signature, and there alone.
    pub(crate) fn canonical(
        &self,
        service: &str,
        signed_headers: &[String],
        payload_hash: &str,
        reading: Reading,
        is_presigned: bool,
    ) -> String {
        let mut out = String::with_capacity(512);
        out.push_str(self.method);
        out.push('\n');
        // A key of S3 may hold empty and dot segments that mean something, so S3 signs the path as it travels.
        if service == S3 {
            out.push_str(self.path);
        } else if reading.takes_apart(self.path) {
            exact_path(self.path, &mut out);
        } else {
            canonical_path(self.path, &mut out);
        }
        out.push('\n');
        canonical_query(self.query, reading, is_presigned, &mut out);
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

/// Sorted by encoded name, then value. A plus is a space, as AWS says in what should have been signed.
fn canonical_query(query: &str, reading: Reading, is_presigned: bool, out: &mut String) {
    let encoded = |text: &str| -> String {
        let spaced =
            if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
        let bytes: Cow<'_, [u8]> = percent_decode_str(&spaced).into();
        percent_encode(&bytes, ENCODED).to_string()
    };
    let parted = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (encoded(name), encoded(value))
    };
    let mut is_left_out = false;
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once(';') {
            // To whom it parts parameters, it is another sign than its encoded form. It is signed as it stands.
            Some((first, others)) if reading != Reading::Normalised => {
                let (name, mut value) = parted(first);
                for (name, more) in others.split(';').map(parted) {
                    value.extend([";", &name, "=", &more]);
                }
                (name, value)
            }
            _ => parted(pair),
        })
        .filter(|(name, _)| {
            // A second one would be a parameter that nobody signed.
            let is_signature = is_presigned && name == "X-Amz-Signature" && !is_left_out;
            is_left_out |= is_signature;
            !is_signature
        })
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

/// The path as it stands, encoded once more.
fn exact_path(path: &str, out: &mut String) {
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.extend(percent_encode(segment.as_bytes(), ENCODED));
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
            canonical_query(query, Reading::Normalised, true, &mut out);
            assert_eq!(out, expected, "{query}");
        };
        check("", "");
        check("b=2&a=1", "a=1&b=2");
        check("a=2&a=1", "a=1&a=2");
        check("flag", "flag=");
        check("a=b=c&x=%2f", "a=b%3Dc&x=%2F");
        check("X-Amz-Signature=00&a=%20+%2B", "a=%20%20%2B");
        check("X-Amz-Signature=00&a&X-Amz-Signature=1", "X-Amz-Signature=1&a=");
        check("%FF=1", "%FF=1");
        check("a=1;b=2", "a=1%3Bb%3D2");
    }

    #[test]
    fn whoever_tells_spellings_apart_has_them_signed_apart() {
        let check = |path: &str, query: &str, reading: Reading, expected: &str| {
            let request = Request { method: "GET", path, query, headers: Vec::new().into(), body: b"" };
            let canonical = request.canonical("execute-api", &[], "", reading, false);
            let signed: Vec<&str> = canonical.lines().skip(1).take(2).collect();
            assert_eq!(signed.join("?"), expected, "{path} {query} {reading:?}");
        };
        check("/a/../b", "x=1;y=2", Reading::Normalised, "/b?x=1%3By%3D2");
        check("/a/../b", "x=1;y=2", Reading::Dots, "/a/../b?x=1;y=2");
        check("/a/./b/.", "x=1%3By=2", Reading::Dots, "/a/./b/.?x=1%3By%3D2");
        check("//a//b/", "x;y;z=3", Reading::Dots, "/a/b/?x=;y=;z=3");
        check("//a//b/", "", Reading::Segments, "//a//b/?");
        check("/a%2Fb/...", "", Reading::Segments, "/a%252Fb/...?");
        check("", "", Reading::Segments, "/?");
        check("/a", "X-Amz-Signature=0", Reading::Segments, "/a?X-Amz-Signature=0");
    }

    proptest::proptest! {
        #[test]
        fn no_two_paths_are_signed_alike_by_whoever_tells_them_apart(
            one in "(/[.a%2E]{0,3}){1,4}", other in "(/[.a%2E]{0,3}){1,4}",
        ) {
            let signed = |path| {
                let request = Request { method: "GET", path, query: "", headers: Vec::new().into(), body: b"" };
                request.canonical("execute-api", &[], "", Reading::Segments, false)
            };
            assert_eq!(signed(&one) == signed(&other), one == other);
        }
    }
}
