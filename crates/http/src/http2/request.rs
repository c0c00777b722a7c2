//! From the fields of a header block to a request's head (RFC 9113 section 8.3).

use bytes::{Bytes, BytesMut};
use http::Method;

use super::hpack::{Field, Kind};
use crate::head::{is_valid_host, parse_length};
use crate::{Headers, RequestHead, Target, Version};

/// What the fields of a request may count together, each with 32 bytes beside its texts.
pub(super) const LIST_BYTES_MAX: usize = 64 * 1024;
const FIELD_BYTES: usize = 32;

/// What a header block that is no request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRequest {
    Malformed,
    TooLarge,
}

/// A request's head, and how long its body is, if it says so.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) length: Option<u64>,
}

/// A request's head in the making.
#[derive(Default)]
pub(super) struct Builder {
    method: Option<Method>,
    path: Option<Bytes>,
    has_scheme: bool,
    has_authority: bool,
    host: Option<Bytes>,
    headers: Headers,
    has_cookie: bool,
    /// All cookies in one, once there are several.
    cookies: BytesMut,
    length: Option<u64>,
    size: usize,
    is_malformed: bool,
}

impl Builder {
    /// Takes the next field. What is too much or wrong is found in [`Self::finish`].
    pub(super) fn take(&mut self, field: Field) {
        self.size += field.name.len() + field.value.len() + FIELD_BYTES;
        if self.size > LIST_BYTES_MAX || self.is_malformed {
            return;
        }
        let taken = if field.is_valid { self.take_valid(field) } else { None };
        self.is_malformed = taken.is_none();
    }

    fn take_valid(&mut self, field: Field) -> Option<()> {
        let Field { name, value, kind, .. } = field;
        if matches!(kind, Kind::Method | Kind::Path | Kind::Scheme | Kind::Authority) {
            return self.take_pseudo(kind, value);
        }
        if self.headers.is_empty() {
            self.headers = Headers::with_capacity(16);
        }
        match kind {
            // What `:authority` says counts. Clients that translate from HTTP/1.1 send this instead.
            Kind::Host => {
                let is_first = self.host.replace(value).is_none();
                return is_first.then_some(());
            }
            Kind::Cookie if self.has_cookie => {
                if self.cookies.is_empty() {
                    self.cookies.extend_from_slice(self.headers.get("cookie")?);
                }
                self.cookies.extend_from_slice(b"; ");
                self.cookies.extend_from_slice(&value);
                return Some(());
            }
            Kind::Cookie => self.has_cookie = true,
            Kind::ContentLength => {
                let length = parse_length(&value).ok()?;
                if self.length.replace(length).is_some_and(|known| known != length) {
                    return None;
                }
            }
            _ => {}
        }
        self.headers.append(name, trimmed(value));
        Some(())
    }

    fn take_pseudo(&mut self, kind: Kind, value: Bytes) -> Option<()> {
        // They come before all others, and `Host` is made of one of them.
        let has_others = self.headers.len() > usize::from(self.has_authority) || self.host.is_some();
        if has_others || value.is_empty() {
            return None;
        }
        let is_first = match kind {
            Kind::Method => self.method.replace(Method::from_bytes(&value).ok()?).is_none(),
            Kind::Path => self.path.replace(value).is_none(),
            Kind::Scheme => {
                let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                if !value.iter().all(is_scheme) {
                    return None;
                }
                !std::mem::replace(&mut self.has_scheme, true)
            }
            Kind::Authority => {
                if !is_valid_host(&value) {
                    return None;
                }
                self.headers = Headers::with_capacity(16);
                self.headers.append("Host", value);
                !std::mem::replace(&mut self.has_authority, true)
            }
            _ => false,
        };
        is_first.then_some(())
    }

    /// The request.
    ///
    /// # Errors
    /// [`NoRequest`].
    pub(super) fn finish(mut self) -> Result<Request, NoRequest> {
        if self.size > LIST_BYTES_MAX {
            return Err(NoRequest::TooLarge);
        }
        if self.is_malformed {
            return Err(NoRequest::Malformed);
        }
        let method = self.method.ok_or(NoRequest::Malformed)?;
        let target = match self.path {
            None if method == Method::CONNECT && !self.has_scheme && self.has_authority => Target::from("/"),
            Some(path) if method != Method::CONNECT && self.has_scheme && is_valid_target(&path, &method) => {
                Target::from_utf8(path).map_err(|_| NoRequest::Malformed)?
            }
            _ => return Err(NoRequest::Malformed),
        };
        if let Some(host) = self.host.filter(|_| !self.has_authority) {
            let host = trimmed(host);
            if !is_valid_host(&host) {
                return Err(NoRequest::Malformed);
            }
            self.headers.prepend([("Host", host)]);
        }
        if !self.cookies.is_empty() {
            // To everybody but HTTP/2 they are one field (RFC 9113 section 8.2.3).
            self.headers.set("cookie", self.cookies.freeze());
        }
        let head = RequestHead { method, target, version: Version::Http2, headers: self.headers };
        Ok(Request { head, length: self.length })
    }
}

