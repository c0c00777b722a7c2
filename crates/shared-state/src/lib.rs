//! Counters of requests: token buckets, and what API keys have used of their quotas.
//!
//! Everything goes through [`Counters`], so that counters of several nodes can be kept in one place some day. [`memory`]
//! keeps them in this process, which is exact and takes no lock: an answer is there at once ([`Answer::Now`]).
//! Counters are found by name once and then held on to; asking one is all that a request does.

pub mod memory;
pub mod period;

mod bucket;
mod journal;
mod usage;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

pub use memory::MemoryCounters;
pub use period::{Day, Period, Quota};

/// How fast requests may come: a token bucket that holds `burst` tokens and gets `rate` new ones a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Requests a second in the long run. Zero lets none through.
    pub rate: f64,
    /// Requests at once. Zero lets none through.
    pub burst: u32,
}

/// What a counter answers: at once if it is in this process, later if somebody else has to be asked.
pub enum Answer<T> {
    /// At hand.
    Now(T),
    /// To be waited for.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Answer<T> {
    /// Waits for it, if need be.
    pub async fn get(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(value) => value.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(value) => formatter.debug_tuple("Now").field(value).finish(),
            Self::Later(_) => formatter.write_str("Later"),
        }
    }
}

/// All counters. Looking one up may take a lock, so a request that comes again holds on to what it found.
///
/// Counters that cannot be reached let requests through, as AWS's do: its throttles and quotas are best effort.
pub trait Counters: Send + Sync + 'static {
    /// The bucket with a name; a full one if there is none yet.
    fn bucket(&self, name: &str) -> Arc<dyn Bucket>;

    /// What an API key has used of a usage plan, both by their ids.
    fn usage(&self, plan: &str, key: &str) -> Arc<dyn Usage>;

    /// Keeps everything that has been counted. Returns when that is done: what a clean end of the process waits for.
    fn flush(&self);

    /// Drops what API keys have used of plans, those for which `keep` (plan, key) says no.
    fn forget(&self, keep: &dyn Fn(&str, &str) -> bool);
}

/// A token bucket.
pub trait Bucket: Send + Sync {
    /// Takes a token; whether there was one. The limit comes with each request, so that a change of it empties nothing.
    fn take(&self, limit: Limit) -> Answer<bool>;
}

/// What one API key has used of one usage plan. As a [`Bucket`] it is the plan's throttle for the key: one request asks
/// both, and with many keys neither is in the processor's caches.
pub trait Usage: Bucket {
    /// Whether nothing is left of a quota, as far as is known here. Counts nothing.
    fn is_spent(&self, quota: &Quota, now: SystemTime) -> bool;

    /// Counts a request; whether the quota allowed it. Without a quota every request is counted and allowed.
    fn count(&self, quota: Option<&Quota>, now: SystemTime) -> Answer<bool>;

    /// Used and left on each day of a span, both ends included. Without a quota nothing is left.
    fn days(&self, quota: Option<&Quota>, first: Day, last: Day) -> Answer<Vec<DayUsage>>;

    /// Sets what is left of a quota until its period ends. Kept when this returns; it may wait for the disk, so it is
    /// nothing for the way of a request.
    fn set_remaining(&self, quota: &Quota, now: SystemTime, remaining: u64) -> Answer<()>;
}

/// What was used on a day, and what was left at its end (today: now).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// Requests.
    pub used: u64,
    /// Requests that the quota still allowed.
    pub remaining: u64,
}
