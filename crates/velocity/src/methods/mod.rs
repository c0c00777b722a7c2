//! The methods and properties of Java's types, as far as templates use them.
//!
//! A method that does not exist for its arguments gives no value, as in Velocity; one that Java would throw from ends
//! the rendering. Reflection (`class`, `getClass`) does not exist.

mod format;
mod list;
mod map;
mod number;
mod pattern;
mod string;

pub(crate) use pattern::java_pattern;

use crate::context::Limits;
use crate::error::{Position, RenderError};
use crate::text::Output;
use crate::value::Value;

/// What a method may use up.
pub(crate) struct Host {
    limits: Limits,
    bytes: usize,
}

impl Host {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, bytes: 0 }
    }

    /// The work done, in the renderer's steps.
    pub(crate) fn cost(&self) -> u64 {
        self.bytes as u64 / 256
    }

    fn work(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A value's text, within the limit.
    fn text(&mut self, value: &Value) -> Result<String, RenderError> {
        let mut output = self.output();
        output.value(value).map_err(|_| self.too_long())?;
        let text = output.into_string();
        self.work(text.len());
        Ok(text)
    }

    fn output(&self) -> Output {
        Output::new(self.limits.output_bytes)
    }

    fn too_long(&self) -> RenderError {
        RenderError::OutputTooLong(self.limits.output_bytes)
    }
}

type Called = Result<Option<Value>, RenderError>;

/// Calls a method. `None`: there is none of this name for these arguments.
pub(crate) fn call(host: &mut Host, receiver: &Value, name: &str, arguments: &[Value]) -> Called {
    let own = match receiver {
        Value::String(text) => string::call(host, text, name, arguments)?,
        Value::List(list) => list::call(host, list, name, arguments)?,
        Value::Map(map) => map::call(host, map, name, arguments)?,
        Value::Int(_) | Value::Long(_) | Value::Double(_) => number::call(host, receiver, name, arguments)?,
        Value::Bool(flag) => number::call_bool(*flag, name, arguments),
        Value::Object(object) => match (object.call(name, arguments), name, arguments) {
            (Some(result), _, _) => Some(result?),
            (None, "get", [Value::String(property)]) => object.property(property),
            _ => None,
        },
        Value::Null | Value::Block(_) => return Ok(None),
    };
    if own.is_some() {
        return Ok(own);
    }
    Ok(match (name, arguments) {
        ("toString", []) => match receiver {
            Value::Object(object) => object.text().map(Value::from),
            receiver => Some(Value::from(host.text(receiver)?)),
        },
        ("equals", [other]) => Some(Value::Bool(crate::operators::equals(receiver, other))),
        ("hashCode", []) => hash(receiver).map(Value::Int),
        _ => None,
    })
}

/// A property: `$map.name`, `$list.empty`.
pub(crate) fn property(receiver: &Value, name: &str) -> Option<Value> {
    match receiver {
        Value::Map(map) => map.get(name),
        Value::Object(object) => object.property(name),
        Value::String(text) => match name {
            "empty" => Some(Value::Bool(text.is_empty())),
            "blank" => Some(Value::Bool(text.trim().is_empty())),
            _ => None,
        },
        Value::List(list) if name == "empty" => Some(Value::Bool(list.is_empty())),
        Value::Double(number) => match name {
            "naN" | "NaN" => Some(Value::Bool(number.is_nan())),
            "infinite" => Some(Value::Bool(number.is_infinite())),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the method puts its arguments into the container it is called on.
pub(crate) fn stores(receiver: &Value, name: &str) -> bool {
    match receiver {
        Value::List(_) => matches!(name, "add" | "addAll" | "set"),
        Value::Map(_) => matches!(name, "put" | "putAll" | "putIfAbsent" | "replace"),
        _ => false,
    }
}

/// What Velocity takes the result of a method without one for.
fn void() -> Value {
    Value::from("")
}

/// An exception of Java's.
fn exception(receiver: &'static str, method: &str, message: impl Into<String>) -> RenderError {
    RenderError::Method {
        position: Position::default(),
        method: method.to_owned(),
        receiver,
        message: message.into(),
    }
}

/// Java's hash codes of what has one that does not depend on the process.
fn hash(value: &Value) -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "Java folds 64 bits into 32 this way")]
    let fold = |bits: i64| (bits ^ ((bits.cast_unsigned() >> 32).cast_signed())) as i32;
    Some(match value {
        Value::Bool(flag) => {
            if *flag {
                1231
            } else {
                1237
            }
        }
        Value::Int(number) => *number,
        Value::Long(number) => fold(*number),
        Value::Double(number) => fold(number.to_bits().cast_signed()),
        Value::String(text) => {
            text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
        }
        _ => return None,
    })
}
