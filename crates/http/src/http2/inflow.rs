//! The body of a request, between the connection that receives it and the handler that reads it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::notice::Notice;
use crate::{BodyError, BodyStream};

/// The streams whose handlers have read something, or do not want to any more, one bit for each.
#[derive(Debug)]
pub(super) struct Touched {
    places: Cell<u128>,
    notice: Arc<Notice>,
}

impl Touched {
    pub(super) fn new(notice: Arc<Notice>) -> Self {
        Self { places: Cell::new(0), notice }
    }

    fn touch(&self, place: usize) {
        self.places.set(self.places.get() | 1 << place);
        self.notice.wake();
    }

    pub(super) fn take(&self) -> u128 {
        self.places.take()
    }

    pub(super) fn any(&self) -> bool {
        self.places.get() != 0
    }
}

/// What has arrived of a body and has not been read. It is copied here: pieces of what was read from the connection would
/// hold on to all of that, however small they are.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    data: BytesMut,
    /// How much has been read since the connection looked.
    consumed: usize,
    /// How much is still to be read, if the head said so.
    remaining: Option<u64>,
    has_ended: bool,
    is_broken: bool,
    /// Whether nobody reads any more.
    is_unwanted: bool,
    waker: Option<Waker>,
}

impl Inflow {
    pub(super) fn new(length: Option<u64>) -> Self {
        Self { remaining: length, ..Self::default() }
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
        self.wake();
    }

    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.wake();
    }

    /// Says that the rest will not come.
    pub(super) fn break_off(&mut self) {
        if !self.has_ended {
            self.is_broken = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// How much has been read since this was last asked.
    pub(super) fn take_consumed(&mut self) -> usize {
        std::mem::take(&mut self.consumed)
    }

    /// How much has arrived that nobody will read; none if somebody still may.
    pub(super) fn unwanted(&self) -> Option<usize> {
        self.is_unwanted.then_some(self.data.len())
    }

    pub(super) fn unread(&self) -> usize {
        self.data.len()
    }
}

/// The body as its handler has it.
pub(super) struct RequestBody {
    pub(super) inflow: Rc<RefCell<Inflow>>,
    pub(super) place: usize,
    pub(super) touched: Rc<Touched>,
}

impl BodyStream for RequestBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let inflow = &mut *self.inflow.borrow_mut();
        if !inflow.data.is_empty() {
            let chunk = inflow.data.split().freeze();
            inflow.consumed += chunk.len();
            if let Some(remaining) = &mut inflow.remaining {
                *remaining = remaining.saturating_sub(chunk.len() as u64);
            }
            self.touched.touch(self.place);
            return Poll::Ready(Some(Ok(chunk)));
        }
        if inflow.is_broken {
            return Poll::Ready(Some(Err(BodyError::Incomplete)));
        }
        if inflow.has_ended {
            return Poll::Ready(None);
        }
        if !inflow.waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            inflow.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn remaining(&self) -> Option<u64> {
        let inflow = self.inflow.borrow();
        if inflow.has_ended { Some(inflow.data.len() as u64) } else { inflow.remaining }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut inflow = self.inflow.borrow_mut();
        inflow.is_unwanted = true;
        inflow.waker = None;
        drop(inflow);
        self.touched.touch(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_in_what_has_come() {
        let notice = Arc::<Notice>::default();
        let touched = Rc::new(Touched::new(notice));
        let inflow = Rc::new(RefCell::new(Inflow::new(Some(5))));
        let mut body = RequestBody { inflow: Rc::clone(&inflow), place: 3, touched: Rc::clone(&touched) };
        let mut context = Context::from_waker(Waker::noop());
        assert!(body.poll_chunk(&mut context).is_pending());
        inflow.borrow_mut().push(b"ab");
        inflow.borrow_mut().push(b"c");
        assert_eq!((body.remaining(), touched.any()), (Some(5), false));
        let Poll::Ready(Some(Ok(chunk))) = body.poll_chunk(&mut context) else { panic!("nothing came") };
        assert_eq!((&chunk[..], body.remaining()), (&b"abc"[..], Some(2)));
        assert_eq!((touched.take(), inflow.borrow_mut().take_consumed()), (1 << 3, 3));
        inflow.borrow_mut().push(b"de");
        inflow.borrow_mut().end();
        assert!(matches!(body.poll_chunk(&mut context), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(body.poll_chunk(&mut context), Poll::Ready(None)));
        drop(body);
        assert_eq!((touched.take(), inflow.borrow().unwanted()), (1 << 3, Some(0)));
    }

    #[test]
    fn a_body_that_breaks_off_says_so() {
        let touched = Rc::new(Touched::new(Arc::default()));
        let inflow = Rc::new(RefCell::new(Inflow::new(None)));
        let mut body = RequestBody { inflow: Rc::clone(&inflow), place: 0, touched };
        inflow.borrow_mut().push(b"ab");
        inflow.borrow_mut().break_off();
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(body.poll_chunk(&mut context), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(body.poll_chunk(&mut context), Poll::Ready(Some(Err(BodyError::Incomplete)))));
        assert_eq!(body.remaining(), None);
    }
}
