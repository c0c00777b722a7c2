//! Which streams of a connection have something to do.
//!
//! Each stream has a waker of its own, which marks the stream and wakes the connection's task once for all. Wakers may be
//! called from any thread, so this is the one thing of a connection that is shared between threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// How many streams there may be.
pub(super) const STREAMS_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Notice {
    ready: [AtomicU64; 2],
    /// Whether the connection is being polled, and looks at what is marked before it is done.
    is_polled: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Notice {
    /// To be called when a poll begins.
    pub(super) fn begin(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
        drop(task);
        self.is_polled.store(true, Ordering::SeqCst);
    }

    /// To be called when a poll ends. True if a stream has been marked meanwhile.
    pub(super) fn end(&self) -> bool {
        self.is_polled.store(false, Ordering::SeqCst);
        self.ready.iter().any(|ready| ready.load(Ordering::SeqCst) != 0)
    }

    /// The streams that are marked, one bit for each. They are not marked any more.
    pub(super) fn take(&self) -> u128 {
        let [low, high] = &self.ready;
        let take = |ready: &AtomicU64| match ready.load(Ordering::SeqCst) {
            0 => 0,
            _ => u128::from(ready.swap(0, Ordering::SeqCst)),
        };
        take(low) | take(high) << 64
    }

    /// Wakes the connection's task unless it is at work.
    pub(super) fn wake(&self) {
        if self.is_polled.load(Ordering::SeqCst) {
            return;
        }
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

/// Marks one stream.
struct StreamWaker {
    notice: Arc<Notice>,
    place: usize,
}

/// A waker for the stream at a place.
pub(super) fn stream_waker(notice: &Arc<Notice>, place: usize) -> Waker {
    Arc::new(StreamWaker { notice: Arc::clone(notice), place }).into()
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(ready) = self.notice.ready.get(self.place / 64) else { return };
        let bit = 1 << (self.place % 64);
        if ready.fetch_or(bit, Ordering::SeqCst) & bit == 0 {
            self.notice.wake();
        }
    }
}

/// The places whose bits are set.
pub(super) fn places(mut bits: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(place as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counting(AtomicU64);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_task_is_woken_once_and_told_of_all() {
        let counting = Arc::new(Counting::default());
        let notice = Arc::new(Notice::default());
        let woken = || counting.0.load(Ordering::SeqCst);
        let wakers: Vec<_> = (0..STREAMS_MAX).map(|place| stream_waker(&notice, place)).collect();
        let task = Waker::from(Arc::clone(&counting));
        notice.begin(&task);
        wakers[5].wake_by_ref();
        assert_eq!(woken(), 0);
        assert!(notice.end());
        assert_eq!(notice.take(), 1 << 5);
        assert!(!notice.end());
        wakers[127].wake_by_ref();
        wakers[127].wake_by_ref();
        assert_eq!(woken(), 1);
        wakers[0].wake_by_ref();
        assert_eq!(woken(), 2);
        assert_eq!(places(notice.take()).collect::<Vec<_>>(), [0, 127]);
    }
}
