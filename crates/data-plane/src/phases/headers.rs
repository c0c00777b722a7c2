//! Which headers an integration may see, and which of its headers a client may see.
//!
//! The tables are AWS's, recorded. They differ by the kind of integration.

use bytes::Bytes;
use stagedoor_http::{Headers, NameSet};
use stagedoor_shapes::apigateway::EndpointType;

use crate::exchange::Exchange;

/// Whether a client's header never reaches an integration.
#[must_use]
pub fn is_dropped_from_requests(name: &[u8]) -> bool {
    const DROPPED: NameSet = NameSet::of(&[
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "transfer-encoding",
        "trailer",
        "upgrade",
        "www-authenticate",
        // Hop by hop too, and older than the table.
        "keep-alive",
        "proxy-connection",
    ]);
    DROPPED.contains(name)
}

/// Whether a header that was mapped for an HTTP backend is not sent to it all the same.
#[must_use]
pub fn is_dropped_from_mapped_requests(name: &[u8]) -> bool {
    const DROPPED: NameSet = NameSet::of(&["connection", "expect", "proxy-authenticate", "te", "via"]);
    DROPPED.contains(name)
}

/// Whether mapping a request parameter onto this header makes AWS answer every call with 500.
#[must_use]
pub fn is_illegal_target(name: &[u8], for_aws_service: bool) -> bool {
    const ALWAYS: NameSet = NameSet::of(&["content-length", "transfer-encoding"]);
    const FOR_SERVICES: NameSet =
        NameSet::of(&["authorization", "connection", "expect", "proxy-authenticate", "te"]);
    ALWAYS.contains(name) || (for_aws_service && FOR_SERVICES.contains(name))
}

/// Whether a header of a proxy integration's answer goes to the client as `x-amzn-Remapped-{name}`.
#[must_use]
pub fn is_remapped_by_proxy(name: &[u8]) -> bool {
    const REMAPPED: NameSet = NameSet::of(&["connection", "content-length", "date", "server"]);
    REMAPPED.contains(name)
}

/// Whether a header that a non-proxy integration response maps goes to the client as `x-amzn-Remapped-{name}`.
#[must_use]
pub fn is_remapped(name: &[u8]) -> bool {
    const REMAPPED: NameSet = NameSet::of(&[
        "authorization",
        "content-md5",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "trailer",
        "upgrade",
        "user-agent",
        "www-authenticate",
    ]);
    is_remapped_by_proxy(name) || REMAPPED.contains(name)
}

/// The name under which a client sees a header of its own name that API Gateway writes itself.
#[must_use]
pub fn remapped_name(name: &[u8]) -> Bytes {
    // What nearly every backend sends.
    for (usual, remapped) in [
        ("Date", "x-amzn-Remapped-Date"),
        ("Server", "x-amzn-Remapped-Server"),
        ("Connection", "x-amzn-Remapped-Connection"),
        ("Content-Length", "x-amzn-Remapped-Content-Length"),
    ] {
        if name == usual.as_bytes() {
            return Bytes::from_static(remapped.as_bytes());
        }
    }
    [b"x-amzn-Remapped-", name].concat().into()
}

/// The names CloudFront writes in its own spelling, in front of an edge-optimised API.
const CANONICAL: &[&str] = &[
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Date",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Origin",
    "Pragma",
    "Range",
    "Referer",
    "User-Agent",
    "Via",
    "X-Amzn-Trace-Id",
    "X-Forwarded-For",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
];

/// The spelling in which an edge-optimised API hands a header name on, where it differs from the one sent.
#[must_use]
pub fn canonical_name(name: &[u8]) -> Option<&'static str> {
    let known = CANONICAL.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
    (known.as_bytes() != name).then_some(known)
}

