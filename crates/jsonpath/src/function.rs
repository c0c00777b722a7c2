//! Functions at the end of a path: `$.prices.max()`.

use serde_json::{Number, Value};

use crate::ast::{Call, Function};
use crate::error::ReadError;
use crate::read::Reader;

/// Applies a function to what its path found. `None`: there is no result.
pub(crate) fn apply<'d>(
    reader: &mut Reader<'d>,
    call: &Call,
    subject: Option<&Value>,
    from: &'d Value,
) -> Result<Option<Value>, ReadError> {
    let mut arguments = Vec::with_capacity(call.arguments.len());
    for argument in &call.arguments {
        if let Some(value) = reader.value(argument, from)? {
            arguments.push(value.into_owned());
        }
    }
    let items = || subject.and_then(Value::as_array).map(Vec::as_slice);
    Ok(match call.function {
        Function::Length => {
            // With an argument the length is the argument's.
            match arguments.first().or(subject) {
                Some(Value::Array(items)) => Some(Value::from(items.len())),
                Some(Value::Object(entries)) => Some(Value::from(entries.len())),
                _ => None,
            }
        }
        Function::Keys => match subject {
            Some(Value::Object(entries)) => {
                Some(entries.keys().map(|key| Value::from(key.as_str())).collect())
            }
            _ => None,
        },
        Function::Concat => {
            let mut text = String::new();
            for value in items().unwrap_or_default().iter().filter(|item| item.is_string()).chain(&arguments)
            {
                append_text(&mut text, value);
            }
            Some(Value::String(text))
        }
        Function::Append => match subject {
            Some(Value::Array(items)) => {
                let mut items = items.clone();
                items.append(&mut arguments);
                Some(Value::Array(items))
            }
            other => other.cloned(),
        },
        Function::First => Some(element(items(), 0, "first")?),
        Function::Last => Some(element(items(), -1, "last")?),
        Function::Index => {
            let index = arguments.first().and_then(Value::as_i64);
            let index = index.ok_or(ReadError::Function { function: "index", message: "takes a number" })?;
            Some(element(items(), index, "index")?)
        }
        aggregate => {
            let numbers = items().unwrap_or_default().iter().chain(&arguments);
            let numbers: Vec<f64> = numbers.filter_map(Value::as_f64).collect();
            Some(aggregated(aggregate, &numbers)?)
        }
    })
}

fn append_text(text: &mut String, value: &Value) {
    match value {
        Value::String(part) => text.push_str(part),
        Value::Array(items) => {
            items.iter().filter(|item| item.is_string()).for_each(|item| append_text(text, item))
        }
        other => text.push_str(&other.to_string()),
    }
}

fn element(items: Option<&[Value]>, index: i64, function: &'static str) -> Result<Value, ReadError> {
    let items = items.ok_or(ReadError::Function { function, message: "is applied to lists" })?;
    let place = match usize::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => usize::try_from(index.unsigned_abs()).ok().and_then(|back| items.len().checked_sub(back)),
    };
    let item = place.and_then(|place| items.get(place)).cloned();
    item.ok_or(ReadError::Function { function, message: "is applied to a list without that item" })
}

#[expect(clippy::cast_precision_loss, reason = "no list has 2^53 items")]
fn aggregated(function: Function, numbers: &[f64]) -> Result<Value, ReadError> {
    let name = match function {
        Function::Min => "min",
        Function::Max => "max",
        Function::Avg => "avg",
        Function::Sum => "sum",
        _ => "stddev",
    };
    if numbers.is_empty() {
        return Err(ReadError::Function { function: name, message: "is applied to a list without numbers" });
    }
    let count = numbers.len() as f64;
    let sum: f64 = numbers.iter().sum();
    let result = match function {
        Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Function::Avg => sum / count,
        Function::Sum => sum,
        _ => {
            let squares: f64 = numbers.iter().map(|number| number * number).sum();
            (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
        }
    };
    Ok(Number::from_f64(result).map_or(Value::Null, Value::Number))
}
