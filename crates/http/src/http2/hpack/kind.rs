//! What a field of a request is to the connection.

use crate::headers::{is_valid_name, is_valid_value};

/// What a name stands for. It is found out once, when a name comes in, and kept with it in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Authority,
    Method,
    Path,
    Scheme,
    Host,
    Cookie,
    ContentLength,
    /// `TE`, of which only one value may be sent.
    Te,
    Regular,
    /// A name that makes a request malformed (RFC 9113 sections 8.2 and 8.3): an unknown pseudo-header, one of responses,
    /// one with upper-case letters, or one that belongs to a connection of HTTP/1.1.
    Malformed,
}

impl Kind {
    pub(crate) fn of(name: &[u8]) -> Self {
        if name.first() == Some(&b':') {
            return match name {
                b":authority" => Self::Authority,
                b":method" => Self::Method,
                b":path" => Self::Path,
                b":scheme" => Self::Scheme,
                _ => Self::Malformed,
            };
        }
        match name {
            b"host" => Self::Host,
            b"cookie" => Self::Cookie,
            b"content-length" => Self::ContentLength,
            b"te" => Self::Te,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                Self::Malformed
            }
            _ if name.iter().any(u8::is_ascii_uppercase) || !is_valid_name(name) => Self::Malformed,
            _ => Self::Regular,
        }
    }

    /// Whether a field of this kind may have the value.
    pub(crate) fn takes(self, value: &[u8]) -> bool {
        match self {
            Self::Malformed => false,
            Self::Te => value.eq_ignore_ascii_case(b"trailers"),
            _ => is_valid_value(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expected: Option<Kind>) {
        let kind = Kind::of(name.as_bytes());
        assert_eq!(kind.takes(value.as_bytes()).then_some(kind), expected, "{name}: {value:?}");
    }

    #[test]
    fn fields_are_told_apart() {
        check(":path", "/", Some(Kind::Path));
        check(":status", "200", None);
        check(":", "", None);
        check("", "x", None);
        check("x", "a\tb\u{e4}", Some(Kind::Regular));
        check("x", "a\r\nb", None);
        check("x", "a\0b", None);
        check("X", "a", None);
        check("a b", "a", None);
        check("te", "trailers", Some(Kind::Te));
        check("te", "gzip", None);
        check("upgrade", "h2c", None);
        check("keep-alives", "", Some(Kind::Regular));
    }
}
