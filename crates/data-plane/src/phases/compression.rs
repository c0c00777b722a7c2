//! Codings of responses: a client that accepts `gzip` or `deflate` gets one where the API asks for it
//! (`minimumCompressionSize`).
//!
//! AWS looks at the coding that the client likes best and no other: if it is none of those it can make, the response
//! stays as it is. A response that has a coding already keeps it, and one that streams is never touched.

use std::io::Write as _;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use stagedoor_http::{Body, BodyError, BodyStream, Headers, ResponseHead};

use super::caching::{Gathered, gather};
use super::content_encoding::Coding;

/// How much is coded before some of it is handed on, in bytes.
const STEP_BYTES: usize = 64 * 1024;

/// The coding that a client likes best, if it is one that a response can be given.
#[must_use]
pub fn preferred(headers: &Headers) -> Option<Coding> {
    let mut best: Option<(&[u8], f32)> = None;
    for list in headers.get_all("accept-encoding") {
        for choice in list.split(|&byte| byte == b',') {
            let mut parts = choice.split(|&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.find_map(quality).unwrap_or(1.0);
            // Of equals, the first.
            if !name.is_empty() && weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
                best = Some((name, weight));
            }
        }
    }
    let (name, _) = best?;
    Coding::parse(name).filter(|coding| *coding != Coding::Identity)
}

/// The number in `q=0.5`.
fn quality(parameter: &[u8]) -> Option<f32> {
    let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
    let weight = value.trim().parse().ok().filter(|weight: &f32| weight.is_finite());
    name.trim().eq_ignore_ascii_case("q").then_some(weight.unwrap_or_default())
}

/// Gives a response a coding, if it is large enough.
///
/// # Errors
/// The body's own, where it had to be read to know its size.
pub async fn compress(
    coding: Coding,
    bytes_min: u64,
    head: &mut ResponseHead,
    body: Body,
) -> Result<Body, BodyError> {
    if body.is_empty() || head.headers.contains("content-encoding") {
        return Ok(body);
    }
    let body = match body.remaining() {
        Some(length) if length < bytes_min => return Ok(body),
        Some(_) => body,
        None => match gather(body, bytes_min.saturating_sub(1)).await? {
            Gathered::Whole(body) if (body.len() as u64) < bytes_min || body.is_empty() => {
                return Ok(body.into());
            }
            Gathered::Whole(body) => body.into(),
            Gathered::More(body) => body,
        },
    };
    let Some(mut encoder) = Encoder::new(coding) else { return Ok(body) };
    head.headers.append("Content-Encoding", encoder.name());
    Ok(match body {
        Body::Full(bytes) => {
            encoder.take(&bytes).and_then(|()| encoder.finish()).map_err(BodyError::Io)?.into()
        }
        body => Body::Stream(Box::new(Encoded { encoder: Some(encoder), body })),
    })
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> Option<Self> {
        // What is saved beyond the fastest level is small, and every response pays for it.
        match coding {
            Coding::Gzip => Some(Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))),
            Coding::Deflate => Some(Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast()))),
            Coding::Identity => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Deflate(_) => "deflate",
        }
    }

    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Deflate(encoder) => encoder.write_all(bytes),
        }
    }

    /// What has been made so far, once it is worth handing on.
    fn made(&mut self) -> Option<Bytes> {
        let made = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
        };
        (made.len() >= STEP_BYTES).then(|| std::mem::take(made).into())
    }

    fn finish(self) -> std::io::Result<Bytes> {
        match self {
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
            Self::Deflate(encoder) => encoder.finish().map(Bytes::from),
        }
    }
}

/// A body on its way through an encoder, which is gone once the last piece was given.
struct Encoded {
    encoder: Option<Encoder>,
    body: Body,
}

impl BodyStream for Encoded {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            match ready!(self.body.poll_chunk(context)) {
                Some(Ok(bytes)) => {
                    if let Err(error) = encoder.take(&bytes) {
                        return Poll::Ready(Some(Err(BodyError::Io(error))));
                    }
                    if let Some(made) = encoder.made() {
                        return Poll::Ready(Some(Ok(made)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = self.encoder.take().map(Encoder::finish).transpose();
                    return Poll::Ready(rest.map_err(BodyError::Io).transpose());
                }
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

    #[test]
    fn the_coding_a_client_likes_best() {
        let check = |accepted: &str, expected: Option<Coding>| {
            let mut headers = Headers::new();
            headers.append("Accept-Encoding", accepted.to_owned());
            assert_eq!(preferred(&headers), expected, "{accepted}");
        };
        check("gzip", Some(Coding::Gzip));
        check("gzip, deflate, br", Some(Coding::Gzip));
        check("deflate;q=1.0, gzip;q=0.5", Some(Coding::Deflate));
        check("gzip;q=0.5, deflate", Some(Coding::Deflate));
        check("br, gzip", None);
        check("br;q=0.1, GZIP", Some(Coding::Gzip));
        check("identity, gzip;q=0.5", None);
        check("gzip;q=0", None);
        check("gzip;q=x", None);
        check("*", None);
        check("", None);
        assert_eq!(preferred(&Headers::new()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_list_is_read(list in "[a-z*;=, q0-9.]{0,40}") {
            let mut headers = Headers::new();
            headers.append("Accept-Encoding", list);
            let _ = preferred(&headers);
        }

        #[test]
        fn what_is_coded_can_be_undone(
            text in proptest::collection::vec(0_u8..8, 0..200_000),
            piece in 1_usize..70_000,
            gzip: bool,
            bytes_min in 0_u64..4,
        ) {
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
            let coding = if gzip { Coding::Gzip } else { Coding::Deflate };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for body in [Body::from(Bytes::from(text.clone())), Body::Stream(Box::new(Pieces(text.clone().into(), piece)))] {
                let mut head = ResponseHead { status: http::StatusCode::OK, headers: Headers::new() };
                let body = runtime.block_on(compress(coding, bytes_min, &mut head, body)).unwrap();
                let coded = head.headers.contains("content-encoding");
                proptest::prop_assert_eq!(coded, !text.is_empty() && text.len() as u64 >= bytes_min);
                let body = if coded { coding.undo(body) } else { body };
                proptest::prop_assert_eq!(runtime.block_on(body.collect(1 << 20)).unwrap(), &text);
            }
        }
    }
}
