//! A token bucket in one atomic word.
//!
//! The word is the moment at which the bucket would be full again. A token moves it on by the time that a new one takes
//! to come; there is a token as long as that leaves it no further ahead than a whole bucket takes to fill. This is exact
//! with any number of threads, and the word needs no settling when nothing happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::{Answer, Bucket, Limit};

/// Sixteenths of a nanosecond: fine enough for ten thousand a second, and 36 years fit.
const TICKS_A_SECOND: f64 = 16e9;

/// The word of a bucket; [`tick`] says what time it is.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    full_at: AtomicU64,
}

/// The time in the words of buckets that count from the same moment.
pub(crate) fn tick(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX / 16).saturating_mul(16)
}

impl Tokens {
    /// Takes a token; whether there was one.
    pub(crate) fn take(&self, limit: Limit, now: u64) -> bool {
        if limit.burst == 0 || limit.rate.is_nan() || limit.rate <= 0.0 {
            return false;
        }
        // Casts of floats end at the bounds of the integer.
        let a_token = (TICKS_A_SECOND / limit.rate).round() as u64;
        let a_bucket = a_token.saturating_mul(u64::from(limit.burst));
        let mut known = self.full_at.load(Ordering::Relaxed);
        loop {
            // Under a slower limit than this one it may have been further ahead than an empty bucket now is; where that
            // is refused it has to be written down, so that tokens come from this moment on.
            let full_at = known.min(now.saturating_add(a_bucket));
            let then = full_at.max(now).saturating_add(a_token);
            let taken = then - now <= a_bucket;
            let next = if taken { then } else { full_at };
            if next == known {
                return taken;
            }
            match self.full_at.compare_exchange_weak(known, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken,
                Err(now_known) => known = now_known,
            }
        }
    }
}

/// A bucket by itself.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: Tokens,
    epoch: Instant,
}

impl TokenBucket {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { tokens: Tokens::default(), epoch }
    }

    /// Whether it is as good as a new one.
    pub(crate) fn is_full(&self) -> bool {
        self.tokens.full_at.load(Ordering::Relaxed) <= tick(self.epoch)
    }
}

impl Bucket for TokenBucket {
    fn take(&self, limit: Limit) -> Answer<bool> {
        Answer::Now(self.tokens.take(limit, tick(self.epoch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 16_000_000_000;

    fn passed(bucket: &Tokens, rate: f64, burst: u32, now: u64, requests: u32) -> usize {
        (0..requests).filter(|_| bucket.take(Limit { rate, burst }, now)).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = Tokens::default();
        assert_eq!(passed(&bucket, 2.5, 10, SECOND, 100), 10);
        assert_eq!(passed(&bucket, 2.5, 10, SECOND * 3, 100), 5);
        assert_eq!(passed(&bucket, 2.5, 10, SECOND * 100, 100), 10);
    }

    #[test]
    fn zero_lets_none_through() {
        let bucket = Tokens::default();
        for (rate, burst) in [(0.0, 0), (0.0, 5), (5.0, 0), (f64::NAN, 1), (-1.0, 1)] {
            assert_eq!(passed(&bucket, rate, burst, SECOND, 3), 0, "{rate} {burst}");
        }
    }

    #[test]
    fn a_change_of_the_limit_empties_nothing() {
        let bucket = Tokens::default();
        assert_eq!(passed(&bucket, 10.0, 10, SECOND, 2), 2);
        assert_eq!(passed(&bucket, 10.0, 20, SECOND, 100), 18);
    }

    #[test]
    fn a_faster_limit_fills_an_empty_bucket_faster() {
        let bucket = Tokens::default();
        assert_eq!(passed(&bucket, 0.01, 3, SECOND, 9), 3);
        assert_eq!(passed(&bucket, 10.0, 3, SECOND, 9), 0);
        assert_eq!(passed(&bucket, 10.0, 3, SECOND + SECOND / 10, 9), 1);
    }

    #[test]
    fn threads_share_exactly() {
        let bucket = Tokens::default();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| passed(&bucket, 1.0, 1000, SECOND, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1000);
    }

    proptest! {
        #[test]
        fn no_more_than_burst_and_rate_allow(
            rate in 0.1f64..20_000.0,
            burst in 1u32..50,
            steps in proptest::collection::vec((0u64..SECOND, 0u32..20), 1..30),
        ) {
            let bucket = Tokens::default();
            let (mut now, mut total) = (0, 0);
            for (step, requests) in steps {
                now += step;
                total += passed(&bucket, rate, burst, now, requests);
                let allowed = f64::from(burst) + rate * now as f64 / TICKS_A_SECOND;
                prop_assert!(total as f64 <= allowed * 1.000_01 + 1e-6);
            }
        }
    }
}
