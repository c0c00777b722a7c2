//! The methods of `Integer`, `Long`, `Double` and `Boolean`, with the static ones that templates reach through a
//! value: `#set($Integer = 0)$Integer.parseInt("12")`.

use super::{Called, Host, exception};
use crate::operators;
use crate::value::Value;

pub(super) fn call(host: &mut Host, number: &Value, name: &str, arguments: &[Value]) -> Called {
    Ok(match (name, arguments) {
        ("intValue" | "shortValue" | "byteValue" | "longValue" | "doubleValue" | "floatValue", []) => {
            convert(number, name)
        }
        ("compareTo" | "compare", [other])
            if std::mem::discriminant(number) == std::mem::discriminant(other) =>
        {
            operators::compare(number, other).map(|order| Value::Int(order as i32))
        }
        ("parseInt" | "parseLong" | "parseDouble" | "valueOf", [Value::String(text)]) => {
            Some(parse(number, name, text)?)
        }
        ("valueOf", [other]) if other.as_f64().is_some() => Some(other.clone()),
        ("toString", [other]) if matches!(number, Value::Double(_)) => {
            other.as_f64().map(|other| Value::from(crate::text::double(other)))
        }
        ("toString", [other]) if other.as_i64().is_some() => Some(Value::from(host.text(other)?)),
        ("max" | "min" | "sum", [a, b]) => {
            let order = operators::compare(a, b);
            match name {
                "sum" => Some(operators::arithmetic(crate::ast::Operator::Add, a, b)),
                "max" => order.map(|order| if order.is_ge() { a.clone() } else { b.clone() }),
                _ => order.map(|order| if order.is_le() { a.clone() } else { b.clone() }),
            }
        }
        ("signum", [value]) => value.as_i64().map(|value| Value::integer(value.signum())),
        ("toHexString", [value]) => value.as_i64().map(|value| Value::from(radix(number, value, 16))),
        ("toBinaryString", [value]) => value.as_i64().map(|value| Value::from(radix(number, value, 2))),
        ("toOctalString", [value]) => value.as_i64().map(|value| Value::from(radix(number, value, 8))),
        ("isNaN", []) => number.as_f64().map(|number| Value::Bool(number.is_nan())),
        ("isInfinite", []) => number.as_f64().map(|number| Value::Bool(number.is_infinite())),
        _ => None,
    })
}

pub(super) fn call_bool(flag: bool, name: &str, arguments: &[Value]) -> Option<Value> {
    Some(match (name, arguments) {
        ("booleanValue", []) => Value::Bool(flag),
        ("compareTo", [Value::Bool(other)]) => Value::Int(flag.cmp(other) as i32),
        ("parseBoolean" | "valueOf", [Value::String(text)]) => Value::Bool(text.eq_ignore_ascii_case("true")),
        ("toString", [Value::Bool(other)]) => Value::from(if *other { "true" } else { "false" }),
        ("logicalAnd", [Value::Bool(a), Value::Bool(b)]) => Value::Bool(*a && *b),
        ("logicalOr", [Value::Bool(a), Value::Bool(b)]) => Value::Bool(*a || *b),
        ("logicalXor", [Value::Bool(a), Value::Bool(b)]) => Value::Bool(a != b),
        _ => return None,
    })
}

/// A number as another type: integers wrap around, doubles saturate, as Java's casts do.
#[expect(clippy::cast_possible_truncation, reason = "that is what the casts are for")]
fn convert(number: &Value, name: &str) -> Option<Value> {
    let long = match number {
        Value::Double(number) => *number as i64,
        other => other.as_i64()?,
    };
    Some(match (name, number) {
        ("doubleValue", number) => Value::Double(number.as_f64()?),
        ("floatValue", number) => Value::Double(f64::from(number.as_f64()? as f32)),
        ("longValue", _) => Value::Long(long),
        ("shortValue", _) => Value::Int(i32::from(long as i16)),
        ("byteValue", _) => Value::Int(i32::from(long as i8)),
        (_, Value::Double(number)) => Value::Int(*number as i32),
        _ => Value::Int(long as i32),
    })
}

fn parse(number: &Value, name: &str, text: &str) -> Result<Value, crate::RenderError> {
    let parsed = match (name, number) {
        ("parseInt", _) | ("valueOf", Value::Int(_)) => text.parse().ok().map(Value::Int),
        ("parseLong", _) | ("valueOf", Value::Long(_)) => text.parse().ok().map(Value::Long),
        _ => text.trim().parse().ok().map(Value::Double),
    };
    parsed.ok_or_else(|| exception(number.type_name(), name, format!("For input string: {text:?}")))
}

fn radix(number: &Value, value: i64, radix: u32) -> String {
    // An Integer prints 32 bits of two's complement, a Long 64.
    let bits = match (number, i32::try_from(value)) {
        (Value::Int(_), Ok(value)) => u64::from(value.cast_unsigned()),
        _ => value.cast_unsigned(),
    };
    match radix {
        2 => format!("{bits:b}"),
        8 => format!("{bits:o}"),
        _ => format!("{bits:x}"),
    }
}
