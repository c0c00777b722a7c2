//! Arithmetic and comparison, with Java's types and Velocity's leniency: what cannot be computed is `null`.

use std::cmp::Ordering;

use crate::ast::Operator;
use crate::value::Value;

/// The result of an arithmetic operator on two numbers, `null` if either is none or it divides by zero.
pub(crate) fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Value {
    if let (Some(a), Some(b)) = (left.as_i64(), right.as_i64()) {
        let long = matches!(left, Value::Long(_)) || matches!(right, Value::Long(_));
        return integers(operator, a, b, long);
    }
    match (left.as_f64(), right.as_f64()) {
        (Some(a), Some(b)) => doubles(operator, a, b),
        _ => Value::Null,
    }
}

fn integers(operator: Operator, a: i64, b: i64, long: bool) -> Value {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide if b == 0 => return Value::Null,
        Operator::Divide => a.checked_div(b),
        Operator::Remainder if b == 0 => return Value::Null,
        Operator::Remainder => Some(a.wrapping_rem(b)),
        _ => return Value::Null,
    };
    match result {
        Some(number) if long => Value::Long(number),
        Some(number) => Value::integer(number),
        #[expect(clippy::cast_precision_loss, reason = "past 64 bits only the magnitude is kept")]
        None => doubles(operator, a as f64, b as f64),
    }
}

fn doubles(operator: Operator, a: f64, b: f64) -> Value {
    Value::Double(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide | Operator::Remainder if b == 0.0 => return Value::Null,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
        _ => return Value::Null,
    })
}

/// How two numbers compare; `None` if either is none.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Java's `equals`: the same type and content. Values too large or too deep to compare are not equal.
pub(crate) fn equals(left: &Value, right: &Value) -> bool {
    Equality { budget: 1_000_000 }.equals(left, right, 0)
}

struct Equality {
    budget: u32,
}

impl Equality {
    fn equals(&mut self, left: &Value, right: &Value, depth: usize) -> bool {
        if self.budget == 0 || depth > 200 {
            return false;
        }
        self.budget -= 1;
        match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Long(a), Value::Long(b)) => a == b,
            (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
            (Value::String(a), Value::String(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                let items = |a: &[Value], b: &[Value], this: &mut Self| {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| this.equals(a, b, depth + 1))
                };
                a.is_same(b) || a.with(|a| b.with(|b| items(a, b, self)))
            }
            (Value::Map(a), Value::Map(b)) => {
                let mut same = |value: &Value, other: Option<&Value>| {
                    other.is_some_and(|other| self.equals(value, other, depth + 1))
                };
                a.is_same(b)
                    || a.with(|a| {
                        b.with(|b| a.len() == b.len() && a.iter().all(|(key, value)| same(value, b.get(key))))
                    })
            }
            (Value::Object(a), Value::Object(b)) => std::rc::Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}
