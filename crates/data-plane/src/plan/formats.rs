//! The values of a schema's `format` that AWS's validator knows for draft 4, and what it says of a text that has not the
//! form. Others, `date` and `time` among them, are not looked at.

use std::net::{Ipv4Addr, Ipv6Addr};

use jsonschema::ValidationOptions;

type Check = fn(&str) -> bool;

/// Formats and whether a text has them. The schema library's own reading is overruled where AWS's differs.
const FORMATS: &[(&str, Check)] = &[
    ("date", |_| true),
    ("date-time", is_date_time),
    ("hostname", is_hostname),
    ("idn-email", |_| true),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("md5", |text| is_hex(text, 32)),
    ("sha1", |text| is_hex(text, 40)),
    ("sha256", |text| is_hex(text, 64)),
    ("sha512", |text| is_hex(text, 128)),
    ("time", |_| true),
    ("uri", is_uri),
    ("uuid", is_uuid),
];

/// Makes a schema know them.
pub(super) fn known<'o>(options: ValidationOptions<'o>) -> ValidationOptions<'o> {
    FORMATS.iter().fold(options, |options, (name, check)| options.with_format(*name, check))
}

/// What is said of a text that has not the format.
pub(super) fn message(format: &str, text: &str) -> String {
    let what = match format {
        "date-time" => {
            "is invalid against requested date format(s) [yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{1,12}Z]"
        }
        "email" => "is not a valid email address",
        "hostname" => "is not a valid hostname",
        "ipv4" => "is not a valid IPv4 address",
        "ipv6" => "is not a valid IPv6 address",
        "regex" => "is not a valid ECMA 262 regular expression",
        "uri" => "is not a valid URI",
        "md5" | "sha1" | "sha256" | "sha512" => return digest_message(format, text),
        "uuid" => return format!("input string \"{text}\" is not a valid UUID"),
        _ => "does not have the format",
    };
    format!("string \"{text}\" {what}")
}

fn digest_message(format: &str, text: &str) -> String {
    let wanted = match format {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        _ => 128,
    };
    match text.chars().count() {
        length if length != wanted => {
            format!("input string has bad length ({length}, expected {wanted})")
        }
        _ => "input string has illegal characters".to_owned(),
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `2015-03-31T12:00:00Z`, with up to twelve digits of a second, and an offset with or without a colon.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(zone) = time.find(['Z', '+', '-']) else { return false };
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str, length: usize| {
        Some(text)
            .filter(|text| text.len() == length && digits(text))
            .and_then(|text| text.parse::<u8>().ok())
    };
    let clock: Vec<_> = clock.split(':').map(|part| number(part, 2)).collect();
    let on_clock = match clock.as_slice() {
        [Some(hour), Some(minute), Some(second)] => time::Time::from_hms(*hour, *minute, *second).is_ok(),
        _ => false,
    };
    let in_zone = match zone.strip_prefix(['+', '-']) {
        None => zone == "Z",
        Some(offset) => {
            let offset = offset.replacen(':', "", 1);
            offset.len() == 4 && digits(&offset)
        }
    };
    let date: Vec<_> = date.split('-').collect();
    let on_calendar = match date.as_slice() {
        [year, month, day] if year.len() == 4 && digits(year) => {
            let month = number(month, 2).and_then(|month| time::Month::try_from(month).ok());
            let (year, day) = (year.parse().unwrap_or_default(), number(day, 2));
            month
                .zip(day)
                .is_some_and(|(month, day)| time::Date::from_calendar_date(year, month, day).is_ok())
        }
        _ => false,
    };
    on_clock && in_zone && on_calendar && digits(fraction) && fraction.len() <= 12
}

fn is_hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_part)
            && !label.starts_with(['-', '_'])
            && !label.ends_with(['-', '_'])
    };
    let ends_in_digit =
        text.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(is_label) && !ends_in_digit
}

/// What `java.net.URI` reads: also a reference without a scheme.
fn is_uri(text: &str) -> bool {
    let is_char = |c: char| match c {
        ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
        _ => !c.is_control() && !c.is_whitespace(),
    };
    let mut escapes = text.split('%').skip(1);
    let whole =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.contains(['/', '?', '#'])
            || scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    text.chars().all(is_char)
        && escapes.all(whole)
        && scheme.is_none_or(is_scheme)
        && text.matches('#').count() <= 1
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |format: &str, text: &str, expected: bool| {
            let (_, check) = FORMATS.iter().find(|(name, _)| *name == format).unwrap();
            assert_eq!(check(text), expected, "{format}: {text}");
        };
        check("date-time", "2015-03-31T12:00:00Z", true);
        check("date-time", "2015-03-31T12:00:00.123456789012Z", true);
        check("date-time", "2015-03-31T12:00:00+02:00", true);
        check("date-time", "2015-03-31T12:00:00-0200", true);
        for text in
            ["2015-03-31", "2015-03-31T12:00:00", "2015-02-31T12:00:00Z", "2015-03-31T25:00:00Z", "x", ""]
        {
            check("date-time", text, false);
        }
        check("date", "any", true);
        check("hostname", "example.org", true);
        check("hostname", "-a.org", false);
        check("uri", "https://example.org/a?b#c", true);
        check("uri", "a b", false);
        check("uri", "/a", true);
        check("uri", "1x:y", false);
        check("uuid", "123e4567-e89b-12d3-a456-426614174000", true);
        check("uuid", "123", false);
        check("md5", "d41d8cd98f00b204e9800998ecf8427e", true);
        check("ipv4", "1.2.3", false);
        check("ipv6", "::1", true);
    }
}
