//! Counters in this process: exact with any number of threads, and kept over a restart if they have a directory.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bucket::TokenBucket;
use crate::journal::{self, Journal, Kept, Record, Writer};
use crate::usage::{Counter, PlanCounters};
use crate::{Bucket, Counters, Usage};

/// How many buckets there are before full ones, which are as good as new, are looked for and dropped.
const BUCKETS_BEFORE_SWEEP: usize = 100_000;

/// Counters in memory.
#[derive(Debug)]
pub struct MemoryCounters {
    epoch: Instant,
    buckets: Mutex<Buckets>,
    usages: Arc<Usages>,
    // Dropped last, so that everything is written.
    _writer: Option<Writer>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_name: HashMap<Box<str>, Arc<TokenBucket>>,
    sweep_at: usize,
}

/// What API keys have used.
#[derive(Debug)]
pub(crate) struct Usages {
    epoch: Instant,
    journal: Journal,
    plans: Mutex<HashMap<Box<str>, PlanUsages>>,
}

/// What API keys have used of one plan, by the keys' ids.
#[derive(Debug)]
struct PlanUsages {
    common: Arc<PlanCounters>,
    by_key: HashMap<Box<str>, Arc<Counter>>,
}

impl Usages {
    fn new(epoch: Instant, journal: Journal) -> Self {
        Self { epoch, journal, plans: Mutex::default() }
    }

    fn keep(&self, kept: Kept) {
        for ((plan, key), days) in kept {
            self.counter(&plan, &key, days);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, PlanUsages>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter of a plan and a key; if there is none yet, one that goes on from these days.
    fn counter(&self, plan: &str, key: &str, days: Vec<Record>) -> Arc<Counter> {
        let mut plans = self.lock();
        let PlanUsages { common, by_key } = plans.entry(plan.into()).or_insert_with(|| {
            let common = PlanCounters { id: plan.into(), epoch: self.epoch, journal: self.journal.clone() };
            PlanUsages { common: Arc::new(common), by_key: HashMap::new() }
        });
        let found = by_key.entry(key.into());
        let counter =
            || Arc::new_cyclic(|itself| Counter::new(Arc::clone(common), key, days, itself.clone()));
        Arc::clone(found.or_insert_with(counter))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Counter>> {
        self.lock().values().flat_map(|plan| plan.by_key.values().cloned()).collect()
    }
}

impl MemoryCounters {
    /// Counters that go on from what a directory keeps, and keep there what they count.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let kept = journal::read(dir)?;
        let epoch = Instant::now();
        let (writer, usages) = journal::start(dir, |journal| {
            let usages = Usages::new(epoch, journal.clone());
            usages.keep(kept);
            Arc::new(usages)
        })?;
        Ok(Self { epoch, buckets: Mutex::default(), usages, _writer: Some(writer) })
    }

    /// Counters that end with the process.
    #[must_use]
    pub fn forgetful() -> Self {
        let epoch = Instant::now();
        let usages = Arc::new(Usages::new(epoch, Journal::default()));
        Self { epoch, buckets: Mutex::default(), usages, _writer: None }
    }
}

impl Counters for MemoryCounters {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.by_name.get(name) {
            return Arc::clone(bucket) as Arc<dyn Bucket>;
        }
        if buckets.by_name.len() >= buckets.sweep_at.max(BUCKETS_BEFORE_SWEEP) {
            buckets.by_name.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_full());
            buckets.sweep_at = buckets.by_name.len() * 2;
        }
        let bucket = Arc::new(TokenBucket::new(self.epoch));
        buckets.by_name.insert(name.into(), Arc::clone(&bucket));
        bucket
    }

    fn usage(&self, plan: &str, key: &str) -> Arc<dyn Usage> {
        self.usages.counter(plan, key, Vec::new())
    }

    fn flush(&self) {
        self.usages.journal.wait();
    }

