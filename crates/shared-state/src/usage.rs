//! What one API key has used of one usage plan, counted in one atomic word.
//!
//! The word holds the day and the requests of that day. What was used before in the same period stands beside it and
//! changes only when a day begins, the plan's period is changed or the remainder is set; whoever does that puts
//! [`TURNING`] into the word meanwhile, so that nobody counts on what is half changed.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use crate::bucket::{Tokens, tick};
use crate::journal::{Journal, Record};
use crate::{Answer, Bucket, Day, DayUsage, Limit, Quota, Usage};

/// Bits of the day's requests in the word.
const USED_BITS: u32 = 40;
/// Stands in the word while a thread is changing what is beside it.
const TURNING: u64 = u64::MAX;
/// How many days are remembered.
pub(crate) const DAYS_MAX: u32 = 400;

/// Counters of a million keys are more than a processor's caches hold, so what each request touches stands together, in the
/// order written here: with the counts of its `Arc` before it, one line of memory, and what is beside it in the next.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Counter {
    /// The plan's throttle for the key.
    tokens: Tokens,
    today: AtomicU64,
    /// Requests of the period before today.
    before: AtomicU64,
    /// What `UpdateUsage` added to the limit of this period.
    extra: AtomicI64,
    /// The limit that the last request was counted against; negative without one.
    limit: AtomicI64,
    /// The first day of the period that `before` and `extra` are about.
    period: AtomicU32,
    /// Whether it is among those that the journal is to write.
    dirty: AtomicBool,
    itself: Weak<Self>,
    pub(crate) plan: Arc<PlanCounters>,
    pub(crate) key: Box<str>,
    past: Mutex<Past>,
}

/// What the counters of one plan have in common.
#[derive(Debug)]
pub(crate) struct PlanCounters {
    pub(crate) id: Box<str>,
    /// What its buckets count from.
    pub(crate) epoch: Instant,
    pub(crate) journal: Journal,
}

/// Earlier days; most keys have none yet.
type Past = Option<Box<Days>>;

#[derive(Debug, Default)]
struct Days {
    /// In order.
    days: Vec<Record>,
    /// How many of them have been handed to the journal.
    written: usize,
}

fn days(past: &Past) -> &[Record] {
    past.as_ref().map_or(&[], |past| &past.days)
}

fn pack(day: u32, used: u64) -> u64 {
    (u64::from(day) << USED_BITS) | used
}

fn unpack(word: u64) -> (u32, u64) {
    (u32::try_from(word >> USED_BITS).unwrap_or(u32::MAX), word & ((1 << USED_BITS) - 1))
}

