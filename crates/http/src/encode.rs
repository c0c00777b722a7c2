//! From heads to bytes.
//!
//! The fields that frame a body are written here and only here, from what is known of the body: those in a head's
//! own list are left out, so that a message can never contradict itself.

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};

use crate::clock;
use crate::head::Framing;
use crate::{Header, RequestHead, ResponseHead, Version};

/// Whether a field frames a body or steers the connection, and so is the connection's own to write.
#[must_use]
pub fn is_framing_field(header: &Header) -> bool {
    match header.name.len() {
        10 => header.is("connection") || header.is("keep-alive"),
        14 => header.is("content-length"),
        17 => header.is("transfer-encoding"),
        _ => false,
    }
}

/// The framing for a body of which this many bytes are to come.
#[must_use]
pub fn framing_for(remaining: Option<u64>) -> Framing {
    match remaining {
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

/// Writes a request head. A method that usually has a body says so even when it is empty (RFC 9110 §8.6).
pub fn request_head(out: &mut Vec<u8>, head: &RequestHead, framing: Framing) {
    out.reserve(256 + head.target.as_str().len() + head.headers.len() * 48);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for header in head.headers.iter().filter(|header| !is_framing_field(header)) {
        field(out, header);
    }
    match framing {
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {
            if matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
                content_length(out, 0);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What a response's head depends on beside itself.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// The request's method: a response to HEAD keeps the length its body would have had.
    pub method: &'a Method,
    /// The length of the body that a response to HEAD leaves out; 0 if there is none or its length is not known.
    pub left_out: u64,
    /// The request's version.
    pub version: Version,
    /// Whether the connection stays open afterwards.
    pub keep_alive: bool,
}

/// Writes a response head; adds `Date` where there is none.
pub fn response_head(out: &mut Vec<u8>, head: &ResponseHead, framing: Framing, context: ResponseContext<'_>) {
    out.reserve(256 + head.headers.len() * 48);
    if head.status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(head.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let mut dated = false;
    let mut head_length = None;
    for header in &head.headers {
        if is_framing_field(header) {
            if header.name.len() == 14 {
                head_length = Some(&header.value);
            }
            continue;
        }
        dated |= header.name.len() == 4 && header.is("date");
        field(out, header);
    }
    if !dated {
        out.extend_from_slice(b"Date: ");
        put_date(out);
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = matches!(head.status.as_u16(), 100..=199 | 204 | 304);
    match (framing, head_length) {
        (Framing::None, Some(length)) if context.method == Method::HEAD && !bodiless => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(length);
            out.extend_from_slice(b"\r\n");
        }
        (Framing::None, None) if context.method == Method::HEAD && !bodiless => {
            // Nothing is said of a length that is not known.
            if context.left_out > 0 {
                content_length(out, context.left_out);
            }
        }
        (Framing::None, _) if bodiless => {}
        (Framing::None, _) => out.extend_from_slice(b"Content-Length: 0\r\n"),
        (Framing::Length(length), _) => content_length(out, length),
        (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (Framing::UntilClose, _) => {}
    }
    match (context.keep_alive, context.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11 | Version::Http2) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response that ends HTTP on its connection, with all of its fields.
pub fn switching_head(out: &mut Vec<u8>, head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    for header in &head.headers {
        field(out, header);
    }
    out.extend_from_slice(b"Date: ");
    put_date(out);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Writes a chunk's size line.
pub fn chunk_size(out: &mut Vec<u8>, length: usize) {
    let mut digits = [0_u8; 16];
    let mut left = length;
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b"0123456789abcdef".get(left & 15).copied().unwrap_or(b'0');
        left >>= 4;
        start -= 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, header: &Header) {
    out.extend_from_slice(&header.name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(&header.value);
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

thread_local! {
    /// The current date as text, and until when it holds. Formatting it for each response would cost more than
    /// the rest of the head.
    static DATE: RefCell<(Option<Instant>, String)> = const { RefCell::new((None, String::new())) };
}

/// The current date as fields of heads have it: `Thu, 20 Oct 2022 10:36:41 GMT`.
#[must_use]
pub fn http_date() -> String {
    with_date(str::to_owned)
}

fn put_date(out: &mut Vec<u8>) {
    with_date(|text| out.extend_from_slice(text.as_bytes()));
}

pub(crate) fn with_date<T>(show: impl FnOnce(&str) -> T) -> T {
    DATE.with_borrow_mut(|(fresh_until, text)| {
        let now = clock::last();
        if fresh_until.is_none_or(|until| now >= until) {
            *text = httpdate::fmt_http_date(SystemTime::now());
            let into_second = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(Duration::ZERO, |since| Duration::from_nanos(u64::from(since.subsec_nanos())));
            *fresh_until = Some(now + Duration::from_secs(1).saturating_sub(into_second));
        }
        show(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;

    fn check(
        fields: &[(&'static str, &'static str)],
        status: u16,
        framing: Framing,
        method: Method,
        expected: &str,
    ) {
        let mut headers = Headers::new();
        headers.append("Date", "d");
        fields.iter().for_each(|&(name, value)| headers.append(name, value));
        let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), headers };
        let mut out = Vec::new();
        let left_out = if method == Method::HEAD { 99 } else { 0 };
        let context =
            ResponseContext { method: &method, left_out, version: Version::Http11, keep_alive: true };
        response_head(&mut out, &head, framing, context);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.replace("\r\n", "|").replace("Date: d|", ""), expected);
    }

    #[test]
    fn framing_comes_from_the_body_and_never_from_the_list() {
        let lies =
            &[("content-length", "7"), ("Transfer-Encoding", "gzip"), ("connection", "close"), ("X", "y")];
        let kept = "Connection: keep-alive||";
        check(
            lies,
            200,
            Framing::Length(120),
            Method::GET,
            &format!("HTTP/1.1 200 OK|X: y|Content-Length: 120|{kept}"),
        );
        check(
            lies,
            200,
            Framing::Chunked,
            Method::GET,
            &format!("HTTP/1.1 200 OK|X: y|Transfer-Encoding: chunked|{kept}"),
        );
        check(
            lies,
            200,
            Framing::None,
            Method::GET,
            &format!("HTTP/1.1 200 OK|X: y|Content-Length: 0|{kept}"),
        );
        check(
            lies,
            200,
            Framing::None,
            Method::HEAD,
            &format!("HTTP/1.1 200 OK|X: y|Content-Length: 7|{kept}"),
        );
        check(&[], 200, Framing::None, Method::HEAD, &format!("HTTP/1.1 200 OK|Content-Length: 99|{kept}"));
        check(&[], 204, Framing::None, Method::HEAD, &format!("HTTP/1.1 204 No Content|{kept}"));
        check(lies, 204, Framing::None, Method::GET, &format!("HTTP/1.1 204 No Content|X: y|{kept}"));
        check(&[], 299, Framing::None, Method::GET, &format!("HTTP/1.1 299 |Content-Length: 0|{kept}"));
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for (length, expected) in [(1, "1\r\n"), (16, "10\r\n"), (48879, "beef\r\n")] {
            let mut out = Vec::new();
            chunk_size(&mut out, length);
            assert_eq!(&out[..], expected.as_bytes());
        }
    }

    #[test]
    fn requests_say_how_long_their_body_is() {
        let show = |method: Method, framing| {
            let mut headers = Headers::new();
            headers.append("Host", "h");
            headers.append("Content-Length", "99");
            let head = RequestHead { method, target: "/p?q".into(), version: Version::Http11, headers };
            let mut out = Vec::new();
            request_head(&mut out, &head, framing);
            String::from_utf8(out).unwrap().replace("\r\n", "|")
        };
        assert_eq!(show(Method::GET, Framing::None), "GET /p?q HTTP/1.1|Host: h||");
        assert_eq!(show(Method::POST, Framing::None), "POST /p?q HTTP/1.1|Host: h|Content-Length: 0||");
        assert_eq!(show(Method::PUT, Framing::Length(10)), "PUT /p?q HTTP/1.1|Host: h|Content-Length: 10||");
        assert_eq!(
            show(Method::GET, Framing::Chunked),
            "GET /p?q HTTP/1.1|Host: h|Transfer-Encoding: chunked||"
        );
    }
}
