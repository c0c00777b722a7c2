//! Days, and the periods of quotas. All of them begin at midnight UTC.
//!
//! A quota's offset is the day its period begins on: of a week, 0 is Sunday; of a month, 0 is the first. AWS describes it
//! as a number of requests in some places, but allows just the numbers of days.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{Date, Duration};

const SECONDS_A_DAY: u64 = 86_400;

/// A day, counted from 1970-01-01 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day of a time.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(u32::try_from(seconds / SECONDS_A_DAY).unwrap_or(u32::MAX))
    }

    /// The day of a date; `None` before 1970.
    #[must_use]
    pub fn of_date(date: Date) -> Option<Self> {
        u32::try_from((date - EPOCH).whole_days()).ok().map(Self)
    }

    fn date(self) -> Date {
        EPOCH.saturating_add(Duration::days(i64::from(self.0)))
    }
}

const EPOCH: Date = time::macros::date!(1970 - 01 - 01);

/// How often a quota begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Each midnight.
    Day,
    /// Each week.
    Week,
    /// Each month.
    Month,
}

/// How many requests are allowed in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests in each period.
    pub limit: u64,
    /// The period.
    pub period: Period,
    /// Days after the period's usual beginning: 0 to 6 for a week, 0 to 27 for a month.
    pub offset: u8,
}

impl Quota {
    /// The first day of the period that a day is in.
    #[must_use]
    pub fn period_start(&self, day: Day) -> Day {
        let offset = u32::from(self.offset);
        match self.period {
            Period::Day => day,
            Period::Week => {
                // 1970-01-01 was a Thursday, four days after a Sunday.
                let since = (day.0 + 4 + 7 - offset % 7) % 7;
                Day(day.0.saturating_sub(since))
            }
            Period::Month => {
                let date = day.date();
                let first = u32::from(date.day()) - 1;
                let since = if first >= offset {
                    first - offset
                } else {
                    let previous = date.month().previous();
                    let year = date.year() - i32::from(previous == time::Month::December);
                    first + u32::from(previous.length(year)) - offset
                };
                Day(day.0.saturating_sub(since))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::date;

    fn check(period: Period, offset: u8, day: Date, start: Date) {
        let quota = Quota { limit: 1, period, offset };
        assert_eq!(quota.period_start(Day::of_date(day).unwrap()).date(), start, "{period:?} {offset} {day}");
    }

    #[test]
    fn periods_begin_where_they_should() {
        check(Period::Day, 0, date!(2026 - 11 - 26), date!(2026 - 11 - 26));
        // A Thursday.
        check(Period::Week, 0, date!(2026 - 11 - 26), date!(2026 - 11 - 22));
        check(Period::Week, 4, date!(2026 - 11 - 26), date!(2026 - 11 - 26));
        check(Period::Week, 5, date!(2026 - 11 - 26), date!(2026 - 11 - 20));
        check(Period::Month, 0, date!(2026 - 11 - 01), date!(2026 - 11 - 01));
        check(Period::Month, 0, date!(2024 - 02 - 29), date!(2024 - 02 - 01));
        check(Period::Month, 27, date!(2026 - 01 - 27), date!(2025 - 12 - 28));
        check(Period::Month, 27, date!(2024 - 03 - 27), date!(2024 - 02 - 28));
        check(Period::Month, 9, date!(2026 - 11 - 10), date!(2026 - 11 - 10));
    }

    #[test]
    fn days_begin_at_midnight() {
        let at = |seconds| Day::of(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!((at(0), at(86_399), at(86_400)), (Day(0), Day(0), Day(1)));
    }

    proptest! {
        #[test]
        fn every_day_of_a_period_has_the_same_start(day in 40u32..60_000, week in 0u8..7, month in 0u8..28) {
            for (period, offset, longest) in
                [(Period::Day, 0, 1), (Period::Week, week, 7), (Period::Month, month, 31)]
            {
                let quota = Quota { limit: 1, period, offset };
                let start = quota.period_start(Day(day));
                prop_assert!(start.0 <= day && day - start.0 < longest);
                prop_assert_eq!(quota.period_start(start), start);
                // The day before belongs to the same period or ends the one before it.
                let before = quota.period_start(Day(day - 1));
                prop_assert_eq!(before < start, start.0 == day);
                prop_assert!(before <= start);
            }
        }
    }
}
