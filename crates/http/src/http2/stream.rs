//! The streams of a connection.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::inflow::Inflow;
use super::notice::{Notice, STREAMS_MAX, stream_waker};
use crate::Body;

/// A request that is being received, handled or answered.
pub(super) struct Stream<F> {
    pub(super) id: u32,
    pub(super) is_head: bool,
    /// Until it has an answer. In a box: a handler's state is large.
    pub(super) handler: Option<Pin<Box<F>>>,
    /// The answer's body while there is something left of it.
    pub(super) sending: Option<Sending>,
    /// How much the client takes.
    pub(super) send_window: i64,
    pub(super) receiving: Receiving,
}

/// An answer's body on its way out.
pub(super) struct Sending {
    pub(super) body: Body,
    /// What has been taken of the body and is not sent.
    pub(super) chunk: Bytes,
    /// How much is still to be taken, if that is known.
    pub(super) left: Option<u64>,
}

/// A request's body on its way in.
pub(super) struct Receiving {
    pub(super) has_ended: bool,
    /// Where it goes; none if nobody wants it.
    pub(super) inflow: Option<Rc<RefCell<Inflow>>>,
    /// How much the client may send.
    pub(super) window: i64,
    /// How much the client may send beside that, and has not been told.
    pub(super) untold: usize,
    /// How much is to come, if the head said so.
    pub(super) length_left: Option<u64>,
    /// How what nobody wants is read and dropped.
    pub(super) dropping: Option<Dropping>,
}

/// The reading of what nobody wants.
pub(super) struct Dropping {
    pub(super) until: Instant,
    pub(super) left: usize,
    pub(super) is_over: bool,
}

impl<F> Stream<F> {
    /// Whether all of the answer has been handed to the connection.
    pub(super) fn is_answered(&self) -> bool {
        self.handler.is_none() && self.sending.is_none()
    }
}

/// The streams that are open, each at a place of its own.
pub(super) struct Streams<F> {
    slots: Vec<Option<Stream<F>>>,
    /// The streams' numbers by place; 0 where there is none.
    ids: Vec<u32>,
    wakers: Vec<Waker>,
    used: u128,
    notice: Arc<Notice>,
}

impl<F> Streams<F> {
    pub(super) fn new(notice: Arc<Notice>) -> Self {
        Self { slots: Vec::new(), ids: Vec::new(), wakers: Vec::new(), used: 0, notice }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The places of all streams, one bit for each.
    pub(super) fn places(&self) -> u128 {
        self.used
    }

    /// A place for another stream, unless there are as many as there may be.
    pub(super) fn free_place(&self) -> Option<usize> {
        let place = self.used.trailing_ones() as usize;
        (place < STREAMS_MAX).then_some(place)
    }

    pub(super) fn insert(&mut self, place: usize, stream: Stream<F>) {
        while self.slots.len() <= place {
            self.wakers.push(stream_waker(&self.notice, self.slots.len()));
            self.slots.push(None);
            self.ids.push(0);
        }
        if let (Some(slot), Some(id)) = (self.slots.get_mut(place), self.ids.get_mut(place)) {
            *id = stream.id;
            *slot = Some(stream);
            self.used |= 1 << place;
        }
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Stream<F>> {
        *self.ids.get_mut(place)? = 0;
        self.used &= !(1 << place);
        self.slots.get_mut(place)?.take()
    }

    pub(super) fn find(&self, id: u32) -> Option<usize> {
        self.ids.iter().position(|&known| known == id)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Stream<F>> {
        self.slots.get_mut(place)?.as_mut()
    }

    pub(super) fn with_waker(&mut self, place: usize) -> Option<(&mut Stream<F>, &Waker)> {
        Some((self.slots.get_mut(place)?.as_mut()?, self.wakers.get(place)?))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<F>> {
        self.slots.iter_mut().flatten()
    }
}
