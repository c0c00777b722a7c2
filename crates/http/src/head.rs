//! From bytes to the heads of requests and responses, and to how their bodies are framed.
//!
//! The rule throughout: a head that two parsers could read differently is refused, never repaired (RFC 9112 §11.2,
//! request smuggling). So a line feed without carriage return, a folded line, white space before a colon, two
//! different lengths, a length beside a transfer coding, and a second `Host` are all errors.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};

use crate::headers::is_same_name;
use crate::{Headers, RequestHead, ResponseHead, Target, Version};

/// The most bytes a head may have, request line and final empty line included. Gateways set lower limits of their
/// own; this one bounds memory while no limit can be answered properly yet.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADER_FIELDS_MAX: usize = 256;
/// How many fields a gateway is likely to add, so that the list need not grow. Room is made for a power of two, which costs
/// allocators least.
const ADDED_FIELDS: usize = 4;

/// How long a body is, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// This many bytes; never zero.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection closes. Responses only.
    UntilClose,
}

/// Why a head was refused. Each is answered with 400 unless it says otherwise, and the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The start line or a field is malformed.
    #[error("malformed message head: {0}")]
    Malformed(&'static str),
    /// Answered with 431.
    #[error(
        "the message head is larger than {HEAD_BYTES_MAX} bytes or has more than {HEADER_FIELDS_MAX} fields"
    )]
    TooLarge,
    /// Answered with 501: a transfer coding other than chunked.
    #[error("the transfer coding is not supported")]
    UnknownTransferCoding,
    /// Answered with 505.
    #[error("the protocol version is not supported")]
    UnknownVersion,
}

