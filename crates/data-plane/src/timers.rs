//! Timers that limit how long something may take, used again and again.
//!
//! Nearly everything that is limited ends long before its limit, so a timer would be set and taken back for nothing on
//! each request. These stay set: a timer that runs out before the time of whoever holds it now is moved on then, and
//! most never run out in anyone's hands. A connection has its own, which know its task already and need not be told whom
//! to wake.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep};

/// Timers kept for later. As many are made as are needed at the same time.
const KEPT_MAX: usize = 4096;

/// The timers of a connection, or of a worker for what belongs to none.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Vec<Kept>>);

struct Kept {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes when it runs out.
    wakes: Option<Waker>,
}

/// A copy of whatever has timers begins without any.
impl Clone for Timers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Timers").field(&self.0.borrow().len()).finish()
    }
}

impl Timers {
    /// What comes of a future, or nothing if it is not ready by then. What is ready at once needs no timer. The
    /// future is pinned by the caller: moved in here it would take its room twice.
    pub(crate) async fn until<F: Future>(
        &self,
        deadline: impl Into<Instant>,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        let deadline = deadline.into();
        let mut timer: Option<Timer<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let timer = timer.get_or_insert_with(|| self.timer(deadline));
            timer.poll(context).map(|()| None)
        })
        .await
    }

    fn timer(&self, deadline: Instant) -> Timer<'_> {
        let kept = match self.0.borrow_mut().pop() {
            Some(mut kept) => {
                if kept.sleep.deadline() > deadline {
                    kept.reset(deadline);
                }
                kept
            }
            None => Kept { sleep: Box::pin(tokio::time::sleep_until(deadline)), wakes: None },
        };
        Timer { timers: self, kept: Some(kept), deadline }
    }
}

/// A timer in use.
struct Timer<'t> {
    timers: &'t Timers,
    /// Taken when the timer goes back.
    kept: Option<Kept>,
    deadline: Instant,
}

impl Kept {
    fn reset(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.wakes = None;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        let wakes = self.wakes.as_ref().is_some_and(|known| known.will_wake(waker));
        if wakes && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.wakes = Some(waker.clone());
        self.sleep.as_mut().poll(context)
    }
}

impl Timer<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(kept) = &mut self.kept else { return Poll::Ready(()) };
        while kept.poll(context).is_ready() {
            if kept.sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            kept.reset(self.deadline);
        }
        Poll::Pending
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let mut kept = self.timers.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.extend(self.kept.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_is_used_again_and_still_right() {
        let timers = Timers::default();
        let begun = Instant::now();
        let check = async |limit: u64, takes: u64, expected: bool| {
            let slow = pin!(tokio::time::sleep(Duration::from_millis(takes)));
            let ended = timers.until(Instant::now() + Duration::from_millis(limit), slow).await.is_some();
            assert_eq!(ended, expected, "{takes} ms within {limit} ms");
            assert_eq!(timers.0.borrow().len(), 1);
        };
        check(1000, 10, true).await;
        // The timer is set for a time before this one's.
        check(2000, 1500, true).await;
        check(2000, 3000, false).await;
        // And for one after this one's.
        check(10_000, 10, true).await;
        check(100, 500, false).await;
        assert_eq!(begun.elapsed().as_millis(), 10 + 1500 + 2000 + 10 + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_whoever_has_it() {
        let timers = Timers::default();
        let begun = Instant::now();
        let end = begun + Duration::from_secs(5);
        let brief = pin!(tokio::time::sleep(Duration::from_millis(1)));
        assert!(timers.until(end, brief).await.is_some());
        let everlasting = async {
            let never = pin!(std::future::pending::<()>());
            assert!(timers.until(end, never).await.is_none());
        };
        // It is polled there with another waker than the one that the timer knows.
        let mut others = futures_util::stream::FuturesUnordered::new();
        others.push(everlasting);
        let _ = others.next().await;
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test]
    async fn what_is_ready_sets_no_timer() {
        let timers = Timers::default();
        assert_eq!(timers.until(Instant::now(), pin!(async { 7 })).await, Some(7));
        assert!(timers.0.borrow().is_empty());
    }
}
