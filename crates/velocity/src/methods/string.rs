//! The methods of `String`. Indexes count UTF-16 units, as Java's do.

use std::sync::Arc;

use super::{Called, Host, exception, format, pattern};
use crate::error::RenderError;
use crate::value::{List, Value};

pub(super) fn call(host: &mut Host, text: &Arc<str>, name: &str, arguments: &[Value]) -> Called {
    // Matching a pattern costs several times what reading the text does.
    let pattern = matches!(name, "replaceAll" | "replaceFirst" | "matches" | "split");
    host.work(if pattern { text.len().saturating_mul(16) } else { text.len() });
    let bool = |flag| Ok(Some(Value::Bool(flag)));
    match (name, arguments) {
        ("length", []) => Ok(Some(int(utf16_length(text)))),
        ("isEmpty", []) => bool(text.is_empty()),
        ("isBlank", []) => bool(text.trim().is_empty()),
        ("toString" | "intern" | "trim" | "strip" | "stripLeading" | "stripTrailing", []) => {
            let java_space = |c: char| c <= ' ';
            let shorter = match name {
                "trim" => text.trim_matches(java_space),
                "strip" => text.trim(),
                "stripLeading" => text.trim_start(),
                "stripTrailing" => text.trim_end(),
                _ => return Ok(Some(Value::String(Arc::clone(text)))),
            };
            Ok(Some(Value::from(shorter)))
        }
        ("toLowerCase", []) => Ok(Some(Value::from(text.to_lowercase()))),
        ("toUpperCase", []) => Ok(Some(Value::from(text.to_uppercase()))),
        ("equals" | "contentEquals", [other]) => bool(other.as_str() == Some(text)),
        ("equalsIgnoreCase", [other @ (Value::String(_) | Value::Null)]) => {
            bool(other.as_str().is_some_and(|other| other.to_lowercase() == text.to_lowercase()))
        }
        ("compareTo", [Value::String(other)]) => Ok(Some(int(compare(text, other)))),
        ("compareToIgnoreCase", [Value::String(other)]) => {
            Ok(Some(int(compare(&text.to_lowercase(), &other.to_lowercase()))))
        }
        ("contains", [Value::String(other)]) => bool(text.contains(&**other)),
        ("startsWith", [Value::String(other)]) => bool(text.starts_with(&**other)),
        ("startsWith", [Value::String(other), Value::Int(from)]) => {
            let rest = usize::try_from(*from).ok().and_then(|from| slice(text, from, None));
            bool(rest.is_some_and(|rest| rest.starts_with(&**other)))
        }
        ("endsWith", [Value::String(other)]) => bool(text.ends_with(&**other)),
        ("indexOf", [Value::String(other)]) => {
            Ok(Some(int(text.find(&**other).map_or(-1, |at| units(text, at)))))
        }
        ("indexOf" | "lastIndexOf", [Value::Int(code), rest @ ..])
            if matches!(rest, [] | [Value::Int(_)]) =>
        {
            // A character by its number.
            let character = u32::try_from(*code).ok().and_then(char::from_u32);
            let Some(character) = character else { return Ok(Some(Value::Int(-1))) };
            let mut arguments = vec![Value::from(character.to_string())];
            arguments.extend_from_slice(rest);
            call(host, text, name, &arguments)
        }
        ("indexOf", [Value::String(other), Value::Int(from)]) => {
            let from = usize::try_from(*from).unwrap_or(0);
            let found =
                slice(text, from, None).and_then(|rest| rest.find(&**other).map(|at| units(&rest, at)));
            Ok(Some(int(found.map_or(-1, |at| at + signed(from)))))
        }
        ("lastIndexOf", [Value::String(other)]) => {
            Ok(Some(int(text.rfind(&**other).map_or(-1, |at| units(text, at)))))
        }
        ("lastIndexOf", [Value::String(other), Value::Int(from)]) => {
            let to =
                usize::try_from(*from).ok().map(|from| from + utf16_length(other).unsigned_abs() as usize);
            let length = utf16_length(text).unsigned_abs() as usize;
            let head = to.and_then(|to| slice(text, 0, Some(to.min(length))));
            Ok(Some(int(head.and_then(|head| head.rfind(&**other).map(|at| units(&head, at))).unwrap_or(-1))))
        }
        ("charAt" | "codePointAt", [Value::Int(index)]) => {
            let at =
                usize::try_from(*index).ok().filter(|at| *at < utf16_length(text).unsigned_abs() as usize);
            let unit = at.and_then(|at| text.encode_utf16().nth(at).zip(slice(text, at, Some(at + 1))));
            match unit {
                Some((unit, _)) if name == "codePointAt" => Ok(Some(Value::Int(i32::from(unit)))),
                Some((_, character)) => Ok(Some(Value::from(character))),
                None => Err(exception("String", name, format!("String index out of range: {index}"))),
            }
        }
        ("substring" | "subSequence", [Value::Int(from), rest @ ..]) => {
            let length = utf16_length(text);
            let to = match rest {
                [] => length,
                [Value::Int(to)] => i64::from(*to),
                _ => return Ok(None),
            };
            let range = usize::try_from(*from).ok().zip(usize::try_from(to).ok());
            match range.filter(|(from, to)| from <= to && to <= &(length.unsigned_abs() as usize)) {
                Some((from, to)) => Ok(slice(text, from, Some(to)).map(Value::from)),
                None => Err(exception("String", name, format!("begin {from}, end {to}, length {length}"))),
            }
        }
        ("concat", [Value::String(other)]) => {
            let mut output = host.output();
            output.push(text).and_then(|()| output.push(other)).map_err(|_| host.too_long())?;
            Ok(Some(Value::from(output.into_string())))
        }
        ("repeat", [Value::Int(times)]) => {
            let Ok(times) = usize::try_from(*times) else {
                return Err(exception("String", name, format!("count is negative: {times}")));
            };
            if text.len().saturating_mul(times) > host.limits.output_bytes {
                return Err(host.too_long());
            }
            Ok(Some(Value::from(text.repeat(times))))
        }
        ("replace", [Value::String(from), Value::String(to)]) => replace(host, text, from, to).map(Some),
        ("replaceAll" | "replaceFirst", [Value::String(pattern), Value::String(replacement)]) => {
            pattern::replace(host, text, pattern, replacement, name).map(Some)
        }
        ("matches", [Value::String(pattern)]) => {
            pattern::matches(host, text, pattern).map(|flag| Some(Value::Bool(flag)))
        }
        ("split", [Value::String(pattern)]) => pattern::split(host, text, pattern, 0).map(Some),
        ("split", [Value::String(pattern), Value::Int(limit)]) => {
            pattern::split(host, text, pattern, *limit).map(Some)
        }
        ("toCharArray", []) => {
            Ok(Some(Value::list(text.chars().map(|c| Value::from(c.to_string())).collect())))
        }
        ("join", [Value::String(between), Value::List(items)]) => join(host, between, items).map(Some),
        ("valueOf" | "copyValueOf", [value]) => Ok(Some(Value::from(host.text(value)?))),
        ("format", [Value::String(pattern), values @ ..]) => {
            let values = match values {
                [Value::List(list)] => list.items(),
                values => values.to_vec(),
            };
            format::format(host, pattern, &values).map(Some)
        }
        ("formatted", values) => format::format(host, text, values).map(Some),
        _ if throws_on_null(name, arguments) => {
            Err(exception("String", name, "NullPointerException: an argument is null"))
        }
        _ => Ok(None),
    }
}