/// A parsed request head and what it says of its connection and body.
#[derive(Debug)]
pub struct ParsedRequest {
    /// The head. An absolute-form target has been turned into origin form, its authority into `Host`.
    pub head: RequestHead,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client wants the connection to stay open.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

/// A parsed response head and what it says of its connection and body.
#[derive(Debug)]
pub struct ParsedResponse {
    /// The head.
    pub head: ResponseHead,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the server lets the connection stay open.
    pub keep_alive: bool,
}

const BARE_LINE_FEED: &str = "a line does not end in CR LF";

/// How a head ends.
static END: LazyLock<memchr::memmem::Finder<'static>> =
    LazyLock::new(|| memchr::memmem::Finder::new(b"\r\n\r\n"));

/// Looks for the end of a head in a growing buffer, without looking at any byte twice.
#[derive(Debug, Default)]
pub struct HeadScanner {
    line_start: usize,
    scanned: usize,
}

impl HeadScanner {
    /// Takes the head off the front of the buffer if it has arrived whole. Empty lines before it are skipped
    /// (RFC 9112 §2.2).
    ///
    /// # Errors
    /// [`HeadError::TooLarge`]; [`HeadError::Malformed`] for a line feed without a carriage return.
    pub fn take_head(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, HeadError> {
        if buffer.is_empty() {
            return Ok(None);
        }
        if self.scanned == 0
            && let Some(length) = END.find(buffer).map(|at| at + 4)
            && length <= HEAD_BYTES_MAX
            && !matches!(buffer.first(), Some(b'\r' | b'\n'))
        {
            // Nearly every head arrives whole. What its lines end in is seen when it is parsed.
            // What fills its memory is taken as it is: a share of it costs more.
            let is_all = length == buffer.capacity();
            let head = if is_all { std::mem::take(buffer) } else { buffer.split_to(length) };
            return Ok(Some(head.freeze()));
        }
        'head: loop {
            let unscanned = buffer.get(self.scanned..).unwrap_or_default();
            for offset in memchr::memchr_iter(b'\n', unscanned) {
                let feed = self.scanned + offset;
                if feed == 0 || buffer.get(feed - 1) != Some(&b'\r') {
                    return Err(HeadError::Malformed(BARE_LINE_FEED));
                }
                if feed == 1 {
                    let _ = buffer.split_to(2);
                    *self = Self::default();
                    continue 'head;
                }
                if feed - self.line_start == 1 {
                    if feed >= HEAD_BYTES_MAX {
                        return Err(HeadError::TooLarge);
                    }
                    *self = Self::default();
                    return Ok(Some(buffer.split_to(feed + 1).freeze()));
                }
                self.line_start = feed + 1;
            }
            break;
        }
        self.scanned = buffer.len();
        if self.scanned > HEAD_BYTES_MAX { Err(HeadError::TooLarge) } else { Ok(None) }
    }
}

/// Whether a head is parsed to its end and each of its fields begins after a carriage return and a line feed: the parser
/// would let a line feed alone end a line.
fn has_plain_lines(bytes: &[u8], parsed: usize, fields: &[httparse::Header<'_>]) -> bool {
    let begins_a_line = |field: &httparse::Header<'_>| {
        let at = field.name.as_ptr().addr() - bytes.as_ptr().addr();
        at.checked_sub(2).and_then(|before| bytes.get(before..at)) == Some(b"\r\n")
    };
    parsed == bytes.len() && bytes.ends_with(b"\r\n\r\n") && fields.iter().all(begins_a_line)
}

/// Parses a whole request head.
///
/// # Errors
/// [`HeadError`], as the module's rule says.
pub fn parse_request(bytes: &Bytes) -> Result<ParsedRequest, HeadError> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if has_plain_lines(bytes, length, request.headers) => {}
        Ok(httparse::Status::Complete(_)) => return Err(HeadError::Malformed(BARE_LINE_FEED)),
        Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("it ends early")),
        Err(httparse::Error::Version) if !names_version(bytes) => {
            return Err(HeadError::Malformed("the start line"));
        }
        Err(error) => return Err(refusal(error)),
    }
    let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes())
        .map_err(|_| HeadError::Malformed("the method"))?;
    let mut connection = ConnectionFields::default();
    let (mut hosts, mut is_host_valid) = (0, true);
    let mut headers = Headers::with_capacity((request.headers.len() + ADDED_FIELDS).next_power_of_two());
    for field in request.headers.iter() {
        connection.see(field)?;
        if is_same_name(field.name.as_bytes(), b"host") {
            hosts += 1;
            is_host_valid &= is_valid_host(field.value.trim_ascii());
        }
        headers.append(header_name(bytes, field.name), slice_value(bytes, field.value));
    }
    if hosts > 1 {
        return Err(HeadError::Malformed("more than one Host"));
    }
    let target = request.path.unwrap_or_default();
    let (target, authority) = origin_form(&method, target, bytes)?;
    if let Some(authority) = authority {
        is_host_valid = is_valid_host(&authority);
        headers.set("Host", authority);
    } else if hosts == 0 && version == Version::Http11 {
        return Err(HeadError::Malformed("no Host"));
    }
    if !is_host_valid {
        return Err(HeadError::Malformed("the Host"));
    }
    let framing = match (connection.chunked, connection.length) {
        (true, Some(_)) => return Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
        (true, None) if version == Version::Http10 => {
            return Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        (true, None) => Framing::Chunked,
        (false, Some(length)) if length > 0 => Framing::Length(length),
        (false, _) => Framing::None,
    };
    Ok(ParsedRequest {
        head: RequestHead { method, target, version, headers },
        framing,
        keep_alive: connection.keep_alive(version),
        expect_continue: connection.expect_continue && version == Version::Http11 && framing != Framing::None,
    })
}

