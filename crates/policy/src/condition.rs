//! The `Condition` of a statement: operators, keys and values, compiled.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::ContextKeys;
use crate::pattern::{ArnPattern, Pattern, Reading};

/// One key under one operator: one line of a `Condition`.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    test: Test,
    negated: bool,
    qualifier: Qualifier,
    if_exists: bool,
    /// In lower case.
    key: Box<str>,
    operands: Vec<Operand>,
    /// As written, for explanations: `StringEquals aws:username ["ann"]`.
    shown: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Qualifier {
    None,
    ForAllValues,
    ForAnyValue,
}

/// What is compared, without whether the outcome is turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Text { wildcards: bool, any_case: bool },
    Arn,
    Number(Relation),
    Date(Relation),
    Bool,
    Binary,
    Ip,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Operand {
    Text(Pattern),
    Arn(ArnPattern),
    Number(f64),
    Date(OffsetDateTime),
    Bool(bool),
    Binary(Vec<u8>),
    Network { address: u128, mask: u128 },
}

/// Every operator: its name, what it tests and whether it is turned around.
const OPERATORS: &[(&str, Test, bool)] = {
    const EXACT: Test = Test::Text { wildcards: false, any_case: false };
    const ANY_CASE: Test = Test::Text { wildcards: false, any_case: true };
    const LIKE: Test = Test::Text { wildcards: true, any_case: false };
    &[
        ("StringEquals", EXACT, false),
        ("StringNotEquals", EXACT, true),
        ("StringEqualsIgnoreCase", ANY_CASE, false),
        ("StringNotEqualsIgnoreCase", ANY_CASE, true),
        ("StringLike", LIKE, false),
        ("StringNotLike", LIKE, true),
        ("NumericEquals", Test::Number(Relation::Equal), false),
        ("NumericNotEquals", Test::Number(Relation::Equal), true),
        ("NumericLessThan", Test::Number(Relation::Less), false),
        ("NumericLessThanEquals", Test::Number(Relation::LessOrEqual), false),
        ("NumericGreaterThan", Test::Number(Relation::Greater), false),
        ("NumericGreaterThanEquals", Test::Number(Relation::GreaterOrEqual), false),
        ("DateEquals", Test::Date(Relation::Equal), false),
        ("DateNotEquals", Test::Date(Relation::Equal), true),
        ("DateLessThan", Test::Date(Relation::Less), false),
        ("DateLessThanEquals", Test::Date(Relation::LessOrEqual), false),
        ("DateGreaterThan", Test::Date(Relation::Greater), false),
        ("DateGreaterThanEquals", Test::Date(Relation::GreaterOrEqual), false),
        ("Bool", Test::Bool, false),
        ("BinaryEquals", Test::Binary, false),
        ("IpAddress", Test::Ip, false),
        ("NotIpAddress", Test::Ip, true),
        // AWS documents these two pairs as the same.
        ("ArnEquals", Test::Arn, false),
        ("ArnLike", Test::Arn, false),
        ("ArnNotEquals", Test::Arn, true),
        ("ArnNotLike", Test::Arn, true),
        ("Null", Test::Null, false),
    ]
};

impl Condition {
    /// Reads a whole `Condition` element; nothing if it is malformed.
    pub(crate) fn parse_all(element: &Value, variables: bool) -> Option<Vec<Self>> {
        let mut conditions = Vec::new();
        for (operator, block) in element.as_object()? {
            for (key, values) in block.as_object()? {
                conditions.push(Self::parse(operator, key, values, variables)?);
            }
        }
        Some(conditions)
    }

