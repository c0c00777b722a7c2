//! Deciding filters.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use crate::ast::{Comparison, Filter, Operand};
use crate::error::ReadError;
use crate::read::Reader;

impl<'d> Reader<'d> {
    pub(crate) fn accepts(&mut self, filter: &Filter, item: &'d Value) -> Result<bool, ReadError> {
        Ok(match filter {
            Filter::Or(terms) => {
                for term in terms {
                    if self.accepts(term, item)? {
                        return Ok(true);
                    }
                }
                false
            }
            Filter::And(terms) => {
                for term in terms {
                    if !self.accepts(term, item)? {
                        return Ok(false);
                    }
                }
                true
            }
            Filter::Not(term) => !self.accepts(term, item)?,
            Filter::Exists(Operand::Value(value)) => *value == Value::Bool(true),
            Filter::Exists(operand) => self.value(operand, item)?.is_some(),
            Filter::Compare(left, Comparison::Matches, right) => self.matches(left, right, item)?,
            Filter::Compare(left, operator, right) => {
                // What is missing compares with nothing.
                let (left, right) = (self.value(left, item)?, self.value(right, item)?);
                left.zip(right).is_some_and(|(left, right)| compare(&left, *operator, &right))
            }
        })
    }

    fn matches(&mut self, left: &Operand, right: &Operand, item: &'d Value) -> Result<bool, ReadError> {
        let (regex, text) = match (left, right) {
            (Operand::Regex(regex), other) | (other, Operand::Regex(regex)) => {
                (regex, self.value(other, item)?)
            }
            _ => return Ok(false),
        };
        match text.as_deref() {
            Some(Value::String(text)) => self.fits(regex, text),
            Some(Value::Number(number)) => self.fits(regex, &number.to_string()),
            Some(Value::Bool(flag)) => self.fits(regex, if *flag { "true" } else { "false" }),
            _ => Ok(false),
        }
    }

    /// An operand's value; `None` if its path leads nowhere.
    pub(crate) fn value<'o>(
        &mut self,
        operand: &'o Operand,
        item: &'d Value,
    ) -> Result<Option<Cow<'o, Value>>, ReadError>
    where
        'd: 'o,
    {
        match operand {
            Operand::Value(value) => Ok(Some(Cow::Borrowed(value))),
            Operand::Regex(_) => Ok(None),
            Operand::Here(path) => self.read(path, item),
            Operand::Root(path) => self.read(path, self.root),
        }
    }
}

fn compare(left: &Value, operator: Comparison, right: &Value) -> bool {
    match operator {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::SameTypeEqual => same_type(left, right) && equal(left, right),
        Comparison::SameTypeNotEqual => !(same_type(left, right) && equal(left, right)),
        Comparison::Less => order(left, right) == Some(Ordering::Less),
        Comparison::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparison::Greater => order(left, right) == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        Comparison::In => list(right).iter().any(|item| equal(left, item)),
        Comparison::NotIn => !list(right).iter().any(|item| equal(left, item)),
        Comparison::Contains => match (left, right) {
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            (Value::Array(items), part) => items.iter().any(|item| equal(item, part)),
            _ => false,
        },
        Comparison::All => {
            left.is_array()
                && list(right).iter().all(|wanted| list(left).iter().any(|item| equal(item, wanted)))
        }
        Comparison::Size => {
            let size = match left {
                Value::String(text) => text.encode_utf16().count(),
                Value::Array(items) => items.len(),
                _ => return false,
            };
            right.as_i64() == i64::try_from(size).ok()
        }
        Comparison::Empty => match left {
            Value::String(text) => right.as_bool() == Some(text.is_empty()),
            Value::Array(items) => right.as_bool() == Some(items.is_empty()),
            Value::Object(entries) => right.as_bool() == Some(entries.is_empty()),
            _ => false,
        },
        Comparison::SubsetOf => left.is_array() && list(left).iter().all(|item| holds(right, item)),
        Comparison::AnyOf => list(left).iter().any(|item| holds(right, item)),
        Comparison::NoneOf => left.is_array() && !list(left).iter().any(|item| holds(right, item)),
        Comparison::Type => right.as_str().is_some_and(|name| name == type_name(left)),
        Comparison::Matches => false,
    }
}

/// Numbers are equal by value, and a text equals the number it spells.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => order(left, right) == Some(Ordering::Equal),
        (Value::Number(number), Value::String(text)) => {
            text.parse::<f64>().is_ok_and(|text| Some(text) == number.as_f64())
        }
        (Value::String(text), Value::Number(number)) => *text == number.to_string(),
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.encode_utf16().cmp(b.encode_utf16())),
        _ => None,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn holds(items: &Value, wanted: &Value) -> bool {
    list(items).iter().any(|item| equal(item, wanted))
}

fn same_type(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "json",
    }
}