/// Writes the names of well-known headers as CloudFront does.
#[must_use]
pub fn canonicalize(headers: Headers) -> Headers {
    if headers.iter().all(|header| canonical_name(&header.name).is_none()) {
        return headers;
    }
    headers
        .into_iter()
        .map(|mut header| {
            if let Some(name) = canonical_name(&header.name) {
                header.name = Bytes::from_static(name.as_bytes());
            }
            header
        })
        .collect()
}

/// The client's headers as an integration sees them that is told all of them: a function in its event, a template in
/// `$input.params()`.
#[must_use]
pub fn for_integration(exchange: &Exchange<'_>) -> Headers {
    let mut headers = exchange.head.headers.clone();
    headers.retain(|header| !is_dropped_from_requests(&header.name));
    if exchange.plan.endpoint_type == EndpointType::Edge {
        headers = canonicalize(headers);
    }
    for added in Added::ALL {
        headers.set(added.name(), added.value(exchange));
    }
    headers
}

/// A header that every request has, whatever the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The client's trace id, or a new one.
    TraceId,
    /// What came by that name, and the client's own address.
    ForwardedFor,
    /// The port that the client asked for.
    ForwardedPort,
    /// `http` or `https`.
    ForwardedProto,
}

impl Added {
    const ALL: [Self; 4] = [Self::TraceId, Self::ForwardedFor, Self::ForwardedPort, Self::ForwardedProto];

    fn name(self) -> &'static str {
        match self {
            Self::TraceId => "X-Amzn-Trace-Id",
            Self::ForwardedFor => "X-Forwarded-For",
            Self::ForwardedPort => "X-Forwarded-Port",
            Self::ForwardedProto => "X-Forwarded-Proto",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|added| added.name().eq_ignore_ascii_case(name))
    }

    /// Its value for a request.
    #[must_use]
    pub fn value(self, exchange: &Exchange<'_>) -> Bytes {
        match self {
            Self::TraceId => exchange.trace_id().clone(),
            Self::ForwardedFor => {
                let sent = exchange.head.headers.get_all("x-forwarded-for");
                let mut addresses: Vec<_> = sent.map(|value| String::from_utf8_lossy(value)).collect();
                addresses.push(String::from_utf8_lossy(exchange.connection.peer_ip()));
                addresses.join(", ").into()
            }
            Self::ForwardedPort => forwarded_port(exchange),
            Self::ForwardedProto => {
                Bytes::from_static(if exchange.connection.tls.is_some() { b"https" } else { b"http" })
            }
        }
    }
}

/// The port the client asked for, as its `Host` has it.
#[must_use]
pub fn forwarded_port(exchange: &Exchange<'_>) -> Bytes {
    let default = if exchange.connection.tls.is_some() { "443" } else { "80" };
    let asked_for = exchange.head.headers.get("host").and_then(|host| {
        let port = host.slice(memchr::memrchr(b':', host)? + 1..);
        (!port.is_empty() && port.iter().all(u8::is_ascii_digit)).then_some(port)
    });
    asked_for.unwrap_or(Bytes::from_static(default.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_ignore_case() {
        assert!(is_dropped_from_requests(b"Content-MD5"));
        assert!(!is_dropped_from_requests(b"Content-Type"));
        assert!(is_illegal_target(b"Transfer-Encoding", false));
        assert!(is_illegal_target(b"TE", true) && !is_illegal_target(b"TE", false));
        assert!(is_remapped(b"WWW-Authenticate") && !is_remapped_by_proxy(b"WWW-Authenticate"));
        assert_eq!(remapped_name(b"Date"), "x-amzn-Remapped-Date");
    }

    #[test]
    fn known_names_are_respelled_and_others_kept() {
        let check = |name: &str, expected: &str| {
            assert_eq!(canonical_name(name.as_bytes()).unwrap_or(name), expected);
        };
        check("aUThorization", "Authorization");
        check("user-Agent", "User-Agent");
        check("Host", "Host");
        check("tEsT-HEADeR", "tEsT-HEADeR");
    }
}