    fn parse(operator: &str, key: &str, values: &Value, variables: bool) -> Option<Self> {
        let (qualifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", name)) => (Qualifier::ForAllValues, name),
            Some(("ForAnyValue", name)) => (Qualifier::ForAnyValue, name),
            Some(_) => return None,
            None => (Qualifier::None, operator),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let (_, test, negated) = OPERATORS.iter().find(|(known, ..)| *known == name)?;
        let unqualified = qualifier == Qualifier::None && !if_exists;
        if key.is_empty() || (*test == Test::Null && !unqualified) {
            return None;
        }
        let given = match values {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let operands: Option<Vec<Operand>> =
            given.iter().map(|value| Operand::parse(*test, &scalar(value)?, variables)).collect();
        Some(Self {
            test: *test,
            negated: *negated,
            qualifier,
            if_exists,
            key: key.to_ascii_lowercase().into(),
            operands: operands?,
            shown: format!("{operator} {key} {values}").into(),
        })
    }

    /// Whether the condition of a statement that allows, or of one that denies, holds.
    ///
    /// A variable without a value matches nothing. Turned around it would match everything, so a statement that allows
    /// does not do so through one.
    pub(crate) fn holds(&self, keys: &dyn ContextKeys, allows: bool) -> bool {
        let values = keys.values(&self.key);
        let values = values.as_slice();
        if self.test == Test::Null {
            let absent = values.is_empty();
            return self
                .operands
                .iter()
                .any(|operand| matches!(operand, Operand::Bool(want) if *want == absent));
        }
        if values.is_empty() && self.if_exists {
            return true;
        }
        let unknown_matches = self.negated && allows;
        let any = |value: &Cow<'_, str>| {
            let matches = |operand: &Operand| operand.matches(self.test, value, keys);
            self.operands.iter().any(|operand| matches(operand).unwrap_or(unknown_matches))
        };
        match self.qualifier {
            Qualifier::ForAllValues => values.iter().all(|value| any(value) != self.negated),
            Qualifier::ForAnyValue => values.iter().any(|value| any(value) != self.negated),
            // A negated operator is the opposite of its plain one, and so holds for a key that is absent.
            Qualifier::None => values.iter().any(any) != self.negated,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Numbers and truth values may stand without quotes.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Operand {
    fn parse(test: Test, text: &str, variables: bool) -> Option<Self> {
        match test {
            Test::Text { wildcards, any_case } => {
                Pattern::parse(text, Reading { wildcards, variables, any_case }).map(Self::Text)
            }
            Test::Arn => {
                let reading = Reading { wildcards: true, variables, any_case: false };
                ArnPattern::parse(text, reading).map(Self::Arn)
            }
            Test::Number(_) => {
                text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Number)
            }
            Test::Date(_) => date(text).map(Self::Date),
            Test::Bool | Test::Null => truth(text).map(Self::Bool),
            Test::Binary => STANDARD.decode(text).ok().map(Self::Binary),
            Test::Ip => network(text),
        }
    }

    /// A value that cannot be read as what the operator compares matches nothing. Nothing comes back where a variable has
    /// no value.
    fn matches(&self, test: Test, value: &str, keys: &dyn ContextKeys) -> Option<bool> {
        Some(match (self, test) {
            (Self::Text(pattern), Test::Text { any_case: true, .. }) => {
                return pattern.matches(&value.to_ascii_lowercase(), keys);
            }
            (Self::Text(pattern), _) => return pattern.matches(value, keys),
            (Self::Arn(pattern), _) => return pattern.matches(value, keys),
            (Self::Number(operand), Test::Number(relation)) => {
                value.trim().parse::<f64>().is_ok_and(|value| relation.holds(&value, operand))
            }
            (Self::Date(operand), Test::Date(relation)) => {
                date(value).is_some_and(|value| relation.holds(&value, operand))
            }
            (Self::Bool(operand), _) => truth(value) == Some(*operand),
            (Self::Binary(operand), _) => STANDARD.decode(value).is_ok_and(|value| value == *operand),
            (Self::Network { address, mask }, _) => {
                value.parse::<IpAddr>().is_ok_and(|value| bits(value) & mask == *address)
            }
            (Self::Number(_) | Self::Date(_), _) => false,
        })
    }
}

impl Relation {
    fn holds<T: PartialOrd>(self, value: &T, operand: &T) -> bool {
        match self {
            Self::Equal => value == operand,
            Self::Less => value < operand,
            Self::LessOrEqual => value <= operand,
            Self::Greater => value > operand,
            Self::GreaterOrEqual => value >= operand,
        }
    }
}

fn truth(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, truth)| truth)
}

/// ISO 8601 with or without a time, or seconds since 1970.
fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse::<i64>()
        && !(text.len() == 4 && text.starts_with(['1', '2']))
    {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    OffsetDateTime::parse(text, &Iso8601::DEFAULT)
        .or_else(|_| PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, &Iso8601::DEFAULT).map(|date| date.midnight().assume_utc()))
        .ok()
}

