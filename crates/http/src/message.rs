//! The start lines and header sections of requests and responses.

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::Headers;

/// The protocol version a message was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no persistent connection unless asked for, no chunked coding.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2. Pseudo-headers have been turned into the method, the target and `host`.
    Http2,
}

impl Version {
    /// The name as it stands in logs and `$context.protocol`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target in origin form, as sent: path and query, still encoded.
    pub target: Bytes,
    /// The version it was sent with.
    pub version: Version,
    /// The header fields as they came, those that frame the body included. On the way out the framing fields are
    /// written by the connection and left out from here.
    pub headers: Headers,
}

impl RequestHead {
    /// The target's path, still encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.split_target().0
    }

    /// The target's query without its question mark, still encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.split_target().1
    }

    fn split_target(&self) -> (&str, Option<&str>) {
        let Ok(target) = std::str::from_utf8(&self.target) else { return ("/", None) };
        match memchr::memchr(b'?', &self.target) {
            Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
            None => (target, None),
        }
    }
}

/// A response without its body.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The header fields as they came, those that frame the body included. On the way out the framing fields are
    /// written by the connection and left out from here.
    pub headers: Headers,
}
