//! A process's readiness for one invocation, and what whoever uses it shares with the task that watches the process.
//!
//! A [`Seat`] is either with the pool (idle) or with one invocation; a process without one is busy. Those of our own
//! bootstraps hold the socket itself, so that whoever invokes talks to the process without another thread in between. A
//! foreign executable keeps its connections to itself, and its task is told what to run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::link::Link;
use crate::logs::Logs;
use crate::pool::{Command, Waiter};
use crate::process::End;

/// Readiness for one invocation.
pub(crate) struct Seat {
    pub(crate) desk: Arc<Desk>,
    /// None for an executable that speaks the Runtime API.
    pub(crate) link: Option<Link>,
    /// The request id of the event that the process has been sent already, with others before it.
    pub(crate) sent: Option<String>,
    /// Those whose events the process is sent together with the next one, or has been.
    pub(crate) ahead: VecDeque<Waiter>,
}

impl Seat {
    pub(crate) fn new(desk: Arc<Desk>, link: Option<Link>) -> Self {
        Self { desk, link, sent: None, ahead: VecDeque::new() }
    }
}

/// What concerns a process and its invocation alike.
pub(crate) struct Desk {
    pub(crate) id: u64,
    pub(crate) pid: u32,
    pub(crate) orders: mpsc::UnboundedSender<Command>,
    logs: Mutex<Logs>,
    clock: Mutex<Clock>,
    end: OnceLock<End>,
    ended: Notify,
}

/// When what began, for the task that enforces limits.
#[derive(Default)]
pub(crate) struct Clock {
    /// Since when an invocation runs.
    pub(crate) busy: Option<Instant>,
    /// Whether one has begun since the task looked last.
    pub(crate) used: bool,
    /// Whether the task looks by itself, every now and then.
    pub(crate) watched: bool,
    /// How long the initialisation took, until it has been reported.
    pub(crate) init_time: Option<Duration>,
    /// The process is being ended for what it did before: nothing may begin on it, and it is given to nobody.
    doomed: bool,
}

impl Desk {
    pub(crate) fn new(id: u64, pid: u32, orders: mpsc::UnboundedSender<Command>, logs: Logs) -> Arc<Self> {
        Arc::new(Self {
            id,
            pid,
            orders,
            logs: Mutex::new(logs),
            clock: Mutex::default(),
            end: OnceLock::new(),
            ended: Notify::new(),
        })
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An invocation begins: from now on its time counts. False if the process is being ended.
    pub(crate) fn begin(&self, now: Instant) -> bool {
        let watched = {
            let mut clock = self.clock();
            if clock.doomed {
                return false;
            }
            clock.busy = Some(now);
            clock.used = true;
            std::mem::replace(&mut clock.watched, true)
        };
        if !watched {
            // It fails only if the process has ended, which the invocation will notice.
            let _ = self.orders.send(Command::Watch);
        }
        true
    }

    /// Its result is there. False if the process is being ended all the same.
    pub(crate) fn finish(&self) -> bool {
        let mut clock = self.clock();
        clock.busy = None;
        !clock.doomed
    }

    /// The process is going to be ended.
    pub(crate) fn doom(&self) {
        self.clock().doomed = true;
    }

    /// The same, if the invocation that began then still runs.
    pub(crate) fn doom_if_busy_since(&self, began: Instant) -> bool {
        let mut clock = self.clock();
        let still = clock.busy == Some(began);
        clock.doomed |= still;
        still
    }

    /// How the process ended, if it has.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// The process has ended; the first who says so is believed.
    pub(crate) fn set_end(&self, end: End) {
        let _ = self.end.set(end);
        self.ended.notify_waiters();
    }

    /// Waits for the end of the process from the moment of the call on: ask [`Desk::end`] afterwards.
    pub(crate) fn ends(&self) -> tokio::sync::futures::Notified<'_> {
        self.ended.notified()
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait_for_end(&self) -> End {
        loop {
            let ends = self.ends();
            if let Some(end) = self.end.get() {
                return end.clone();
            }
            ends.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Arc<Desk> {
        let (orders, _) = mpsc::unbounded_channel();
        Desk::new(1, 1, orders, Logs::new("f").unwrap().0)
    }

    #[tokio::test]
    async fn a_result_that_is_there_first_saves_the_process() {
        let (desk, began) = (desk(), Instant::now());
        assert!(desk.begin(began));
        assert!(desk.finish());
        assert!(!desk.doom_if_busy_since(began));
        assert!(desk.begin(Instant::now()));
    }

    #[tokio::test]
    async fn a_process_that_is_being_ended_serves_nobody() {
        let (desk, began) = (desk(), Instant::now());
        assert!(desk.begin(began));
        assert!(desk.doom_if_busy_since(began));
        assert!(!desk.finish());
        assert!(!desk.begin(Instant::now()));
    }

    #[tokio::test]
    async fn the_time_of_one_invocation_is_not_over_for_the_next() {
        let (desk, began) = (desk(), Instant::now());
        assert!(desk.begin(began) && desk.finish());
        assert!(desk.begin(began + Duration::from_millis(1)));
        assert!(!desk.doom_if_busy_since(began));
        assert!(desk.finish());
    }
}
