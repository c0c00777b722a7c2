//! The clock, read as seldom as can be: on a hot path a reading costs as much as parsing a header field.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long the clock that only goes forward and the one on the wall are taken to go alike. The one on the wall may be set.
const ANCHORED: Duration = Duration::from_secs(1);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static ANCHOR: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// The time.
#[must_use]
pub fn now() -> Instant {
    let now = Instant::now();
    LAST.set(Some(now));
    now
}

/// The time when this thread last asked for it with [`now`]. That is good enough where somebody has just asked, with nothing
/// waited for since.
#[must_use]
pub fn last() -> Instant {
    LAST.get().unwrap_or_else(now)
}

/// What the clock on the wall showed at a moment that has just been read.
#[must_use]
pub fn on_the_wall(now: Instant) -> SystemTime {
    let anchor = ANCHOR.get().filter(|(at, _)| now.saturating_duration_since(*at) < ANCHORED);
    let (at, shown) = anchor.unwrap_or_else(|| {
        let anchor = (now, SystemTime::now());
        ANCHOR.set(Some(anchor));
        anchor
    });
    shown + now.saturating_duration_since(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_tell_the_same_time() {
        for _ in 0..3 {
            let (before, told, after) = (SystemTime::now(), on_the_wall(now()), SystemTime::now());
            let slack = Duration::from_millis(100);
            assert!(told + slack >= before && told <= after + slack);
        }
    }
}
