//! Codings of payloads (`gzip`, `deflate`).
//!
//! A client of a REST API may send its request coded; what the integration sees is not. A coding that is not known, or a
//! payload that does not have it, is refused as AWS refuses it, with 415. HTTP APIs hand on what came, as it came.
//!
//! HTTP_PROXY hides a backend's `Content-Encoding` from the client, and so has to undo the coding. What merely claims
//! to be coded passes as it is: a client must get something it can read.

use std::io::Write;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use stagedoor_http::{Body, BodyError, BodyStream};

use crate::exchange::{Exchange, RequestBody};
use crate::gateway_response::Fault;
use crate::phase::Phase;

/// How much is decoded at a time. Deflate makes at most about a thousand bytes of one, so this bounds what a hostile
/// payload costs before the limit on its decoded size is looked at.
const STEP_BYTES: usize = 4 * 1024;

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Nothing to undo.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or RFC 1951 alone as some servers send it.
    Deflate,
}

impl Coding {
    /// The coding of this name; nothing for one that cannot be undone, or several.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.trim_ascii().eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("identity") || is("") => Some(Self::Identity),
            () => None,
        }
    }

    /// The body without the coding. A body that does not have it passes as it is.
    #[must_use]
    pub fn undo(self, body: Body) -> Body {
        self.decoding(body, false)
    }

    /// The body without the coding; one that does not have it ends in [`BodyError::Undecodable`].
    #[must_use]
    pub fn undo_strictly(self, body: Body) -> Body {
        self.decoding(body, true)
    }

    fn decoding(self, body: Body, is_strict: bool) -> Body {
        if self == Self::Identity || body.is_empty() {
            return body;
        }
        Body::Stream(Box::new(Decoding { coding: self, body, is_strict, decoder: None, coded: Bytes::new() }))
    }
}

/// The coding of a request's body, which [`undo_request`] undoes once the method is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCoding {
    /// A coding as in any message.
    Plain(Coding),
    /// `aws-chunked`: no coding but a form of signing, for methods that verify signatures.
    SignedChunks,
}

/// The coding that a request says its body has, of those that are undone here.
///
/// # Errors
/// 415 for one that is not known.
pub fn of_request(exchange: &Exchange<'_>) -> Result<RequestCoding, Fault> {
    let Some(name) = exchange.head.headers.get("content-encoding") else {
        return Ok(RequestCoding::Plain(Coding::Identity));
    };
    if name.trim_ascii().eq_ignore_ascii_case(b"aws-chunked") {
        return Ok(RequestCoding::SignedChunks);
    }
    if exchange.plan.http_api.is_some() {
        return Ok(RequestCoding::Plain(Coding::Identity));
    }
    Coding::parse(name).map(RequestCoding::Plain).ok_or_else(|| unknown(name))
}

/// Undoes the coding of a request's body. Functions and mappings still see the header (recorded); HTTP_PROXY hides it.
/// What a signature covers are the bytes that came, so it is verified first: [`after_signature`] undoes the coding
/// then.
///
/// # Errors
/// 415 for signed chunks where nothing verifies them. A coding that the body does not have is found out when the body
/// is read.
pub fn undo_request(exchange: &mut Exchange<'_>, coding: RequestCoding) -> Result<(), Fault> {
    let is_signed = || exchange.method().is_some_and(|method| method.phases.contains(&Phase::Authentication));
    match coding {
        RequestCoding::Plain(Coding::Identity) => {}
        _ if is_signed() => {}
        RequestCoding::SignedChunks if exchange.plan.http_api.is_some() => {}
        RequestCoding::Plain(coding) => undo_body(exchange, coding),
        RequestCoding::SignedChunks => return Err(unknown(b"aws-chunked")),
    }
    Ok(())
}

/// Undoes the coding of a request whose signature has been verified. Signed chunks are opened already.
pub fn after_signature(exchange: &mut Exchange<'_>) {
    if let Ok(RequestCoding::Plain(coding)) = of_request(exchange) {
        undo_body(exchange, coding);
    }
}

fn undo_body(exchange: &mut Exchange<'_>, coding: Coding) {
    if coding != Coding::Identity {
        exchange.body = RequestBody::Unread(coding.undo_strictly(exchange.take_body()));
    }
}

fn unknown(name: &[u8]) -> Fault {
    let name = String::from_utf8_lossy(name);
    Fault::undecodable_body(format!("the coding {name:?} is neither gzip, deflate nor identity"))
}

struct Decoding {
    coding: Coding,
    body: Body,
    /// Whether a body without the coding is an error.
    is_strict: bool,
    /// None until the first bytes are there and tell what they are.
    decoder: Option<Decoder>,
    /// What has arrived and is not decoded yet.
    coded: Bytes,
}

