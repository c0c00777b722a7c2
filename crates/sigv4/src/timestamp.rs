//! `20260131T120000Z` and back.

use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// How AWS writes a point in time in `X-Amz-Date`.
pub fn format_timestamp(at: OffsetDateTime) -> String {
    // A year beyond 9999 is all that formatting could refuse; such a time signs as an empty string and verifies nowhere.
    at.to_offset(time::UtcOffset::UTC).format(FORMAT).unwrap_or_default()
}

/// Reads what [`format_timestamp`] writes.
pub(crate) fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, FORMAT).ok().map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let at = OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap();
        assert_eq!(format_timestamp(at), "20150830T123600Z");
        assert_eq!(parse_timestamp("20150830T123600Z"), Some(at));
        assert_eq!(parse_timestamp("2015-08-30T12:36:00Z"), None);
    }
}
