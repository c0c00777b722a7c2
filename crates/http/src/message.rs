//! The start lines and header sections of requests and responses.

use std::str::Utf8Error;

use bytes::Bytes;
use bytestring::ByteString;
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

/// What a request asks for, in origin form, as sent: path and query, still encoded. It is looked at again and again, so where
/// its path ends is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    text: ByteString,
    path_end: usize,
}

impl Target {
    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, still encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(..self.path_end).unwrap_or_default()
    }

    /// The query without its question mark, still encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.text.get(self.path_end + 1..)
    }
}

impl<T: Into<ByteString>> From<T> for Target {
    fn from(text: T) -> Self {
        let text = text.into();
        let path_end = memchr::memchr(b'?', text.as_bytes()).unwrap_or(text.len());
        Self { text, path_end }
    }
}

impl Target {
    /// A target out of bytes.
    ///
    /// # Errors
    /// They are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Utf8Error> {
        ByteString::try_from(bytes).map(Self::from)
    }
}

/// A request without its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target.
    pub target: Target,
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
        self.target.path()
    }

    /// The target's query without its question mark, still encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
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