impl Counter {
    /// A counter that goes on from the days that were kept, in order.
    pub(crate) fn new(plan: Arc<PlanCounters>, key: &str, mut days: Vec<Record>, itself: Weak<Self>) -> Self {
        let last = days.pop().unwrap_or_default();
        Self {
            tokens: Tokens::default(),
            today: AtomicU64::new(pack(last.day, last.used)),
            // Which period it is shows with the first request, and what was before is counted then.
            before: AtomicU64::new(used_between(&days, last.period, last.day)),
            extra: AtomicI64::new(last.extra),
            limit: AtomicI64::new(-1),
            period: AtomicU32::new(last.period),
            dirty: AtomicBool::new(false),
            itself,
            plan,
            key: key.into(),
            past: Mutex::new((!days.is_empty()).then(|| Box::new(Days { written: days.len(), days }))),
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a day or a period, or sets what is added to the limit. Returns what has been used in the period.
    fn turn(&self, quota: Option<&Quota>, day: u32, remaining: Option<u64>) -> u64 {
        let mut past = self.past();
        let word = self.today.swap(TURNING, Ordering::AcqRel);
        let (known_day, mut used) = unpack(word);
        let mut day = day;
        if known_day < day {
            if used > 0 || self.extra.load(Ordering::Relaxed) != 0 {
                let record = self.record(known_day, used);
                let past = past.get_or_insert_default();
                past.days.push(record);
                if let Some(excess) = past.days.len().checked_sub(DAYS_MAX as usize) {
                    past.days.drain(..excess);
                    past.written = past.written.saturating_sub(excess);
                }
            }
            used = 0;
        } else {
            day = known_day;
        }
        let period = quota.map_or(day, |quota| quota.period_start(Day(day)).0);
        let before = used_between(days(&past), period, day);
        if self.period.swap(period, Ordering::Relaxed) != period {
            self.extra.store(0, Ordering::Relaxed);
        }
        self.before.store(before, Ordering::Relaxed);
        if let (Some(quota), Some(remaining)) = (quota, remaining) {
            let whole = i64::try_from(before + used + remaining).unwrap_or(i64::MAX);
            self.extra.store(whole - signed(quota.limit), Ordering::Relaxed);
            self.limit.store(signed(quota.limit), Ordering::Relaxed);
        }
        self.today.store(pack(day, used), Ordering::Release);
        before + used
    }

    /// A day as the journal keeps it.
    fn record(&self, day: u32, used: u64) -> Record {
        let extra = self.extra.load(Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        let all = signed(self.before.load(Ordering::Relaxed) + used);
        let remaining = if limit < 0 { 0 } else { (limit + extra - all).max(0) };
        Record {
            day,
            used,
            remaining: u64::try_from(remaining).unwrap_or(0),
            period: self.period.load(Ordering::Relaxed),
            extra,
        }
    }

    /// Tells what the journal has not written yet. Counted from here on, it is to be written again.
    pub(crate) fn unwritten(&self, mut tell: impl FnMut(&Record)) {
        let mut past = self.past();
        self.dirty.store(false, Ordering::Release);
        if let Some(past) = &mut *past {
            past.days.iter().skip(past.written).for_each(&mut tell);
            past.written = past.days.len();
        }
        tell(&self.current(&past));
    }

    /// Everything that is worth keeping.
    pub(crate) fn all(&self) -> Vec<Record> {
        let past = self.past();
        let mut records = days(&past).to_vec();
        records.push(self.current(&past));
        records
    }

    /// Today's record. Whoever asks holds the lock on the past, so that nobody is turning.
    fn current(&self, _: &MutexGuard<'_, Past>) -> Record {
        let (day, used) = unpack(self.today.load(Ordering::Acquire));
        self.record(day, used)
    }

    fn mark(&self) {
        if !self.dirty.load(Ordering::Relaxed)
            && !self.dirty.swap(true, Ordering::AcqRel)
            && let Some(counter) = self.itself.upgrade()
        {
            self.plan.journal.changed(counter);
        }
    }

    /// The requests that a quota allows in the current period.
    fn allowed(&self, quota: &Quota) -> u64 {
        u64::try_from(signed(quota.limit).saturating_add(self.extra.load(Ordering::Relaxed))).unwrap_or(0)
    }

    fn count_now(&self, quota: Option<&Quota>, now: SystemTime) -> bool {
        let clock = Day::of(now).0;
        loop {
            let word = self.today.load(Ordering::Acquire);
            if word == TURNING {
                std::thread::yield_now();
                continue;
            }
            let (day, used) = unpack(word);
            // A clock that was set back does not bring a day back.
            let wanted = clock.max(day);
            let period = quota.map(|quota| quota.period_start(Day(wanted)).0);
            if day < wanted || period.is_some_and(|period| period != self.period.load(Ordering::Relaxed)) {
                self.turn(quota, wanted, None);
                continue;
            }
            let limit = match quota {
                Some(quota) if self.before.load(Ordering::Relaxed) + used >= self.allowed(quota) => {
                    return false;
                }
                Some(quota) => signed(quota.limit),
                None => -1,
            };
            if self.limit.load(Ordering::Relaxed) != limit {
                self.limit.store(limit, Ordering::Relaxed);
            }
            if self.today.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.mark();
                return true;
            }
        }
    }

    fn day_usage(&self, past: &MutexGuard<'_, Past>, quota: Option<&Quota>, day: u32) -> DayUsage {
        let current = self.current(past);
        let limit = quota.map_or(0, |quota| quota.limit);
        let known = days(past).iter().chain([&current]).find(|record| record.day == day);
        if let Some(record) = known.filter(|record| record.day < current.day || quota.is_none()) {
            return DayUsage {
                used: record.used,
                remaining: if quota.is_some() { record.remaining } else { 0 },
            };
        }
        let Some(quota) = quota else { return DayUsage { used: 0, remaining: 0 } };
        let period = quota.period_start(Day(day)).0;
        let used_today = known.map_or(0, |record| record.used);
        let until = if day >= current.day { current.day } else { day };
        let mut used = used_between(days(past), period, until) + used_today;
        if day > current.day && current.day >= period {
            used += current.used;
        }
        let extra = if current.period == period && day >= current.day { current.extra } else { 0 };
        let left = signed(limit).saturating_add(extra).saturating_sub(signed(used));
        DayUsage { used: used_today, remaining: u64::try_from(left).unwrap_or(0) }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Requests on the days from one, until before another.
fn used_between(days: &[Record], first: u32, until: u32) -> u64 {
    days.iter().filter(|record| record.day >= first && record.day < until).map(|record| record.used).sum()
}

impl Bucket for Counter {
    fn take(&self, limit: Limit) -> Answer<bool> {
        Answer::Now(self.tokens.take(limit, tick(self.plan.epoch)))
    }
}

impl Usage for Counter {
    fn is_spent(&self, quota: &Quota, now: SystemTime) -> bool {
        let (day, used) = match self.today.load(Ordering::Acquire) {
            TURNING => return false,
            word => unpack(word),
        };
        let wanted = Day::of(now).0.max(day);
        day == wanted
            && quota.period_start(Day(wanted)).0 == self.period.load(Ordering::Relaxed)
            && self.before.load(Ordering::Relaxed) + used >= self.allowed(quota)
    }

    fn count(&self, quota: Option<&Quota>, now: SystemTime) -> Answer<bool> {
        Answer::Now(self.count_now(quota, now))
    }

    fn days(&self, quota: Option<&Quota>, first: Day, last: Day) -> Answer<Vec<DayUsage>> {
        let past = self.past();
        Answer::Now((first.0..=last.0).map(|day| self.day_usage(&past, quota, day)).collect())
    }

    fn set_remaining(&self, quota: &Quota, now: SystemTime, remaining: u64) -> Answer<()> {
        self.turn(Some(quota), Day::of(now).0, Some(remaining));
        self.mark();
        self.plan.journal.wait();
        Answer::Now(())
    }
}
