//! The opening handshake's proof that the server speaks the protocol (RFC 6455, section 4.2.2).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; nothing if that is not sixteen bytes in base64.
#[must_use]
pub fn accept_key(key: &[u8]) -> Option<String> {
    let decoded = STANDARD.decode(key).ok()?;
    if decoded.len() != 16 {
        return None;
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    Some(STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, expected: Option<&str>) {
        assert_eq!(accept_key(key.as_bytes()).as_deref(), expected, "{key}");
    }

    #[test]
    fn keys() {
        // The RFC's own example.
        check("dGhlIHNhbXBsZSBub25jZQ==", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        check("dGhlIHNhbXBsZSBub25jZQ", None);
        check("c2hvcnQ=", None);
        check("", None);
    }
}
