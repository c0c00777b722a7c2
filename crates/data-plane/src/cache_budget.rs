//! What the caches of all stages may hold together.
//!
//! Each stage's cache is as large as the stage says; this bounds their sum, so that no number of stages takes more of
//! the machine than its operator gives. Keeping a response takes bytes from one atomic counter, which come back when the
//! response's memory is really free: what a cache has given up may still be on its way to a client, and counts until
//! then. A hit does not come near this. Where there is no room, whoever wants to keep a response makes some, and
//! whoever finds somebody else at it keeps none: nothing is waited for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use crate::cache::StageCache;

/// The part of the whole that is made free at once, so that not every response has to make room for itself.
const BATCH_PARTS: u64 = 64;

/// The memory that all caches share.
#[derive(Debug)]
pub struct CacheBudget {
    bytes_max: u64,
    used: AtomicU64,
    /// Of what is used: what no cache has any more, and somebody still holds.
    leaving: AtomicU64,
    caches: Mutex<Vec<Weak<StageCache>>>,
}

/// A part of the budget that a kept response has. It goes back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<CacheBudget>,
    bytes: u64,
    is_leaving: AtomicBool,
}

impl CacheBudget {
    /// So many bytes for all caches.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            used: AtomicU64::new(0),
            leaving: AtomicU64::new(0),
            caches: Mutex::default(),
        })
    }

    /// How many bytes all caches may take.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// How many bytes they take now. Never more than [`Self::bytes_max`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Has a cache give room to others from now on.
    pub(crate) fn join(&self, cache: &Arc<StageCache>) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(Arc::downgrade(cache));
    }

    /// Room for so many bytes; nothing if there is none, and none to be had at once.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let share = || Share { budget: Arc::clone(self), bytes, is_leaving: AtomicBool::new(false) };
        if self.add(bytes) {
            return Some(share());
        }
        self.make_room(bytes);
        self.add(bytes).then(share)
    }

    fn add(&self, bytes: u64) -> bool {
        let within = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Relaxed, Relaxed, within).is_ok()
    }

    /// Has the largest caches give up responses until there is room for `bytes`, and some more.
    fn make_room(&self, bytes: u64) {
        if bytes > self.bytes_max {
            return;
        }
        // Held until there is room, so that not every worker makes some at once.
        let held = match self.caches.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let caches: Vec<_> = held.iter().filter_map(Weak::upgrade).collect();
        // What has expired goes first.
        caches.iter().for_each(|cache| cache.tidy());
        let wanted = bytes + self.bytes_max / BATCH_PARTS;
        let mut largest: Vec<_> = caches.iter().map(|cache| (cache.bytes(), cache)).collect();
        largest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (_, cache) in largest {
            let stays = self.used.load(Relaxed).saturating_sub(self.leaving.load(Relaxed));
            let missing = wanted.saturating_sub(self.bytes_max.saturating_sub(stays));
            if missing == 0 {
                return;
            }
            cache.give_up(missing);
        }
    }
}

impl Share {
    /// How many bytes it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes that no cache has the response any more.
    pub(crate) fn leaves(&self) {
        if !self.is_leaving.swap(true, Relaxed) {
            self.budget.leaving.fetch_add(self.bytes, Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
        if *self.is_leaving.get_mut() {
            self.budget.leaving.fetch_sub(self.bytes, Relaxed);
        }
    }
}
