//! Bodies in chunks of AWS's own format (`aws-chunked`): each chunk signed, and its signature made over that of the one
//! before, so that chunks can neither be changed, left out nor moved. Trailers are signed in the same way.
//!
//! The format is that of "Transferring payload in multiple chunks" in S3's API reference.

use sha2::{Digest as _, Sha256};

use crate::canonical::hex;
use crate::verify::same;
use crate::{ALGORITHM, Request};

const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_WITH_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_WITH_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// What a request says about the chunks of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Whether each chunk has a signature.
    is_signed: bool,
    /// Whether trailers come after the last one.
    has_trailer: bool,
}

impl Form {
    /// The form of this name; nothing for one that is not known.
    pub(crate) fn parse(claim: &str) -> Option<Self> {
        match claim {
            SIGNED => Some(Self { is_signed: true, has_trailer: false }),
            SIGNED_WITH_TRAILER => Some(Self { is_signed: true, has_trailer: true }),
            UNSIGNED_WITH_TRAILER => Some(Self { is_signed: false, has_trailer: true }),
            _ => None,
        }
    }
}

/// The signatures of one request's chunks.
pub(crate) struct Chain<'a> {
    /// The key of the request's day, region and service.
    pub(crate) key: [u8; 32],
    /// When the request was signed.
    pub(crate) timestamp: &'a str,
    /// Its credential scope.
    pub(crate) scope: &'a str,
    /// The signature before the next one; first the request's own.
    pub(crate) previous: String,
}

impl Chain<'_> {
    fn takes(&mut self, kind: &str, hashes: &str, signature: &str) -> Option<()> {
        let Self { timestamp, scope, previous, .. } = self;
        let to_sign = format!("{ALGORITHM}-{kind}\n{timestamp}\n{scope}\n{previous}\n{hashes}");
        let expected = hex(&crate::sign::mac(&self.key, to_sign.as_bytes()));
        let fits = same(&expected, signature);
        self.previous = expected;
        fits.then_some(())
    }

    fn takes_chunk(&mut self, data: &[u8], signature: &str) -> Option<()> {
        let hashes = format!("{}\n{}", hex(&Sha256::digest(b"")), hex(&Sha256::digest(data)));
        self.takes("PAYLOAD", &hashes, signature)
    }

    /// What the chunks of a body hold; nothing if one of them is malformed or not signed by this chain.
    pub(crate) fn open(mut self, request: &Request<'_>, form: Form) -> Option<Vec<u8>> {
        let length: usize = request.header("x-amz-decoded-content-length")?.parse().ok()?;
        let mut rest = request.body;
        let mut opened = Vec::with_capacity(length.min(rest.len()));
        loop {
            let (head, after) = line(rest)?;
            let (size, signature) = match form.is_signed {
                true => head.split_once(";chunk-signature=")?,
                false => (head, ""),
            };
            let well_formed =
                (1..=8).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(size, 16).ok().filter(|_| well_formed)?;
            let (data, after) = after.split_at_checked(size)?;
            if form.is_signed {
                self.takes_chunk(data, signature)?;
            }
            if size == 0 {
                rest = after;
                break;
            }
            opened.extend_from_slice(data);
            rest = after.strip_prefix(b"\r\n")?;
        }
        match form.has_trailer {
            true => self.takes_trailer(request, form, rest)?,
            false if rest != b"\r\n" => return None,
            false => {}
        }
        (opened.len() == length).then_some(opened)
    }

    /// The trailers have to be those that the header `x-amz-trailer` announces.
    fn takes_trailer(&mut self, request: &Request<'_>, form: Form, mut rest: &[u8]) -> Option<()> {
        let mut announced = request.header("x-amz-trailer")?.split(',').map(str::trim);
        let mut canonical = String::new();
        loop {
            let (text, after) = line(rest)?;
            rest = after;
            // Some of AWS's clients end a trailer with a line feed of its own.
            let text = text.trim_end_matches('\n');
            if text.is_empty() {
                // Without signatures the last line is all there is.
                return (!form.is_signed && announced.next().is_none() && rest.is_empty()).then_some(());
            }
            let (name, value) = text.split_once(':')?;
            if form.is_signed && name.eq_ignore_ascii_case("x-amz-trailer-signature") {
                self.takes("TRAILER", &hex(&Sha256::digest(canonical.as_bytes())), value)?;
                return (announced.next().is_none() && rest == b"\r\n").then_some(());
            }
            if !announced.next()?.eq_ignore_ascii_case(name) {
                return None;
            }
            canonical.extend([&name.to_ascii_lowercase(), ":", value.trim(), "\n"]);
        }
    }
}

/// The text up to the next line end, and what comes after it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    /// More than any chunk's head or trailer takes.
    const LENGTH_MAX: usize = 1024;
    let head = bytes.get(..bytes.len().min(LENGTH_MAX))?;
    let end = head.windows(2).position(|pair| pair == b"\r\n")?;
    let (text, after) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, after.get(2..)?))
}