/// Whether there is such a method and it does not take the `null` it is given.
fn throws_on_null(name: &str, arguments: &[Value]) -> bool {
    let one = ["compareTo", "compareToIgnoreCase", "contains", "endsWith", "concat", "matches"];
    let one_or_two = ["startsWith", "indexOf", "lastIndexOf", "split"];
    match arguments {
        [Value::Null] => one.contains(&name) || one_or_two.contains(&name),
        [Value::Null, Value::Int(_)] => one_or_two.contains(&name),
        [Value::Null, Value::String(_) | Value::Null] | [Value::String(_), Value::Null] => {
            matches!(name, "replace" | "replaceAll" | "replaceFirst")
        }
        _ => false,
    }
}

fn int(number: i64) -> Value {
    Value::integer(number)
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Java's length.
fn utf16_length(text: &str) -> i64 {
    if text.is_ascii() { signed(text.len()) } else { signed(text.encode_utf16().count()) }
}

/// The index in UTF-16 units of a place in bytes.
fn units(text: &str, at: usize) -> i64 {
    utf16_length(text.get(..at).unwrap_or(text))
}

/// The part between two indexes in UTF-16 units. Half a surrogate pair becomes U+FFFD.
fn slice(text: &str, from: usize, to: Option<usize>) -> Option<String> {
    if text.is_ascii() {
        return text.get(from..to.unwrap_or(text.len())).map(str::to_owned);
    }
    let units: Vec<u16> = text.encode_utf16().collect();
    units.get(from..to.unwrap_or(units.len())).map(String::from_utf16_lossy)
}

fn compare(a: &str, b: &str) -> i64 {
    let (mut left, mut right) = (a.encode_utf16(), b.encode_utf16());
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => return i64::from(a) - i64::from(b),
            _ => return utf16_length(a) - utf16_length(b),
        }
    }
}

fn replace(host: &mut Host, text: &str, from: &str, to: &str) -> Result<Value, RenderError> {
    let mut output = host.output();
    let mut rest = 0;
    for (at, found) in text.match_indices(from) {
        let before = text.get(rest..at).unwrap_or_default();
        output.push(before).and_then(|()| output.push(to)).map_err(|_| host.too_long())?;
        rest = at + found.len();
    }
    output.push(text.get(rest..).unwrap_or_default()).map_err(|_| host.too_long())?;
    Ok(Value::from(output.into_string()))
}

fn join(host: &mut Host, between: &str, items: &List) -> Result<Value, RenderError> {
    let mut output = host.output();
    for (index, item) in items.items().iter().enumerate() {
        if index > 0 {
            output.push(between).map_err(|_| host.too_long())?;
        }
        output.value(item).map_err(|_| host.too_long())?;
    }
    Ok(Value::from(output.into_string()))
}
