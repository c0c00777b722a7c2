//! The time on the wall, told from the clock that latencies are measured with, so that a request reads one clock for both.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long the two clocks are taken to go alike. The one on the wall may be set.
const ANCHORED: Duration = Duration::from_secs(1);

thread_local! {
    static ANCHOR: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
}

/// What the clock on the wall showed at a moment that has just been read.
pub(crate) fn on_the_wall(now: Instant) -> SystemTime {
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
            let (before, told, after) = (SystemTime::now(), on_the_wall(Instant::now()), SystemTime::now());
            let slack = Duration::from_millis(100);
            assert!(told + slack >= before && told <= after + slack);
        }
    }
}