fn trimmed(value: Bytes) -> Bytes {
    let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    if !is_space(value.first()) && !is_space(value.last()) {
        return value;
    }
    let inner = value.trim_ascii();
    if inner.is_empty() { Bytes::new() } else { value.slice_ref(inner) }
}

/// A path with perhaps a query; nothing that somebody could read in another way.
fn is_valid_target(target: &[u8], method: &Method) -> bool {
    let has_begin = target.first() == Some(&b'/') || (target == b"*" && method == Method::OPTIONS);
    let is_fine = |&byte: &u8| byte > b' ' && byte != 0x7f && byte != b'#';
    has_begin && target.iter().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these fields: method, target and header fields.
    fn check(fields: &[(&str, &str)], expected: Result<&str, NoRequest>) {
        let mut builder = Builder::default();
        for (name, value) in fields {
            let (name, value) = (Bytes::from((*name).to_owned()), Bytes::from((*value).to_owned()));
            let kind = Kind::of(&name);
            builder.take(Field { is_valid: kind.takes(&value), name, value, kind });
        }
        let shown = builder.finish().map(|Request { head, length }| {
            let show = |header: &crate::Header| format!("{}={}", header.name_str(), header.value_str());
            let headers: Vec<_> = head.headers.iter().map(show).collect();
            let length = length.map(|length| format!(" {length}")).unwrap_or_default();
            let target = head.target.as_str();
            format!("{} {target}{length} {}", head.method, headers.join("|"))
        });
        assert_eq!(shown, expected.map(str::to_owned), "{fields:?}");
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "h:1"), (":path", "/p?q")];

    fn check_with(more: &[(&str, &str)], expected: Result<&str, NoRequest>) {
        check(&[&GET, more].concat(), expected);
    }

    #[test]
    fn requests() {
        check_with(&[], Ok("GET /p?q Host=h:1"));
        check_with(&[("a", " b "), ("a", "c")], Ok("GET /p?q Host=h:1|a=b|a=c"));
        check_with(&[("host", "other"), ("te", "trailers")], Ok("GET /p?q Host=h:1|te=trailers"));
        check_with(
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")],
            Ok("GET /p?q Host=h:1|cookie=a=1; b=2; c=3|x=y"),
        );
        check_with(
            &[("content-length", "12"), ("content-length", "12")],
            Ok("GET /p?q 12 Host=h:1|content-length=12|content-length=12"),
        );
        let [method, scheme, _, path] = GET;
        check(&[scheme, path, method, ("x", "y"), ("host", "h")], Ok("GET /p?q Host=h|x=y"));
        check(&[scheme, (":path", "*"), (":method", "OPTIONS")], Ok("OPTIONS * "));
        check(&[(":method", "CONNECT"), (":authority", "h:1")], Ok("CONNECT / Host=h:1"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_request() {
        for wrong in [
            &[(":path", "/other")][..],
            &[("x", "y"), (":authority", "h")],
            &[(":status", "200")],
            &[("connection", "close")],
            &[("X", "y")],
            &[("x", "a\nb")],
            &[("te", "gzip")],
            &[("host", "a"), ("host", "b")],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "+1")],
        ] {
            check_with(wrong, Err(NoRequest::Malformed));
        }
        let [method, scheme, authority, path] = GET;
        for wrong in [
            &[method, scheme][..],
            &[method, path],
            &[scheme, path],
            &[method, scheme, (":path", "")],
            &[method, scheme, (":path", "p")],
            &[method, scheme, (":path", "*")],
            &[method, scheme, (":path", "/a b")],
            &[method, scheme, (":path", "/a#b")],
            &[method, scheme, path, (":authority", "user@h")],
            &[method, scheme, path, ("host", "a b")],
            &[(":method", "CONNECT"), authority, path, scheme],
            &[("host", "h"), method, scheme, path],
        ] {
            check(wrong, Err(NoRequest::Malformed));
        }
        let long = "x".repeat(LIST_BYTES_MAX);
        check_with(&[("x", &long)], Err(NoRequest::TooLarge));
    }
}