/// Parses a whole response head. `method` is the request's: it decides whether there is a body.
///
/// # Errors
/// [`HeadError`], as the module's rule says.
pub fn parse_response(bytes: &Bytes, method: &Method) -> Result<ParsedResponse, HeadError> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut fields,
    ) {
        Ok(httparse::Status::Complete(length)) if has_plain_lines(bytes, length, response.headers) => {}
        Ok(httparse::Status::Complete(_)) => return Err(HeadError::Malformed(BARE_LINE_FEED)),
        Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("it ends early")),
        Err(error) => return Err(refusal(error)),
    }
    let version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_| HeadError::Malformed("the status code"))?;
    let mut connection = ConnectionFields::default();
    let mut headers = Headers::with_capacity((response.headers.len() + ADDED_FIELDS).next_power_of_two());
    for field in response.headers.iter() {
        connection.see(field)?;
        headers.append(header_name(bytes, field.name), slice_value(bytes, field.value));
    }
    if connection.chunked && connection.length.is_some() {
        return Err(HeadError::Malformed("both Content-Length and Transfer-Encoding"));
    }
    let bodiless = method == Method::HEAD || matches!(status.as_u16(), 100..=199 | 204 | 304);
    let framing = match connection.length {
        _ if bodiless => Framing::None,
        _ if connection.chunked => Framing::Chunked,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    let keep_alive = framing != Framing::UntilClose && connection.keep_alive(version);
    Ok(ParsedResponse { head: ResponseHead { status, headers }, framing, keep_alive })
}

/// Whether the third word of a request's start line is a version of HTTP. It is not where the target holds a space.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    line.splitn(3, |&byte| byte == b' ').nth(2).is_some_and(|version| version.starts_with(b"HTTP/"))
}

fn refusal(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        httparse::Error::Version => HeadError::UnknownVersion,
        httparse::Error::HeaderName => HeadError::Malformed("a header name, or a folded line"),
        httparse::Error::HeaderValue => HeadError::Malformed("a header value"),
        httparse::Error::Status => HeadError::Malformed("the status line"),
        httparse::Error::NewLine | httparse::Error::Token => HeadError::Malformed("the start line"),
    }
}

/// A field's name as it stands in the buffer. Names that are in nearly every message, in their usual spellings, need no
/// share of the buffer's reference count, which is most of what taking a field costs.
fn header_name(bytes: &Bytes, name: &str) -> Bytes {
    macro_rules! usual {
        ($($spelled:literal)*) => {
            match name {
                $($spelled => Some($spelled),)*
                _ => None,
            }
        };
    }
    let usual = match name.len() {
        3 => usual!("Via" "via"),
        4 => usual!("Host" "Date" "Etag" "ETag" "Vary" "host" "date" "etag" "vary"),
        6 => usual!("Accept" "Server" "Cookie" "Origin" "accept" "server" "cookie" "origin"),
        7 => usual!("Referer" "referer"),
        10 => usual!("User-Agent" "Connection" "Keep-Alive" "user-agent" "connection"),
        12 => usual!("Content-Type" "content-type" "X-Powered-By"),
        13 => usual!("Authorization" "Cache-Control" "Last-Modified" "authorization" "cache-control"),
        14 => usual!("Content-Length" "content-length"),
        15 => {
            usual!("Accept-Encoding" "Accept-Language" "accept-encoding" "accept-language" "X-Forwarded-For")
        }
        17 => usual!("Transfer-Encoding" "transfer-encoding"),
        _ => None,
    };
    match usual {
        Some(usual) => Bytes::from_static(usual.as_bytes()),
        None => bytes.slice_ref(name.as_bytes()),
    }
}

/// Header values lose the white space around them; an empty one has no place in the buffer.
fn slice_value(bytes: &Bytes, value: &[u8]) -> Bytes {
    let value = value.trim_ascii();
    // As with names: what is sent again and again takes no share.
    for usual in [&b"keep-alive"[..], b"application/json", b"*/*"] {
        if value == usual {
            return Bytes::from_static(usual);
        }
    }
    if value.is_empty() { Bytes::new() } else { bytes.slice_ref(value) }
}