enum Decoder {
    /// It is not coded after all.
    None,
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
    Ended,
}

impl Decoder {
    fn new(coding: Coding, begin: &[u8]) -> Self {
        match (coding, begin) {
            (Coding::Gzip, [0x1f, 0x8b, ..] | [0x1f]) => Self::Gzip(MultiGzDecoder::new(Vec::new())),
            (Coding::Deflate, [first, second, ..])
                if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0 =>
            {
                Self::Zlib(ZlibDecoder::new(Vec::new()))
            }
            // The lowest bits of raw deflate are the kind of its first block; printable text has others or fails early.
            (Coding::Deflate, [first, ..]) if !first.is_ascii_graphic() => {
                Self::Deflate(DeflateDecoder::new(Vec::new()))
            }
            _ => Self::None,
        }
    }

    /// Takes coded bytes and gives decoded ones, perhaps none yet.
    fn step(&mut self, coded: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None | Self::Ended => Ok(coded.to_vec()),
            Self::Gzip(decoder) => {
                decoder.write_all(coded)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Zlib(decoder) => {
                decoder.write_all(coded)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Self::Deflate(decoder) => {
                decoder.write_all(coded)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// What is left at the end.
    fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        match std::mem::replace(self, Self::Ended) {
            Self::None | Self::Ended => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zlib(decoder) => decoder.finish(),
            Self::Deflate(decoder) => decoder.finish(),
        }
    }
}

impl BodyStream for Decoding {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let failed =
            |error: std::io::Error| Poll::Ready(Some(Err(BodyError::Undecodable(error.to_string()))));
        loop {
            if matches!(self.decoder, Some(Decoder::Ended)) {
                return Poll::Ready(None);
            }
            if self.coded.is_empty() {
                match ready!(self.body.poll_chunk(context)) {
                    Some(Ok(bytes)) => self.coded = bytes,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => match self.decoder.get_or_insert(Decoder::None).finish() {
                        Ok(rest) if rest.is_empty() => return Poll::Ready(None),
                        Ok(rest) => return Poll::Ready(Some(Ok(rest.into()))),
                        Err(error) => return failed(error),
                    },
                }
            }
            let decoder = self.decoder.get_or_insert_with(|| Decoder::new(self.coding, &self.coded));
            if matches!(decoder, Decoder::None) {
                if self.is_strict {
                    let detail = "it does not begin as that coding does".to_owned();
                    return Poll::Ready(Some(Err(BodyError::Undecodable(detail))));
                }
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.coded))));
            }
            let step = self.coded.split_to(self.coded.remaining().min(STEP_BYTES));
            match decoder.step(&step) {
                Ok(decoded) if decoded.is_empty() => {}
                Ok(decoded) => return Poll::Ready(Some(Ok(decoded.into()))),
                Err(error) => return failed(error),
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Hands out bytes in pieces of a given size.
    struct Pieces(Bytes, usize);

    impl BodyStream for Pieces {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            let piece = self.0.split_to(self.0.len().min(self.1));
            Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
        }

        fn remaining(&self) -> Option<u64> {
            None
        }
    }

    fn undo(coding: &str, coded: Vec<u8>, piece: usize) -> Result<Vec<u8>, String> {
        let body = Body::Stream(Box::new(Pieces(coded.into(), piece)));
        let body = Coding::parse(coding.as_bytes()).unwrap().undo(body);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(body.collect(1 << 24)).map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn codings_are_undone_in_whatever_pieces_they_come() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for piece in [1000, 65536, 1 << 22] {
            assert_eq!(undo("gzip", gzip(&text), piece).unwrap(), text);
            assert_eq!(undo("deflate", zlib(&text), piece).unwrap(), text);
            assert_eq!(undo("identity", text.clone(), piece).unwrap(), text);
        }
        assert_eq!(undo("gzip", gzip(b"short"), 1).unwrap(), b"short");
    }

    #[test]
    fn claims_pass_and_damage_does_not() {
        assert_eq!(undo("gzip", b"{}".to_vec(), 10).unwrap(), b"{}");
        assert_eq!(undo("deflate", b"{\"a\":1}".to_vec(), 10).unwrap(), b"{\"a\":1}");
        let mut damaged = gzip(&[b'x'; 10_000]);
        damaged.truncate(damaged.len() / 2);
        assert!(undo("gzip", damaged, 10).is_err());
        assert_eq!(Coding::parse(b"br"), None);
        assert_eq!(Coding::parse(b"gzip, br"), None);
    }
}