    fn forget(&self, keep: &dyn Fn(&str, &str) -> bool) {
        let mut forgot = false;
        self.usages.lock().retain(|plan, usages| {
            let before = usages.by_key.len();
            usages.by_key.retain(|key, _| keep(plan, key));
            forgot |= usages.by_key.len() != before;
            !usages.by_key.is_empty()
        });
        if forgot {
            self.usages.journal.rewrite();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::{Answer, Day, DayUsage, Period, Quota};

    fn on(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * 86_400 + 5)
    }

    fn quota(limit: u64, period: Period) -> Quota {
        Quota { limit, period, offset: 0 }
    }

    fn now<T>(answer: Answer<T>) -> T {
        match answer {
            Answer::Now(value) => value,
            Answer::Later(_) => panic!("counters in memory answer at once"),
        }
    }

    fn take(usage: &dyn Usage, quota: &Quota, day: u64, requests: u32) -> usize {
        (0..requests).filter(|_| now(usage.count(Some(quota), on(day)))).count()
    }

    fn days(usage: &dyn Usage, quota: &Quota, first: u32, last: u32) -> Vec<(u64, u64)> {
        let days = now(usage.days(Some(quota), Day(first), Day(last)));
        days.iter().map(|DayUsage { used, remaining }| (*used, *remaining)).collect()
    }

    #[test]
    fn a_quota_ends_with_its_period() {
        let counters = MemoryCounters::forgetful();
        let usage = counters.usage("p", "k");
        // Day 3 is the first Sunday of 1970.
        let week = quota(5, Period::Week);
        assert_eq!(take(&*usage, &week, 10, 3), 3);
        assert!(!usage.is_spent(&week, on(10)));
        assert_eq!(take(&*usage, &week, 12, 9), 2);
        assert!(usage.is_spent(&week, on(12)));
        assert_eq!(days(&*usage, &week, 9, 14), [(0, 5), (3, 2), (0, 2), (2, 0), (0, 0), (0, 0)]);
        assert!(!usage.is_spent(&week, on(17)));
        assert_eq!(take(&*usage, &week, 17, 9), 5);
        // A clock that is set back brings no period back.
        assert_eq!(take(&*usage, &week, 12, 9), 0);
        // Another period counts what was used in it.
        assert_eq!(take(&*usage, &quota(12, Period::Month), 18, 9), 2);
        assert_eq!(take(&*usage, &quota(12, Period::Day), 18, 99), 10);
    }

    #[test]
    fn what_is_left_can_be_set_for_a_period() {
        let counters = MemoryCounters::forgetful();
        let usage = counters.usage("p", "k");
        let day = quota(5, Period::Day);
        assert_eq!(take(&*usage, &day, 10, 9), 5);
        now(usage.set_remaining(&day, on(10), 3));
        assert_eq!(days(&*usage, &day, 10, 11), [(5, 3), (0, 5)]);
        assert_eq!(take(&*usage, &day, 10, 9), 3);
        now(usage.set_remaining(&day, on(10), 0));
        assert_eq!(take(&*usage, &day, 10, 1), 0);
        assert_eq!(take(&*usage, &day, 11, 9), 5);
        assert_eq!(days(&*usage, &day, 9, 12), [(0, 5), (8, 0), (5, 0), (0, 5)]);
    }

    #[test]
    fn threads_share_a_quota_exactly() {
        let counters = MemoryCounters::forgetful();
        let usage = counters.usage("p", "k");
        for day in 20..40 {
            let quota = quota(1000, Period::Day);
            let passed: usize = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| take(&*usage, &quota, day, 500))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(passed, 1000);
        }
    }

    #[test]
    fn what_was_used_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let week = quota(10, Period::Week);
        {
            let counters = MemoryCounters::open(dir.path()).unwrap();
            let usage = counters.usage("p", "k");
            assert_eq!(take(&*usage, &week, 10, 3) + take(&*usage, &week, 11, 2), 5);
            now(usage.set_remaining(&week, on(11), 1));
            now(counters.usage("gone", "k").count(None, on(11)));
            counters.forget(&|plan, _| plan != "gone");
        }
        {
            let counters = MemoryCounters::open(dir.path()).unwrap();
            let usage = counters.usage("p", "k");
            assert_eq!(days(&*usage, &week, 10, 12), [(3, 7), (2, 1), (0, 1)]);
            assert_eq!(take(&*usage, &week, 12, 9), 1);
            // Somebody may hold on to counters until the process ends, so that nothing is dropped.
            counters.flush();
            std::mem::forget(counters);
        }
        let counters = MemoryCounters::open(dir.path()).unwrap();
        assert_eq!(take(&*counters.usage("p", "k"), &week, 12, 9), 0);
        assert_eq!(days(&*counters.usage("gone", "k"), &week, 11, 11), [(0, 10)]);
    }

    #[test]
    fn a_key_has_a_bucket_in_each_plan() {
        let counters = MemoryCounters::forgetful();
        let limit = crate::Limit { rate: 0.001, burst: 1 };
        for (plan, key, passed) in
            [("p", "k", true), ("p", "k", false), ("q", "k", true), ("p", "l", true), ("q", "k", false)]
        {
            assert_eq!(now(counters.usage(plan, key).take(limit)), passed, "{plan} {key}");
        }
    }

    #[test]
    fn buckets_are_found_by_name() {
        let counters = MemoryCounters::forgetful();
        let limit = crate::Limit { rate: 0.001, burst: 1 };
        assert!(now(counters.bucket("a").take(limit)));
        assert!(!now(counters.bucket("a").take(limit)));
        assert!(now(counters.bucket("b").take(limit)));
    }
}
