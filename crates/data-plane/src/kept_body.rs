//! A request's body that may have to be sent again: to a new connection, or to another target.
//!
//! What has been read of it is kept until that is too much. What has not been read can be sent in any case.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use stagedoor_http::{Body, BodyError, BodyStream};

/// How much of a body is kept, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// What a body can be sent again from.
pub(crate) enum Again {
    Nothing,
    Bytes(Bytes),
    Stream(Rc<RefCell<Source>>),
}

/// A body that arrives while it is sent.
pub(crate) struct Source {
    body: Body,
    /// What has been read, in order; none once that is too much.
    read: Option<Vec<Bytes>>,
    size: usize,
}

/// A body to be sent now, and what it can be sent again from.
pub(crate) fn keep(body: Body) -> (Body, Again) {
    match body {
        Body::Empty => (Body::Empty, Again::Nothing),
        Body::Full(bytes) => (Body::Full(bytes.clone()), Again::Bytes(bytes)),
        stream @ Body::Stream(_) => {
            let again = Again::Stream(Rc::new(RefCell::new(Source {
                body: stream,
                read: Some(Vec::new()),
                size: 0,
            })));
            (again.body().unwrap_or_default(), again)
        }
    }
}

impl Again {
    /// The whole body once more; none if too much of it has gone.
    pub(crate) fn body(&self) -> Option<Body> {
        Some(match self {
            Self::Nothing => Body::Empty,
            Self::Bytes(bytes) => Body::Full(bytes.clone()),
            Self::Stream(source) => {
                source.borrow().read.as_ref()?;
                Body::Stream(Box::new(Sending { source: Rc::clone(source), at: 0 }))
            }
        })
    }
}

/// One time that a body is sent.
struct Sending {
    source: Rc<RefCell<Source>>,
    /// How many of the kept pieces have been sent.
    at: usize,
}

impl BodyStream for Sending {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let source = &mut *self.source.borrow_mut();
        if let Some(piece) = source.read.as_ref().and_then(|read| read.get(self.at)) {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let polled = source.body.poll_chunk(context);
        match &polled {
            Poll::Ready(Some(Ok(piece))) => {
                source.size += piece.len();
                if source.size > KEPT_BYTES_MAX {
                    source.read = None;
                }
                if let Some(read) = &mut source.read {
                    read.push(piece.clone());
                }
                self.at += 1;
            }
            Poll::Ready(Some(Err(_))) => source.read = None,
            Poll::Ready(None) => source.body = Body::Empty,
            Poll::Pending => {}
        }
        polled
    }

    fn remaining(&self) -> Option<u64> {
        let source = self.source.borrow();
        let kept = source.read.iter().flatten().skip(self.at).map(|piece| piece.len() as u64).sum::<u64>();
        Some(source.body.remaining()? + kept)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    struct Pieces(Vec<Bytes>);

    impl BodyStream for Pieces {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
        }

        fn remaining(&self) -> Option<u64> {
            Some(self.0.iter().map(|piece| piece.len() as u64).sum())
        }
    }

    fn read(body: &mut Body, pieces: usize) -> Vec<u8> {
        let mut context = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        for _ in 0..pieces {
            match body.poll_chunk(&mut context) {
                Poll::Ready(Some(Ok(piece))) => all.extend_from_slice(&piece),
                _ => break,
            }
        }
        all
    }

    fn check(sizes: &[usize], sent: usize, whole_again: bool) {
        let pieces: Vec<_> =
            sizes.iter().zip(b'a'..).map(|(size, byte)| Bytes::from(vec![byte; *size])).collect();
        let whole = pieces.concat();
        let (mut first, again) = keep(Body::Stream(Box::new(Pieces(pieces))));
        assert_eq!(first.remaining(), Some(whole.len() as u64));
        assert!(whole.starts_with(&read(&mut first, sent)));
        drop(first);
        let second = again.body();
        assert_eq!(second.is_some(), whole_again, "{sizes:?} after {sent}");
        if let Some(mut second) = second {
            assert_eq!(second.remaining(), Some(whole.len() as u64));
            assert_eq!(read(&mut second, usize::MAX), whole);
        }
    }

    #[test]
    fn a_body_is_sent_again_as_long_as_little_of_it_has_gone() {
        check(&[3, 4, 5], 0, true);
        check(&[3, 4, 5], 2, true);
        check(&[3, 4, 5], 4, true);
        check(&[KEPT_BYTES_MAX, 1], 0, true);
        check(&[KEPT_BYTES_MAX, 1], 1, true);
        check(&[KEPT_BYTES_MAX, 1], 2, false);
        check(&[], 1, true);
    }
}