/// The target in origin form, and the authority where it was in absolute form (RFC 9112 §3.2).
fn origin_form(method: &Method, target: &str, bytes: &Bytes) -> Result<(Target, Option<Bytes>), HeadError> {
    // A fragment is never sent. One server would take it for a part of the path, and another one cut it off.
    if memchr::memchr(b'#', target.as_bytes()).is_some() {
        return Err(HeadError::Malformed("the request target"));
    }
    let taken = |part: &str| {
        let part = bytes.slice_ref(part.as_bytes());
        Target::from_utf8(part).map_err(|_| HeadError::Malformed("the request target"))
    };
    if target.starts_with('/') {
        return Ok((taken(target)?, None));
    }
    if target == "*" && method == Method::OPTIONS {
        return Ok((Target::from("*"), None));
    }
    let rest = ["http://", "https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .and_then(|scheme| target.get(scheme.len()..))
        .ok_or(HeadError::Malformed("the request target"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() {
        return Err(HeadError::Malformed("the request target"));
    }
    let target = match path.as_bytes().first() {
        Some(b'/') => taken(path)?,
        Some(_) => Target::from(format!("/{path}")),
        None => Target::from("/"),
    };
    Ok((target, Some(bytes.slice_ref(authority.as_bytes()))))
}

/// Which bytes may stand in a host and port (RFC 3986 §3.2.2).
#[expect(clippy::indexing_slicing, reason = "it is all done when this is compiled")]
const HOST_BYTES: [bool; 256] = {
    let (mut may_stand, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        may_stand[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b'%'
                    | b':'
                    | b'['
                    | b']'
            );
        byte += 1;
    }
    may_stand
};

pub(crate) fn is_valid_host(host: &[u8]) -> bool {
    host.iter().all(|&byte| HOST_BYTES.get(usize::from(byte)) == Some(&true))
}

/// The fields that speak of the connection and of the body's framing.
#[derive(Default)]
struct ConnectionFields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
}

impl ConnectionFields {
    fn see(&mut self, field: &httparse::Header<'_>) -> Result<(), HeadError> {
        let is = |name: &[u8]| is_same_name(field.name.as_bytes(), name);
        // The length of a name rules out nearly every field before its letters are compared.
        match field.name.len() {
            14 if is(b"content-length") => {
                let length = parse_length(field.value)?;
                if self.length.is_some_and(|known| known != length) {
                    return Err(HeadError::Malformed("two different Content-Length fields"));
                }
                self.length = Some(length);
            }
            17 if is(b"transfer-encoding") => {
                if self.chunked {
                    return Err(HeadError::Malformed("more than one Transfer-Encoding"));
                }
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::UnknownTransferCoding);
                }
                self.chunked = true;
            }
            10 if is(b"connection") => {
                // What nearly everybody sends.
                if field.value == b"keep-alive" {
                    self.keep_alive = true;
                    return Ok(());
                }
                for option in field.value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            6 if is(b"expect") => {
                self.expect_continue |= field.value.eq_ignore_ascii_case(b"100-continue");
            }
            _ => {}
        }
        Ok(())
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// A length is digits only: no sign, no list (RFC 9110 §8.6).
pub(crate) fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::Malformed("the Content-Length"));
    }
    value
        .iter()
        .try_fold(0_u64, |length, digit| length.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(HeadError::Malformed("the Content-Length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a request head becomes: `METHOD target framing [close]`, or why it is refused.
    fn check(request: &str, expected: &str) {
        let bytes = Bytes::from(request.to_owned());
        let shown = HeadScanner::default()
            .take_head(&mut BytesMut::from(request))
            .and_then(|head| {
                head.map_or(Err(HeadError::Malformed("it ends early")), |_| parse_request(&bytes))
            })
            .map_or_else(
                |error| error.to_string(),
                |parsed| {
                    let close = if parsed.keep_alive { "" } else { " close" };
                    let target = parsed.head.target.as_str();
                    format!("{} {target} {:?}{close}", parsed.head.method, parsed.framing)
                },
            );
        assert_eq!(shown, expected, "for {request:?}");
    }

    #[test]
    fn well_formed_requests() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / None");
        check("GET /x?y HTTP/1.0\r\n\r\n", "GET /x?y None close");
        check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / None");
        check("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n", "POST / Length(5)");
        check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / None");
        check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST / Chunked");
        check(
            "GET http://b:1/p?q HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n",
            "GET /p?q None close",
        );
        check("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?q None");
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * None");
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / None");
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let refused = |fields: &str, reason: &str| {
            check(
                &format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"),
                &format!("malformed message head: {reason}"),
            );
        };
        refused(
            "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            "both Content-Length and Transfer-Encoding",
        );
        refused(
            "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
            "both Content-Length and Transfer-Encoding",
        );
        refused("Host: a\r\nContent-Length: 5\r\nContent-Length: 6", "two different Content-Length fields");
        refused("Host: a\r\nContent-Length: +5", "the Content-Length");
        refused("Host: a\r\nContent-Length: 5, 5", "the Content-Length");
        refused("Host: a\r\nContent-Length: 99999999999999999999", "the Content-Length");
        refused("Host: a\r\nHost: a", "more than one Host");
        refused("X: a", "no Host");
        refused("Host: a/b", "the Host");
        refused("Host: a\r\n folded: b", "a header name, or a folded line");
        refused("Host: a\r\nX : b", "a header name, or a folded line");
        refused("Host: a\r\nX: b\0", "a header value");
        check("GET / HTTP/1.1\nHost: a\n\n", "malformed message head: a line does not end in CR LF");
        check("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the request target");
        check("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the request target");
        check("GET /admin#x HTTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the request target");
        check("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the request target");
        check(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "the transfer coding is not supported",
        );
        check("GET / HTTP/2.1\r\nHost: a\r\n\r\n", "the protocol version is not supported");
        check("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the start line");
        check("GET / FTP/1.1\r\nHost: a\r\n\r\n", "malformed message head: the start line");
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let bytes = Bytes::from_static(b"GET http://b:1/p HTTP/1.1\r\nHost: a\r\n\r\n");
        let parsed = parse_request(&bytes).unwrap();
        assert_eq!(parsed.head.headers.get_str("host"), Some("b:1"));
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest";
        for cut in 0..whole.len() {
            let (mut scanner, mut buffer) = (HeadScanner::default(), BytesMut::from(&whole[..cut]));
            let mut head = scanner.take_head(&mut buffer).unwrap();
            if head.is_none() {
                buffer.extend_from_slice(&whole[cut..]);
                head = scanner.take_head(&mut buffer).unwrap();
            } else {
                buffer.extend_from_slice(&whole[cut..]);
            }
            assert_eq!((head.unwrap().len(), &buffer[..]), (whole.len() - 4, &b"rest"[..]), "cut at {cut}");
        }
    }

    #[test]
    fn responses_without_length_end_with_the_connection() {
        let parse = |text: &'static str, method| {
            parse_response(&Bytes::from_static(text.as_bytes()), &method).unwrap()
        };
        let until_close = parse("HTTP/1.1 200 OK\r\n\r\n", Method::GET);
        assert_eq!((until_close.framing, until_close.keep_alive), (Framing::UntilClose, false));
        let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD);
        assert_eq!((head.framing, head.keep_alive), (Framing::None, true));
        assert_eq!(parse("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n", Method::GET).framing, Framing::None);
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET).framing,
            Framing::Chunked
        );
    }

    proptest! {
        #[test]
        fn no_line_feed_alone_ends_a_line(ends in proptest::collection::vec("\r\n|\n|\r\n\n|\r| \n", 1..6), value in " ?[a-z]? ?") {
            let mut request = format!("GET / HTTP/1.1\r\nHost:{value}");
            for end in &ends {
                request += end;
                request += &format!("X:{value}");
            }
            request += "\r\n\r\n";
            let head = HeadScanner::default().take_head(&mut BytesMut::from(request.as_str()));
            if let Ok(Some(head)) = head && parse_request(&head).is_ok() {
                let is_plain = head.iter().zip(head.iter().skip(1)).all(|(&before, &byte)| byte != b'\n' || before == b'\r');
                prop_assert!(is_plain, "{:?}", head);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            if let Ok(Some(head)) = HeadScanner::default().take_head(&mut buffer) {
                let _ = parse_request(&head);
                let _ = parse_response(&head, &Method::GET);
            }
        }

        #[test]
        fn near_misses_do_not_panic(text in "(GET|POST) [/a-z:?*]{0,9} HTTP/1.[01]\r\n([A-Za-z-]{1,17}: ?[ -~]{0,9}\r\n){0,4}\r\n") {
            let _ = parse_request(&Bytes::from(text));
        }
    }
}