fn network(text: &str) -> Option<Operand> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (full, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let length = match length {
        Some(length) => length.parse::<u32>().ok().filter(|length| *length <= full)?,
        None => full,
    };
    let mask = u128::MAX.checked_shl(128 - (length + offset)).unwrap_or(0);
    Some(Operand::Network { address: bits(address) & mask, mask })
}

/// IPv4 in its place within IPv6, so that one comparison does for both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from(address.octets()),
    }
    .to_bits()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn check(condition: Value, expected: bool) {
        let keys = BTreeMap::from(
            [
                ("user", vec!["Ann"]),
                ("n", vec!["10"]),
                ("at", vec!["2026-05-01T12:00:00Z"]),
                ("ip", vec!["10.1.2.3"]),
                ("ip6", vec!["2001:db8::1"]),
                ("mapped", vec!["::ffff:10.1.2.3"]),
                ("yes", vec!["true"]),
                ("bytes", vec!["AAEC"]),
                ("arn", vec!["arn:aws:iam::1:role/x"]),
                ("tags", vec!["a", "b"]),
                ("none", vec![]),
            ]
            .map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect())),
        );
        let parsed = Condition::parse_all(&condition, true).expect("the condition is well-formed");
        let holds = |allows| parsed.iter().all(|condition| condition.holds(&keys, allows));
        assert_eq!((holds(true), holds(false)), (expected, expected), "{condition}");
    }

    #[test]
    fn variables_without_a_value() {
        let check = |condition: Value, to_allow: bool, to_deny: bool| {
            let arn = "arn:aws:iam::1:user/ann";
            let keys =
                [("user", "ann"), ("arn", arn)].map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
            let keys = BTreeMap::from(keys);
            let parsed = Condition::parse_all(&condition, true).expect("the condition is well-formed");
            let holds = |allows| parsed.iter().all(|condition| condition.holds(&keys, allows));
            assert_eq!((holds(true), holds(false)), (to_allow, to_deny), "{condition}");
        };
        check(json!({"StringEquals": {"user": "${nobody}"}}), false, false);
        check(json!({"StringNotEquals": {"user": "${nobody}"}}), false, true);
        check(json!({"StringNotLike": {"user": ["bob", "x${nobody}"]}}), false, true);
        check(json!({"ArnNotLike": {"arn": "arn:aws:iam::1:user/${nobody}"}}), false, true);
        // Another account's is none of them, whoever it is.
        check(json!({"ArnNotLike": {"arn": "arn:aws:iam::2:user/${nobody}"}}), true, true);
        check(json!({"ForAllValues:StringNotEquals": {"user": "${nobody}"}}), false, true);
        check(json!({"ForAnyValue:StringNotEquals": {"user": "${nobody}"}}), false, true);
        check(json!({"StringNotEquals": {"user": "${nobody, 'bob'}"}}), true, true);
        check(json!({"StringNotEquals": {"absent": "${nobody}"}}), true, true);
    }

    #[test]
    fn texts() {
        check(json!({"StringEquals": {"USER": ["Bob", "Ann"]}}), true);
        check(json!({"StringEquals": {"user": "ann"}}), false);
        check(json!({"StringEquals": {"user": "A*"}}), false);
        check(json!({"StringEqualsIgnoreCase": {"user": "aNN"}}), true);
        check(json!({"StringNotEqualsIgnoreCase": {"user": "aNN"}}), false);
        check(json!({"StringLike": {"user": "A?n"}}), true);
        check(json!({"StringNotLike": {"user": ["A?n", "z"]}}), false);
        check(json!({"StringNotEquals": {"user": ["a", "b"]}}), true);
        check(json!({"StringEquals": {"user": "${user}"}}), true);
        check(json!({"StringEquals": {"user": "${nobody}"}}), false);
        check(json!({"StringEquals": {"user": []}}), false);
    }

    #[test]
    fn absent_keys() {
        check(json!({"StringEquals": {"absent": "x"}}), false);
        check(json!({"StringNotEquals": {"absent": "x"}}), true);
        check(json!({"StringEqualsIfExists": {"absent": "x"}}), true);
        check(json!({"StringEqualsIfExists": {"user": "x"}}), false);
        check(json!({"Null": {"absent": "true"}}), true);
        check(json!({"Null": {"absent": false}}), false);
        check(json!({"Null": {"user": false}}), true);
        check(json!({"NotIpAddress": {"absent": "10.0.0.0/8"}}), true);
    }

    #[test]
    fn sets() {
        check(json!({"ForAllValues:StringEquals": {"tags": ["a", "b", "c"]}}), true);
        check(json!({"ForAllValues:StringEquals": {"tags": ["a"]}}), false);
        check(json!({"ForAllValues:StringEquals": {"none": ["a"]}}), true);
        check(json!({"ForAllValues:StringNotEquals": {"tags": ["c"]}}), true);
        check(json!({"ForAnyValue:StringEquals": {"tags": ["b", "z"]}}), true);
        check(json!({"ForAnyValue:StringEquals": {"none": ["b"]}}), false);
        check(json!({"ForAnyValue:StringNotEquals": {"tags": ["a"]}}), true);
        check(json!({"ForAnyValue:StringNotEquals": {"tags": ["a", "b"]}}), false);
        check(json!({"ForAnyValue:StringLikeIfExists": {"absent": "a"}}), true);
    }

    #[test]
    fn numbers_dates_and_the_rest() {
        check(json!({"NumericLessThanEquals": {"n": 10}}), true);
        check(json!({"NumericLessThan": {"n": "10"}}), false);
        check(json!({"NumericNotEquals": {"n": "11"}}), true);
        check(json!({"NumericGreaterThan": {"user": "1"}}), false);
        check(json!({"DateGreaterThan": {"at": "2026-05-01T11:59:59Z"}}), true);
        check(json!({"DateLessThan": {"at": "2026-05-01"}}), false);
        check(json!({"DateEquals": {"at": "1777636800"}}), true);
        check(json!({"Bool": {"yes": true}}), true);
        check(json!({"Bool": {"yes": "FALSE"}}), false);
        check(json!({"BinaryEquals": {"bytes": "AAEC"}}), true);
        check(json!({"ArnLike": {"arn": "arn:aws:iam::*:role/*"}}), true);
        check(json!({"ArnNotEquals": {"arn": "arn:aws:iam::1:role/y"}}), true);
    }

    #[test]
    fn addresses() {
        check(json!({"IpAddress": {"ip": "10.0.0.0/8"}}), true);
        check(json!({"IpAddress": {"ip": ["192.168.0.0/16", "10.1.2.3"]}}), true);
        check(json!({"NotIpAddress": {"ip": "10.1.2.0/24"}}), false);
        check(json!({"IpAddress": {"mapped": "10.1.2.3/32"}}), true);
        check(json!({"IpAddress": {"ip6": "2001:db8::/32"}}), true);
        check(json!({"IpAddress": {"ip6": "0.0.0.0/0"}}), false);
        check(json!({"IpAddress": {"ip": "::/0"}}), true);
    }

    #[test]
    fn malformed_conditions_are_refused() {
        for condition in [
            json!([]),
            json!({"StringEquals": "x"}),
            json!({"StringResembles": {"a": "b"}}),
            json!({"ForSomeValues:StringEquals": {"a": "b"}}),
            json!({"NullIfExists": {"a": "true"}}),
            json!({"NumericEquals": {"a": "ten"}}),
            json!({"DateEquals": {"a": "yesterday"}}),
            json!({"Bool": {"a": "maybe"}}),
            json!({"IpAddress": {"a": "10.0.0.0/33"}}),
            json!({"StringEquals": {"a": {"b": "c"}}}),
            json!({"StringEquals": {"a": null}}),
        ] {
            assert!(Condition::parse_all(&condition, true).is_none(), "{condition}");
        }
    }
}
