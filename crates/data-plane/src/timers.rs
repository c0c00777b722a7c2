//! Timers that limit how long something may take, used again and again.
//!
//! Nearly everything that is limited ends long before its limit, so a timer would be set and taken back for nothing on
//! each request. These stay set: a timer that runs out before the time of whoever holds it now is moved on then, and
//! most never run out in anyone's hands.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// Timers kept for later. As many are made as are needed at the same time.
const KEPT_MAX: usize = 4096;

/// A worker's timers.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Vec<Pin<Box<Sleep>>>>);

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
        let sleep = match self.0.borrow_mut().pop() {
            Some(mut sleep) => {
                if sleep.deadline() > deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            None => Box::pin(tokio::time::sleep_until(deadline)),
        };
        Timer { timers: self, sleep: Some(sleep), deadline }
    }
}

/// A timer in use.
struct Timer<'t> {
    timers: &'t Timers,
    /// Taken when the timer goes back.
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
}

impl Timer<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let mut kept = self.timers.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.extend(self.sleep.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

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

    #[tokio::test]
    async fn what_is_ready_sets_no_timer() {
        let timers = Timers::default();
        assert_eq!(timers.until(Instant::now(), pin!(async { 7 })).await, Some(7));
        assert!(timers.0.borrow().is_empty());
    }
}
