//! Bodies of HTTP/2 responses that clients do not take.
//!
//! A client that gives a stream no room is not sent anything on it, however well it answers pings, and after a piece or two
//! the stream's body is not polled any more: it cannot find out by itself that it waits in vain, with a backend's connection
//! or a long text in its hands. So the connection looks after the bodies now and then, and takes away those that have
//! waited for too long.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stagedoor_http::{Body, BodyError, BodyStream};

/// How long a client may leave the next piece of a body where it is: as long as over HTTP/1.1.
const UNTAKEN_TIME_MAX: Duration = Duration::from_secs(60);
/// How often [`Bodies::give_up`] should be called.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Bodies at hand that are not longer may wait: all that a connection can have of them is little.
const SHORT_BYTES_MAX: usize = 16 * 1024;

/// The bodies that are being sent on one connection.
#[derive(Default)]
pub(crate) struct Bodies(RefCell<Vec<Weak<RefCell<Held>>>>);

struct Held {
    /// None once it is given up.
    body: Option<Body>,
    /// When it was last asked for a piece.
    asked: Instant,
    /// Whether it had none then: it is not the client that is waited for.
    is_pending: bool,
}

impl Bodies {
    /// The body, looked after from now on.
    pub(crate) fn watch(&self, body: Body) -> Body {
        match &body {
            Body::Empty => return body,
            Body::Full(bytes) if bytes.len() <= SHORT_BYTES_MAX => return body,
            Body::Full(_) | Body::Stream(_) => {}
        }
        let held = Rc::new(RefCell::new(Held { body: Some(body), asked: Instant::now(), is_pending: false }));
        let mut bodies = self.0.borrow_mut();
        if bodies.len() == bodies.capacity() {
            // Those that have been sent meanwhile make room.
            bodies.retain(|held| held.strong_count() > 0);
        }
        bodies.push(Rc::downgrade(&held));
        Body::Stream(Box::new(WatchedBody(held)))
    }

    /// Drops what nobody has taken for too long. Should the client want it after all, it has broken off. False if nothing is
    /// being sent any more.
    pub(crate) fn give_up(&self) -> bool {
        let mut bodies = self.0.borrow_mut();
        bodies.retain(|held| {
            let Some(held) = held.upgrade() else { return false };
            let mut held = held.borrow_mut();
            if !held.is_pending && held.asked.elapsed() >= UNTAKEN_TIME_MAX {
                held.body = None;
            }
            held.body.is_some()
        });
        !bodies.is_empty()
    }
}

struct WatchedBody(Rc<RefCell<Held>>);

impl BodyStream for WatchedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut held = self.0.borrow_mut();
        let polled = match &mut held.body {
            // In pieces: what is handed out is not looked after any more.
            Some(Body::Full(bytes)) if bytes.len() > SHORT_BYTES_MAX => {
                Poll::Ready(Some(Ok(bytes.split_to(SHORT_BYTES_MAX))))
            }
            Some(body) => body.poll_chunk(context),
            None => Poll::Ready(Some(Err(BodyError::TimedOut))),
        };
        held.is_pending = polled.is_pending();
        held.asked = Instant::now();
        polled
    }

    fn remaining(&self) -> Option<u64> {
        self.0.borrow().body.as_ref().and_then(Body::remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_given_up_and_what_is_awaited_is_not() {
        /// Never has a piece.
        struct Silent;
        impl BodyStream for Silent {
            fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
                Poll::Pending
            }
            fn remaining(&self) -> Option<u64> {
                None
            }
        }
        let mut context = Context::from_waker(std::task::Waker::noop());
        let bodies = Bodies::default();
        let long = Bytes::from(vec![0; SHORT_BYTES_MAX + 1]);
        let mut untaken = bodies.watch(long.clone().into());
        let mut awaited = bodies.watch(Body::Stream(Box::new(Silent)));
        drop(bodies.watch(long.into()));
        assert!(matches!(bodies.watch("short".into()), Body::Full(_)));
        assert!(awaited.poll_chunk(&mut context).is_pending());
        for held in bodies.0.borrow().iter().filter_map(Weak::upgrade) {
            let long_ago = Instant::now().checked_sub(UNTAKEN_TIME_MAX).unwrap();
            held.borrow_mut().asked = long_ago;
        }
        assert!(bodies.give_up());
        assert_eq!(bodies.0.borrow().len(), 1);
        let broken_off = untaken.poll_chunk(&mut context);
        assert!(matches!(broken_off, Poll::Ready(Some(Err(BodyError::TimedOut)))));
        assert!(awaited.poll_chunk(&mut context).is_pending());
        drop(awaited);
        assert!(!bodies.give_up());
    }

    #[test]
    fn long_bodies_are_handed_out_in_pieces() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let bodies = Bodies::default();
        let mut long = bodies.watch(Bytes::from(vec![7; SHORT_BYTES_MAX * 2 + 1]).into());
        let mut pieces = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) = long.poll_chunk(&mut context) {
            // Until the last piece is taken the body is looked after.
            assert!(bodies.give_up());
            pieces.push(piece.len());
        }
        assert_eq!(pieces, [SHORT_BYTES_MAX, SHORT_BYTES_MAX, 1]);
    }
}
